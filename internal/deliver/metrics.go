package deliver

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count over all deliveries of a type: a label for each delivery would have no bound.
type metrics struct {
	events   *prometheus.CounterVec
	failures *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer, types []string) *metrics {
	m := &metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_delivery_events_total",
			Help: "Events that deliveries have sent, by type and by what the place did with them."},
			[]string{"type", "result"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_delivery_failures_total",
			Help: "Batches of deliveries that failed and are sent again, by type."}, []string{"type"}),
	}
	for _, kind := range types {
		m.sent(kind, 0, 0)
		m.failures.WithLabelValues(kind)
	}
	if r != nil {
		r.MustRegister(m.events, m.failures)
	}
	return m
}

func (m *metrics) sent(kind string, accepted, parked int) {
	m.events.WithLabelValues(kind, "accepted").Add(float64(accepted))
	m.events.WithLabelValues(kind, "parked").Add(float64(parked))
}

func (m *metrics) failed(kind string) { m.failures.WithLabelValues(kind).Inc() }

// States of a delivery in the metric: the first that applies to one of its logs.
const (
	stateFailing = "failing"
	stateParked  = "parked"
	stateBehind  = "behind"
	stateCurrent = "current"
)

// gauges say how the deliveries are whose logs this node looks after. They have labels for types only, so a delivery
// that fails must show beside others of its type that do not: one gauge counts deliveries by state, the other is the
// longest time that an event waits.
type gauges struct {
	engine             *Engine
	deliveries, behind *prometheus.Desc
}

func newGauges(e *Engine) *gauges {
	return &gauges{e,
		prometheus.NewDesc("weir_deliveries", "Deliveries with logs that this node looks after, by type and state.",
			[]string{"type", "state"}, nil),
		prometheus.NewDesc("weir_delivery_behind_seconds", "For how long a log has had events that a delivery has not "+
			"come to, by type: the longest.", []string{"type"}, nil)}
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(to chan<- *prometheus.Desc) { to <- g.deliveries; to <- g.behind }

// Collect implements prometheus.Collector.
func (g *gauges) Collect(to chan<- prometheus.Metric) {
	counts, behind := map[string]map[string]int{}, map[string]time.Duration{}
	for _, kind := range g.engine.o.Types {
		counts[kind] = map[string]int{}
	}
	for kind, all := range g.engine.health() {
		if counts[kind] == nil {
			counts[kind] = map[string]int{}
		}
		for _, h := range all {
			counts[kind][h.state]++
			behind[kind] = max(behind[kind], h.behind)
		}
	}
	for kind, of := range counts {
		for _, state := range []string{stateFailing, stateParked, stateBehind, stateCurrent} {
			to <- prometheus.MustNewConstMetric(g.deliveries, prometheus.GaugeValue, float64(of[state]), kind, state)
		}
		to <- prometheus.MustNewConstMetric(g.behind, prometheus.GaugeValue, behind[kind].Seconds(), kind)
	}
}

// health is how a delivery is, in the logs that this node looks after.
type health struct {
	state  string
	behind time.Duration
}

// health returns how each delivery is, by type.
func (e *Engine) health() map[string][]health {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := map[string][]health{}
	for _, r := range e.runners {
		if h, ok := r.health(time.Now()); ok {
			all[r.delivery.Type] = append(all[r.delivery.Type], h)
		}
	}
	return all
}

// health returns how the delivery is. ok is false if none of its logs is this node's.
func (r *runner) health(now time.Time) (h health, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	failing, parked := false, false
	for _, f := range r.feeds {
		if f.gone {
			continue
		}
		ok, failing, parked = true, failing || f.failing, parked || f.parked
		if !f.behind.IsZero() {
			h.behind = max(h.behind, now.Sub(f.behind)-r.batch.Interval)
		}
	}
	switch {
	case failing:
		h.state = stateFailing
	case parked:
		h.state = stateParked
	case h.behind > 0:
		h.state = stateBehind
	default:
		h.state = stateCurrent
	}
	return h, ok
}

// note notes how a feed is, after something was done with it. A failure outlives the node that met it, so events have
// waited for as long at least.
func (r *runner) note(f *feed) {
	if !f.loaded {
		return
	}
	s := &f.state.Value
	r.mu.Lock()
	defer r.mu.Unlock()
	f.failing, f.parked = s.Failure != nil, len(s.Parked) > 0
	if f.failing && (f.behind.IsZero() || s.Failure.Since.Before(f.behind)) {
		f.behind = s.Failure.Since
	}
}

// caughtUp notes that a feed has come to the end of its log. If there are news since, those wait.
func (r *runner) caughtUp(f *feed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.behind = (time.Time{}); f.news {
		f.behind = f.since
	}
}
