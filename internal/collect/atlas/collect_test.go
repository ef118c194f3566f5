package atlas

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/collect"
	"github.com/weirlog/weir/internal/doc"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/event/eventtest"
	"github.com/weirlog/weir/internal/node/nodetest"
	"github.com/weirlog/weir/internal/record"
	"github.com/weirlog/weir/internal/simulation/seeds"
	"github.com/weirlog/weir/internal/tlog"
)

// world is an Atlas, and processes that collect from it into one bucket.
type world struct {
	t      *testing.T
	rnd    *rand.Rand
	atlas  *server
	client *client.Client
	node   *nodetest.Node
	saved  []byte         // the state, as it is durable
	saves  int            // how often it was saved
	logs   map[string]int // workspaces of weir, by name
	said   int            // lines so far
	kinds  []Kind
}

func newWorld(t *testing.T, seed uint64) *world {
	eventtest.PassTime()
	w := &world{t: t, kinds: []Kind{Audit}, rnd: rand.New(rand.NewPCG(seed, 1)), logs: map[string]int{},
		saved: []byte("{}")}
	w.atlas = &server{rnd: rand.New(rand.NewPCG(seed, 2))}
	listener := newPipes()
	s := &http.Server{Handler: w.atlas}
	go s.Serve(listener)
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return listener.dial()
	}}
	w.node = nodetest.New(t, bucketest.NewMemory(), nodetest.Options{})
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		s.Close()
		w.node.Close()
	})
	var err error
	w.client, err = client.New(client.Config{URL: "http://atlas", ClientID: "a", ClientSecret: "b", Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// Open implements collect.Sink.
func (w *world) Open(t collect.Target) collect.Batch {
	return w.node.Recorder.Intake(record.Source{Log: t.Log, Operational: t.Operational, Partial: true,
		Origin: event.Origin{By: "source", Workspace: t.Workspace, Received: time.Now()}}, record.Limits{EventBytes: 8 << 20})
}

func (w *world) Reserve() collect.Hold { return w.node.Recorder.Reserve("source", "", "") }

// logID returns the id of the log of a workspace of weir.
func logID(n int) string { return fmt.Sprintf("%024x", n+1) }

// round plays one round of a process that begins with the state that is durable.
func (w *world) round(ctx context.Context) error { return w.process()(ctx) }

// process returns the round of a process that begins with the state that is durable now.
func (w *world) process() func(context.Context) error {
	var state collect.State
	version := w.saves
	if err := json.Unmarshal(w.saved, &state); err != nil {
		w.t.Fatal(err)
	}
	source := New(Options{Client: w.client, Pace: NewPace(PerMinute), Kinds: w.kinds})
	if w.atlas.feeds != nil {
		source.accesses.usual = w.atlas.feeds.perPage
	}
	r := collect.Round{State: &state, Sink: w, By: "source", Source: source,
		Target: func(_ context.Context, u collect.Unit, _ string) (collect.Target, error) {
			n, ok := w.logs[u.Place.Name]
			if !ok {
				n = len(w.logs)
				w.logs[u.Place.Name] = n
			}
			return collect.Target{WorkspaceID: logID(n), Workspace: u.Place.Name, Log: logID(n)}, nil
		},
		Save: func(ctx context.Context) (err error) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if version != w.saves {
				return doc.ErrConflict
			}
			w.saves++
			version = w.saves
			w.saved, err = json.Marshal(state)
			return err
		}}
	return r.Run
}

// killed plays a round that is killed at one of its requests.
func (w *world) killed() {
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	w.atlas.mu.Lock()
	w.atlas.kill, w.atlas.killLeft = cancel, 1+w.rnd.IntN(8)
	w.atlas.mu.Unlock()
	w.round(ctx)
	w.atlas.mu.Lock()
	w.atlas.killLeft = 0
	w.atlas.mu.Unlock()
}

// say has a log of the Atlas say something new: of now or late, once or several times, readable or not.
func (w *world) say(log *serverLog) {
	at := w.atlas.now().Add(-time.Duration(w.rnd.IntN(int(10 * time.Minute))))
	if w.rnd.IntN(10) == 0 {
		at = at.Add(-time.Duration(w.rnd.IntN(int(48 * time.Hour))))
	}
	w.said++
	text := fmt.Sprintf(`{"message":"m%d","time":%d}`, w.said, at.UnixMilli())
	switch w.rnd.IntN(12) {
	case 0:
		text = fmt.Sprintf(`{"message":"m%d","time":%d,"metadata":{"uid":"u%d"}}`, w.said, at.UnixMilli(), w.said)
	case 1:
		text = fmt.Sprintf("m%d: this is no JSON \xff", w.said)
	case 2:
		text = fmt.Sprintf(`{"message":"m%d","when":"yesterday"}`, w.said)
	}
	twins := 1
	if w.rnd.IntN(5) == 0 && !strings.Contains(text, "uid") {
		twins += w.rnd.IntN(3)
	}
	for range twins {
		w.atlas.add(log, at, text)
	}
}

func (w *world) pass(d time.Duration) { time.Sleep(d) }

// play has everything happen that may.
func (w *world) play(steps int) {
	for range steps {
		w.pass(time.Duration(w.rnd.IntN(int(time.Hour))))
		if n := len(w.atlas.logs); n < 3 && w.rnd.IntN(4) == 0 || n == 0 {
			w.atlas.mu.Lock()
			w.atlas.logs = append(w.atlas.logs, &serverLog{id: fmt.Sprintf("%024x", 100+n), name: fmt.Sprintf("w%d", n)})
			w.atlas.mu.Unlock()
		}
		for range w.rnd.IntN(6) {
			w.say(w.atlas.logs[w.rnd.IntN(len(w.atlas.logs))])
		}
		if w.rnd.IntN(15) == 0 {
			w.atlas.mu.Lock()
			l := w.atlas.logs[w.rnd.IntN(len(w.atlas.logs))]
			l.deleted = strings.Contains(string(w.saved), l.id) // One that nobody has seen is never found.
			w.atlas.mu.Unlock()
		}
		switch w.rnd.IntN(4) {
		case 0:
			w.killed()
		case 1:
			other := w.process() // It believes that the source is its own, too.
			w.round(w.t.Context())
			other(w.t.Context())
		default:
			w.round(w.t.Context())
		}
		if w.rnd.IntN(5) == 0 {
			w.sequence()
		}
	}
}

// sequence moves all that is durable into the logs.
func (w *world) sequence() {
	for more := true; more; {
		var err error
		if more, err = w.node.Sequencers[0].Round(w.t.Context(), true); err != nil {
			w.t.Fatal(err)
		}
	}
}

// lines yields the lines of a log of weir.
func (w *world) lines(log string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		r, err := w.node.Logs.Read(w.t.Context(), log, tlog.All)
		if err != nil {
			w.t.Fatal(err)
		}
		for e, err := range r.Entries(w.t.Context(), r.First()) {
			if err != nil {
				w.t.Fatal(err)
			}
			if !yield(e.Line) {
				return
			}
		}
	}
}

// texts returns how often a log of weir has each line of the source.
func (w *world) texts(log string) map[string]int {
	found := map[string]int{}
	for line := range w.lines(log) {
		found[sent(w.t, line)]++
	}
	return found
}

// sent returns what the source had of a line.
func sent(t *testing.T, line []byte) string {
	var e struct {
		Message string
		Time    int64
		When    string
		Raw     string `json:"raw_data"`
	}
	if err := json.Unmarshal(line, &e); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	if e.Raw != "" {
		return e.Raw
	}
	return fmt.Sprintf(`%s at %d`, e.Message, e.Time)
}

// Whatever a source does, and whenever a process is killed, weir has each of the source's lines as often as the source.
func TestEachLineIsCollectedOnce(t *testing.T) {
	for seed := seeds.First(); seed <= seeds.Last(); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { playWorld(t, seed) }) })
	}
}

func playWorld(t *testing.T, seed uint64) {
	w := newWorld(t, seed)
	w.atlas.faults = w.rnd.Float64() * 0.5
	if w.rnd.IntN(2) == 0 {
		w.atlas.skew = time.Duration(w.rnd.IntN(int(6*time.Hour))) - 3*time.Hour
	}
	w.play(40)
	w.atlas.faults = 0
	for range 4 {
		w.pass(13 * time.Hour)
		if err := w.round(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.sequence()
	for _, l := range w.atlas.logs {
		want := map[string]int{}
		for _, line := range l.lines {
			want[wanted(line.text)]++
		}
		n, ok := w.logs[l.name]
		if !ok && len(want) > 0 {
			t.Fatalf("%s was not collected", l.name)
		}
		if got := w.texts(logID(n)); len(want) > 0 && !maps.Equal(got, want) {
			t.Errorf("%s: %s", l.name, difference(got, want))
		}
	}
}

func encoded(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// wanted returns a line of the source as sent does.
func wanted(text string) string {
	var e struct {
		Message string
		Time    int64
	}
	if json.Unmarshal([]byte(text), &e) != nil || e.Time == 0 {
		if strings.Contains(text, "\xff") {
			return encoded(text)
		}
		return text
	}
	return fmt.Sprintf(`%s at %d`, e.Message, e.Time)
}

func difference(got, want map[string]int) string {
	var b strings.Builder
	for text, n := range want {
		if got[text] != n {
			fmt.Fprintf(&b, "\n%q: %d times, want %d", text, got[text], n)
		}
	}
	for text, n := range got {
		if want[text] == 0 {
			fmt.Fprintf(&b, "\n%q: %d times, want none", text, n)
		}
	}
	return b.String()
}
