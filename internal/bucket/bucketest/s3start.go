package bucketest

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Started is a real S3 server that a test owns.
type Started struct {
	Endpoint string

	program   string
	arguments []string
	process   *exec.Cmd
}

// StartS3 starts versitygw or minio, found by PATH, on a free loopback port. The server has the bucket weir, in a
// folder of the test, and the credentials of the environment. It is killed when the test ends.
func StartS3(t *testing.T, program string) *Started {
	t.Helper()
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "weir"), 0o700); err != nil { // both servers take a folder for a bucket
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	s := &Started{Endpoint: "http://" + address, program: program, arguments: map[string][]string{
		"versitygw": {"--port", address, "posix", folder},
		"minio":     {"server", "--quiet", "--address", address, folder},
	}[program]}
	if s.arguments == nil {
		t.Fatalf("WEIR_S3_SERVERS names %q; known are versitygw and minio", program)
	}
	s.Start(t)
	t.Cleanup(s.Kill)
	return s
}

// Start starts the server, or restarts it after Kill, and returns once it answers.
func (s *Started) Start(t *testing.T) {
	t.Helper()
	id, secret := os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY")
	s.process = exec.Command(s.program, s.arguments...)
	s.process.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+id, "ROOT_SECRET_KEY="+secret, "MINIO_ROOT_USER="+id,
		"MINIO_ROOT_PASSWORD="+secret)
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	// The server is another process, so there is no event to wait for.
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		r, err := http.Get(s.Endpoint)
		if err == nil {
			r.Body.Close()
			if r.StatusCode < 500 {
				return
			}
			err = fmt.Errorf("status %s", r.Status)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer: %v", s.program, err)
		}
	}
}

// Kill kills the server.
func (s *Started) Kill() {
	s.process.Process.Kill()
	s.process.Wait()
}

// PEM returns a certificate in PEM.
func PEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
