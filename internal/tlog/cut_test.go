package tlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	modtlog "golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/audit"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/event/eventtest"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/segment"
	"github.com/weirlog/weir/internal/tlog/tlogtest"
)

// aged is a log whose events have times in any order, and the model that it is compared with: a list of its entries.
type aged struct {
	*rapid.T
	b     *bucketest.Memory
	o     Options
	s     *Logs
	batch int64
	uid   int
	times []int64 // of all entries, removed ones included
	lines []string
	gone  int // number of removed entries
}

func (a *aged) grow(t *rapid.T) {
	var lines []string
	late := rapid.Bool().Draw(t, "late")
	for range rapid.IntRange(1, 150).Draw(t, "entries") {
		at := int64(len(a.times)+len(lines)) * 10
		if late {
			at = rapid.Int64Range(0, at).Draw(t, "time")
		}
		a.uid++
		lines = append(lines, fmt.Sprintf(`{"time":%d,"metadata":{"uid":"%d"},"filler":"%0*d"}`, at, a.uid,
			a.uid%97, 0))
	}
	batch := eventtest.Batch(testLog, lines...)
	a.batch++
	if err := a.s.Append(context.Background(), a.batch, "nonce", batch); err != nil {
		t.Fatal(err)
	}
	order := make([]int, len(lines))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(x, y int) int { return int(batch.Entries[x].Time - batch.Entries[y].Time) })
	for _, i := range order {
		a.times, a.lines = append(a.times, batch.Entries[i].Time), append(a.lines, lines[i]+"\n")
	}
}

func (a *aged) merge(t *rapid.T) {
	if _, err := a.s.Merge(context.Background(), testLog); err != nil {
		t.Fatal(err)
	}
}

// prune does what a pass of retention does.
func (a *aged) prune(t *rapid.T) {
	ctx := context.Background()
	before := rapid.Int64Range(0, int64(len(a.times))*10+1).Draw(t, "before")
	due := before - rapid.Int64Range(0, 500).Draw(t, "slack")
	for {
		announced, err := a.s.Prunable(ctx, testLog, before, due)
		if err != nil {
			t.Fatal(err)
		}
		if announced.Entries == 0 {
			break
		}
		stays := a.stays(before)
		grew := rapid.Bool().Draw(t, "grew")
		if grew { // it may move segments to a history object, which are then not removed in one step
			a.grow(t)
			a.merge(t)
		}
		p, err := a.s.PruneTo(ctx, testLog, before, announced.End())
		if err != nil || p.Entries == 0 || p.End() > announced.End() || !grew && p != announced {
			t.Fatalf("%+v was removed, %+v announced: %v", p, announced, err)
		}
		times := a.times[p.First:p.End()]
		if p.First != int64(a.gone) || p.End() > int64(stays) || p.MinTime != slices.Min(times) ||
			p.MaxTime != slices.Max(times) {
			t.Fatalf("%+v was removed behind %d entries; entry %d must stay", p, a.gone, stays)
		}
		a.gone = int(p.End())
	}
	for i := a.gone; i < a.stays(before); i++ {
		if a.times[i] < due {
			t.Fatalf("entry %d of time %d stays, before %d, due %d; entry %d is the first that must", i, a.times[i],
				before, due, a.stays(before))
		}
	}
}

// stays returns the index of the first entry that is not older than before.
func (a *aged) stays(before int64) int {
	n := slices.IndexFunc(a.times[a.gone:], func(at int64) bool { return at >= before })
	if n < 0 {
		return len(a.times)
	}
	return a.gone + n
}

func (a *aged) sweep(t *rapid.T) {
	if err := a.s.Sweep(context.Background(), testLog); err != nil {
		t.Fatal(err)
	}
}

func (a *aged) restart(*rapid.T) { a.s = newStore(a.b, a.o) }

// check checks that the log equals the list of entries, and that everything signed of it is correct.
func (a *aged) check(t *rapid.T) {
	if got := read(t, a.s, Query{Start: minInt64, End: maxInt64}); !slices.Equal(got, a.lines[a.gone:]) {
		t.Fatalf("it holds %d lines, want %d", len(got), len(a.lines)-a.gone)
	}
	found, err := (&audit.Auditor{Bucket: a.b, Keys: a.o.Keys}).Log(context.Background(), testLog)
	if err != nil || len(found.Findings) > 0 || found.Size != int64(len(a.lines)) || found.Removed != int64(a.gone) {
		t.Fatalf("%d entries, %d removed; audit: %+v, %v", len(a.lines), a.gone, found, err)
	}
	if len(a.lines) == 0 {
		return
	}
	a.prove(t, rapid.IntRange(0, len(a.lines)-1).Draw(t, "proven"))
}

// prove checks the proof of an entry, which may be removed.
func (a *aged) prove(t *rapid.T, index int) {
	p, h, digest, err := a.s.ProveEntry(context.Background(), testLog, int64(index))
	if err != nil {
		t.Fatal(err)
	}
	line := a.lines[index]
	if want := proof.Digest([]byte(line[:len(line)-1])); digest != want {
		t.Fatalf("entry %d has the digest %v, not %v", index, digest, want)
	}
	if err := modtlog.CheckRecord(p, h.Size, h.Root, int64(index), proof.Leaf(digest)); err != nil {
		t.Fatalf("entry %d of %d, %d removed: %v", index, len(a.lines), a.gone, err)
	}
}

// For any order of events, merges and removals: every entry that is due is removed, unless a younger one precedes it.
// No other entry is removed. The rest of the log, and the proofs of it, do not change.
func TestOldEntriesGoAndNoOthers(t *testing.T) {
	o, _ := signing(t, Options{BlockBytes: 2 << 10, MergeWidth: 3, SegmentBytes: 16 << 10, HistorySegments: 2,
		Grace: time.Nanosecond})
	o.Beside = []segment.Kind{tlogtest.LineCounts{}}
	rapid.Check(t, func(rt *rapid.T) {
		a := &aged{T: rt, b: bucketest.NewMemory(), o: o}
		a.restart(rt)
		rt.Repeat(map[string]func(*rapid.T){"grow": a.grow, "grow more": a.grow, "merge": a.merge, "prune": a.prune,
			"sweep": a.sweep, "restart": a.restart, "check": a.check})
		a.check(rt)
	})
}

// If several nodes cut the same segment, the entries are removed once, and the objects of the losers are swept.
func TestSeveralCutAtOnce(t *testing.T) {
	const n, before = 1000, 333_500
	b := bucketest.NewMemory()
	fill(t, newStore(b, small), n, 1000, 3)
	var wg sync.WaitGroup
	errs, removed := make([]error, 4), make([]manifest.Pruned, 4)
	for i := range errs {
		wg.Go(func() { removed[i], errs[i] = newStore(b, small).Prune(t.Context(), testLog, before) })
	}
	wg.Wait()
	var sum int64
	for _, p := range removed {
		sum += p.Entries
	}
	if err := errors.Join(errs...); err != nil || sum != 334 {
		t.Errorf("%d entries were removed: %+v, %v", sum, removed, err)
	}
	s := newStore(b, small)
	if _, err := s.Prune(t.Context(), testLog, before+1000); err != nil { // lists leftovers for removal
		t.Fatal(err)
	}
	if err := s.Sweep(t.Context(), testLog); err != nil {
		t.Fatal(err)
	}
	stored := 0
	for _, err := range b.List(t.Context(), manifest.SegmentPrefix(testLog), "") {
		if err != nil {
			t.Fatal(err)
		}
		stored++
	}
	if got := read(t, s, Query{End: maxInt64}); len(got) != n-335 || stored != 1 {
		t.Errorf("%d events are left in %d segments", len(got), stored)
	}
}

// No segment is made again, and no block opened, for entries that are too old but not due yet.
func TestOnlyWhatIsDueIsCutFor(t *testing.T) {
	const n, before = 1000, 500_500
	s := newStore(bucketest.NewMemory(), small)
	fill(t, s, n, n, 3)
	m, err := s.manifest(t.Context(), testLog)
	if err != nil {
		t.Fatal(err)
	}
	x, err := s.objects.Index(t.Context(), m.Segments[0])
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(x.Blocks, func(b segment.Block) bool { return b.MaxTime >= before })
	opened := x.Blocks[at]
	if at < 1 || opened.MinTime >= before {
		t.Fatalf("block %d is cut", at)
	}
	for due, want := range map[int64]int64{0: 0, 1: opened.First, opened.MinTime: opened.First,
		opened.MinTime + 1: 501, before: 501} {
		p, err := s.Prunable(t.Context(), testLog, before, due)
		if err != nil || p.Entries != want {
			t.Errorf("due %d: %d entries go, want %d: %v", due, p.Entries, want, err)
		}
	}
}

// An entry that is too old but follows a younger one stays until that one is removed. It makes no other entry due.
func TestOldEntryBehindAYoungerOneStays(t *testing.T) {
	line := func(at int) string { return fmt.Sprintf(`{"time":%d,"metadata":{"uid":"%d"}}`, at, at) }
	for _, merged := range []bool{false, true} {
		o := small
		o.MergeWidth = 2
		s := newStore(bucketest.NewMemory(), o)
		for i, at := range []int{100, 200, 50, 300} {
			err := s.Append(t.Context(), int64(i+1), "nonce", eventtest.Batch(testLog, line(at)))
			if err == nil && merged {
				_, err = s.Merge(t.Context(), testLog)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		p, err := s.Prunable(t.Context(), testLog, 150, 60)
		if err != nil || merged && p.Entries != 0 {
			t.Errorf("merged %t: the event of 50 makes %d entries due: %v", merged, p.Entries, err)
		}
		for _, step := range []struct{ before, left int64 }{{100, 4}, {150, 3}, {200, 3}, {201, 1}, {301, 0}} {
			for p.Entries = 1; p.Entries > 0; {
				if p, err = s.Prune(t.Context(), testLog, step.before); err != nil {
					t.Fatal(err)
				}
			}
			if got := read(t, s, Query{End: maxInt64}); int64(len(got)) != step.left {
				t.Errorf("merged %t, before %d: %d events are left, want %d", merged, step.before, len(got), step.left)
			}
		}
	}
}
