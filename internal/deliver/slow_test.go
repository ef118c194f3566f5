package deliver

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// A place that is slow, not dead, is given what it manages: the delivery comes forward at nearly the place's speed, and
// little is sent twice. Events have some 2 KB, so that the usual batch has a thousand.
func TestADeliveryIsAsFastAsItsPlace(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	each := func(d time.Duration) func(int) time.Duration {
		return func(n int) time.Duration { return time.Duration(n) * d }
	}
	for _, c := range []struct {
		name   string
		takes  func(events int) time.Duration
		n      int           // events
		lasts  time.Duration // until all are there, at most
		again  float64       // events that are sent again, as a share of all
		steady time.Duration // the same if it must have the same batches again; 0 if its first batch is too large for good
	}{
		{"fast", each(time.Millisecond), 3000, 5 * time.Second, 0, 5 * time.Second},
		{"40 ms an event", each(40 * time.Millisecond), 3000, 130 * time.Second, 0, 130 * time.Second},
		{"0.5 s an event", each(500 * time.Millisecond), 400, 230 * time.Second, 0, 230 * time.Second},
		{"5 s an event", each(5 * time.Second), 60, 500 * time.Second, 1.8, 600 * time.Second},
		{"50 s an event", each(50 * time.Second), 30, 2500 * time.Second, 2.5, 0},
		{"10 s a batch", func(int) time.Duration { return 10 * time.Second }, 10_000, 200 * time.Second, 0,
			200 * time.Second},
		{"hangs if there is much", func(n int) time.Duration { return time.Duration(n/300) * time.Hour }, 10_000,
			100 * time.Second, 0.1, 0},
	} {
		for _, steady := range []bool{false, true} {
			lasts := c.lasts
			if steady {
				lasts = c.steady
			}
			if lasts == 0 {
				continue
			}
			t.Run(fmt.Sprintf("%s, steady %v", c.name, steady), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					w := newWorld(t, 1)
					p, sent := w.slow(c.takes)
					p.steady = steady
					w.grow(0, c.n)
					w.begin()
					w.wait(lasts)
					p.expect(0)
					if again := *sent - c.n; float64(again) > c.again*float64(c.n) {
						t.Errorf("%d events are sent again, of %d", again, c.n)
					}
				})
			})
		}
	}
}

// A place that becomes slow while it is given large batches goes on too, even if it must have the same batch again.
func TestAPlaceThatBecomesSlowGoesOn(t *testing.T) {
	for _, steady := range []bool{false, true} {
		t.Run(fmt.Sprint("steady ", steady), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, 1)
				each := 10 * time.Millisecond
				p, sent := w.slow(func(n int) time.Duration { return time.Duration(n) * each })
				p.steady = steady
				w.grow(0, 4000)
				w.begin()
				w.wait(22 * time.Second) // It is among the largest batches.
				w.mu.Lock()
				each *= 20
				w.mu.Unlock()
				w.wait(20 * time.Minute)
				p.expect(0)
				if *sent > 3*4000 {
					t.Errorf("%d events are sent, of 4000", *sent)
				}
			})
		})
	}
}

// A place that hung gets its full speed back once it answers again.
func TestAPlaceThatHungIsSoonFastAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		hangs := false
		p, _ := w.slow(func(n int) time.Duration {
			if hangs {
				return time.Hour
			}
			return time.Duration(n) * time.Millisecond
		})
		w.grow(0, 3000)
		w.begin()
		w.wait(10 * time.Second)
		w.mu.Lock()
		hangs = true
		w.mu.Unlock()
		w.grow(0, 10_000)
		w.wait(time.Hour)
		w.mu.Lock()
		hangs = false
		w.mu.Unlock()
		w.wait(longestLimit*30*time.Second + 450*time.Second + 30*time.Second) // the last try, a pause, and what there is
		p.expect(0)
	})
}

// A place that acknowledges late is given each batch once, and large ones. One that never does is given it again.
func TestAPlaceMayAcknowledgeLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		p, sent := w.slow(func(int) time.Duration { return time.Second })
		p.ack = 2 * time.Minute
		w.grow(0, 3000)
		w.begin()
		w.wait(20 * time.Minute)
		p.expect(0)
		if s := w.state(0, 0); *sent != 3000 || s.Failure != nil {
			t.Errorf("%d events are sent, of 3000; %v", *sent, s.Failure)
		}
		w.mu.Lock()
		p.ack = time.Hour
		w.mu.Unlock()
		w.grow(0, 1)
		w.wait(20 * time.Minute)
		s := w.state(0, 0)
		if *sent < 3002 || *sent > 3005 || s.Next != 3000 || s.Failure == nil ||
			!strings.Contains(s.Failure.Error, "acknowledge") {
			t.Errorf("%d events are sent; state %+v, %+v", *sent, s, s.Failure)
		}
	})
}

// slow adds a place that takes a time for a batch. sent counts the events that it is given.
func (w *world) slow(takes func(events int) time.Duration) (p *place, sent *int) {
	w.pad = `,"pad":"` + strings.Repeat("x", 2000) + `"`
	p, sent = w.add(Delivery{}), new(int)
	p.fault = func(ctx context.Context, batch []Event) (bool, error) {
		w.mu.Lock()
		*sent += len(batch)
		timer := time.NewTimer(takes(len(batch)))
		w.mu.Unlock()
		defer timer.Stop()
		select {
		case <-timer.C:
			return true, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	return p, sent
}
