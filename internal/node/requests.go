package node

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirlog/weir/internal/bucket"
)

// countRequests returns what counts the requests that are sent to an S3 store, as metrics.
func countRequests(r prometheus.Registerer) func(bucket.S3Request) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_bucket_requests_total",
		Help: "Requests sent to the S3 store, by operation and HTTP status; 0: there was no reply."}, []string{"operation", "status"})
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "weir_bucket_request_duration_seconds",
		Help: "Time until the S3 store began to reply.", Buckets: prometheus.ExponentialBuckets(0.001, 3, 10)}, []string{"operation"})
	bytes := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_bucket_bytes_total",
		Help: "Bytes sent to the S3 store, and received from it."}, []string{"direction"})
	r.MustRegister(requests, duration, bytes)
	return func(s bucket.S3Request) {
		requests.WithLabelValues(s.Operation, strconv.Itoa(s.Status)).Inc()
		duration.WithLabelValues(s.Operation).Observe(s.Duration.Seconds())
		bytes.WithLabelValues("sent").Add(float64(s.Sent))
		bytes.WithLabelValues("received").Add(float64(s.Received))
	}
}
