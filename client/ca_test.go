package client

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// A server whose certificate the system does not know is trusted only through a file with its certificate authority.
func TestCertificateAuthorityOfAFile(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("{}")) }))
	defer s.Close()
	good, empty := filepath.Join(t.TempDir(), "ca.pem"), filepath.Join(t.TempDir(), "empty.pem")
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(good, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]bool{good: true, "": false} {
		c, err := New(Config{URL: s.URL, PublicKey: "a", PrivateKey: "b", CAFile: file})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Call(t.Context(), "GET", "/x", nil, nil); (err == nil) != want {
			t.Errorf("with %q: %v", file, err)
		}
	}
	for _, file := range []string{empty, "none"} {
		if _, err := New(Config{URL: s.URL, CAFile: file}); err == nil {
			t.Errorf("%q is taken", file)
		}
	}
}
