package deliver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// gauge returns the value of a gauge with labels, written as name{label="value",…}.
func gauge(t *testing.T, r prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			if family.GetName()+"{"+strings.Join(labels, ",")+"}" == name {
				return m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}

// A delivery that fails shows beside others of its type that do not, how long what is sent to it waits too, also after
// another node has taken over. All is well once its place is.
func TestMetricsShowTheOneThatFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.add(Delivery{})
		dead := w.add(Delivery{})
		w.add(Delivery{Batch: Batch{Interval: time.Hour}})
		paused := w.add(Delivery{Paused: true})
		begin := func() {
			w.registry = prometheus.NewRegistry()
			w.begin()
		}
		expect := func(failing, parked, behind, current float64, least, most time.Duration) {
			t.Helper()
			for state, want := range map[string]float64{"failing": failing, "parked": parked, "behind": behind,
				"current": current} {
				if got := gauge(t, w.registry, `weir_deliveries{state="`+state+`",type="TEST"}`); got != want {
					t.Errorf("%v are %s, want %v", got, state, want)
				}
			}
			got := time.Duration(gauge(t, w.registry, `weir_delivery_behind_seconds{type="TEST"}`)) * time.Second
			if got < least || got > most {
				t.Errorf("behind for %v, want %v to %v", got, least, most)
			}
		}
		begin()
		w.wait(2 * time.Hour)
		expect(0, 0, 0, 3, 0, 0)
		w.mu.Lock()
		dead.fault = func(context.Context, []Event) (bool, error) { return false, errors.New("away") }
		w.mu.Unlock()
		for range 10 {
			w.grow(0, 1)
			w.wait(5 * time.Minute)
		}
		expect(1, 0, 0, 2, 50*time.Minute, 50*time.Minute)
		w.end()
		begin()
		w.wait(10 * time.Minute)
		expect(1, 0, 0, 2, time.Hour, time.Hour)
		w.mu.Lock()
		dead.fault = nil
		dead.refuses[w.subjects[0].Log+"/3"] = true
		w.mu.Unlock()
		w.wait(2 * time.Hour)
		expect(0, 1, 0, 2, 0, 0)
		if paused.sends > 0 {
			t.Error("the paused one sends")
		}
	})
}

// A delivery whose place is too slow for what is recorded is behind, though nothing fails.
func TestMetricsShowTheOneThatIsBehind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.slow(func(n int) time.Duration { return time.Duration(n) * time.Second })
		w.registry = prometheus.NewRegistry()
		w.grow(0, 10_000)
		w.begin()
		w.wait(time.Hour)
		if got := gauge(t, w.registry, `weir_delivery_behind_seconds{type="TEST"}`); got != 3600 ||
			gauge(t, w.registry, `weir_deliveries{state="behind",type="TEST"}`) != 1 {
			t.Errorf("behind for %v seconds", got)
		}
	})
}
