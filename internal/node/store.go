package node

import (
	"log/slog"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/cache"
	"github.com/weirlog/weir/internal/bucket/layout"
	"github.com/weirlog/weir/internal/bucket/s3"
	"github.com/weirlog/weir/internal/config"
)

// StoreOptions returns the options for a bucket on S3.
func StoreOptions(s config.S3) s3.Options {
	return s3.Options{Endpoint: s.Endpoint, Region: s.Region, Addressing: s.Addressing, Profile: s.Profile,
		CAFile: s.CAFile}
}

// countRequests returns a function that counts requests to an S3 store in metrics.
func countRequests(r prometheus.Registerer) func(s3.Request) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_bucket_requests_total",
		Help: "Requests sent to the S3 store, by operation and HTTP status; 0: there was no reply."},
		[]string{"operation", "status"})
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "weir_bucket_request_duration_seconds",
		Help: "Time until the S3 store began to reply.", Buckets: prometheus.ExponentialBuckets(0.001, 3, 10)},
		[]string{"operation"})
	bytes := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_bucket_bytes_total",
		Help: "Bytes sent to the S3 store, and received from it."}, []string{"direction"})
	r.MustRegister(requests, duration, bytes)
	return func(s s3.Request) {
		requests.WithLabelValues(s.Operation, strconv.Itoa(s.Status)).Inc()
		duration.WithLabelValues(s.Operation).Observe(s.Duration.Seconds())
		bytes.WithLabelValues("sent").Add(float64(s.Sent))
		bytes.WithLabelValues("received").Add(float64(s.Received))
	}
}

// cacheAge is how long a node caches parts of objects. So objects that other nodes have deleted from the bucket are
// deleted here by then.
const cacheAge = 24 * time.Hour

// cacheFor adds a cache to a bucket on S3.
func cacheFor(b bucket.Store, c config.Config, log *slog.Logger, r prometheus.Registerer) (bucket.Store, error) {
	parts := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_cache_parts_total",
		Help: "Parts of objects that were wanted, by where they came from: memory, folder, store; damaged: in the " +
			"folder, and fetched again."}, []string{"from"})
	cached, err := cache.New(b, cache.Options{Immutable: layout.Cached, Memory: c.CacheMemory, Folder: c.CacheDir,
		FolderBytes: c.CacheSize,
		MaxAge:      cacheAge, Logger: log, Observe: func(from string) { parts.WithLabelValues(from).Inc() }})
	if err != nil {
		b.Close()
		return nil, c.InvalidFor("cache-dir", err)
	}
	r.MustRegister(parts,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "weir_cache_memory_bytes",
			Help: "Parts of objects kept in memory."},
			func() float64 { memory, _ := cached.Bytes(); return float64(memory) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "weir_cache_folder_bytes",
			Help: "Parts of objects kept in --cache-dir."},
			func() float64 { _, folder := cached.Bytes(); return float64(folder) }))
	return cached, nil
}
