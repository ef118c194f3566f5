package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/bucket/bucketest"
)

// The batch is halved until the events are found that the place refuses. Each is parked with its reason, and the rest
// goes on.
func TestAnEventThatIsRefusedAloneIsParked(t *testing.T) {
	for _, says := range []string{"which event", "too much"} {
		t.Run(says, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, 1)
				p := w.add(Delivery{})
				bad := []int64{0, 7, 8, 99}
				id := func(i int64) string { return fmt.Sprintf("%s/%d", w.subjects[0].Log, i) }
				for _, i := range bad {
					p.refuses[id(i)] = true
				}
				if says == "too much" {
					p.refuses = map[string]bool{}
					p.fault = func(_ context.Context, batch []Event) (bool, error) {
						for _, e := range batch {
							if slices.Contains(bad, e.Index) {
								return false, fmt.Errorf("a bad request: %w", ErrTooMuch)
							}
						}
						return true, nil
					}
				}
				w.begin()
				w.grow(0, 100)
				w.wait(time.Minute)
				p.expect(0, bad...)
				w.end()
				s := w.state(0, 0)
				var parked []int64
				for _, e := range s.Parked {
					if parked = append(parked, e.Entry); e.Reason == "" || e.At.IsZero() {
						t.Errorf("parked %+v", e)
					}
				}
				if !slices.Equal(parked, bad) || s.Next != 100 || s.Accepted != 96 {
					t.Errorf("parked %d, state %+v", parked, s)
				}
			})
		})
	}
}

func TestParkedEventsAreSentAgainOnCommand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		p := w.add(Delivery{})
		log := w.subjects[0].Log
		p.refuses[log+"/3"], p.refuses[log+"/5"] = true, true
		w.begin()
		w.grow(0, 10)
		w.wait(time.Minute)
		w.mu.Lock()
		delete(p.refuses, log+"/3")
		w.mu.Unlock()
		again := func(s *State) error {
			for i := range s.Parked {
				s.Parked[i].Again = true
			}
			return nil
		}
		if err := ChangeState(t.Context(), w.memory, w.set.Deliveries[0].ID, log, again); err != nil {
			t.Fatal(err)
		}
		w.change(0, func(*Delivery) {})
		w.wait(time.Minute)
		w.end()
		s := w.state(0, 0)
		if len(s.Parked) != 1 || s.Parked[0].Entry != 5 || s.Parked[0].Again || s.Next != 10 || s.Accepted != 9 {
			t.Errorf("state %+v", s)
		}
		if got := p.got[log]; !slices.Contains(got, 3) {
			t.Errorf("accepted %d", got)
		}
	})
}

// An event that a replay sends again is parked once if the place still refuses it, and otherwise not at all.
func TestAReplayDecidesAnewWhatIsParked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		p := w.add(Delivery{})
		log := w.subjects[0].Log
		p.refuses[log+"/1"], p.refuses[log+"/3"], p.refuses[log+"/5"] = true, true, true
		w.begin()
		w.grow(0, 10)
		w.wait(time.Minute)
		w.mu.Lock()
		delete(p.refuses, log+"/3")
		w.mu.Unlock()
		replay := func(s *State) error { s.Next = 2; return nil }
		if err := ChangeState(t.Context(), w.memory, w.set.Deliveries[0].ID, log, replay); err != nil {
			t.Fatal(err)
		}
		w.change(0, func(*Delivery) {})
		w.wait(time.Minute)
		w.end()
		s := w.state(0, 0)
		if len(s.Parked) != 2 || s.Parked[0].Entry != 1 || s.Parked[1].Entry != 5 || s.Next != 10 {
			t.Errorf("state %+v", s)
		}
	})
}

// A place that refuses everything does not make weir park without bound, nor step over anything.
func TestADeliveryWaitsWhenTooMuchIsParked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		p := w.add(Delivery{})
		log := w.subjects[0].Log
		for i := range 400 {
			if i != 50 {
				p.refuses[fmt.Sprintf("%s/%d", log, i)] = true
			}
		}
		w.begin()
		w.grow(0, 400)
		w.wait(time.Hour)
		s := w.state(0, 0)
		if len(s.Parked) != MaxParked || s.Next != 101 || s.Failure == nil || !strings.Contains(s.Failure.Error, "parked") {
			t.Errorf("%d parked, next %d, %+v", len(s.Parked), s.Next, s.Failure)
		}
		w.mu.Lock()
		clear(p.refuses)
		w.mu.Unlock()
		discard := func(s *State) error { s.Parked = nil; return nil }
		if err := ChangeState(t.Context(), w.memory, w.set.Deliveries[0].ID, log, discard); err != nil {
			t.Fatal(err)
		}
		w.change(0, func(*Delivery) {})
		w.wait(time.Minute)
		var discarded []int64
		for i := range int64(101) {
			if i != 50 {
				discarded = append(discarded, i)
			}
		}
		w.end()
		p.expect(0, discarded...)
		if s := w.state(0, 0); s.Failure != nil || s.Next != 400 {
			t.Errorf("state %+v", s)
		}
	})
}

// A place that refuses all, as one does whose settings are wrong, is taken for broken: weir says so, parks few events,
// and goes on by itself once the place is mended, whether it says which event it refuses, or has none to try it with.
func TestAPlaceThatRefusesAllIsBroken(t *testing.T) {
	for name, entries := range map[string]int{"with events behind those": 300, "at the end of the log": inTurn} {
		for _, says := range []string{"which event", "too much"} {
			t.Run(name+", "+says, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					w := newWorld(t, 1)
					p := w.add(Delivery{})
					refuse := func(_ context.Context, batch []Event) (bool, error) {
						return false, fmt.Errorf("a bad request: %w", ErrTooMuch)
					}
					if p.fault = refuse; says == "which event" {
						p.fault = nil
						for i := range entries {
							p.refuses[fmt.Sprintf("%s/%d", w.subjects[0].Log, i)] = true
						}
					}
					w.begin()
					w.grow(0, entries)
					w.wait(10 * time.Minute)
					s := w.state(0, 0)
					if len(s.Parked) < inTurn || len(s.Parked) > inTurn+15 || s.Failure == nil ||
						!strings.Contains(s.Failure.Error, "in a row") {
						t.Errorf("%d parked, %+v", len(s.Parked), s.Failure)
					}
					if p.sends > 100 {
						t.Errorf("%d batches in ten minutes", p.sends)
					}
					w.end() // What is known of the place outlives the node.
					w.begin()
					w.wait(time.Minute)
					w.mu.Lock()
					clear(p.refuses)
					p.fault = nil
					w.mu.Unlock()
					w.wait(10 * time.Minute)
					w.end()
					s = w.state(0, 0)
					if len(s.Parked) != 0 || s.Failure != nil || s.Next != int64(entries) || s.Accepted != int64(entries) {
						t.Errorf("state %+v", s)
					}
					p.expect(0)
				})
			})
		}
	}
}

// A long run of events that a place refuses alone is not taken for the place's fault for ever: the next ones are tried.
func TestARunOfRefusedEventsEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		p := w.add(Delivery{Batch: Batch{Events: 1}})
		var bad []int64
		for i := range int64(inTurn + 5) {
			bad = append(bad, i+3)
			p.refuses[fmt.Sprintf("%s/%d", w.subjects[0].Log, i+3)] = true
		}
		w.begin()
		w.grow(0, 100)
		w.wait(10 * time.Minute)
		w.end()
		p.expect(0, bad...)
		if s := w.state(0, 0); len(s.Parked) != len(bad) || s.Failure != nil || s.Refused != 0 || s.Next != 100 {
			t.Errorf("%d parked, state %+v", len(s.Parked), s)
		}
	})
}

// A place that hangs holds up its own delivery only, and is tried again for ever.
func TestAPlaceThatHangsStopsNoOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 2)
		var hanging []*place
		for range 50 {
			p := w.add(Delivery{})
			p.fault = func(ctx context.Context, _ []Event) (bool, error) { <-ctx.Done(); return false, ctx.Err() }
			hanging = append(hanging, p)
		}
		good := w.add(Delivery{})
		w.begin()
		for range 20 {
			w.grow(0, 10)
			w.wait(time.Second)
			good.expect(0)
		}
		w.wait(time.Hour)
		for _, p := range hanging {
			if p.sends < 10 || p.sends > 100 {
				t.Errorf("tried %d times in an hour", p.sends)
			}
		}
		if s := w.state(0, 0); s.Failure == nil || !strings.Contains(s.Failure.Error, "did not answer") || s.Next != 0 {
			t.Errorf("state %+v", s)
		}
		if s := w.state(50, 0); s.Failure != nil || s.Next != 200 {
			t.Errorf("state of the good one %+v", s)
		}
		w.mu.Lock()
		for _, p := range hanging {
			p.fault = nil
		}
		w.mu.Unlock()
		w.wait(15 * time.Minute) // It may hang in a try of five minutes, before a pause of as long, or a half more.
		for _, p := range hanging {
			p.expect(0)
			p.once()
		}
	})
}

func TestAPlaceSaysWhenToComeAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		p := w.add(Delivery{})
		p.fault = func(context.Context, []Event) (bool, error) {
			return false, fmt.Errorf("429: %w", &RetryAfter{2 * time.Minute, errors.New("slow down")})
		}
		w.begin()
		w.grow(0, 1)
		w.wait(time.Hour)
		if p.sends < 25 || p.sends > 35 {
			t.Errorf("sent %d times in an hour", p.sends)
		}
	})
}

// A failure that repeats, of the place or of the bucket, is in the log once an hour.
func TestLastingFailuresAreLoggedSeldom(t *testing.T) {
	for name, breaks := range map[string]func(w *world, p *place){
		"the place": func(_ *world, p *place) {
			p.fault = func(context.Context, []Event) (bool, error) { return false, errors.New("it fails") }
		},
		"the bucket": func(w *world, _ *place) {
			w.faulty.Before = func(_ context.Context, op bucketest.Op, key string) error {
				if op == bucketest.List && strings.HasPrefix(key, "logs/") {
					return errors.New("broken")
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, 1)
				p := w.add(Delivery{})
				var lines bytes.Buffer
				w.logger = slog.New(slog.NewTextHandler(&lines, nil))
				w.begin()
				w.grow(0, 1)
				w.wait(time.Minute)
				w.mu.Lock()
				breaks(w, p)
				w.mu.Unlock()
				w.engine.Committed(w.subjects[0].Log)
				if name == "the place" {
					w.grow(0, 1)
				}
				w.wait(3*time.Hour - 10*time.Minute)
				w.end()
				if n := strings.Count(lines.String(), "a delivery "); n != 3 {
					t.Errorf("logged %d times in three hours: %.800s", n, lines.String())
				}
			})
		})
	}
}

func TestWhatRetentionRemovedIsTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.grow(0, 10)
		w.grow(0, 10)
		w.grow(0, 10)
		for {
			pruned, err := w.logs.Prune(t.Context(), w.subjects[0].Log, 15)
			if err == nil {
				err = w.logs.Sweep(t.Context(), w.subjects[0].Log)
			}
			if err != nil {
				t.Fatal(err)
			}
			if pruned.Entries == 0 {
				break
			}
		}
		p := w.add(Delivery{})
		w.begin()
		w.wait(time.Minute)
		w.end()
		s, got := w.state(0, 0), p.got[w.subjects[0].Log]
		if len(w.missed) != 1 || w.missed[0][0] != 0 || s.Missed != w.missed[0][1] || s.Missed == 0 ||
			int64(len(got))+s.Missed != 30 || s.Next != 30 {
			t.Errorf("missed %d, delivered %d, state %+v", w.missed, got, s)
		}
	})
}

func TestAPausedDeliveryGoesOnWhereItWas(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		p := w.add(Delivery{})
		w.begin()
		w.grow(0, 10)
		w.wait(time.Minute)
		w.change(0, func(d *Delivery) { d.Paused = true })
		w.wait(time.Minute)
		w.grow(0, 10)
		w.wait(time.Hour)
		if n := len(p.got[w.subjects[0].Log]); n != 10 {
			t.Errorf("%d delivered while it is paused", n)
		}
		w.change(0, func(d *Delivery) { d.Paused = false })
		w.wait(time.Minute)
		p.expect(0)
		p.once()
	})
}

func TestReplayBeginsWhereItIsTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		p := w.add(Delivery{})
		w.begin()
		w.grow(0, 20)
		w.wait(time.Minute)
		back := func(s *State) error { s.Next = 5; return nil }
		if err := ChangeState(t.Context(), w.memory, w.set.Deliveries[0].ID, w.subjects[0].Log, back); err != nil {
			t.Fatal(err)
		}
		w.change(0, func(*Delivery) {})
		w.wait(time.Minute)
		got := p.got[w.subjects[0].Log]
		if len(got) != 35 || got[20] != 5 || got[34] != 19 {
			t.Errorf("delivered %d", got)
		}
	})
}

func TestADeletedDeliveryLeavesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.add(Delivery{})
		kept := w.add(Delivery{})
		w.begin()
		w.grow(0, 20)
		w.wait(time.Minute)
		w.mu.Lock()
		w.set.Deliveries = w.set.Deliveries[1:]
		w.mu.Unlock()
		w.wait(time.Minute)
		w.grow(0, 20)
		w.wait(time.Minute)
		w.end()
		kept.expect(0)
		var ids []string
		for info := range w.memory.List(t.Context(), "deliverystate/", "") {
			ids = append(ids, strings.Split(info.Key, "/")[1])
		}
		if ids = slices.Compact(ids); !slices.Equal(ids, []string{w.set.Deliveries[0].ID}) {
			t.Errorf("states of %s", ids)
		}
	})
}

func TestEventsWaitForOthersForAnInterval(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		p := w.add(Delivery{Batch: Batch{Interval: 5 * time.Minute}})
		w.begin()
		w.wait(6 * time.Minute)
		for range 10 {
			w.grow(0, 2)
			w.wait(10 * time.Second)
		}
		if p.sends > 0 {
			t.Error("it did not wait")
		}
		w.wait(4 * time.Minute)
		p.expect(0)
		p.once()
		if p.sends != 1 {
			t.Errorf("%d batches", p.sends)
		}
	})
}
