package node

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/bucket/location"
	"github.com/weirlog/weir/internal/config"
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
	c := config.Default()
	c.Bucket, c.S3.Endpoint = "s3://weir/p", server.URL
	file := map[string]*string{"signing-key-file": &c.SigningKeyFile, "key-file": &c.SecretFile}
	for _, setting := range []string{"signing-key-file", "key-file"} {
		err := Init(t.Context(), c, Setup{Organization: "o", Project: "p"}, io.Discard)
		if wrong := (*config.Error)(nil); !errors.As(err, &wrong) || wrong.Setting != setting {
			t.Errorf("%v; want an error about --%s", err, setting)
		}
		*file[setting] = filepath.Join(t.TempDir(), setting)
	}
	if err := Init(t.Context(), c, Setup{Organization: "o", Project: "p"}, io.Discard); err != nil {
		t.Fatal(err)
	}
	b, err := location.Open(t.Context(), c.Bucket, StoreOptions(c.S3))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if settings, err := claimedSettings(t.Context(), b); err != nil || settings.Shards != 8 {
		t.Errorf("%+v, %v; want 8 shards", settings, err)
	}
	log, err := newLogger(c)
	if err != nil {
		t.Fatal(err)
	}
	for setting, at := range file {
		named := *at
		*at = ""
		n, err := open(t.Context(), c, tuning{}, log)
		if wrong := (*config.Error)(nil); !errors.As(err, &wrong) || wrong.Setting != setting {
			t.Fatalf("%v, %v; want an error about --%s", n, err, setting)
		}
		*at = named
	}
	n, err := open(t.Context(), c, tuning{}, log)
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
