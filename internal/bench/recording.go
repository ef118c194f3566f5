package main

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weirlog/weir/internal/bench/corpus"
)

// recorded is how fast one kind of recording went.
type recorded struct {
	Clients int `json:"clients"`
	Events  int `json:"eventsPerRequest"`
	// the events are of all the days that the log covers already, not of the last second
	Late     bool    `json:"late"`
	Rate     float64 `json:"eventsPerSecond"` // median of the repetitions
	Requests float64 `json:"requestsPerSecond"`
	CPU      float64 `json:"cpuMicrosecondsPerEvent"` // of the server, until all is sequenced and merged
	P50      float64 `json:"p50Milliseconds"`         // of the reply, over all repetitions
	P99      float64 `json:"p99Milliseconds"`
	Busy     int     `json:"busy"` // replies 503, after which the client came again
	Repeated int     `json:"repeated"`
}

func (r recorded) name() string {
	if r.Late {
		return fmt.Sprintf("record-late/%dx%d", r.Clients, r.Events)
	}
	return fmt.Sprintf("record/%dx%d", r.Clients, r.Events)
}

// recordings are the kinds that are measured: clients, events a request.
func recordings() (all []recorded) {
	for _, clients := range []int{1, 8, 64} {
		for _, events := range []int{1, 100, 5000} {
			all = append(all, recorded{Clients: clients, Events: events})
		}
	}
	return append(all, recorded{Clients: 8, Events: 100, Late: true}, recorded{Clients: 8, Events: 5000, Late: true})
}

// recorder measures recordings into one workspace.
type recorder struct {
	server    *server
	client    *client
	workspace string
	seed      uint64
	span      time.Duration // of the times of a request's events
	last      time.Duration // of one repetition
	repeat    int
	number    atomic.Uint64 // of bodies
}

// measure fills in how r goes.
func (m *recorder) measure(ctx context.Context, r recorded) (recorded, error) {
	bodies := m.bodies(r)
	var all []time.Duration
	var rates []float64
	var events int
	if err := m.server.quiet(ctx); err != nil {
		return r, err
	}
	before := m.server.cpu()
	for range m.repeat {
		begin := time.Now()
		took, busy, err := m.run(ctx, bodies, m.span, begin.Add(m.last))
		if err != nil {
			return r, fmt.Errorf("%s: %w", r.name(), err)
		}
		n := len(took) * r.Events
		rates = append(rates, float64(n)/time.Since(begin).Seconds())
		all, events, r.Busy = append(all, took...), events+n, r.Busy+busy
	}
	if err := m.server.quiet(ctx); err != nil {
		return r, err
	}
	r.CPU = float64((m.server.cpu() - before).Nanoseconds()) / 1000 / float64(events)
	slices.Sort(all)
	r.Rate, r.Repeated = median(rates), m.repeat
	r.Requests = r.Rate / float64(r.Events)
	r.P50, r.P99 = milliseconds(all[len(all)/2]), milliseconds(all[len(all)*99/100])
	return r, nil
}

// bodies returns one for each client.
func (m *recorder) bodies(r recorded) []*corpus.Body {
	bodies := make([]*corpus.Body, r.Clients)
	for i := range bodies {
		c := corpus.Corpus{Events: r.Events, Days: 1, Until: time.Now(), Seed: m.seed + uint64(i)}
		bodies[i] = c.NewBody(r.Events)
	}
	return bodies
}

// again repeats r once, without measuring.
func (m *recorder) again(ctx context.Context, r recorded) error {
	_, _, err := m.run(ctx, m.bodies(r), m.span, time.Now().Add(m.last))
	return err
}

// run lets each client send its body again and again until the deadline, each time with other events, of times in the
// span before now.
func (m *recorder) run(ctx context.Context, bodies []*corpus.Body, span time.Duration,
	deadline time.Time) (took []time.Duration, busy int, err error) {
	group, ctx := errgroup.WithContext(ctx)
	times := make([][]time.Duration, len(bodies))
	busies := make([]int, len(bodies))
	for i, b := range bodies {
		group.Go(func() error {
			for time.Now().Before(deadline) {
				b.RenewOver(m.number.Add(1), time.Now(), span)
				t, n, err := m.client.record(ctx, m.client.project, m.workspace, b.Lines)
				if err != nil {
					return err
				}
				times[i], busies[i] = append(times[i], t), busies[i]+n
			}
			return nil
		})
	}
	err = group.Wait()
	for i := range bodies {
		took, busy = append(took, times[i]...), busy+busies[i]
	}
	return took, busy, err
}

// steadily records 100 events every 10 ms until ctx ends.
func (m *recorder) steadily(ctx context.Context) error {
	c := corpus.Corpus{Events: 100, Days: 1, Until: time.Now(), Seed: m.seed}
	body := c.NewBody(100)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		body.Renew(m.number.Add(1), time.Now())
		if _, _, err := m.client.record(ctx, m.client.project, m.workspace, body.Lines); err != nil &&
			ctx.Err() == nil {
			return err
		}
	}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)/2]
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
