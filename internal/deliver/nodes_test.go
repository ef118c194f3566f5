package deliver

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/bucket/bucketest"
)

// Two nodes that both believe in a log do no harm: entries repeat, none is skipped, and one of them gives way.
func TestTwoNodesSkipNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		p := w.add(Delivery{Batch: Batch{Events: 3}})
		w.begin()
		first, stop := w.engine, w.stop
		w.begin()
		for range 30 {
			w.grow(0, 10)
			first.Committed(w.subjects[0].Log)
			w.wait(7 * time.Second)
			w.notAhead(p, 0)
		}
		w.wait(10 * time.Minute)
		stop()
		p.expect(0)
	})
}

func TestALogThatMovesToAnotherNodeIsLetGo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 2)
		p := w.add(Delivery{})
		mine := map[string]bool{w.subjects[0].Log: true}
		ctx, cancel := context.WithCancel(t.Context())
		w.engine = New(Options{Bucket: w.faulty, Logs: w.logs, Source: w, Mine: func(log string) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return mine[log]
		}})
		done := make(chan struct{})
		go func() { w.engine.Run(ctx); close(done) }()
		w.stop = func() { cancel(); <-done }
		w.grow(0, 10)
		w.grow(1, 10)
		w.wait(time.Minute)
		p.expect(0)
		if n := len(p.got[w.subjects[1].Log]); n > 0 {
			t.Errorf("%d events of a log of another node", n)
		}
		w.mu.Lock()
		mine[w.subjects[0].Log], mine[w.subjects[1].Log] = false, true
		w.mu.Unlock()
		w.wait(time.Minute)
		if s := w.state(0, 0); s.Next != 10 {
			t.Errorf("state %+v", s)
		}
		w.grow(0, 10)
		w.wait(time.Minute)
		p.expect(1)
		if n := len(p.got[w.subjects[0].Log]); n != 10 {
			t.Errorf("%d events of a log that is another node's now", n)
		}
	})
}

// A log that was another node's for a moment only, while its state could not be kept, is delivered to its end.
func TestALogThatComesBackGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		p := w.add(Delivery{Batch: Batch{Events: 4}})
		var away, broken atomic.Bool
		p.fault = func(context.Context, []Event) (bool, error) {
			if broken.CompareAndSwap(false, true) {
				away.Store(true)
			}
			return true, nil
		}
		w.faulty.Before = func(_ context.Context, op bucketest.Op, _ string) error {
			if op == bucketest.PutNew && broken.Load() {
				return errors.New("broken")
			}
			return nil
		}
		w.grow(0, 30)
		ctx, cancel := context.WithCancel(t.Context())
		w.engine = New(Options{Bucket: w.faulty, Logs: w.logs, Source: w, Mine: func(string) bool { return !away.Load() }})
		done := make(chan struct{})
		go func() { w.engine.Run(ctx); close(done) }()
		w.stop = func() { cancel(); <-done }
		w.wait(30 * time.Second)
		away.Store(false)
		w.wait(10 * time.Minute)
		p.expect(0)
	})
}
