package once

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/collect"
	"github.com/weirlog/weir/internal/collect/atlas"
)

const groupID = "6a793f48c0eb9e7a17712f00"

// world is an Atlas with one workspace, and a weir that takes so many lines at once, and refuses some.
type world struct {
	*httptest.Server
	lines     []string
	most      int
	recorded  []string
	created   []string
	forbidden bool // The credential may only record.
}

func newWorld(t *testing.T, lines ...string) *world {
	w := &world{lines: lines, most: 1000}
	w.Server = httptest.NewServer(w)
	t.Cleanup(w.Close)
	return w
}

func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	fail := func(status int, code string) {
		rw.WriteHeader(status)
		fmt.Fprintf(rw, `{"detail":"no","error":%d,"errorCode":%q}`, status, code)
	}
	switch {
	case path == "/api/oauth/token":
		rw.Header().Set("Content-Type", "application/json")
		io.WriteString(rw, `{"access_token":"t","expires_in":3600,"token_type":"Bearer"}`)
	case path == "/api/atlas/v2/groups":
		fmt.Fprintf(rw, `{"results":[{"id":%q,"name":"shop"}]}`, groupID)
	case path == "/api/atlas/v2/groups/"+groupID+"/streams":
		io.WriteString(rw, `{"results":[{"_id":"6a793f48c0eb9e7a17712f01","name":"prod"}]}`)
	case strings.HasPrefix(path, "/api/atlas/v2/groups/"+groupID):
		z := gzip.NewWriter(rw)
		io.WriteString(z, strings.Join(w.lines, "\n"))
		z.Close()
	case r.Method == http.MethodGet && w.forbidden:
		fail(403, "USER_UNAUTHORIZED")
	case r.Method == http.MethodGet && !slices.Contains(w.created, filepath.Base(path)):
		fail(404, "STREAM_TENANT_NOT_FOUND_FOR_NAME")
	case r.Method == http.MethodGet:
		io.WriteString(rw, "{}")
	case strings.HasSuffix(path, "/streams"):
		var body struct{ Name string }
		json.NewDecoder(r.Body).Decode(&body)
		w.created = append(w.created, body.Name)
		io.WriteString(rw, "{}")
	default:
		w.record(rw, r, fail)
	}
}

// record takes lines; it refuses those that say so.
func (w *world) record(rw http.ResponseWriter, r *http.Request, fail func(int, string)) {
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		fail(400, "INVALID")
		return
	}
	body, _ := io.ReadAll(z)
	lines := strings.Split(strings.TrimSpace(string(body)), "\n")
	if len(lines) > w.most {
		fail(413, "REQUEST_TOO_LARGE")
		return
	}
	refused := 0
	for _, line := range lines {
		if strings.Contains(line, "refuse") {
			refused++
			continue
		}
		w.recorded = append(w.recorded, r.URL.Path[strings.Index(r.URL.Path, "streams/"):]+" "+line)
	}
	fmt.Fprintf(rw, `{"recorded":%d,"rejected":%d,"badRequestDetail":{"fields":[{"field":"line 1","description":"why"}]}}`,
		len(lines)-refused, refused)
}

func (w *world) options(t *testing.T, kinds ...atlas.Kind) Options {
	t.Helper()
	c, err := client.New(client.Config{URL: w.URL + "/weir", IngestToken: "weir_x"})
	if err != nil {
		t.Fatal(err)
	}
	return Options{From: Source{URL: w.URL, ClientID: "a", Secret: "b", Kinds: kinds}, To: c, Project: "p",
		StateFile: filepath.Join(t.TempDir(), "state")}
}

func line(text string) string {
	return fmt.Sprintf(`{"time":%d,"message":%q}`, time.Now().UnixMilli()-1000, text)
}

// What a weir does not take at once it gets in halves, in order, each line once, in the log and the workspace that are
// named for where they come from.
func TestLinesAreSentInHalvesIfTheyAreTooMany(t *testing.T) {
	var lines []string
	for i := range 10 {
		lines = append(lines, line(fmt.Sprint("n", i)))
	}
	w := newWorld(t, lines...)
	w.most = 3
	counts, state, err := Run(t.Context(), w.options(t, atlas.Operational))
	if err != nil || counts.Recorded != 10 || state.Error != "" {
		t.Fatalf("%+v, %v", counts, err)
	}
	if !slices.Equal(w.created, []string{"shop-prod"}) || len(w.recorded) != len(lines) {
		t.Fatalf("%q, %q", w.created, w.recorded)
	}
	for i, got := range w.recorded {
		if want := "streams/shop-prod:recordOperationalLogs " + lines[i]; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// A weir whose limit no line meets ends the round with its reason, and the state does not move on.
func TestCursorStaysWhereNothingIsTaken(t *testing.T) {
	w := newWorld(t, line("one"), line("two"))
	w.most = 0
	o := w.options(t, atlas.Audit)
	var refused *client.Error
	if _, _, err := Run(t.Context(), o); !errors.As(err, &refused) || refused.Status != 413 {
		t.Fatal(err)
	}
	w.most = 2
	counts, _, err := Run(t.Context(), o)
	if err != nil || counts.Recorded != 2 {
		t.Errorf("%+v, %v", counts, err)
	}
}

func TestRefusedLinesAreCountedWithTheReason(t *testing.T) {
	w := newWorld(t, line("refuse"), line("good"))
	w.forbidden = true
	counts, state, err := Run(t.Context(), w.options(t, atlas.Audit))
	if err != nil || counts.Recorded != 1 || counts.Refused != 1 {
		t.Fatalf("%+v, %v", counts, err)
	}
	for _, u := range state.Units {
		if u.Reason != "why" {
			t.Errorf("the reason is %q", u.Reason)
		}
	}
}

// One process at a time uses a state, and for one source only.
func TestStateIsOfOneSource(t *testing.T) {
	w := newWorld(t, line("one"))
	o := w.options(t, atlas.Audit)
	if _, _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	o.Project = "other"
	if _, _, err := Run(t.Context(), o); !errors.Is(err, ErrState) {
		t.Error(err)
	}
}

func TestMemoryOfARoundIsBounded(t *testing.T) {
	s := new(sink)
	h := s.Reserve()
	if err := h.Grow(mostHeld); err != nil {
		t.Fatal(err)
	}
	var another collect.Hold = s.Reserve()
	if another.Grow(1) == nil {
		t.Error("more than the bound is held")
	}
	h.Release()
	if err := another.Grow(1); err != nil {
		t.Error(err)
	}
}
