package live

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/event/eventtest"
	"github.com/weirlog/weir/internal/node/nodetest"
	"github.com/weirlog/weir/internal/tlog"
)

var logs = []string{"6a793f48c0eb9e7a17712f00", "6a793f48c0eb9e7a17712f01", "6a793f48c0eb9e7a17712f02"}

func everything([]byte, event.Entry) bool { return true }

// ear is a listener, and what it must hear.
type ear struct {
	*Listener
	logs  []string
	due   map[string]int // lines that it must hear
	heard map[string]int
}

// world is a feed of three logs, looked at only when a test says so.
type world struct {
	node  *nodetest.Node
	feed  *Feed
	lines map[string][]string
	ears  []*ear
	uid   int
}

func newWorld(t testing.TB, b *bucketest.Faulty, o Options) *world {
	n := nodetest.New(t, b, nodetest.Options{Logs: tlog.Options{BlockBytes: 300, MergeWidth: 3, Grace: -1}})
	o.LookEvery = time.Hour
	return &world{node: n, feed: New(n.Logs, o), lines: map[string][]string{}}
}

func (w *world) record(t rapid.TB, log string, lines ...string) {
	t.Helper()
	if err := w.node.Writers[0].Append(context.Background(), eventtest.Batch(log, lines...)); err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if slices.Contains(w.lines[log], line) {
			continue
		}
		w.lines[log] = append(w.lines[log], line)
		for _, e := range w.ears {
			if slices.Contains(e.logs, log) {
				e.due[line]++
			}
		}
	}
}

// line makes a new event, whose time is as random as a late one's.
func (w *world) line(second int) string {
	w.uid++
	return fmt.Sprintf(`{"time":%d,"metadata":{"uid":"%d"},"x":"%s"}`, second*1000, w.uid,
		strings.Repeat("y", w.uid%40))
}

func (w *world) sequence(t rapid.TB) {
	t.Helper()
	if _, err := w.node.Sequencers[0].Round(context.Background(), true); err != nil {
		t.Fatal(err)
	}
}

func (w *world) listen(t rapid.TB, some []string) *ear {
	l, err := w.feed.Listen(context.Background(), some, everything)
	if err != nil {
		t.Fatal(err)
	}
	e := &ear{Listener: l, logs: some, due: map[string]int{}, heard: map[string]int{}}
	w.ears = append(w.ears, e)
	return e
}

// hear takes what an ear is told.
func (e *ear) hear(t rapid.TB) {
	t.Helper()
	for {
		told, ok := e.Take()
		if !ok {
			return
		}
		if told.Missed > 0 {
			t.Fatalf("%d events missed", told.Missed)
		}
		e.heard[string(told.Line)]++
	}
}

// check compares what an ear has heard with what it must have.
func (e *ear) check(t rapid.TB) {
	t.Helper()
	e.hear(t)
	if !maps.Equal(e.heard, e.due) {
		t.Fatalf("heard %v, want %v", e.heard, e.due)
	}
}

// Whatever happens to the logs meanwhile, a listener is told of each event that comes after it once, and of none
// before, also if looks fail half-way.
func TestEachNewEventIsToldOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var failing atomic.Int64 // the operation of a look that fails, counted from now on; if 0, none fails
		b := &bucketest.Faulty{Bucket: bucketest.NewMemory()}
		b.Before = func(context.Context, bucketest.Op, string) error {
			if failing.Load() > 0 && failing.Add(-1) == 0 {
				return errors.New("broken")
			}
			return nil
		}
		w := newWorld(t, b, Options{Looks: 1})
		defer w.feed.Wait()
		defer func() {
			for _, e := range w.ears {
				e.Close()
			}
		}()
		ctx := context.Background()
		rt.Repeat(map[string]func(*rapid.T){
			"record": func(t *rapid.T) {
				log := rapid.SampledFrom(logs).Draw(t, "log")
				var lines []string
				for range rapid.IntRange(1, 12).Draw(t, "events") {
					lines = append(lines, w.line(rapid.IntRange(1000, 1060).Draw(t, "time")))
				}
				if all := w.lines[log]; len(all) > 0 {
					lines = append(lines, rapid.SampledFrom(all).Draw(t, "again"))
				}
				w.record(t, log, lines...)
			},
			"sequence": func(t *rapid.T) { w.sequence(t) },
			"merge": func(t *rapid.T) {
				for _, log := range logs {
					if _, err := w.node.Logs.Merge(ctx, log); err != nil {
						t.Fatal(err)
					}
				}
			},
			"look": func(t *rapid.T) {
				w.feed.lookAtAll(ctx)
				for _, e := range w.ears {
					e.hear(t)
				}
			},
			"look and fail": func(t *rapid.T) {
				failing.Store(rapid.Int64Range(1, 12).Draw(t, "operation"))
				w.feed.lookAtAll(ctx)
				failing.Store(0)
			},
			"listen": func(t *rapid.T) {
				if len(w.ears) < 4 {
					w.listen(t, rapid.SampledFrom([][]string{logs, logs[:1], logs[1:]}).Draw(t, "logs"))
				}
			},
			"close": func(t *rapid.T) {
				if len(w.ears) == 0 {
					return
				}
				w.feed.lookAtAll(ctx)
				w.ears[0].check(t)
				w.ears[0].Close()
				w.ears = w.ears[1:]
			},
			"": func(*rapid.T) {},
		})
		w.feed.lookAtAll(ctx)
		for _, e := range w.ears {
			e.check(rt)
			if e.UpTo().IsZero() {
				rt.Fatal("all was told up to no time")
			}
		}
	})
}

// A log that comes to a listener counts as new as a whole if the listener wants it so, whether or not others listen to
// it already.
func TestALogThatCameToBeIsToldWhole(t *testing.T) {
	w := newWorld(t, &bucketest.Faulty{Bucket: bucketest.NewMemory()}, Options{})
	ctx := context.Background()
	early, late := w.listen(t, logs[:1]), w.listen(t, logs[1:2])
	defer w.feed.Wait()
	defer late.Close()
	defer early.Close()
	late.logs, early.logs = logs[:2], logs[:2] // Both must hear all of both logs in the end.
	for i := range 12 {
		w.record(t, logs[0], w.line(i))
		w.record(t, logs[1], w.line(i))
		if i == 5 {
			w.sequence(t)
			w.feed.lookAtAll(ctx)
		}
	}
	for _, e := range []*ear{early, late} {
		if err := e.Follow(ctx, logs[:2], func(string) bool { return true }); err != nil {
			t.Fatal(err)
		}
	}
	w.record(t, logs[0], w.line(99))
	w.sequence(t)
	w.feed.lookAtAll(ctx)
	early.check(t)
	late.check(t)
	if err := early.Follow(ctx, logs[1:2], nil); err != nil {
		t.Fatal(err)
	}
	early.logs = logs[1:2]
	w.record(t, logs[0], w.line(100))
	w.record(t, logs[1], w.line(100))
	w.feed.lookAtAll(ctx)
	early.check(t)
	late.check(t)
}

// A listener that does not listen learns how many events it has missed, in their place, and holds a bounded number.
func TestSlowListenersAreToldWhatTheyMissed(t *testing.T) {
	w := newWorld(t, &bucketest.Faulty{Bucket: bucketest.NewMemory()}, Options{BufferEvents: 10, BufferBytes: 1000})
	ctx := context.Background()
	slow, quick := w.listen(t, logs), w.listen(t, logs)
	defer w.feed.Wait()
	defer slow.Close()
	defer quick.Close()
	for i := range 40 {
		w.record(t, logs[0], w.line(i))
		w.feed.lookAtAll(ctx)
		quick.hear(t)
		if len(slow.queue) > 10 || slow.bytes > 1000 {
			t.Fatalf("%d events of %d bytes wait", len(slow.queue), slow.bytes)
		}
	}
	quick.check(t)
	heard, missed := 0, int64(0)
	for {
		e, ok := slow.Take()
		if !ok {
			break
		}
		if e.Log != "" {
			heard++
		}
		if missed += e.Missed; e.Missed > 0 && heard != 10 {
			t.Errorf("%d missed after %d", e.Missed, heard)
		}
	}
	if heard != 10 || missed != 30 {
		t.Errorf("%d heard and %d missed of 40", heard, missed)
	}
	w.record(t, logs[0], `{"time":1,"metadata":{"uid":"long"},"x":"`+strings.Repeat("z", 5000)+`"}`)
	w.record(t, logs[0], w.line(1))
	w.feed.lookAtAll(ctx)
	if e, ok := slow.Take(); !ok || len(e.Line) < 5000 {
		t.Errorf("an event longer than the buffer is not told: %+v", e)
	}
	if e, ok := slow.Take(); !ok || e.Missed != 1 {
		t.Errorf("%+v", e)
	}
}

// Events beyond the number that can be remembered are told later, once.
func TestTooManyEventsThatWaitAreToldWhenSequenced(t *testing.T) {
	w := newWorld(t, &bucketest.Faulty{Bucket: bucketest.NewMemory()}, Options{Remembered: 7})
	ctx := context.Background()
	e := w.listen(t, logs)
	defer w.feed.Wait()
	defer e.Close()
	for i := range 20 {
		w.record(t, logs[i%3], w.line(i))
	}
	w.feed.lookAtAll(ctx)
	if e.hear(t); len(e.heard) != 7 {
		t.Errorf("%d events heard, want 7", len(e.heard))
	}
	w.sequence(t)
	w.feed.lookAtAll(ctx)
	e.check(t)
	if n := w.feed.told.Load(); n != 0 {
		t.Errorf("%d events are remembered", n)
	}
}

// Removed by retention before it was told is missed, not silence.
func TestRemovedEntriesAreMissed(t *testing.T) {
	w := newWorld(t, &bucketest.Faulty{Bucket: bucketest.NewMemory()}, Options{})
	ctx := context.Background()
	l, err := w.feed.Listen(ctx, logs[:1], everything)
	if err != nil {
		t.Fatal(err)
	}
	defer w.feed.Wait()
	defer l.Close()
	for i := range 10 {
		w.record(t, logs[0], w.line(i))
	}
	w.sequence(t)
	if _, err := w.node.Logs.Prune(ctx, logs[0], 6000); err != nil {
		t.Fatal(err)
	}
	w.feed.lookAtAll(ctx)
	e, ok := l.Take()
	if !ok || e.Missed != 6 || e.Index != 6 {
		t.Errorf("%+v, want entry 6 after 6 that were missed", e)
	}
	for range 3 {
		l.Take()
	}
	w.record(t, logs[0], w.line(10), w.line(11))
	w.sequence(t)
	if _, err := w.node.Logs.Prune(ctx, logs[0], 100_000); err != nil {
		t.Fatal(err)
	}
	w.feed.lookAtAll(ctx)
	w.feed.lookAtAll(ctx)
	if e, ok := l.Take(); !ok || e.Missed != 2 || e.Log != "" {
		t.Errorf("%+v, want 2 that were missed", e)
	}
}

// While somebody listens logs are looked at by themselves; when nobody does any more nothing is read, and Wait returns.
func TestLooksGoOnWhileSomebodyListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bucketest.Faulty{Bucket: bucketest.NewMemory()}
		var operations atomic.Int64
		b.Before = func(context.Context, bucketest.Op, string) error { operations.Add(1); return nil }
		w := newWorld(t, b, Options{})
		w.feed.options.LookEvery = time.Second
		ctx := context.Background()
		l, err := w.feed.Listen(ctx, logs, func(line []byte, _ event.Entry) bool { return line[8] == '7' })
		if err != nil {
			t.Fatal(err)
		}
		w.record(t, logs[2], w.line(5), w.line(7))
		e, err := l.Next(ctx)
		if err != nil || !strings.HasPrefix(string(e.Line), `{"time":7`) || e.Log != logs[2] || e.Index != tlog.Unsequenced {
			t.Errorf("%+v: %v", e, err)
		}
		stopped, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if e, err := l.Next(stopped); err == nil {
			t.Errorf("told of %+v", e)
		}
		if time.Since(l.UpTo()) > 2*time.Second {
			t.Errorf("told up to %v ago", time.Since(l.UpTo()))
		}
		l.Close()
		w.feed.Wait()
		before := operations.Load()
		time.Sleep(time.Minute)
		if n := operations.Load(); n != before {
			t.Errorf("%d operations although nobody listens", n-before)
		}
		w.node.Close()
	})
}
