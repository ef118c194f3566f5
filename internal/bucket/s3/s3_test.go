package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/bucket/s3"
)

func s3Environment(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "weirtest")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "weirtestsecret")
	for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION",
		"HTTP_PROXY", "http_proxy"} {
		t.Setenv(name, "")
	}
}

func serveS3(t *testing.T, h http.Handler) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func openS3(t *testing.T, location, endpoint string) *s3.Bucket {
	t.Helper()
	b, err := s3.Open(t.Context(), location, s3.Options{Endpoint: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func TestConformance(t *testing.T) {
	s3Environment(t)
	for name, location := range map[string]string{"a whole bucket": "s3://weir", "a prefix": "s3://weir/some/place"} {
		t.Run(name, func(t *testing.T) {
			bucketest.Run(t, func(t *testing.T) bucket.Bucket {
				return openS3(t, location, serveS3(t, &bucketest.S3Server{Name: "weir", Page: 3}).URL)
			})
		})
	}
}

// TestS3Servers runs the conformance suite on the real servers that WEIR_S3_SERVERS names.
func TestS3Servers(t *testing.T) {
	s3Environment(t)
	for name := range strings.SplitSeq(os.Getenv("WEIR_S3_SERVERS"), ",") {
		if name == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			server := bucketest.StartS3(t, name)
			var buckets atomic.Int64
			bucketest.Run(t, func(t *testing.T) bucket.Bucket {
				return openS3(t, fmt.Sprintf("s3://weir/b%d", buckets.Add(1)), server.Endpoint)
			})
			b := openS3(t, "s3://weir/large", server.Endpoint)
			large := bytes.Repeat([]byte("0123456789abcdef"), 70<<16)
			if err := errors.Join(b.Put(t.Context(), "parts", large),
				b.PutNew(t.Context(), "whole", large)); err != nil {
				t.Fatal(err)
			}
			if err := b.PutNew(t.Context(), "parts", []byte("small")); !errors.Is(err, bucket.ErrExist) {
				t.Errorf("put new on what was put in parts: %v", err)
			}
			for _, key := range []string{"parts", "whole"} {
				if data, err := bucket.Read(t.Context(), b, key, bucket.Range{}); err != nil ||
					!bytes.Equal(data, large) {
					t.Errorf("%s: %d bytes, %v", key, len(data), err)
				}
			}
		})
	}
}

// Put uploads a large object in parts, and Delete splits more keys than one request takes.
func TestLargeObjectsAndDeletions(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	s3Environment(t)
	b := openS3(t, "s3://weir", serveS3(t, &bucketest.S3Server{Name: "weir"}).URL)
	large := bytes.Repeat([]byte("0123456789abcdef"), 70<<16)
	if err := b.Put(t.Context(), "large", large); err != nil {
		t.Fatal(err)
	}
	if data, err := bucket.Read(t.Context(), b, "large", bucket.Range{}); err != nil || !bytes.Equal(data, large) {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	keys := []string{"large"}
	for i := range 1200 {
		keys = append(keys, fmt.Sprintf("small/%04d", i))
		if err := b.PutNew(t.Context(), keys[i+1], nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Delete(t.Context(), keys...); err != nil {
		t.Fatal(err)
	}
	for info, err := range b.List(t.Context(), "", "") {
		t.Errorf("left: %s, %v", info.Key, err)
	}
}

// A PutNew is sent once, whatever its outcome. All other requests are repeated.
func TestOnlyPutNewIsNeverRepeated(t *testing.T) {
	s3Environment(t)
	for name, lose := range map[string]func(w http.ResponseWriter){
		"reply dropped": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"busy":          func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) },
		"failed":        func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) },
	} {
		t.Run(name, func(t *testing.T) {
			store := &bucketest.S3Server{Name: "weir"}
			var losing atomic.Bool
			var requests, lost atomic.Int64
			b := openS3(t, "s3://weir", serveS3(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				if !losing.Load() || lost.Add(1) > 1 {
					store.ServeHTTP(w, r)
					return
				}
				store.ServeHTTP(httptest.NewRecorder(), r) // it takes effect
				lose(w)
			})).URL)
			first := func(f func() error) (int64, error) {
				losing.Store(true)
				requests.Store(0)
				lost.Store(0)
				err := f()
				losing.Store(false)
				return requests.Load(), err
			}
			ctx := t.Context()
			n, err := first(func() error { return b.PutNew(ctx, "new", []byte("x")) })
			if n != 1 || err == nil || errors.Is(err, bucket.ErrExist) || errors.Is(err, bucket.ErrNotExist) {
				t.Errorf("put new: %d requests, %v; want one, and an unknown outcome", n, err)
			}
			if data, err := bucket.Read(ctx, b, "new", bucket.Range{}); err != nil || string(data) != "x" {
				t.Errorf("it had taken effect: %q, %v", data, err)
			}
			for op, f := range map[string]func() error{
				"get":    func() error { _, err := bucket.Read(ctx, b, "new", bucket.Range{}); return err },
				"put":    func() error { return b.Put(ctx, "put", []byte("y")) },
				"delete": func() error { return b.Delete(ctx, "a", "b") },
				"list": func() error {
					for _, err := range b.List(ctx, "", "") {
						if err != nil {
							return err
						}
					}
					return nil
				},
			} {
				if n, err := first(f); n != 2 || err != nil {
					t.Errorf("%s: %d requests, %v", op, n, err)
				}
			}
		})
	}
}

// A body that ends early is an error, however the connection ends.
func TestCutBodyIsAnError(t *testing.T) {
	s3Environment(t)
	store := &bucketest.S3Server{Name: "weir"}
	var cut atomic.Bool
	b := openS3(t, "s3://weir", serveS3(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !cut.Load() {
			store.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		store.ServeHTTP(rec, r)
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		fmt.Fprintf(c, "HTTP/1.1 %d X\r\n", rec.Code)
		rec.Header().Write(c)
		io.WriteString(c, "\r\n")
		c.Write(rec.Body.Bytes()[:rec.Body.Len()/2])
	})).URL)
	if err := b.PutNew(t.Context(), "k", make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	cut.Store(true)
	for _, r := range []bucket.Range{{}, {Offset: 1000}, {Offset: -1000}, {Offset: 5, Length: 70000}} {
		if data, err := bucket.Read(t.Context(), b, "k", r); err == nil {
			t.Errorf("%+v: %d bytes without an error", r, len(data))
		}
	}
	for _, err := range b.List(t.Context(), "", "") {
		if err != nil {
			return
		}
	}
	t.Error("a listing that was cut looked whole")
}

func TestOpenRefusesWhatCannotWork(t *testing.T) {
	s3Environment(t)
	good := serveS3(t, &bucketest.S3Server{Name: "weir"}).URL
	replacing := serveS3(t, &bucketest.S3Server{Name: "weir", Replace: true}).URL
	nonsense := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(nonsense, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		location string
		o        s3.Options
		want     string
	}{
		{"s3://weir", s3.Options{Endpoint: replacing}, "If-None-Match"},
		{"s3://other", s3.Options{Endpoint: good}, "does not exist"},
		{"s3://", s3.Options{Endpoint: good}, "s3://name"},
		{"s3://weir/a//b", s3.Options{Endpoint: good}, "prefix"},
		{"s3://weir", s3.Options{Endpoint: "localhost:9000"}, "endpoint"},
		{"s3://weir", s3.Options{Endpoint: good, Addressing: "x"}, "addressing"},
		{"s3://weir", s3.Options{Endpoint: good, CAFile: nonsense}, "no certificate"},
	} {
		b, err := s3.Open(context.Background(), tt.location, tt.o)
		if err == nil {
			b.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s, %+v: %v; want an error with %q", tt.location, tt.o, err, tt.want)
		}
	}
}

// With the storage's own authority in --s3-ca-file TLS works, and without it does not.
func TestStorageNeedsATrustedAuthority(t *testing.T) {
	s3Environment(t)
	s := httptest.NewUnstartedServer(&bucketest.S3Server{Name: "weir"})
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // for the handshakes that fail
	s.StartTLS()
	defer s.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, bucketest.PEM(s.Certificate()), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := s3.Open(t.Context(), "s3://weir", s3.Options{Endpoint: s.URL, CAFile: file})
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	if _, err := s3.Open(t.Context(), "s3://weir", s3.Options{Endpoint: s.URL}); err == nil {
		t.Error("an unknown authority was trusted")
	}
}

// Each request to the storage is counted as it is billed.
func TestEachRequestIsCounted(t *testing.T) {
	s3Environment(t)
	var mu sync.Mutex
	counts, received := map[string]int{}, int64(0)
	failing := false
	store := &bucketest.S3Server{Name: "weir", Page: 2}
	endpoint := serveS3(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if failing {
			failing = false
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		store.ServeHTTP(w, r)
	})).URL
	b, err := s3.Open(t.Context(), "s3://weir", s3.Options{Endpoint: endpoint, Observe: func(r s3.Request) {
		mu.Lock()
		defer mu.Unlock()
		counts[fmt.Sprint(r.Operation, " ", r.Status)]++
		if r.Operation == "get" {
			received += r.Received
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	clear(counts) // forgets the probe
	received = 0
	for _, key := range []string{"a", "b", "c"} {
		if err := b.PutNew(t.Context(), key, []byte("content")); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.PutNew(t.Context(), "a", nil); !errors.Is(err, bucket.ErrExist) {
		t.Fatal(err)
	}
	failing = true
	if _, err := bucket.Read(t.Context(), b, "b", bucket.Range{Offset: 3}); err != nil {
		t.Fatal(err)
	}
	for _, err := range b.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Delete(t.Context(), "a", "b", "c"); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"put 200": 3, "put 412": 1, "get 503": 1, "get 206": 1, "list 200": 2, "delete 200": 1}
	mu.Lock()
	defer mu.Unlock()
	if !maps.Equal(counts, want) || received != 4 {
		t.Errorf("%v, %d bytes; want %v, 4", counts, received, want)
	}
}

// Writable reports that a storage refuses objects, because it is full or read-only, and that it takes objects again.
// While objects are stored, it sends no request.
func TestWritableFollowsTheStore(t *testing.T) {
	s3Environment(t)
	for _, status := range []int{403, 507, 503, 400, 500} {
		store := &bucketest.S3Server{Name: "weir"}
		var refuse atomic.Bool
		var requests atomic.Int64
		b := openS3(t, "s3://weir", serveS3(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			if r.Method == http.MethodPut && refuse.Load() {
				w.WriteHeader(status)
				return
			}
			store.ServeHTTP(w, r)
		})).URL)
		requests.Store(0)
		ctx := t.Context()
		if err := b.Writable(ctx); err != nil || requests.Load() != 0 {
			t.Errorf("%d: after the start: %v, %d requests", status, err, requests.Load())
		}
		refuse.Store(true)
		if b.PutNew(ctx, "a", []byte("x")) == nil {
			t.Fatal("the store has taken it")
		}
		for range 2 {
			if err := b.Writable(ctx); err == nil || !strings.Contains(err.Error(), "the store of the bucket") {
				t.Errorf("%d: %v", status, err)
			}
		}
		refuse.Store(false)
		b.ForgetTrial()
		if err := b.Writable(ctx); err != nil {
			t.Errorf("%d: the store is well again: %v", status, err)
		}
		refuse.Store(true)
		b.ForgetTrial()
		if b.Writable(ctx) == nil {
			t.Errorf("%d: not seen where nothing else was stored", status)
		}
		refuse.Store(false)
		for info, err := range b.List(ctx, "", "") {
			t.Errorf("%d: left: %s, %v", status, info.Key, err)
		}
	}
}

// A call that the caller cancels does not count as a failure of the storage.
func TestCancelledPutsDoNotCount(t *testing.T) {
	s3Environment(t)
	b := openS3(t, "s3://weir", serveS3(t, &bucketest.S3Server{Name: "weir"}).URL)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if b.Put(ctx, "a", nil) == nil || b.PutNew(ctx, "a", nil) == nil {
		t.Fatal("stored without a context")
	}
	if err := b.Writable(ctx); err != nil { // without a trial, which it could not wait for
		t.Error(err)
	}
}
