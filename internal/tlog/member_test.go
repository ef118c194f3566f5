package tlog

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/tlog/tlogtest"
	"github.com/weirlog/weir/internal/wal"
)

// A download is always one gzip member of the announced size, with the events that a loop over all of them selects.
func TestDownloadIsOneMember(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	var sized, unsized, prepared, waited, empty int
	rapid.Check(t, func(t *rapid.T) {
		b := bucketest.NewMemory()
		reader := wal.NewReader(b, seal.NewKey(make([]byte, 32)), 1<<20)
		s := NewLogs(b, reader, Options{BlockBytes: rapid.SampledFrom([]int{500, 2000, 30_000}).Draw(t, "blockBytes"),
			MergeWidth: rapid.SampledFrom([]int{2, 1000}).Draw(t, "mergeWidth")})
		var all []Entry
		seen := map[event.Key]bool{}
		add := func(batch []Entry) {
			for _, e := range batch {
				if !seen[e.Key] {
					seen[e.Key] = true
					all = append(all, e)
				}
			}
		}
		next := 0
		draw := func(least, again int) []Entry {
			var batch []Entry
			for range rapid.IntRange(least, 30).Draw(t, "events") {
				n := next
				if next > 0 && rapid.IntRange(0, 9).Draw(t, "again") < again {
					n = rapid.IntRange(0, next-1).Draw(t, "which")
				} else {
					next++
				}
				batch = append(batch, entry(n, 3))
			}
			return batch
		}
		for plan := range rapid.IntRange(0, 80).Draw(t, "segments") {
			batch := draw(1, 0)
			if err := s.Append(t.Context(), int64(plan+1), "n", batchOf(batch...)); err != nil {
				t.Fatal(err)
			}
			add(batch)
			for more := true; more; {
				var err error
				if more, err = s.Merge(t.Context(), testLog); err != nil {
					t.Fatal(err)
				}
			}
		}
		w := wal.NewWriter(b, reader, s.options.shard(testLog), func(int64) {})
		for range rapid.IntRange(0, 4).Draw(t, "sections") {
			batch := draw(0, rapid.SampledFrom([]int{0, 3}).Draw(t, "duplicates"))
			if err := w.Append(t.Context(), batchOf(batch...)); err != nil {
				t.Fatal(err)
			}
			add(batch)
		}
		w.Close()
		waiting := s.waits(t)
		for range 10 {
			q := Query{Start: minInt64, End: maxInt64, Processor: rapid.SampledFrom([]string{"", "", "p1", "none"}).
				Draw(t, "processor")}
			if rapid.Bool().Draw(t, "range") {
				q.Start = 1000 * rapid.Int64Range(0, int64(next)).Draw(t, "start")
				q.End = q.Start + 1000*rapid.Int64Range(0, int64(next)).Draw(t, "length")
			}
			var want []string
			for _, e := range all {
				if q.selects(e.Entry) {
					want = append(want, string(e.Line)+"\n")
				}
			}
			d, err := s.Download(t.Context(), testLog, q)
			if err != nil {
				t.Fatal(err)
			}
			if d.Size() < 0 && rapid.Bool().Draw(t, "prepare") {
				d.Prepare(t.Context())
				if d.Size() >= 0 {
					prepared++
				}
			}
			var file bytes.Buffer
			if err := d.WriteTo(t.Context(), &file); err != nil {
				t.Fatal(err)
			}
			if d.Size() >= 0 && d.Size() != int64(file.Len()) {
				t.Fatalf("%d bytes, announced were %d", file.Len(), d.Size())
			}
			if got, err := tlogtest.Lines(file.Bytes()); err != nil || !slices.Equal(got, want) {
				t.Fatalf("%+v: %d events, want %d: %v", q, len(got), len(want), err)
			}
			if d.Size() >= 0 {
				sized++
			} else {
				unsized++
			}
			if waiting {
				waited++
			}
			if len(want) == 0 {
				empty++
			}
		}
	})
	if sized == 0 || unsized == 0 || prepared == 0 || waited == 0 || empty == 0 {
		t.Errorf("%d of known size, %d of unknown, %d prepared, %d with waiting events, %d empty", sized, unsized,
			prepared, waited, empty)
	}
}

// waits tells whether events of the log wait to be sequenced.
func (s *Logs) waits(t *rapid.T) bool {
	r, err := s.Read(t.Context(), testLog, All)
	if err != nil {
		t.Fatal(err)
	}
	return len(r.tail) > 0
}

// A download that breaks off has no end, so a reader sees that it is incomplete.
func TestBrokenDownloadIsNotWhole(t *testing.T) {
	s := newStore(bucketest.NewMemory(), Options{BlockBytes: 4 << 10, MergeWidth: 1000})
	fill(t, s, 1000, 100, 3)
	for _, q := range []Query{All, {Start: 1, End: maxInt64}, {Start: minInt64, End: maxInt64, Processor: "p1"}} {
		d, err := s.Download(t.Context(), testLog, q)
		if err != nil {
			t.Fatal(err)
		}
		var whole bytes.Buffer
		if err := d.WriteTo(t.Context(), &whole); err != nil {
			t.Fatal(err)
		}
		for n := range whole.Len() {
			if n%997 != 0 && n < whole.Len()-40 {
				continue
			}
			if lines, err := tlogtest.Lines(whole.Bytes()[:n]); err == nil {
				t.Fatalf("%+v: the first %d bytes of %d are taken for all, with %d lines", q, n, whole.Len(),
					len(lines))
			}
		}
	}
}
