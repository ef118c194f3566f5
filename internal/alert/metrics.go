package alert

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirlog/weir/internal/alert/notify"
)

type metrics struct {
	rules, lasting prometheus.Gauge
	failures       prometheus.Counter
	sent           *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		rules: prometheus.NewGauge(prometheus.GaugeOpts{Name: "weir_alert_rules",
			Help: "Rules of alerts that this node evaluates."}),
		lasting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "weir_alerts_lasting",
			Help: "Alerts that last, of the rules that this node evaluates."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_alert_failures_total",
			Help: "Failures to evaluate the rules of a project. Each is tried again."}),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_alert_notifications_total",
			Help: "Notifications of alerts, by type of the notifier and result: accepted or failed."},
			[]string{"type", "result"}),
	}
	for _, of := range []notify.Type{notify.Alertmanager, notify.Webhook, notify.SMTP} {
		m.sent.WithLabelValues(string(of), "accepted")
		m.sent.WithLabelValues(string(of), "failed")
	}
	if r != nil {
		r.MustRegister(m.rules, m.lasting, m.failures, m.sent)
	}
	return m
}
