package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/config"
)

// running is a node that serves in this process.
type running struct {
	config config.Config
	stop   context.CancelFunc
	done   chan error
	creds  credentials

	announced string // what --dev said
}

func run(t *testing.T, change func(*config.Config)) *running {
	t.Helper()
	dir := t.TempDir()
	c := config.Default()
	c.Bucket, c.EnvFile, c.Dev = filepath.Join(dir, "bucket"), filepath.Join(dir, "env"), true
	c.Listen, c.AdminListen, c.LogLevel = "127.0.0.1:0", "127.0.0.1:0", "error"
	change(&c)
	ctx, stop := context.WithCancel(context.Background())
	r := &running{config: c, stop: stop, done: make(chan error, 1)}
	out, in := io.Pipe()
	ended := make(chan struct{})
	go func() {
		err := Serve(ctx, c, "test", in)
		in.CloseWithError(errors.Join(err, io.EOF))
		r.done <- err
		close(ended)
	}()
	t.Cleanup(func() { // the bucket is removed after this
		stop()
		<-ended
	})
	said := make([]byte, 16<<10)
	n, err := out.Read(said) // the announcement is one write, and follows all preparations
	if err != nil {
		t.Fatal(err)
	}
	r.announced = string(said[:n])
	go io.Copy(io.Discard, out)
	if r.creds, err = readFile(c.EnvFile); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *running) client(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{URL: r.creds.url, PublicKey: r.creds.publicKey, PrivateKey: r.creds.privateKey})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestServeAndStop(t *testing.T) {
	r := run(t, func(*config.Config) {})
	got, err := r.client(t).Record(t.Context(), r.creds.project, "demo", fmt.Appendf(nil, `{"time":%d}`+"\n",
		time.Now().UnixMilli()), false)
	if err != nil || got.Recorded != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Errorf("stop: %v", err)
	}
	if _, err := http.Get(r.creds.url); err == nil {
		t.Error("it still answers")
	}
}

// A request that is running when the node is asked to stop comes to its end.
func TestStopLetsRequestsEnd(t *testing.T) {
	admin := freeAddress(t)
	r := run(t, func(c *config.Config) { c.AdminListen = admin })
	body, feed := io.Pipe()
	req, err := http.NewRequest("POST", fmt.Sprintf("%s/api/oauth/token", r.creds.url), body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(r.creds.clientID, r.creds.clientSecret)
	reply := make(chan error, 1)
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != 200 {
				err = errors.New(resp.Status)
			}
		}
		reply <- err
	}()
	io.WriteString(feed, "grant_type=")
	for !strings.Contains(get(t, "http://"+admin+"/metrics"), "weir_http_requests_in_flight 1") {
	}
	r.stop()
	for { // once it refuses new connections it is stopping
		c, err := net.Dial("tcp", strings.TrimPrefix(r.creds.url, "http://"))
		if err != nil {
			break
		}
		c.Close()
	}
	io.WriteString(feed, "client_credentials")
	feed.Close()
	if err := <-reply; err != nil {
		t.Errorf("the request: %v", err)
	}
	if err := <-r.done; err != nil {
		t.Errorf("stop: %v", err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Errorf("%s: %d, %v", url, resp.StatusCode, err)
	}
	return string(text)
}

func TestAdmin(t *testing.T) {
	admin := freeAddress(t)
	r := run(t, func(c *config.Config) { c.AdminListen = admin })
	if _, err := r.client(t).Download(t.Context(), client.Source{Project: r.creds.project, Workspace: "demo"},
		client.Query{}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ready",
		"/metrics": `weir_http_requests_total{route="GET ` +
			`/api/atlas/v2/groups/{groupId}/streams/{tenantName}/auditLogs",status="401"} 1`} {
		if text := get(t, "http://"+admin+path); !strings.Contains(text, want) {
			t.Errorf("%s: without %q", path, want)
		}
	}
}

// writeCertificate makes a certificate with a serial number.
func writeCertificate(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der},
		keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		stamp := time.Now().Add(time.Duration(serial) * time.Second) // a change must show in the modification time
		if err := os.Chtimes(name, stamp, stamp); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, cert, key, 1)
	r := run(t, func(c *config.Config) { c.TLSCert, c.TLSKey = cert, key })
	pool := x509.NewCertPool()
	data, err := os.ReadFile(cert)
	if err != nil || !pool.AppendCertsFromPEM(data) {
		t.Fatal(err)
	}
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	resp, err := c.Get(r.creds.url + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.TLS.PeerCertificates[0].SerialNumber.Int64() != 1 || resp.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("%+v", resp.Header)
	}
}

func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	c := &certificate{certFile: filepath.Join(dir, "cert.pem"), keyFile: filepath.Join(dir, "key.pem")}
	if _, err := c.get(nil); err == nil {
		t.Error("there is no certificate yet")
	}
	serial := func() int64 {
		t.Helper()
		c.checked = time.Time{} // as if long ago
		pair, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf.SerialNumber.Int64()
	}
	writeCertificate(t, c.certFile, c.keyFile, 1)
	if got := serial(); got != 1 {
		t.Errorf("serial %d, want 1", got)
	}
	writeCertificate(t, c.certFile, c.keyFile, 2)
	if got := serial(); got != 2 {
		t.Errorf("after a change: serial %d, want 2", got)
	}
	if err := os.WriteFile(c.keyFile, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != 2 {
		t.Errorf("a broken file must leave the last good one: serial %d", got)
	}
}

// A client that takes nothing is dropped; one that takes little by little gets all, however long that takes.
func TestSlowClients(t *testing.T) {
	const size = 32 << 20 // more than the buffers of both ends
	file := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(file, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const timeout = 300 * time.Millisecond
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/memory" {
			w.Write(make([]byte, size))
			return
		}
		http.ServeFile(w, r, file)
	})}
	go server.Serve(listener{l.(*net.TCPListener), timeout})
	t.Cleanup(func() { server.Close() })
	for _, path := range []string{"/file", "/memory"} {
		t.Run("patient"+path, func(t *testing.T) {
			t.Parallel()
			resp, err := http.Get("http://" + l.Addr().String() + path)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var n int64
			for i := 0; ; i++ {
				m, err := io.CopyN(io.Discard, resp.Body, 2<<20)
				if n += m; errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("dropped after %d bytes: %v", n, err)
				}
				time.Sleep(timeout / 3) // several times the timeout in all
			}
			if n != size {
				t.Errorf("%d bytes, want %d", n, size)
			}
		})
		t.Run("stuck"+path, func(t *testing.T) {
			t.Parallel()
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
			time.Sleep(4 * timeout)
			n, err := io.Copy(io.Discard, c)
			if n >= size {
				t.Errorf("%d bytes, %v: it was not dropped", n, err)
			}
		})
	}
}

func TestInitOnce(t *testing.T) {
	c := config.Default()
	c.Bucket = filepath.Join(t.TempDir(), "bucket")
	var out strings.Builder
	if err := Init(t.Context(), c, Setup{Organization: "o", Project: "p", Workspace: "w"}, &out); err != nil ||
		!strings.Contains(out.String(), "mdb_sa_sk_") {
		t.Fatalf("%s, %v", out.String(), err)
	}
	if err := Init(t.Context(), c, Setup{}, io.Discard); err == nil {
		t.Error("initialised twice")
	}
}

// A bucket that a crash left half-filled counts as empty.
func TestInitAfterCrash(t *testing.T) {
	c := config.Default()
	c.Bucket = filepath.Join(t.TempDir(), "bucket")
	if err := Init(t.Context(), c, Setup{Workspace: "not a name"}, io.Discard); err == nil {
		t.Fatal("a wrong name was taken")
	}
	if err := Init(t.Context(), c, Setup{Workspace: "w"}, io.Discard); err != nil {
		t.Error(err)
	}
}
