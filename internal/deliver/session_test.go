package deliver

import (
	"context"
	"errors"
	"testing"
	"time"
)

// Places that accept something and then hang hold the memory of their project only.
func TestPlacesOfOneProjectLeaveMemoryForOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const batch = 4 << 20
		w := newWorld(t, 1)
		var greedy []*place
		for range 40 {
			greedy = append(greedy, w.add(Delivery{Project: "greedy", Batch: Batch{Bytes: batch}}))
		}
		modest := w.add(Delivery{Project: "modest"})
		w.begin()
		w.grow(0, 10)
		w.wait(5 * time.Second)
		w.mu.Lock()
		for _, p := range greedy {
			p.fault = func(ctx context.Context, _ []Event) (bool, error) { <-ctx.Done(); return false, ctx.Err() }
		}
		w.mu.Unlock()
		for range 5 {
			w.grow(0, 10)
			w.wait(time.Second)
			modest.expect(0)
		}
		held := 0
		for _, p := range greedy {
			if p.sends > 1 {
				held++
			}
		}
		if held == 0 || held > memory/2/(copies*batch) {
			t.Errorf("%d places of one project hang at a time", held)
		}
		w.end()
		for _, project := range []string{"greedy", "modest"} {
			_, proven := w.engine.proven.TryTake(memory/2, project)
			_, unproven := w.engine.unproven.TryTake(unprovenBytes/2, project)
			if proven != nil || unproven != nil {
				t.Errorf("afterwards there is not all memory for project %s: %v, %v", project, proven, unproven)
			}
		}
	})
}

// holding is a place with which a session is held.
type holding struct{ *place }

func (h holding) Holds() int64 { return h.holds }

// A session is held while there are news, and not for longer than that.
func TestASessionIsHeldAsLongAsItIsOfUse(t *testing.T) {
	for name, test := range map[string]struct {
		happens func(w *world, p *place)
		batch   Batch
	}{
		"idle":    {happens: func(w *world, _ *place) { w.wait(2 * linger) }},
		"waiting": {batch: Batch{Interval: time.Hour}, happens: func(w *world, _ *place) { w.wait(2 * linger) }},
		"paused": {happens: func(w *world, _ *place) {
			w.change(0, func(d *Delivery) { d.Paused = true })
			w.busy(w.engine.o.LookEvery)
		}},
		"changed": {happens: func(w *world, _ *place) {
			w.change(0, func(*Delivery) {})
			w.busy(w.engine.o.LookEvery)
		}},
		"failing": {happens: func(w *world, p *place) {
			w.mu.Lock()
			p.fault = func(context.Context, []Event) (bool, error) { return false, errors.New("it fails") }
			w.mu.Unlock()
			w.grow(0, 1)
			w.wait(time.Millisecond)
		}},
		"stopped": {happens: func(w *world, _ *place) { w.end() }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, 1)
				p := w.add(Delivery{Batch: test.batch})
				p.holds = 1 << 20
				w.begin()
				w.grow(0, 1)
				w.wait(test.batch.Interval + time.Second)
				if test.batch.Interval > 0 {
					w.grow(0, 1) // waits for others
				} else {
					w.busy(2 * linger)
				}
				if p.sends == 0 || p.closed != 0 {
					t.Fatalf("%d batches, closed %d times", p.sends, p.closed)
				}
				test.happens(w, p)
				if p.closed != 1 {
					t.Errorf("closed %d times", p.closed)
				}
			})
		})
	}
}

// busy lets a log grow each second.
func (w *world) busy(d time.Duration) {
	for range d / time.Second {
		w.grow(0, 1)
		w.wait(time.Second)
	}
}

// Sessions for which there is no memory are held for a batch only. Those of one project leave room for others.
func TestSessionsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		const holds, most = 10 << 20, heldBytes / 2 / (10 << 20)
		for range 2 * most {
			w.add(Delivery{Project: "greedy"}).holds = holds
		}
		modest := w.add(Delivery{Project: "modest"})
		modest.holds = holds
		w.begin()
		w.busy(20 * time.Second)
		held := 0
		for _, p := range w.places {
			p.expect(0)
			if p.closed == 0 {
				held++
			} else if p.closed < 10 {
				t.Errorf("closed %d times, after %d batches", p.closed, p.sends)
			}
		}
		if held != most+1 || modest.closed != 0 {
			t.Errorf("%d sessions are held, that of another project was closed %d times", held, modest.closed)
		}
		w.end()
		if _, err := w.engine.held.TryTake(heldBytes/2, "greedy"); err != nil {
			t.Errorf("afterwards there is not all memory: %v", err)
		}
	})
}
