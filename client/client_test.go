package client

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func zip(lines string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(lines))
	z.Close()
	return b.Bytes()
}

// serve starts a server that issues tokens and passes all other requests to h. It returns a client of it.
func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/oauth/token", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if id, secret, _ := r.BasicAuth(); id != "id" || secret != "secret" {
			w.WriteHeader(401)
			io.WriteString(w, `{"error":"invalid_client","error_description":"Invalid credentials provided."}`)
			return
		}
		io.WriteString(w, `{"access_token":"t","expires_in":3600,"token_type":"Bearer"}`)
	})
	mux.HandleFunc("/", h)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	c, err := New(Config{URL: server.URL + "/", ClientID: "id", ClientSecret: "secret", UserAgent: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDownloadRequest(t *testing.T) {
	start := int64(17)
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		want := "/api/atlas/v2/groups/p/streams/a%2Fb/auditLogs?spName=x%26y&startDate=17"
		if got := r.RequestURI; got != want {
			t.Errorf("asked for %s, want %s", got, want)
		}
		if r.Header.Get("Authorization") != "Bearer t" || r.Header.Get("Accept") != fileType ||
			r.Header.Get("Accept-Encoding") != "" {
			t.Errorf("headers %v", r.Header)
		}
		w.Header().Set("Content-Disposition", `attachment; filename="../x_audit.log.gz"`)
		w.Write(zip("a\nb\n"))
	})
	d, err := c.Download(t.Context(), Source{Project: "p", Workspace: "a/b"}, Query{Start: &start, Processor: "x&y"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.Name != "x_audit.log.gz" {
		t.Errorf("name %q", d.Name)
	}
	var b bytes.Buffer
	saved, err := Copy(&b, d)
	if err != nil || saved.Events != 2 || saved.Bytes != int64(b.Len()) {
		t.Errorf("%+v, %v", saved, err)
	}
}

// A file that exists under the name is always a whole file.
func TestSavedFileIsWhole(t *testing.T) {
	whole := append(zip("a\nb\n"), zip("c\n")...)
	for name, tt := range map[string]struct {
		body []byte
		size int64
		ok   bool
	}{
		"whole":            {whole, int64(len(whole)), true},
		"size not said":    {whole, -1, true},
		"empty log":        {zip(""), -1, true},
		"nothing":          {nil, -1, false},
		"cut in a member":  {whole[:len(whole)-9], -1, false},
		"cut in a header":  {whole[:len(zip("a\nb\n"))+4], -1, false},
		"garbage behind":   {append(slices.Clone(whole), "garbage"...), -1, false},
		"damaged":          {append(append(slices.Clone(whole[:12]), whole[12]^1), whole[13:]...), -1, false},
		"not gzip":         {[]byte("<html>"), -1, false},
		"less than said":   {whole, int64(len(whole)) + 1, false},
		"the wire is dead": {nil, -2, false},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "audit.gz")
			if err := os.WriteFile(file, []byte("before"), 0o600); err != nil {
				t.Fatal(err)
			}
			var body io.Reader = bytes.NewReader(tt.body)
			if tt.size == -2 {
				body = io.MultiReader(bytes.NewReader(whole[:20]), errorReader{})
			}
			saved, err := Save(file, &Download{ReadCloser: io.NopCloser(body), Size: tt.size}, SaveOptions{})
			if (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrIncomplete) {
				t.Fatalf("%+v, %v", saved, err)
			}
			got, err := os.ReadFile(file)
			if err != nil || tt.ok && !bytes.Equal(got, tt.body) || !tt.ok && string(got) != "before" {
				t.Errorf("the file holds %q, %v", got, err)
			}
			if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestSaveFailsInAMissingFolder(t *testing.T) {
	d := &Download{ReadCloser: io.NopCloser(bytes.NewReader(zip("a\n"))), Size: -1}
	if _, err := Save(filepath.Join(t.TempDir(), "none", "audit.gz"), d, SaveOptions{}); !errors.Is(err,
		os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestErrorsCarryTheReply(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "r-1")
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(400)
		io.WriteString(w, `{"detail":"Bad.","errorCode":"VALIDATION_ERROR",`+
			`"badRequestDetail":{"fields":[{"field":"startDate","description":"odd"}]}}`)
	})
	_, err := c.Download(t.Context(), Source{Project: "p", Workspace: "w"}, Query{})
	var e *Error
	if !errors.As(err, &e) || e.Status != 400 || e.RetryAfter != 7*time.Second ||
		!strings.Contains(err.Error(), "startDate: odd") || !strings.Contains(err.Error(), "r-1") {
		t.Errorf("got %v", err)
	}
	html := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "<html>gateway</html>", http.StatusBadGateway)
	})
	if _, err := html.Download(t.Context(), Source{Project: "p", Workspace: "w"}, Query{}); !errors.As(err, &e) ||
		e.Status != 502 || !strings.Contains(e.Detail, "gateway") {
		t.Errorf("got %v", err)
	}
	wrong, err := New(Config{URL: html.base, ClientID: "id", ClientSecret: "wrong"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.Download(t.Context(), Source{Project: "p", Workspace: "w"}, Query{}); !errors.As(err, &e) ||
		e.Status != 401 || e.Code != "invalid_client" {
		t.Errorf("got %v", err)
	}
}

func TestRetryRepeatsWhatMaySucceedLater(t *testing.T) {
	for status, tries := range map[int]int{200: 1, 400: 1, 404: 1, 429: 3, 500: 3, 503: 3} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			n := 0
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if n++; n < 3 && status != 200 {
					w.WriteHeader(status)
					return
				}
				w.Write(zip(""))
			})
			err := Retry(t.Context(), RetryOptions{Most: time.Minute}, func() error {
				_, err := c.Download(t.Context(), Source{Project: "p", Workspace: "w"}, Query{})
				return err
			})
			if n != tries || (err == nil) != (status == 200 || tries == 3) {
				t.Errorf("%d tries, %v", n, err)
			}
		})
	}
	tries := 0
	if err := Retry(t.Context(), RetryOptions{}, func() error { tries++; return &Error{Status: 503} }); err == nil ||
		tries != 1 {
		t.Errorf("no time for a second try: %d tries, %v", tries, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Retry(ctx, RetryOptions{Most: time.Hour}, func() error { return &Error{Status: 503} }); err == nil {
		t.Error("a cancelled retry has succeeded")
	}
}

func TestParseTime(t *testing.T) {
	now := time.Unix(1_786_331_573, 0)
	for text, want := range map[string]int64{"1786331570": 1786331570, "2026-08-10T03:12:53Z": 1786331573,
		"2026-08-10T05:12:53+02:00": 1786331573,
		"2026-08-10":                1786320000, "now": 1786331573, "now-1d": 1786331573 - 86400,
		"now-12h": 1786331573 - 12*3600,
		"30d":     1786331573 - 30*86400, "12h": 1786331573 - 12*3600, "90m": 1786331573 - 5400, "0": 0} {
		if got, err := ParseTime(text, now); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "yesterday", "-5", "-5h", "1.5d", "2026-08-32", "2026-8-1", "d", "now-", "now+1d",
		"now-5", "now--1h", "-1d", "99999999d"} {
		if got, err := ParseTime(text, now); err == nil {
			t.Errorf("%q: %d", text, got)
		}
	}
}

func TestFromEnvironment(t *testing.T) {
	env := map[string]string{}
	getenv := func(name string) string { return env[name] }
	if _, err := FromEnvironment(getenv); err == nil || !strings.Contains(err.Error(), "MONGODB_ATLAS_CLIENT_ID") {
		t.Errorf("no credentials: %v", err)
	}
	env["MONGODB_ATLAS_PUBLIC_API_KEY"], env["MONGODB_ATLAS_PRIVATE_API_KEY"] = "a", "b"
	if c, err := FromEnvironment(getenv); err != nil || c.URL != "https://cloud.mongodb.com" {
		t.Errorf("%+v, %v", c, err)
	}
	env["MONGODB_ATLAS_OPS_MANAGER_URL"] = "http://a/"
	if c, err := FromEnvironment(getenv); err != nil || c.URL != "http://a/" {
		t.Errorf("%+v, %v", c, err)
	}
	env["MONGODB_ATLAS_BASE_URL"] = "http://b/" // as Terraform's provider names the server
	if c, err := FromEnvironment(getenv); err != nil || c.URL != "http://b/" {
		t.Errorf("%+v, %v", c, err)
	}
	env["WEIR_URL"] = "nonsense"
	c, err := FromEnvironment(getenv)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(c); err == nil {
		t.Error("a URL without a host was taken")
	}
}

// Cancelling a context ends a request at once, even if the server accepts the connection and does not answer. This
// holds for the request itself, and for the request of a token, which other requests wait for too.
func TestContextEndsARequestThatIsNotAnswered(t *testing.T) {
	for name, config := range map[string]Config{
		"service account": {ClientID: "a", ClientSecret: "b"}, "API key": {PublicKey: "a", PrivateKey: "b"},
	} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan struct{})
			var once sync.Once
			s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				once.Do(func() { close(asked) })
				io.Copy(io.Discard, r.Body) // The server notices that a client is gone only when it has read the request.
				<-r.Context().Done()
			}))
			defer s.Close()
			config.URL = s.URL
			c, err := New(config)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			errs := make(chan error)
			for range 3 {
				go func() {
					_, err := c.Call(ctx, http.MethodGet, "/", nil, nil)
					errs <- err
				}()
			}
			<-asked
			cancel()
			for range 3 {
				if err := <-errs; !errors.Is(err, context.Canceled) {
					t.Errorf("%v; want %v", err, context.Canceled)
				}
			}
		})
	}
}

func TestFieldsAreAskedForByTheirQuestion(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got, want := r.RequestURI, "/api/weir/v1/groups/p/events:fields?log=l&q=who%3Aanna"; got != want {
			t.Errorf("asked for %s, want %s", got, want)
		}
		io.WriteString(w, `{"fields":[{"field":"who","alias":true,"types":["string"],"events":3,"examples":["anna"]}]}`)
	})
	fields, err := c.Fields(t.Context(), Question{Project: "p", Text: "who:anna", Logs: []string{"l"}})
	if err != nil || len(fields) != 1 || fields[0].Field != "who" || !fields[0].Alias || fields[0].Events != 3 {
		t.Errorf("%+v, %v", fields, err)
	}
}
