package deliver

import "github.com/prometheus/client_golang/prometheus"

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
