package s3

import (
	"compress/gzip"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/egress"
)

const log = "6a793f48c0eb9e7a17712f00"

// store keeps objects, and fails as it is told.
type store struct {
	kept bucketest.S3Server

	mu     sync.Mutex
	fail   []func(w http.ResponseWriter, apply func())
	header http.Header // of the last request
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.header = r.Header
	if r.Method == http.MethodPut && len(s.fail) > 0 {
		fail := s.fail[0]
		s.fail = s.fail[1:]
		fail(w, func() { s.kept.ServeHTTP(httptest.NewRecorder(), r) })
		return
	}
	s.kept.ServeHTTP(w, r)
}

func start(t *testing.T, s *store, settings Settings) *Sink {
	t.Helper()
	s.kept.Name = "archive"
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	settings.Bucket, settings.Endpoint, settings.AccessKey, settings.SecretKey = "archive", server.URL, "id", "secret"
	var w deliver.Wrong
	if settings.Check(&w); w.Attributes != nil {
		t.Fatal(w)
	}
	sink, err := New(settings, egress.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sink.Close() })
	return sink
}

// objects returns all that a store has.
func (s *store) objects(t *testing.T) map[string]string {
	t.Helper()
	get := func(path string) []byte {
		r := httptest.NewRequest(http.MethodGet, "/archive/"+path, nil)
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 ")
		w := httptest.NewRecorder()
		s.kept.ServeHTTP(w, r)
		return w.Body.Bytes()
	}
	var listing struct{ Contents []struct{ Key string } }
	if err := xml.Unmarshal(get("?list-type=2"), &listing); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, o := range listing.Contents {
		all[o.Key] = string(get(o.Key))
	}
	return all
}

func events(first, n int) (batch []deliver.Event) {
	for i := first; i < first+n; i++ {
		batch = append(batch, deliver.Event{Log: log, Name: "orders", Index: int64(i), Time: 1763978401002,
			Line: fmt.Appendf(nil, `{"time":1763978401002,"class_uid":3004,"n":%d}`, i)})
	}
	return batch
}

func TestLines(t *testing.T) {
	s := &store{}
	sink := start(t, s, Settings{Prefix: "/audit/weir/"})
	for range 2 { // what is sent again is there once, with the same bytes
		if refused, err := sink.Send(t.Context(), events(7, 3)); err != nil || refused != nil {
			t.Fatal(refused, err)
		}
		name := "audit/weir/" + log + "/2025/11/24/0000000000000000007-0000000000000000009.ndjson.gz"
		all := s.objects(t)
		z, err := gzip.NewReader(strings.NewReader(all[name]))
		if err != nil || len(all) != 1 {
			t.Fatal(err, all)
		}
		text, err := io.ReadAll(z)
		want := ""
		for _, e := range events(7, 3) {
			want += string(e.Line) + "\n"
		}
		if err != nil || string(text) != want {
			t.Errorf("%v: %q, want %q", err, text, want)
		}
	}
	var _ interface{ Steady() } = sink
}

func TestKeysOfEncryption(t *testing.T) {
	s := &store{}
	if _, err := start(t, s, Settings{KMSKey: "alias/audit"}).Send(t.Context(), events(0, 1)); err != nil ||
		s.header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id") != "alias/audit" ||
		s.header.Get("X-Amz-Server-Side-Encryption") != "aws:kms" {
		t.Error(err, s.header)
	}
}

func TestFailures(t *testing.T) {
	answer := func(status int, text string) func(http.ResponseWriter, func()) {
		return func(w http.ResponseWriter, _ func()) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
		}
	}
	refusal := func(code string) string { return "<Error><Code>" + code + "</Code><Message>no</Message></Error>" }
	for _, test := range []struct {
		name    string
		fail    func(http.ResponseWriter, func())
		want    string
		tooMuch bool
	}{
		{"wrong credentials", answer(403, refusal("AccessDenied")), "403 AccessDenied", false},
		{"no bucket", answer(404, refusal("NoSuchBucket")), "404 NoSuchBucket", false},
		{"too many requests", answer(503, refusal("SlowDown")), "503 SlowDown", false},
		{"too large", answer(400, refusal("EntityTooLarge")), "EntityTooLarge", true},
		{"a redirect", func(w http.ResponseWriter, _ func()) {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, "307", false},
		{"an error page", answer(200, "<html>Welcome</html>"), "not as an S3 store", false},
		{"breaks", func(http.ResponseWriter, func()) { panic(http.ErrAbortHandler) }, "closed", false},
		{"breaks after acceptance", func(_ http.ResponseWriter, apply func()) { apply(); panic(http.ErrAbortHandler) },
			"closed", false},
		{"endless", func(w http.ResponseWriter, _ func()) {
			w.WriteHeader(http.StatusForbidden)
			for range 1000 {
				_, _ = io.WriteString(w, strings.Repeat("<a>", 1000))
			}
		}, "403", false},
	} {
		s := &store{fail: []func(http.ResponseWriter, func()){test.fail}}
		sink := start(t, s, Settings{})
		_, err := sink.Send(t.Context(), events(0, 2))
		if err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, deliver.ErrTooMuch) != test.tooMuch {
			t.Errorf("%s: %v", test.name, err)
		}
		if _, err := sink.Send(t.Context(), events(0, 2)); err != nil || len(s.objects(t)) != 1 {
			t.Errorf("after it: %v", err)
		}
	}
}

func TestHangingStore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	end := make(chan struct{})
	s := &store{fail: []func(http.ResponseWriter, func()){func(http.ResponseWriter, func()) { cancel(); <-end }}}
	sink := start(t, s, Settings{})
	t.Cleanup(func() { close(end) })
	if _, err := sink.Send(ctx, events(0, 1)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	ok := Settings{Bucket: "aws-security-data-lake-eu-1", Prefix: "ext/", AccessKey: "id", SecretKey: "secret",
		Format: Parquet}
	for _, test := range []struct {
		wrong  string
		change func(s *Settings)
	}{
		{"", func(*Settings) {}}, {"", func(s *Settings) { s.Prefix, s.Format = "", "" }},
		{"bucketName", func(s *Settings) { s.Bucket = "A/b" }}, {"prefixPath", func(s *Settings) { s.Prefix = "a/../b" }},
		{"prefixPath", func(s *Settings) { s.Prefix = "a b" }}, {"accessKeyId", func(s *Settings) { s.AccessKey = "" }},
		{"secretAccessKey", func(s *Settings) { s.SecretKey = "" }}, {"kmsKey", func(s *Settings) { s.KMSKey = "a\nb" }},
		{"s3Endpoint", func(s *Settings) { s.Endpoint = "ftp://x" }},
		{"s3Endpoint", func(s *Settings) { s.Endpoint = "https://x/y" }},
		{"s3Region", func(s *Settings) { s.Region = "EU!" }}, {"s3Format", func(s *Settings) { s.Format = "CSV" }},
		{"s3Source", func(s *Settings) { s.Source = "a/b" }}, {"s3AccountId", func(s *Settings) { s.Account = "a=b" }},
		{"caCertificate", func(s *Settings) { s.CA = "none" }},
	} {
		s := ok
		test.change(&s)
		var w deliver.Wrong
		s.Check(&w)
		if len(w.Attributes) > 0 != (test.wrong != "") || test.wrong != "" && w.Attributes[0].Name != test.wrong {
			t.Errorf("%+v: %v, want %q", s, w, test.wrong)
		}
	}
}
