package watch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlog/weir/internal/proof"
)

// watching is a watcher of one log, with its output.
type watching struct {
	*Watcher
	t   *testing.T
	out bytes.Buffer
}

func newWatching(t *testing.T, l http.Handler, k *proof.Keys, change func(*Options)) *watching {
	w := &watching{t: t}
	o := Options{Keys: k, State: filepath.Join(t.TempDir(), "state.json"), Interval: time.Minute}
	o.Sources = []Source{{Name: "log", URL: "http://log.test/log", HTTP: &http.Client{Transport: server{l}}}}
	if change != nil {
		change(&o)
	}
	w.open(o)
	return w
}

// open starts a new watcher with these options.
func (w *watching) open(o Options) {
	o.Logger = slog.New(slog.NewTextHandler(&w.out, nil))
	var err error
	if w.Watcher, err = New(o); err != nil {
		w.t.Fatal(err)
	}
}

// round runs one round, which must find a problem of this kind, or none if it is empty.
func (w *watching) round(want Kind) {
	w.t.Helper()
	if _, err := w.Round(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	s, err := LoadState(w.options.State)
	if err != nil {
		w.t.Fatal(err)
	}
	got := Kind("")
	if p := s.Logs["log"].Problem; p != nil {
		got = p.Kind
	}
	if got != want {
		w.t.Fatalf("problem %q, want %q:\n%s", got, want, w.out.String())
	}
}

// kept checks the size of the kept checkpoint.
func (w *watching) kept(size int64) {
	w.t.Helper()
	c, err := read(w.state.Logs["log"].Checkpoint)
	if err != nil || c.N != size {
		w.t.Fatalf("a tree of %d is kept, want %d: %v", c.N, size, err)
	}
}

// said checks how often a text is in the output.
func (w *watching) said(text string, times int) {
	w.t.Helper()
	if n := strings.Count(w.out.String(), text); n != times {
		w.t.Fatalf("%q was said %d times, want %d:\n%s", text, n, times, w.out.String())
	}
}

func TestGrowthIsFollowed(t *testing.T) {
	k := keys(t, 1)
	for _, sizes := range [][]int{{0, 1, 2, 255, 256, 257, 511, 512, 1000}, {300, 300, 70000}, {1, 65536, 65537}} {
		l := newLog(t, k, sizes[0])
		w := newWatching(t, l, k, nil)
		w.round("")
		for _, size := range sizes[1:] {
			l.grow(size-int(l.size), "entry")
			w.round("")
			w.kept(int64(size))
			w.open(w.options)
		}
		w.said("msg=problem", 0)
	}
}

// The kept checkpoint has the cosignatures with which it was served, including those that were added later while the
// log did not grow.
func TestCosignaturesAreKept(t *testing.T) {
	k := keys(t, 1)
	l := newLog(t, k, 5)
	const cosignature = "— witness.example/w AAAAAAAAAAA=\n"
	cosigned := false
	l.broken = func(path string, data []byte) (int, []byte) {
		if path == "checkpoint" && cosigned {
			data = append(data, cosignature...)
		}
		return http.StatusOK, data
	}
	w := newWatching(t, l, k, nil)
	for _, cosigned = range []bool{false, true} {
		w.round("")
		w.open(w.options)
		if kept := w.state.Logs["log"].Checkpoint; strings.HasSuffix(kept, cosignature) != cosigned {
			t.Errorf("cosigned %t, and kept is\n%s", cosigned, kept)
		}
	}
}

// A fork is found at any sizes and reported once. Its evidence is kept, and the good checkpoint stays.
func TestForkIsFoundAndProven(t *testing.T) {
	k := keys(t, 1)
	for _, tt := range []struct{ common, then, fork int }{{10, 5, 5}, {10, 5, 6}, {0, 1, 1}, {256, 1, 300},
		{600, 100, 70000}, {255, 1, 1}} {
		l := newLog(t, k, tt.common)
		l.grow(tt.then, "entry")
		w := newWatching(t, l, k, nil)
		w.round("")
		good := l.checkpoint()
		fork := newLog(t, k, tt.common)
		fork.grow(tt.fork, "other")
		*l = *fork
		w.round(Forked)
		w.round(Forked)
		w.open(w.options)
		w.round(Forked)
		l.grow(1, "other")
		w.round(Forked)
		w.said("problem=forked", 1)
		w.kept(int64(tt.common + tt.then))
		e := w.state.Logs["log"].Evidence
		if len(e) != 1 || !slices.Equal(e[0].Checkpoints, []string{good, fork.checkpoint()}) {
			t.Errorf("%+v: the evidence is %+v", tt, e)
		}
		if r := w.result(); !slices.Equal(r.Problems, []string{"log (forked)"}) || r.Unknown != nil {
			t.Errorf("%+v", r)
		}
	}
}

func TestShrunkLogIsFound(t *testing.T) {
	k := keys(t, 1)
	l := newLog(t, k, 100)
	w := newWatching(t, l, k, nil)
	w.round("")
	*l = *newLog(t, k, 99)
	w.round(Shrunk)
	w.kept(100)
	l.grow(3, "other") // the log continues from the state to which it was reset
	w.round(Forked)
	w.said(`msg="problem ended"`, 1)
	*l = *newLog(t, k, 105)
	w.round("")
	w.kept(105)
	w.said("problem=forked", 2) // including its end
	l.broken = func(string, []byte) (int, []byte) { return 404, nil }
	w.round(Unreachable)
	l.broken = nil
	w.round("")
	if r := w.result(); len(r.Problems) != 1 {
		t.Errorf("a problem that ended is forgotten: %+v", r)
	}
}

func TestCheckpointNeedsATrustedSignature(t *testing.T) {
	k := keys(t, 2)
	l := newLog(t, k, 100)
	for _, known := range k.Signers { // old and new signatures: either key is enough
		newWatching(t, l, proof.NewKeys(known), nil).round("")
	}
	w := newWatching(t, l, k, nil)
	w.round("")
	l.grow(1, "entry")
	l.keys = keys(t, 1)
	w.round(Signature)
	w.kept(100)
	l.keys = proof.NewKeys(k.Signers[1]) // the first key is retired
	w.round("")
	w.kept(101)
	w.open(w.options)
	w.options.Keys = proof.NewKeys(k.Signers[1])
	w.round("")

	newWatching(t, l, keys(t, 1), nil).round(Signature)
	newWatching(t, l, k, func(o *Options) { o.Sources[0].ID = "log" }).round("")
	newWatching(t, l, k, func(o *Options) { o.Sources[0].ID = "og" }).round(Signature)
	l.broken = func(path string, data []byte) (int, []byte) {
		return http.StatusOK, bytes.ReplaceAll(data, []byte(testOrigin), []byte("example.org/other"))
	}
	w.round(Signature)
	w.said(`not of \"example.org/log\"`, 1)
	l.broken = func(string, []byte) (int, []byte) { return http.StatusOK, []byte("<html>") }
	w.round(Signature)
	l.broken = func(string, []byte) (int, []byte) { return http.StatusOK, make([]byte, maxCheckpoint+1) }
	w.round(Signature)
	l.broken = func(string, []byte) (int, []byte) { return http.StatusOK, bytes.Repeat([]byte{0xff}, maxCheckpoint) }
	garbage := newWatching(t, l, k, nil) // the text is kept in the state, which must stay readable
	garbage.round(Signature)
	if c := garbage.state.Logs["log"].Problem.Checkpoints; len(c) != 1 || len(c[0]) > maxUnsigned {
		t.Errorf("%d checkpoints are reported", len(c))
	}
}

// Tiles that do not match the checkpoint are found when a log is first seen, when it grows, and when watching starts.
func TestDamagedTilesAreFound(t *testing.T) {
	k := keys(t, 1)
	for name, damage := range map[string]func(data []byte) (int, []byte){
		"flipped": func(data []byte) (int, []byte) { data[40] ^= 1; return 200, data },
		"cut":     func(data []byte) (int, []byte) { return 200, data[:len(data)-1] },
		"longer":  func(data []byte) (int, []byte) { return 200, append(data, 0) },
		"endless": func([]byte) (int, []byte) { return 200, make([]byte, 1<<20) },
		"empty":   func([]byte) (int, []byte) { return 200, nil },
		"missing": func([]byte) (int, []byte) { return 404, nil },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLog(t, k, 700)
			broken := func(path string, data []byte) (int, []byte) {
				if path == "checkpoint" || len(data) == 0 {
					return 200, data
				}
				return damage(data)
			}
			w := newWatching(t, l, k, nil)
			l.broken = broken
			w.round(Damaged)
			l.broken = nil
			w.round("")
			l.broken = broken
			w.round("") // verified tiles are not fetched again
			l.grow(100, "entry")
			w.round(Damaged)
			w.kept(700)
			l.broken = nil
			w.round("")
			l.broken = broken
			w.open(w.options)
			w.round(Damaged)
			w.said("msg=problem ", 3)
		})
	}
}

// A log may remove partial tiles after they have become full.
func TestPartialTilesRemoved(t *testing.T) {
	k := keys(t, 1)
	l := newLog(t, k, 300)
	w := newWatching(t, l, k, nil)
	old := l.checkpoint()
	l.grow(1000, "entry")
	l.broken = func(path string, data []byte) (int, []byte) {
		switch {
		case path == "checkpoint":
			return 200, []byte(old)
		case path == "tile/0/001.p/44":
			return 404, nil
		}
		return 200, data
	}
	w.round("")
	if !slices.Contains(l.asked, "tile/0/001.p/44") || !slices.Contains(l.asked, "tile/0/001") {
		t.Errorf("asked for %v", l.asked)
	}
}

func TestStalledLogIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keys(t, 1)
		l := newLog(t, k, 10)
		w := newWatching(t, l, k, func(o *Options) { o.StalledAfter = time.Hour })
		w.round("")
		time.Sleep(59 * time.Minute)
		w.round("")
		l.grow(1, "entry")
		w.round("")
		time.Sleep(59 * time.Minute)
		w.round("")
		w.open(w.options)
		time.Sleep(time.Minute)
		w.round(Stalled)
		w.round(Stalled)
		w.said("msg=problem ", 1)
		l.grow(1, "entry")
		w.round("")
		w.said(`msg="problem ended"`, 1)
		w.options.StalledAfter = 0
		time.Sleep(10000 * time.Hour)
		w.round("")
	})
}

func TestUnreachableLogIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keys(t, 1)
		l := newLog(t, k, 600)
		w := newWatching(t, l, k, func(o *Options) { o.UnreachableAfter = 5 * time.Minute })
		w.round("")
		l.broken = func(string, []byte) (int, []byte) { return http.StatusServiceUnavailable, nil }
		w.round("")
		time.Sleep(4 * time.Minute)
		w.round("")
		l.broken = nil
		w.round("") // reachable again in time
		l.grow(1, "entry")
		l.broken = func(path string, data []byte) (int, []byte) {
			if path == "checkpoint" {
				return 200, data
			}
			return http.StatusTooManyRequests, nil // this is not damage of a tile either
		}
		w.round("")
		time.Sleep(5 * time.Minute)
		w.round(Unreachable)
		w.kept(600)
		if r := w.result(); r.Problems != nil || !slices.Equal(r.Unknown, []string{"log"}) {
			t.Errorf("%+v", r)
		}
		l.broken = nil
		w.round("")
		if r := w.result(); r.Problems != nil || r.Unknown != nil {
			t.Errorf("%+v", r)
		}
		w.kept(601)
		w.said("msg=problem ", 1)
	})
}

// A server that never answers delays a round by checkMost at most.
func TestServerThatNeverAnswersDelaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		w := newWatching(t, silent, keys(t, 1), func(o *Options) {
			o.Sources[0].HTTP = &http.Client{Transport: abandoned{silent}}
		})
		began := time.Now()
		w.round(Unreachable)
		if took := time.Since(began); took != checkMost {
			t.Errorf("it took %s", took)
		}
	})
}

// abandoned is a server that answers too late.
type abandoned struct{ http.Handler }

func (a abandoned) RoundTrip(r *http.Request) (*http.Response, error) {
	a.ServeHTTP(nil, r)
	return nil, r.Context().Err()
}

// hook is a webhook that refuses the first requests.
type hook struct {
	mu     sync.Mutex
	refuse int
	after  string // Retry-After of a refusal
	bodies []string
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Header.Get("Content-Type") != "application/json" || r.Method != http.MethodPost {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if h.refuse > 0 {
		h.refuse--
		w.Header().Set("Retry-After", h.after)
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	h.bodies = append(h.bodies, string(body))
}

func TestProblemsAreSentToTheWebhook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keys(t, 1)
		l := newLog(t, k, 10)
		h := &hook{refuse: webhookTries - 1}
		w := newWatching(t, l, k, func(o *Options) {
			o.Webhook, o.HTTP = "http://hook.test/", &http.Client{Transport: server{h}}
		})
		w.round("")
		good := l.checkpoint()
		*l = *newLog(t, k, 9)
		w.round(Shrunk)
		want, err := json.Marshal(map[string]any{"log": "log", "origin": testOrigin, "problem": "shrunk",
			"detail": "it has 9 entries, but had 10 before", "checkpoints": []string{good, l.checkpoint()},
			"time": w.state.Logs["log"].Problem.Time})
		if err != nil {
			t.Fatal(err)
		}
		if len(h.bodies) != 1 || !sameJSON(t, h.bodies[0], string(want)) {
			t.Fatalf("%s\nwant %s", h.bodies, want)
		}
		h.refuse = 1000
		l.grow(1, "entry")
		w.round("") // though every report fails
		w.said("cannot post a problem to the webhook", 1)
		h.refuse = 0
		*l = *newLog(t, k, 8)
		w.round(Shrunk)
		l.grow(2, "entry")
		w.round("")
		if len(h.bodies) != 3 || !strings.Contains(h.bodies[2], `"ended":true`) {
			t.Errorf("%s", h.bodies)
		}
	})
}

// A busy webhook says when to try again. It is not waited for beyond webhookMost.
func TestWebhookSaysWhenToTryAgain(t *testing.T) {
	for after, want := range map[string]struct {
		took time.Duration
		told int
	}{"20": {20 * time.Second, 1}, "3600": {0, 0}} {
		synctest.Test(t, func(t *testing.T) {
			h := &hook{refuse: 1, after: after}
			w, err := New(Options{State: filepath.Join(t.TempDir(), "state"), Webhook: "http://hook.test/",
				HTTP: &http.Client{Transport: server{h}}})
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			err = w.post(t.Context(), &Problem{Log: "log", Kind: Shrunk})
			if took := time.Since(began); took != want.took || len(h.bodies) != want.told || (err == nil) != (want.told == 1) {
				t.Errorf("Retry-After %s: told %d times after %v, %v", after, len(h.bodies), took, err)
			}
		})
	}
}

func sameJSON(t *testing.T, a, b string) bool {
	var x, y map[string]any
	if err := errors.Join(json.Unmarshal([]byte(a), &x), json.Unmarshal([]byte(b), &y)); err != nil {
		t.Fatal(err)
	}
	p, err := json.Marshal(x)
	q, err2 := json.Marshal(y)
	return err == nil && err2 == nil && bytes.Equal(p, q)
}

// A problem does not end because the log is unreachable.
func TestProblemOutlivesOutage(t *testing.T) {
	k := keys(t, 1)
	l := newLog(t, k, 10)
	w := newWatching(t, l, k, nil)
	w.round("")
	*l = *newLog(t, k, 9)
	w.round(Shrunk)
	l.broken = func(string, []byte) (int, []byte) { return 503, nil }
	w.open(w.options)
	w.round(Shrunk)
	if r := w.result(); !slices.Equal(r.Problems, []string{"log (shrunk)"}) || r.Unknown != nil {
		t.Errorf("%+v", r)
	}
	w.said("msg=problem ", 1)
	w.said("problem ended", 0)
	w.said("cannot reach a log", 1)
}

// A log that is added to the list is followed, and also after it is removed from the list. If the list fails, nothing
// ends.
func TestListedLogsAreFollowedForEver(t *testing.T) {
	k := keys(t, 1)
	logs := map[string]*fakeLog{"a": newLog(t, k, 1), "b": newLog(t, k, 2)}
	names, failed := []string{"logs/a"}, error(nil)
	w := newWatching(t, http.NotFoundHandler(), k, func(o *Options) {
		o.Sources = nil
		o.List = &List{Prefix: "logs", Names: func(context.Context) ([]string, error) { return names, failed },
			Source: func(name string) Source {
				return Source{Name: name, URL: "http://log.test/log",
					HTTP: &http.Client{Transport: server{logs[filepath.Base(name)]}}}
			}}
	})
	problems := func() (found []string) {
		if _, err := w.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		for name, l := range w.state.Logs {
			if l.Problem != nil {
				found = append(found, name+" "+string(l.Problem.Kind))
			}
		}
		slices.Sort(found)
		return found
	}
	if got := problems(); got != nil {
		t.Fatal(got)
	}
	names = []string{"logs/b"}
	logs["a"].broken = func(string, []byte) (int, []byte) { return 404, nil }
	if got := problems(); !slices.Equal(got, []string{"logs/a unreachable"}) {
		t.Fatal(got)
	}
	names, failed = nil, errors.New("no")
	*logs["b"] = *newLog(t, k, 1)
	if got := problems(); !slices.Equal(got, []string{"logs unreachable", "logs/a unreachable", "logs/b shrunk"}) {
		t.Fatal(got)
	}
	*logs["a"], *logs["b"], failed = *newLog(t, k, 1), *newLog(t, k, 2), nil
	if got := problems(); got != nil {
		t.Fatal(got)
	}
}

// A watcher that is stopped in the middle of a check does not report that as a problem, and reports earlier findings.
func TestStoppedCheckIsNotAProblem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keys(t, 1)
		l := newLog(t, k, 10)
		ctx, stop := context.WithCancel(t.Context())
		w := newWatching(t, l, k, nil)
		shorter, rounds := newLog(t, k, 9).checkpoint(), 0
		l.broken = func(path string, data []byte) (int, []byte) {
			if path != "checkpoint" {
				return 200, data
			}
			switch rounds++; rounds {
			case 3:
				return 200, []byte(shorter)
			case 4:
				stop()
				return 503, nil
			}
			return 200, data
		}
		r, err := w.Run(ctx)
		if err != nil || !slices.Equal(r.Problems, []string{"log (shrunk)"}) || r.Unknown != nil {
			t.Errorf("%+v, %v", r, err)
		}
		w.said("msg=problem ", 1)
		w.said("problem ended", 0)
	})
}

// Files that a crash leaves beside the state have no effect, and are replaced.
func TestStateSurvivesCrash(t *testing.T) {
	k := keys(t, 1)
	l := newLog(t, k, 10)
	w := newWatching(t, l, k, nil)
	w.round("")
	if err := os.WriteFile(w.options.State+".tmp", []byte(`{"version":1,"lo`), 0o600); err != nil {
		t.Fatal(err)
	}
	w.open(w.options)
	w.kept(10)
	l.grow(1, "entry")
	w.round("")
	w.kept(11)
	info, err := os.Stat(w.options.State)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// If the state cannot be written, that is reported and returned as an error. The watcher remembers good checkpoints.
func TestUnwritableStateIsAnError(t *testing.T) {
	k := keys(t, 1)
	l := newLog(t, k, 10)
	w := newWatching(t, l, k, func(o *Options) { o.State = filepath.Join(o.State, "none", "state.json") })
	if _, err := w.Round(t.Context()); err == nil {
		t.Fatal("it was written to a folder that does not exist")
	}
	*l = *newLog(t, k, 9)
	if r, err := w.Round(t.Context()); err == nil || !slices.Equal(r.Problems, []string{"log (shrunk)"}) {
		t.Errorf("%+v, %v", r, err)
	}
}

// A check only fetches the tiles along the right edges of both trees, each once.
func TestChecksFetchOnlyRightEdges(t *testing.T) {
	k := keys(t, 1)
	l := newLog(t, k, 70000)
	w := newWatching(t, l, k, nil)
	w.round("")
	l.grow(5000, "entry")
	l.asked = nil
	w.round("")
	slices.Sort(l.asked)
	if len(slices.Compact(slices.Clone(l.asked))) != len(l.asked) || len(l.asked) > 8 {
		t.Errorf("asked for %v", l.asked)
	}
	l.asked = nil
	w.round("")
	if !slices.Equal(l.asked, []string{"checkpoint"}) {
		t.Errorf("nothing changed, and it asked for %v", l.asked)
	}
}
