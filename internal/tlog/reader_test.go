package tlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/bucket/bucketest"
)

// A Reader yields each selected entry from an index on once and in order, however often objects move while it reads.
func TestReaderContinuesAtTheSameEntry(t *testing.T) {
	const entries, later = 300, 400
	for _, q := range []Query{All, {Start: 50_000, End: 200_000}, {Start: minInt64, End: maxInt64, Processor: "p1"}} {
		for _, from := range []int64{0, 1, 149, entries - 1, entries, entries + 5} {
			for every := range 4 {
				t.Run(fmt.Sprintf("%+v from %d, moved every %d blocks", q, from, every), func(t *testing.T) {
					b := bucketest.NewMemory()
					o := Options{BlockBytes: 1 << 10, SegmentBytes: 64 << 10, MergeWidth: 3, HistorySegments: 2,
						Grace: time.Nanosecond}
					s := newStore(b, o)
					fill(t, s, entries, 10, 3)
					r, err := newStore(b, o).ReadSequenced(t.Context(), testLog, q)
					if err != nil {
						t.Fatal(err)
					}
					if r.First() != 0 || r.Next() != entries {
						t.Errorf("entries [%d, %d)", r.First(), r.Next())
					}
					var got, want []int64
					for n := from; n < entries; n++ {
						if q.selects(entry(int(n), 3).Entry) {
							want = append(want, n)
						}
					}
					plan, at := int64(1000), entries
					err = r.EachBlock(t.Context(), from, func(block []Indexed) error {
						for _, e := range block {
							if string(e.Line) != string(entry(int(e.Index), 3).Line)+"\n" {
								t.Errorf("entry %d is %s", e.Index, e.Line)
							}
							got = append(got, e.Index)
						}
						for range every {
							if at < later {
								plan++
								if err := s.Append(t.Context(), plan, "n", batchOf(entry(at, 3))); err != nil {
									t.Fatal(err)
								}
								mergeAll(t, s)
								at++
							}
						}
						return nil
					})
					if err != nil || !slices.Equal(got, want) {
						t.Errorf("%v: %d, want %d", err, got, want)
					}
				})
			}
		}
	}
}

func mergeAll(t testing.TB, s *Logs) {
	t.Helper()
	for more := true; more; {
		var err error
		if more, err = s.Merge(t.Context(), testLog); err != nil {
			t.Fatal(err)
		}
	}
}

// Entries that retention has removed, and that may be selected, are reported and not skipped.
func TestReaderNamesWhatRetentionRemoved(t *testing.T) {
	b := bucketest.NewMemory()
	o := Options{BlockBytes: 1 << 10, SegmentBytes: 1 << 10, Grace: time.Nanosecond}
	s := newStore(b, o)
	fill(t, s, 100, 10, 3)
	before, err := newStore(b, o).ReadSequenced(t.Context(), testLog, All)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prune(t.Context(), testLog, 50_000); err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(t.Context(), testLog); err != nil {
		t.Fatal(err)
	}
	after, err := newStore(b, o).ReadSequenced(t.Context(), testLog, All)
	if err != nil {
		t.Fatal(err)
	}
	if after.First() == 0 {
		t.Fatal("nothing was removed")
	}
	for name, r := range map[string]*Reader{"made before": before, "made after": after} {
		for e, err := range r.Entries(t.Context(), 0) {
			if !errors.Is(err, ErrPruned) {
				t.Errorf("%s: entry %d, %v", name, e.Index, err)
			}
			break
		}
	}
	next := after.First()
	for e, err := range after.Entries(t.Context(), after.First()) {
		if err != nil || e.Index != next {
			t.Fatalf("entry %d, want %d: %v", e.Index, next, err)
		}
		next++
	}
	if next != 100 {
		t.Errorf("it ends before entry %d", next)
	}
}

// An object that is gone although the log has not changed is lost. The Reader reports it, and does not retry for ever.
func TestReaderTellsALostObjectFromAnOldView(t *testing.T) {
	b := bucketest.NewMemory()
	fill(t, newStore(b, Options{}), 10, 10, 3)
	s := newStore(b, Options{})
	r, err := s.ReadSequenced(t.Context(), testLog, All)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(t.Context(), r.view.manifest.Segments[0].Key); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err = r.EachBlock(ctx, 0, func([]Indexed) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "lost") {
		t.Errorf("%v", err)
	}
}
