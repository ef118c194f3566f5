package node

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/bucket/location"
)

// weir init on S3 makes shards, and a node on it wants its secrets named.
func TestS3(t *testing.T) {
	var gone atomic.Bool
	store := &bucketest.S3Server{Name: "weir"}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if gone.Load() {
			panic(http.ErrAbortHandler)
		}
		store.ServeHTTP(w, r)
	}))
	defer server.Close()
	t.Setenv("AWS_ACCESS_KEY_ID", "weirtest")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "weirtestsecret")
	t.Setenv("WEIR_SECRET", "")
	t.Setenv("WEIR_SIGNING_KEY", "")
	c := DefaultConfig()
	c.Bucket, c.S3.Endpoint = "s3://weir/p", server.URL
	if err := Init(t.Context(), c, Setup{Organization: "o", Project: "p"}, io.Discard); err == nil || !strings.Contains(err.Error(), "--signing-key-file") {
		t.Errorf("%v; want an error that names --signing-key-file", err)
	}
	signing := filepath.Join(t.TempDir(), "signing-key")
	c.SigningKey = signing
	if err := Init(t.Context(), c, Setup{Organization: "o", Project: "p"}, io.Discard); err != nil {
		t.Fatal(err)
	}
	b, err := location.Open(t.Context(), c.Bucket, c.S3)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if settings, err := account.NewDirectory(b).Settings(t.Context()); err != nil || settings.Shards != 8 {
		t.Errorf("%+v, %v; want 8 shards", settings, err)
	}
	c.SigningKey = ""
	log, err := newLogger(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"--signing-key-file", "--key-file"} {
		if n, err := open(context.Background(), c, log); err == nil || !strings.Contains(err.Error(), flag) {
			t.Fatalf("%v, %v; want an error that names %s", n, err, flag)
		}
		if flag == "--signing-key-file" {
			c.SigningKey = signing
		} else {
			c.KeyFile = filepath.Join(t.TempDir(), "key")
		}
	}
	n, err := open(t.Context(), c, log)
	if err == nil {
		err = n.ready(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	gone.Store(true)
	if n.ready(t.Context()) == nil {
		t.Error("ready without a bucket")
	}
	gone.Store(false)
	if err := n.ready(t.Context()); err != nil {
		t.Errorf("the bucket is back: %v", err)
	}
	if err := n.close(); err != nil {
		t.Error(err)
	}
}
