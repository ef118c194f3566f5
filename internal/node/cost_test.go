package node

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirlog/weir/internal/bench/corpus"
	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/config"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/event/eventtest"
	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/search"
	"github.com/weirlog/weir/internal/tlog"
)

// batch makes events that no other batch has.
func batch(log string, number, events int, at time.Time) event.Batch {
	lines := make([]string, events)
	for i := range lines {
		uid, ms := fmt.Sprintf("%d-%d", number, i), at.Add(time.Duration(i)*time.Millisecond).UnixMilli()
		lines[i] = fmt.Sprintf(`{"time":%d,"metadata":{"uid":%q},"filler":%q}`, ms, uid, strings.Repeat(uid, 20))
	}
	return eventtest.Batch(log, lines...)
}

// requests reads the metric of requests to the store.
func (n *node) requests(t *testing.T) map[string]int {
	t.Helper()
	families, err := n.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, f := range families {
		if f.GetName() != "weir_bucket_requests_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "operation" {
					counts[l.GetValue()] += int(m.GetCounter().GetValue())
				}
			}
		}
	}
	return counts
}

// aHandful is the number of requests that a download may need beyond one for each segment.
const aHandful = 8

// nodesOnS3 makes a bucket in a store that speaks S3, and returns what starts a node on it.
func nodesOnS3(t *testing.T, store http.Handler, tuned tuning) (start func() *node) {
	t.Helper()
	server := httptest.NewServer(store)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "weirtest",
		"AWS_SECRET_ACCESS_KEY": "weirtestsecret", "WEIR_SECRET": "", "WEIR_SIGNING_KEY": ""} {
		t.Setenv(name, value)
	}
	c := config.Default()
	c.Bucket, c.S3.Endpoint, c.Shards, c.WALInterval = "s3://weir", server.URL, 1, time.Millisecond
	c.SigningKeyFile, c.SecretFile = filepath.Join(t.TempDir(), "signing-key"), filepath.Join(t.TempDir(), "key")
	if err := Init(t.Context(), c, Setup{Organization: "o", Project: "p"}, io.Discard); err != nil {
		t.Fatal(err)
	}
	return func() *node {
		n, err := open(t.Context(), c, tuned, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
}

// recordAndSequence records a batch, and makes rounds until nothing waits.
func (n *node) recordAndSequence(t *testing.T, b event.Batch) {
	t.Helper()
	if _, err := n.recorder.Record(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for more := true; more; {
		var err error
		if more, err = n.sequencers.Shard(0).Round(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	}
}

// A download of n segments costs n requests and a handful, by a node that has just started; next to nothing the next
// time; and one of an hour as little as that needs. The counts are those of the metrics, of requests that a store has
// seen.
func TestDownloadRequests(t *testing.T) {
	start := nodesOnS3(t, &bucketest.S3Server{Name: "weir"}, tuning{logs: tlog.Options{MergeWidth: 1000}}) // no merges
	const log = "0123456789abcdef01234567"
	first := time.Now().Add(-24 * time.Hour).Truncate(time.Hour)
	writer := start()
	for i := range 60 {
		writer.recordAndSequence(t, batch(log, i, 40, first.Add(time.Duration(i)*time.Minute)))
	}
	writer.close()

	reader := start()
	defer reader.close()
	segments := 0
	for _, err := range reader.bucket.List(t.Context(), "logs/"+log+"/segments/", "") {
		if err != nil {
			t.Fatal(err)
		}
		segments++
	}
	for _, step := range []struct {
		what  string
		query tlog.Query
		limit int
	}{
		{"all, by a node that has just started", tlog.Query{Start: math.MinInt64, End: math.MaxInt64},
			segments + aHandful},
		{"all, again", tlog.Query{Start: math.MinInt64, End: math.MaxInt64}, aHandful},
		{"a minute", tlog.Query{Start: first.UnixMilli(), End: first.Add(time.Minute).UnixMilli()}, aHandful},
	} {
		before := reader.requests(t)
		d, err := reader.logs.Download(t.Context(), log, step.query)
		var file bytes.Buffer
		if err == nil {
			err = d.WriteTo(t.Context(), &file)
		}
		if err != nil || file.Len() == 0 {
			t.Fatal(err)
		}
		after, total := reader.requests(t), 0
		for operation := range after {
			after[operation] -= before[operation]
			total += after[operation]
		}
		t.Logf("%s: %d segments, %v", step.what, segments, after)
		if total > step.limit {
			t.Errorf("%s: %d requests for %d segments, want at most %d", step.what, total, segments, step.limit)
		}
	}
}

// sent counts the bytes of the objects that a store sends.
type sent struct {
	http.Handler
	bytes atomic.Int64
}

func (s *sent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.Handler.ServeHTTP(&countedReply{w, s}, r)
}

type countedReply struct {
	http.ResponseWriter
	sent *sent
}

func (w *countedReply) Write(p []byte) (int, error) {
	w.sent.bytes.Add(int64(len(p)))
	return w.ResponseWriter.Write(p)
}

// A search for one id costs a few requests on S3, by a node that has just started, and two lists the next time.
func TestSearchRequests(t *testing.T) {
	store := &sent{Handler: &bucketest.S3Server{Name: "weir"}}
	start := nodesOnS3(t, store, tuning{})
	const log = "0123456789abcdef01234567"
	all := corpus.Corpus{Events: 40_000, Days: 30, Until: time.Now(), Seed: 1}
	writer, uid := start(), ""
	for body := all.NewBody(5000); body.Count() > 0; body = all.NewBody(5000) {
		lines := strings.Split(strings.TrimSuffix(string(body.Lines), "\n"), "\n")
		writer.recordAndSequence(t, eventtest.Batch(log, lines...))
		_, rest, _ := strings.Cut(lines[2500], `"vendor_name":"MongoDB"},"uid":"`)
		uid = rest[:36]
	}
	writer.close()

	reader := start()
	defer reader.close()
	parsed, err := query.Parse(uid)
	if err != nil {
		t.Fatal(err)
	}
	searcher := search.New(reader.logs, search.Options{})
	for _, step := range []struct {
		what     string
		requests int
		bytes    int64
	}{
		{"by a node that has just started", 9, 1 << 20}, {"again", 2, 16 << 10},
	} {
		before, bytes := reader.requests(t), store.bytes.Load()
		page, err := searcher.Page(t.Context(), search.Question{Query: parsed, Logs: []string{log}, End: math.MaxInt64},
			search.Newest, nil, 100)
		if err != nil || len(page.Hits) != 1 {
			t.Fatalf("%+v, %v", page, err)
		}
		after, total := reader.requests(t), 0
		for operation := range after {
			after[operation] -= before[operation]
			total += after[operation]
		}
		bytes = store.bytes.Load() - bytes
		t.Logf("%s: %v, %d bytes", step.what, after, bytes)
		if total > step.requests || bytes > step.bytes {
			t.Errorf("%s: %d requests, %d bytes, want at most %d and %d", step.what, total, bytes, step.requests,
				step.bytes)
		}
	}
}

// A node on S3 that goes from idle to busy puts at most ten objects a second, however many clients and shards there
// are: into the write-ahead log, and what it costs to sequence them comes to less than one a second for each log.
func TestPutsASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const logs, clients = 10, 64
		minutes := 5
		if testing.Short() {
			minutes = 1
		}
		var mu sync.Mutex
		puts := map[int64]int{} // into the write-ahead log, by second
		others := 0
		memory := &bucketest.Faulty{Bucket: bucketest.NewMemory(), Before: func(_ context.Context, op bucketest.Op,
			key string) error {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case op == bucketest.Put || op == bucketest.PutNew && !strings.HasPrefix(key, "wal/"):
				others++
			case op == bucketest.PutNew:
				puts[time.Now().Unix()]++
			}
			return nil
		}}
		c := config.Default()
		c.Bucket = "s3://weir"
		c.SigningKeyFile, c.SecretFile = filepath.Join(t.TempDir(), "signing-key"), filepath.Join(t.TempDir(), "key")
		if err := initialise(t.Context(), memory, &c, 8); err != nil {
			t.Fatal(err)
		}
		n, err := openOn(t.Context(), storeOf{memory}, c, tuning{}, slog.New(slog.DiscardHandler),
			prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		stop := n.background(t.Context())
		time.Sleep(10 * time.Minute) // idle
		mu.Lock()
		others = 0
		mu.Unlock()
		end := time.Now().Add(time.Duration(minutes) * time.Minute)
		var work sync.WaitGroup
		for client := range clients {
			work.Go(func() {
				for i := 0; time.Now().Before(end); i++ {
					log := fmt.Sprintf("%024x", (client+i)%logs)
					if _, err := n.recorder.Record(t.Context(), batch(log, client*1_000_000+i,
						2, time.Now())); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		work.Wait()
		stop()
		if err := n.close(); err != nil {
			t.Error(err)
		}
		most, all := 0, 0
		for _, count := range puts {
			most, all = max(most, count), all+count
		}
		t.Logf("%d objects in the write-ahead log, at most %d a second; %d other puts", all, most, others)
		if most > 10+1 { // a second of the clock may see the end of one interval and the beginning of another
			t.Errorf("%d puts in one second", most)
		}
		if all == 0 || others > minutes*60*logs {
			t.Errorf("%d objects of the write-ahead log cost %d other puts", all, others)
		}
	})
}

// storeOf is a bucket that needs no closing.
type storeOf struct{ bucket.Bucket }

func (storeOf) Close() error { return nil }
