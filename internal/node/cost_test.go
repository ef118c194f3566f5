package node

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/config"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/event/eventtest"
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

// aHandful is what a download may cost beyond one request for each segment.
const aHandful = 8

// A download of n segments costs n requests and a handful, by a node that has just started; next to nothing the next
// time; and one of an hour as little as that needs. The counts are those of the metrics, of requests that a store has
// seen.
func TestDownloadRequests(t *testing.T) {
	server := httptest.NewServer(&bucketest.S3Server{Name: "weir"})
	defer server.Close()
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "weirtest",
		"AWS_SECRET_ACCESS_KEY": "weirtestsecret", "WEIR_SECRET": "", "WEIR_SIGNING_KEY": ""} {
		t.Setenv(name, value)
	}
	c := config.Default()
	c.Bucket, c.S3.Endpoint, c.Shards, c.WALInterval = "s3://weir", server.URL, 1, time.Millisecond
	c.SigningKeyFile, c.SecretFile = filepath.Join(t.TempDir(), "signing-key"), filepath.Join(t.TempDir(), "key")
	unmerged := tuning{logs: tlog.Options{MergeWidth: 1000}} // All segments stay.
	if err := Init(t.Context(), c, Setup{Organization: "o", Project: "p"}, io.Discard); err != nil {
		t.Fatal(err)
	}
	start := func() *node {
		n, err := open(t.Context(), c, unmerged, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	const log = "0123456789abcdef01234567"
	first := time.Now().Add(-24 * time.Hour).Truncate(time.Hour)
	writer := start()
	for i := range 60 {
		if _, err := writer.recorder.Record(t.Context(),
			batch(log, i, 40, first.Add(time.Duration(i)*time.Minute))); err != nil {
			t.Fatal(err)
		}
		for more := true; more; {
			var err error
			if more, err = writer.sequencers.Shard(0).Round(t.Context(), true); err != nil {
				t.Fatal(err)
			}
		}
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
