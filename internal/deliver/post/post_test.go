package post

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/egress"
)

func poster(t *testing.T, h http.HandlerFunc) *Poster {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	p, err := New(egress.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}), Options{URL: server.URL, Gzip: true,
		Header: http.Header{"X-Key": {"k"}}, MaxReply: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBodiesArriveWhole(t *testing.T) {
	p := poster(t, func(w http.ResponseWriter, r *http.Request) {
		z, err := gzip.NewReader(r.Body)
		if err != nil || r.Header.Get("X-Key") != "k" || r.Header.Get("X-More") != "m" {
			http.Error(w, "not as it was to be", http.StatusBadRequest)
			return
		}
		_, _ = io.Copy(w, z)
	})
	for _, body := range []string{"first", strings.Repeat("second ", 100), ""} {
		reply, err := p.Send(t.Context(), []byte(body), http.Header{"X-More": {"m"}})
		if err != nil || string(reply.Body) != body || !reply.OK() {
			t.Errorf("%q came back as %+v, %v", body, reply, err)
		}
	}
}

func TestFailuresSayWhatToDo(t *testing.T) {
	for _, test := range []struct {
		status      int
		after, text string
		want        string
		pause       time.Duration
	}{
		{429, "7", "", "429 Too Many Requests", 7 * time.Second},
		{429, "999999999", "", "429 Too Many Requests", time.Hour},
		{429, "-1", "", "429 Too Many Requests", 0},
		{503, "", "<b>down\x1b[31m</b>\n\n soon", `503 Service Unavailable: <b>down\u001b[31m</b> soon`, 0},
		{302, "", "moved", "302 Found: moved", 0},
		{599, "", strings.Repeat("é", 2000), "599: " + strings.Repeat("é", 100) + "…", 0},
		{413, "", "", deliver.ErrTooMuch.Error() + ": 413 Request Entity Too Large", 0},
	} {
		p := poster(t, func(w http.ResponseWriter, _ *http.Request) {
			if test.after != "" {
				w.Header().Set("Retry-After", test.after)
			}
			w.WriteHeader(test.status)
			_, _ = io.WriteString(w, test.text)
		})
		reply, err := p.Send(t.Context(), []byte("x"), nil)
		var later *deliver.RetryAfter
		pause := time.Duration(0)
		if errors.As(err, &later) {
			pause = later.Pause
		}
		if err == nil {
			err = reply.Err()
		}
		if err == nil || err.Error() != test.want || pause != test.pause {
			t.Errorf("%d: %v, pause %v, want %s, %v", test.status, err, pause, test.want, test.pause)
		}
	}
}

// A reply of success that is longer than what is read of one, or ends too early, is an error.
func TestRepliesAreBounded(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"longer than 1000 bytes": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("x", 1001))
		},
		"unexpected EOF": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "x")
		},
		"EOF": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		if _, err := poster(t, h).Send(t.Context(), []byte("x"), nil); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want one that says %q", err, name)
		}
	}
}

func TestExcerptsAreShortAndVisible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 0, 700),
			rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) })).Draw(t, "text")
		got := Excerpt(text)
		if !utf8.ValidString(got) || strings.ContainsAny(got, "\n\r\x1b") || len(got) > 6*maxText+len("…") {
			t.Fatalf("%q of %q", got, text)
		}
		whole := string(text)
		if len(text) <= maxText && whole == strings.TrimSpace(whole) && got != whole &&
			!strings.ContainsFunc(whole, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			t.Fatalf("%q of %q, want it as it is", got, text)
		}
	})
}
