package api

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are documented in docs/operating.md.
type metrics struct {
	requests   *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	sent       prometheus.Counter
	inFlight   prometheus.Gauge
	recorded   prometheus.Counter
	duplicates prometheus.Counter
	conflicts  prometheus.Counter
	refused    prometheus.Counter
	unread     prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_http_requests_total",
			Help: "Requests answered, by route and status."}, []string{"route", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "weir_http_request_duration_seconds",
			Help: "Time until a reply was sent to its end, by route.", Buckets: prometheus.ExponentialBuckets(0.0005, 4,
				9)}, []string{"route"}),
		sent: prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_http_sent_bytes_total",
			Help: "Bytes of reply bodies."}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "weir_http_requests_in_flight",
			Help: "Requests being answered."}),
		recorded: prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_events_recorded_total",
			Help: "Events acknowledged as durable."}),
		duplicates: prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_events_duplicate_total",
			Help: "Events that were recorded already."}),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_events_conflicting_total",
			Help: "Events that were recorded although others have the same time and uid."}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_events_refused_total",
			Help: "Events refused as malformed."}),
		unread: prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_events_unread_total",
			Help: "Events of other formats that could not be read, and are kept as they are."}),
	}
	if r != nil {
		r.MustRegister(m.requests, m.duration, m.sent, m.inFlight, m.recorded, m.duplicates, m.conflicts, m.refused, m.unread)
	}
	return m
}

func (m *metrics) observe(x *exchange, took time.Duration) {
	m.requests.WithLabelValues(x.r.Pattern, strconv.Itoa(x.w.status)).Inc()
	m.duration.WithLabelValues(x.r.Pattern).Observe(took.Seconds())
	m.sent.Add(float64(x.w.bytes))
}
