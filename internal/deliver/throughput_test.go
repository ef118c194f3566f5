package deliver_test

import (
	"context"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/bench/corpus"
	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/folder"
	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/deliver/otlp"
	"github.com/weirlog/weir/internal/egress"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/wal"
)

const (
	project = "6a793f48c0eb9e7a17712e00"
	log     = "6a793f48c0eb9e7a17712000"
)

// one is a Source with one delivery, to one place.
type one struct {
	delivery deliver.Delivery
	settings otlp.Settings
	changed  chan struct{}

	sent atomic.Int64  // events
	all  int64         // of the log
	done chan struct{} // closed once all are sent
}

func (o *one) All(context.Context) iter.Seq2[*deliver.Set, error] {
	return func(yield func(*deliver.Set, error) bool) {
		yield(&deliver.Set{Project: project, Deliveries: []deliver.Delivery{o.delivery}}, nil)
	}
}

func (o *one) Changed() <-chan struct{} { return o.changed }

func (o *one) Subjects(context.Context, *deliver.Delivery) ([]deliver.Subject, error) {
	return []deliver.Subject{{Log: log, Name: "orders/audit"}}, nil
}

func (o *one) Open(*deliver.Delivery) (deliver.Sink, error) {
	s, err := otlp.New(o.settings, egress.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}))
	return counted{s, o}, err
}

func (o *one) Missed(context.Context, *deliver.Delivery, deliver.Subject, int64, int64) error {
	return nil
}

// counted counts what a sink's place accepts.
type counted struct {
	deliver.Sink
	of *one
}

func (c counted) Send(ctx context.Context, batch []deliver.Event) ([]deliver.Refusal, error) {
	refused, err := c.Sink.Send(ctx, batch)
	if err == nil && c.of.sent.Add(int64(len(batch))) == c.of.all {
		close(c.of.done)
	}
	return refused, err
}

// BenchmarkOTLP sends the events of a log to a place that reads requests and does nothing with them. It reports events
// a second, and how much larger the heap is at most than before, with what is not yet collected.
func BenchmarkOTLP(b *testing.B) {
	const events = 300_000
	store, logs := logOf(b, events)
	place := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	defer place.Close()
	settings := otlp.Settings{Endpoint: place.URL, Headers: []otlp.Header{{Name: "X-Token", Value: "t"}}}
	for _, c := range []struct {
		name  string
		batch deliver.Batch
	}{
		{"usual", deliver.Batch{}},
		{"largest", deliver.Batch{Events: deliver.MaxBatchEvents, Bytes: deliver.MaxBatchBytes}},
	} {
		b.Run(c.name, func(b *testing.B) {
			peak := int64(0)
			for b.Loop() {
				peak = max(peak, deliverAll(b, &one{all: events, done: make(chan struct{}), settings: settings,
					delivery: deliver.Delivery{ID: project, Type: "OTEL_LOG_EXPORT", Generation: 1, Batch: c.batch}},
					deliver.Options{Bucket: store, Logs: logs}))
				if err := deliver.DropStates(b.Context(), store, project); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(events*float64(b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(peak)/1e6, "peakMB")
		})
	}
}

// logOf returns a folder with a log that has so many events.
func logOf(b *testing.B, events int) (bucket.Bucket, *tlog.Logs) {
	store, err := folder.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	logs := tlog.NewLogs(store, wal.NewReader(store, seal.NewKey(make([]byte, 32)), 1<<20), tlog.Options{})
	c := corpus.Corpus{Events: events, Days: 1, Until: time.Now(), Seed: 1}
	for plan := int64(1); events > 0; plan++ {
		body := c.NewBody(50_000)
		batch, err := event.Read(log, body.Lines, body.Count())
		if err == nil {
			err = logs.Append(b.Context(), plan, "n", batch)
		}
		if err != nil {
			b.Fatal(err)
		}
		events -= body.Count()
	}
	return store, logs
}

// deliverAll delivers all, and returns how many bytes of the heap were in use at most beyond those before.
func deliverAll(b *testing.B, o *one, options deliver.Options) (peak int64) {
	before := heap()
	ctx, cancel := context.WithCancel(b.Context())
	options.Source = o
	engine, ended := deliver.New(options), make(chan struct{})
	go func() {
		defer close(ended)
		engine.Run(ctx)
	}()
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		select {
		case <-tick.C:
			peak = max(peak, heap()-before)
			continue
		case <-o.done:
		}
		tick.Stop()
		cancel()
		<-ended
		return peak
	}
}

// heap returns how many bytes of the heap are in use.
func heap() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}
