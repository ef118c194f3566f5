package tlog

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/tlog/tlogtest"
	"github.com/weirlog/weir/internal/wal"
)

// The regular log, and helpers of tests for it.
type (
	Entry     = tlogtest.Entry
	reference = tlogtest.Reference
)

const testLog = tlogtest.Log

var (
	entry        = tlogtest.Regular
	batchOf      = tlogtest.Batch
	newReference = tlogtest.NewReference
)

func fill(t testing.TB, s *Logs, n, batch, processors int) {
	t.Helper()
	tlogtest.Fill(t, s, n, batch, processors)
}

func signing(t testing.TB, o Options) (Options, note.Verifier) {
	t.Helper()
	keys, v := tlogtest.NewKeys(t)
	o.Keys, o.Origin = keys, tlogtest.Origin
	return o, v
}

func newStore(b bucket.Bucket, o Options) *Logs {
	return NewLogs(b, wal.NewReader(b, seal.NewKey(make([]byte, 32)), 1<<20), o)
}

func read(t rapid.TB, s *Logs, q Query) []string {
	t.Helper()
	d, err := s.Download(context.Background(), testLog, q)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := d.WriteTo(context.Background(), &file); err != nil {
		t.Fatal(err)
	}
	if d.Size() >= 0 && d.Size() != int64(file.Len()) {
		t.Errorf("%d bytes, announced were %d", file.Len(), d.Size())
	}
	lines, err := tlogtest.Lines(file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// Any range and filter gives the result of a loop over all events.
func TestDownload(t *testing.T) {
	const n = 3000
	s := newStore(bucketest.NewMemory(), Options{BlockBytes: 8 << 10, MergeWidth: 4})
	fill(t, s, n, 170, 7)
	queries := 200
	if testing.Short() {
		queries = 40
	}
	for range queries {
		q := Query{Start: rand.Int64N(n * 1000), Processor: []string{"", "p3", "none"}[rand.IntN(3)]}
		q.End = q.Start + rand.Int64N(n*1000-q.Start)
		var want []string
		for i := range n {
			if e := entry(i, 7); e.Time >= q.Start && e.Time < q.End &&
				(q.Processor == "" || q.Processor == e.Processors[0]) {
				want = append(want, string(e.Line)+"\n")
			}
		}
		if got := read(t, s, q); !slices.Equal(got, want) {
			t.Fatalf("%+v: %d events, want %d", q, len(got), len(want))
		}
	}
}

// A log keeps few segments as it grows, and a merge does not change full blocks.
func TestMergingKeepsSegmentsFewAndBlocksFull(t *testing.T) {
	b := bucketest.NewMemory()
	s := newStore(b, Options{BlockBytes: 4 << 10, MergeWidth: 4, SegmentBytes: 1 << 20, Grace: time.Nanosecond,
		HistorySegments: 4})
	fill(t, s, 20_000, 50, 3)
	m, err := s.manifest(t.Context(), testLog)
	if err != nil {
		t.Fatal(err)
	}
	segments, blocks, full := 0, 0, 0
	for seg, err := range s.objects.Segments(t.Context(), m, 0, minInt64, maxInt64) {
		if err != nil {
			t.Fatal(err)
		}
		segments++
		x, err := s.objects.Index(t.Context(), seg)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range x.Blocks {
			blocks++
			if b.Raw >= 4<<10 {
				full++
			}
		}
	}
	if m.Entries != 20_000 || segments > 24 || blocks-full > segments {
		t.Errorf("%d entries in %d segments, %d blocks, of which %d are full", m.Entries, segments, blocks, full)
	}
	objects := 0
	for info := range b.List(t.Context(), manifest.SegmentPrefix(testLog), "") {
		objects++
		_ = info
	}
	if objects > 3*segments+8 {
		t.Errorf("%d segments are named, %d are there", segments, objects)
	}
	if got := read(t, s, Query{Start: minInt64, End: maxInt64}); len(got) != 20_000 {
		t.Errorf("%d events", len(got))
	}
}

// An event that the log has is not appended again, wherever it is. An event that only resembles it is appended.
func TestEventsAreAppendedOnce(t *testing.T) {
	s := newStore(bucketest.NewMemory(), Options{BlockBytes: 4 << 10})
	fill(t, s, 2000, 100, 3)
	other := entry(7, 3)
	other.Key = event.KeyOf(other.Time, []byte("another uid"))
	if err := s.Append(t.Context(), 1000, "n", batchOf(entry(1, 3), entry(1999, 3), entry(2000, 3), other,
		entry(2000, 3))); err != nil {
		t.Fatal(err)
	}
	m, err := s.manifest(t.Context(), testLog)
	if err != nil || m.Entries != 2002 {
		t.Errorf("%d entries, %v, want 2002", m.Entries, err)
	}
	known, err := s.Known(t.Context(), testLog, []event.Entry{{Time: 5000, Key: entry(5, 3).Key},
		{Time: 5000, Key: event.Key{1}}, {Time: 1 << 50}})
	if err != nil || !slices.Equal(known, []event.Standing{event.Known, event.New, event.New}) {
		t.Errorf("known: %v, %v", known, err)
	}
}

// A damaged block is never served as valid: the download ends with an error, or the gzip file is broken.
func TestDamageIsNeverServed(t *testing.T) {
	b := bucketest.NewMemory()
	s := newStore(b, Options{BlockBytes: 4 << 10})
	fill(t, s, 500, 500, 3)
	var key string
	for info := range b.List(t.Context(), manifest.SegmentPrefix(testLog), "") {
		key = info.Key
	}
	good, err := bucket.Read(t.Context(), b, key, bucket.Range{})
	if err != nil {
		t.Fatal(err)
	}
	want := read(t, s, Query{Start: minInt64, End: maxInt64})
	for range 300 {
		bad := bytes.Clone(good)
		bad[rand.IntN(len(bad))] ^= 1 << rand.IntN(8)
		if err := b.Put(t.Context(), key, bad); err != nil {
			t.Fatal(err)
		}
		for _, q := range []Query{{Start: minInt64, End: maxInt64}, {Start: 100_500, End: 300_500},
			{Start: minInt64, End: maxInt64, Processor: "p1"}} {
			d, err := newStore(b, Options{BlockBytes: 4 << 10}).Download(t.Context(), testLog, q)
			if err != nil {
				continue
			}
			var file bytes.Buffer
			if d.WriteTo(t.Context(), &file) != nil {
				continue
			}
			z, err := gzip.NewReader(&file)
			if err != nil {
				continue
			}
			data, err := io.ReadAll(z)
			if err != nil {
				continue
			}
			for line := range strings.Lines(string(data)) {
				if !slices.Contains(want, line) {
					t.Fatalf("a line that was never recorded: %s", line)
				}
			}
		}
	}
}

// If an object that a manifest names is missing, the error says so. The download does not hang, and is not shortened.
func TestLostSegmentIsAnError(t *testing.T) {
	b := bucketest.NewMemory()
	s := newStore(b, Options{BlockBytes: 4 << 10})
	fill(t, s, 500, 100, 3)
	for info := range b.List(t.Context(), manifest.SegmentPrefix(testLog), "") {
		if err := b.Delete(t.Context(), info.Key); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []*Logs{s, newStore(b, Options{BlockBytes: 4 << 10})} {
		d, err := s.Download(t.Context(), testLog, Query{Start: minInt64, End: maxInt64})
		if err == nil {
			err = d.WriteTo(t.Context(), io.Discard)
		}
		if !errors.Is(err, bucket.ErrNotExist) || !strings.Contains(err.Error(), "lost") {
			t.Errorf("got %v", err)
		}
	}
}

// A download continues at the same entry if merges remove its segments.
func TestDownloadSurvivesMerges(t *testing.T) {
	b := &bucketest.Faulty{Bucket: bucketest.NewMemory()}
	s := newStore(b, Options{BlockBytes: 4 << 10, MergeWidth: 1000, Grace: time.Nanosecond})
	fill(t, s, 1000, 13, 3)
	merger := newStore(b.Bucket, Options{BlockBytes: 4 << 10, MergeWidth: 2, Grace: time.Nanosecond})
	d, err := s.Download(t.Context(), testLog, Query{Start: 1, End: maxInt64, Processor: ""})
	if err != nil {
		t.Fatal(err)
	}
	var operations atomic.Int64 // parts of a download are made concurrently
	b.Before = func(_ context.Context, op bucketest.Op, _ string) error {
		if n := operations.Add(1); op == bucketest.Get && n%7 == 0 {
			for range 3 {
				if _, err := merger.Merge(context.Background(), testLog); err != nil {
					t.Error(err)
				}
			}
		}
		return nil
	}
	var file bytes.Buffer
	if err := d.WriteTo(t.Context(), &file); err != nil {
		t.Fatal(err)
	}
	lines, err := tlogtest.Lines(file.Bytes())
	if err != nil || len(lines) != 999 || !strings.Contains(lines[998], `"uid":"999"`) {
		t.Errorf("%d lines, %v", len(lines), err)
	}
}

// I6: the memory of a download does not grow with its size, however slowly the client reads.
func TestDownloadMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	s := newStore(bucketest.NewMemory(), Options{BlockBytes: 16 << 10, CacheBytes: 1 << 20})
	fill(t, s, 40_000, 1000, 3)
	for _, q := range []Query{{Start: minInt64, End: maxInt64}, {Start: minInt64, End: maxInt64, Processor: "p1"},
		{Start: 1, End: 39_998_000}} {
		read(t, s, q) // fills the caches and pools
		watch := &heapWatch{}
		base := watch.heap()
		d, err := s.Download(t.Context(), testLog, q)
		if err == nil {
			err = d.WriteTo(t.Context(), watch)
		}
		if err != nil {
			t.Fatal(err)
		}
		if held := int64(watch.most) - int64(base); held > 2<<20 {
			t.Errorf("%+v: %d bytes are held while %d are sent", q, held, watch.sent)
		}
	}
}

// heapWatch measures the live heap while a download arrives.
type heapWatch struct {
	writes     int
	sent, most uint64
}

func (w *heapWatch) heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func (w *heapWatch) Write(p []byte) (int, error) {
	if w.sent += uint64(len(p)); w.writes%16 == 0 {
		w.most = max(w.most, w.heap())
	}
	w.writes++
	return len(p), nil
}

// Blocks without the processor are not opened.
func TestOnlyBlocksOfTheProcessorAreOpened(t *testing.T) {
	b := &bucketest.Faulty{Bucket: bucketest.NewMemory()}
	s := newStore(b, Options{BlockBytes: 1 << 10, MergeWidth: 1000})
	for n := range 50 {
		e := entry(n, 1)
		e.Processors = []string{fmt.Sprintf("p%d", n/10)}
		if err := s.Append(t.Context(), int64(n+1), "n", batchOf(e)); err != nil {
			t.Fatal(err)
		}
	}
	read(t, s, Query{Start: minInt64, End: maxInt64, Processor: "p1"}) // fills the caches
	var opened atomic.Int64                                            // parts of a download are made concurrently
	b.Before = func(_ context.Context, op bucketest.Op, key string) error {
		if op == bucketest.Get && strings.Contains(key, "/segments/") {
			opened.Add(1)
		}
		return nil
	}
	read(t, s, Query{Start: minInt64, End: maxInt64, Processor: "p2"})
	if n := opened.Swap(0); n != 10 {
		t.Errorf("%d blocks were opened, 10 have the processor", n)
	}
	read(t, s, Query{Start: 12_000, End: 15_000})
	if n := opened.Load(); n != 3 {
		t.Errorf("%d blocks were read, 3 are in the range", n)
	}
}

func TestBlocksWithTooManyProcessorsAreSearched(t *testing.T) {
	s := newStore(bucketest.NewMemory(), Options{})
	var entries []Entry
	for n := range 400 {
		entries = append(entries, entry(n, 1000))
	}
	long := entry(400, 1)
	long.Processors = []string{strings.Repeat("x", 257)}
	long.Line = bytes.Replace(long.Line, []byte(`"p0"`), fmt.Appendf(nil, "%q", long.Processors[0]), 1)
	if err := s.Append(t.Context(), 1, "n", batchOf(append(entries, long)...)); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"p7", "p399", long.Processors[0]} {
		if got := read(t, s, Query{Start: minInt64, End: maxInt64, Processor: p}); len(got) != 1 {
			t.Errorf("%.20s: %d events", p, len(got))
		}
	}
}
