package tlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/tlog/tlogtest"
)

var small = Options{BlockBytes: 4 << 10, MergeWidth: 4, SegmentBytes: 32 << 10, Grace: time.Nanosecond,
	HistorySegments: 3}

// In any state of the log, each event that is too old is removed, and no other. The rest keeps its order, and removed
// events are gone from the bucket after a sweep.
func TestPruneRemovesOldEventsOnly(t *testing.T) {
	const n = 4000
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		b := bucketest.NewMemory()
		s := newStore(b, small)
		fill(t, s, n, 1+random.IntN(300), 3)
		before := random.Int64N(n * 1000)
		announced, err := s.Prunable(t.Context(), testLog, before, before)
		if err != nil {
			t.Fatal(err)
		}
		var pruned int64
		for step := 0; ; step++ {
			p, err := s.Prune(t.Context(), testLog, before)
			if err != nil {
				t.Fatal(err)
			}
			if step == 0 && p != announced {
				t.Errorf("pruned %+v, announced %+v", p, announced)
			}
			if p.Entries == 0 {
				break
			}
			if p.First != pruned || p.MaxTime >= before {
				t.Errorf("pruned %+v behind %d entries, before %d", p, pruned, before)
			}
			pruned += p.Entries
		}
		if want := (before + 999) / 1000; pruned != want {
			t.Errorf("seed %d: %d events are gone, want %d", seed, pruned, want)
		}
		if err := s.Sweep(t.Context(), testLog); err != nil {
			t.Fatal(err)
		}
		var want []string
		for i := int(pruned); i < n; i++ {
			want = append(want, string(entry(i, 3).Line)+"\n")
		}
		fresh := newStore(b, small)
		if got := read(t, fresh, Query{End: n * 1000}); !slices.Equal(got, want) {
			t.Fatalf("seed %d: %d events are left, want %d", seed, len(got), len(want))
		}
		m, err := fresh.manifest(t.Context(), testLog)
		if err != nil {
			t.Fatal(err)
		}
		if pruned > 0 && m.Pruned.End() != pruned || len(m.Removing) > 0 {
			t.Errorf("manifest: %+v", m)
		}
		info, err := fresh.Info(t.Context(), testLog, before)
		if err != nil || info.Entries != n-pruned || info.Entries > 0 && info.MinTime != pruned*1000 ||
			info.MaxTime >= n*1000 || info.Older != 0 {
			t.Errorf("info %+v, %v", info, err)
		}
		listed := 0
		for range fresh.objects.Segments(t.Context(), m, 0, minInt64, maxInt64) {
			listed++
		}
		stored := 0
		for _, err := range b.List(t.Context(), manifest.SegmentPrefix(testLog), "") {
			if err != nil {
				t.Fatal(err)
			}
			stored++
		}
		if stored != listed {
			t.Errorf("seed %d: %d segments are stored, %d named", seed, stored, listed)
		}
		tlogtest.FillFrom(t, fresh, n, 100) // the log continues
		if got := read(t, fresh, Query{End: maxInt64}); len(got) != len(want)+100 {
			t.Errorf("seed %d: %d events, want %d", seed, len(got), len(want)+100)
		}
	}
}

// An error at any call, before or after its effect, does not change the outcome after the step is repeated.
func TestPruneSurvivesFaults(t *testing.T) {
	const n, before = 2000, 1_100_000
	failure := errors.New("injected")
	step := 1
	if testing.Short() {
		step = 7
	}
	for _, after := range []bool{false, true} {
		for call := 0; ; call += step {
			b := bucketest.NewMemory()
			fill(t, newStore(b, small), n, 60, 3)
			left := call
			hook := func(_ context.Context, op bucketest.Op, _ string) error {
				if left--; left == -1 {
					return failure
				}
				return nil
			}
			f := &bucketest.Faulty{Bucket: b}
			if after {
				f.After = hook
			} else {
				f.Before = hook
			}
			s := newStore(f, small)
			for tries := 0; ; tries++ {
				p, err := s.Prune(t.Context(), testLog, before)
				if err != nil && !errors.Is(err, failure) {
					t.Fatalf("call %d: %v", call, err)
				}
				if err == nil && p.Entries == 0 {
					break
				}
				if tries > 100 {
					t.Fatal("no end")
				}
			}
			for range 2 {
				if err := s.Sweep(t.Context(), testLog); err != nil && !errors.Is(err, failure) {
					t.Fatal(err)
				}
			}
			got := read(t, newStore(b, small), Query{End: n * 1000})
			first := n - len(got)
			for i, line := range got {
				if line != string(entry(first+i, 3).Line)+"\n" {
					t.Fatalf("call %d: entry %d is %s", call, first+i, line)
				}
			}
			if int64(first) != before/1000 {
				t.Fatalf("call %d: %d events are left", call, len(got))
			}
			if left >= 0 {
				break // there is no such call
			}
		}
	}
}

// If retention removes events of a download that is running, the download fails visibly. A download of younger events
// is not disturbed.
func TestDownloadOfPrunedEventsFails(t *testing.T) {
	const n = 3000
	b := bucketest.NewMemory()
	s := newStore(b, Options{BlockBytes: 4 << 10, MergeWidth: 4, SegmentBytes: 32 << 10, Grace: time.Nanosecond})
	fill(t, s, n, 60, 3)
	all, err := s.Download(t.Context(), testLog, Query{End: n * 1000, Processor: "p1"})
	if err != nil {
		t.Fatal(err)
	}
	late, err := s.Download(t.Context(), testLog, Query{Start: 2_000_000, End: n * 1000, Processor: "p1"})
	if err != nil {
		t.Fatal(err)
	}
	other := newStore(b, s.options)
	if _, err := other.Prune(t.Context(), testLog, 1_500_000); err != nil {
		t.Fatal(err)
	}
	if err := other.Sweep(t.Context(), testLog); err != nil {
		t.Fatal(err)
	}
	if err := all.WriteTo(t.Context(), io.Discard); !errors.Is(err, ErrPruned) {
		t.Errorf("got %v", err)
	}
	if err := late.WriteTo(t.Context(), io.Discard); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestDropLeavesNothing(t *testing.T) {
	b := bucketest.NewMemory()
	s := newStore(b, small)
	fill(t, s, 1000, 60, 3)
	for {
		p, err := s.Prune(t.Context(), testLog, maxInt64)
		if err != nil {
			t.Fatal(err)
		}
		if p.Entries == 0 {
			break
		}
	}
	if err := errors.Join(s.Sweep(t.Context(), testLog), s.Drop(t.Context(), testLog)); err != nil {
		t.Fatal(err)
	}
	for info := range b.List(t.Context(), "logs/", "") {
		t.Errorf("left: %s", info.Key)
	}
	if got := read(t, s, Query{End: maxInt64}); len(got) != 0 {
		t.Errorf("left: %s", strings.Join(got, fmt.Sprintln()))
	}
}
