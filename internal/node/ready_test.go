package node

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/config"
)

// A disk that takes nothing makes a node unready, though the node lives, reads its bucket and has memory for requests.
func TestNodeWhoseDiskTakesNothingIsNotReady(t *testing.T) {
	c := config.Default()
	c.Bucket = filepath.Join(t.TempDir(), "bucket")
	n := initialized(t, c)
	defer n.close()
	if err := os.Remove(filepath.Join(c.Bucket, ".tmp")); err != nil { // where each new file begins
		t.Fatal(err)
	}
	checkUnready(t, n, "the disk of the bucket: it cannot store 65536 bytes")
}

// initialized returns a node on a bucket that it makes. The caller closes it.
func initialized(t *testing.T, c config.Config) *node {
	t.Helper()
	if err := Init(t.Context(), c, Setup{Organization: "o", Project: "p"}, io.Discard); err != nil {
		t.Fatal(err)
	}
	n, err := open(t.Context(), c, tuning{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// checkUnready checks that a node lives, is not ready, and says why.
func checkUnready(t *testing.T, n *node, why string) {
	t.Helper()
	for path, want := range map[string]int{"/readyz": 503, "/healthz": 200} {
		reply := httptest.NewRecorder()
		n.adminServer().Handler.ServeHTTP(reply, httptest.NewRequest("GET", path, nil))
		if reply.Code != want {
			t.Errorf("%s: %d %s, want %d", path, reply.Code, reply.Body, want)
		}
		if want == 503 && !strings.Contains(reply.Body.String(), why) {
			t.Errorf("%s: %q does not say why", path, reply.Body)
		}
	}
}

// So does a store that can be read and takes no objects, since it is full or its credentials may only read.
func TestNodeWhoseStoreTakesNothingIsNotReady(t *testing.T) {
	var full atomic.Bool
	store := &bucketest.S3Server{Name: "weir"}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if full.Load() && r.Method == http.MethodPut {
			w.WriteHeader(http.StatusInsufficientStorage)
			return
		}
		store.ServeHTTP(w, r)
	}))
	defer server.Close()
	t.Setenv("AWS_ACCESS_KEY_ID", "weirtest")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "weirtestsecret")
	c := config.Default()
	c.Bucket, c.S3.Endpoint = "s3://weir/p", server.URL
	c.SigningKeyFile, c.SecretFile = filepath.Join(t.TempDir(), "signing"), filepath.Join(t.TempDir(), "secret")
	n := initialized(t, c)
	defer n.close()
	if err := n.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	full.Store(true)
	if n.bucket.Put(t.Context(), "probe/x", nil) == nil {
		t.Fatal("the store has taken an object")
	}
	checkUnready(t, n, "the store of the bucket: it cannot store 65536 bytes")
	if n, err := open(t.Context(), c, tuning{}, slog.New(slog.DiscardHandler)); err == nil {
		n.close()
		t.Error("a node started on a store that takes nothing")
	}
}
