package deliver

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/bucket/bucketest"
)

// While nothing is new, deliveries cost no goroutines, and requests for each log, not for each delivery.
func TestIdleDeliveriesCostLittle(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 3)
		const deliveries = 1000
		for range deliveries {
			d := Delivery{ID: fmt.Sprintf("6a793f48c0eb9e7a1%07d", len(w.set.Deliveries))}
			w.add(d)
		}
		for log := range 3 {
			w.grow(log, 3)
		}
		w.begin()
		w.wait(10 * time.Minute)
		before := runtime.NumGoroutine()
		requests, looks := 0, w.looks
		w.faulty.Before = func(context.Context, bucketest.Op, string) error { requests++; return nil }
		w.wait(time.Hour)
		if perHour := 3 * 12; requests > perHour+10 || w.looks-looks > 61 {
			t.Errorf("%d requests and %d looks in an hour, want %d and 60", requests, w.looks-looks, perHour)
		}
		if before > 20 {
			t.Errorf("%d goroutines while all is idle", before)
		}
		w.faulty.Before = nil
		w.grow(2, 1)
		w.wait(time.Minute)
		for _, p := range w.places {
			p.expect(2)
		}
	})
}

// What is written of a delivery is bounded by the time, whether its batches are rare or many, and by the batches.
func TestWhatADeliveryWritesIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	for _, c := range []struct {
		name  string
		lasts time.Duration
		pause func(batch int) time.Duration // after a batch
		most  int                           // versions of a state
	}{
		{"each second", 10 * time.Minute, func(int) time.Duration { return time.Second }, 75},
		{"rare", 10 * time.Minute, func(int) time.Duration { return 15 * time.Second }, 41},
		{"in bursts", 10 * time.Minute, func(i int) time.Duration {
			return time.Second + time.Duration(i%20/19)*12*time.Second
		}, 220},
		{"many", 30 * time.Second, func(int) time.Duration { return 20 * time.Millisecond }, 30},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, 1)
				p := w.add(Delivery{})
				writes := 0
				w.faulty.Before = func(_ context.Context, op bucketest.Op, key string) error {
					if op == bucketest.PutNew && strings.HasPrefix(key, "deliverystate/") {
						writes++
					}
					return nil
				}
				w.begin()
				for i, began := 0, time.Now(); time.Since(began) < c.lasts; i++ {
					w.grow(0, 1)
					w.wait(c.pause(i))
				}
				p.expect(0)
				if writes > c.most || writes < c.most*2/3 {
					t.Errorf("%d writes for %d batches, want at most %d", writes, p.sends, c.most)
				}
			})
		})
	}
}

// A node that dies repeats little of what it has sent, however soon it dies.
func TestADeathRepeatsLittle(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	for lives, most := range map[time.Duration]float64{250 * time.Millisecond: 1.8, time.Second: 1.1, 3 * time.Second: 1.2,
		8 * time.Second: 1.3, 25 * time.Second: 1.3} {
		for name, pause := range map[string]time.Duration{"many batches": 70 * time.Millisecond,
			"few": 700 * time.Millisecond} {
			t.Run(fmt.Sprint(lives, ", ", name), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					w := newWorld(t, 1)
					p := w.add(Delivery{})
					for range 6 {
						w.begin()
						for began := time.Now(); time.Since(began) < lives; {
							w.grow(0, 1)
							w.wait(pause)
						}
						w.kill()
					}
					sent, are := len(p.got[w.subjects[0].Log]), w.sizes[w.subjects[0].Log]
					if float64(sent) > most*float64(are) {
						t.Errorf("%d events were sent for %d", sent, are)
					}
				})
			})
		}
	}
}

// A place that must have the same batches again gets them, however often the node dies and however much there is then.
func TestSteadyPlacesGetTheSameBatchesAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		p := w.add(Delivery{})
		p.steady = true
		ends := map[int64]int64{}
		broken := 0
		p.fault = func(_ context.Context, batch []Event) (bool, error) {
			first, last := batch[0].Index, batch[len(batch)-1].Index
			if end, ok := ends[first]; ok && end != last {
				t.Errorf("entries from %d on were sent up to %d, and now up to %d", first, end, last)
			}
			ends[first] = last
			if broken++; broken%3 != 0 {
				return true, errors.New("nobody knows whether it was accepted")
			}
			return true, nil
		}
		for range 20 {
			w.grow(0, 9)
			w.begin()
			w.wait(700 * time.Millisecond)
			w.kill()
		}
		w.begin()
		w.wait(time.Minute)
		p.expect(0)
	})
}

// A place that must have the same batches again gets none that is not kept, however often that fails.
func TestSteadyPlacesGetOnlyWhatIsKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		p := w.add(Delivery{})
		p.steady = true
		w.grow(0, 9)
		var whole atomic.Bool
		w.faulty.Before = func(_ context.Context, op bucketest.Op, _ string) error {
			if op == bucketest.PutNew && !whole.Load() {
				return errors.New("broken")
			}
			return nil
		}
		p.fault = func(_ context.Context, batch []Event) (bool, error) {
			if !whole.Load() {
				t.Errorf("entries from %d on were sent before that was kept", batch[0].Index)
			}
			return true, nil
		}
		w.begin()
		w.wait(10 * time.Minute)
		whole.Store(true)
		w.wait(10 * time.Minute)
		p.expect(0)
	})
}
