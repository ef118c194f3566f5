package follow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/event/eventtest"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/wal"
)

const testLog = "6a793f48c0eb9e7a17712f00"

// heard is a handler that records its calls.
type heard struct {
	indexes []int64
	gaps    [][2]int64
	before  func(first int64) error // if set, it is called before entries are accepted
}

func (h *heard) Entries(_ context.Context, _ string, entries []tlog.Indexed) error {
	if h.before != nil {
		if err := h.before(entries[0].Index); err != nil {
			return err
		}
	}
	for _, e := range entries {
		h.indexes = append(h.indexes, e.Index)
	}
	return nil
}

func (h *heard) Gap(_ context.Context, _ string, first, end int64) error {
	h.gaps = append(h.gaps, [2]int64{first, end})
	return nil
}

// world is a log in a bucket.
type world struct {
	*testing.T
	bucket  *bucketest.Memory
	logs    *tlog.Logs
	entries int
}

func newWorld(t *testing.T) *world {
	b := bucketest.NewMemory()
	logs := tlog.NewLogs(b, wal.NewReader(b, seal.NewKey(make([]byte, 32)), 1<<20),
		tlog.Options{BlockBytes: 200, SegmentBytes: 1, Grace: time.Nanosecond})
	return &world{T: t, bucket: b, logs: logs}
}

func (w *world) grow(n int) {
	w.Helper()
	var lines []string
	for range n {
		lines = append(lines, fmt.Sprintf(`{"time":%d,"metadata":{"uid":"%d"}}`, w.entries, w.entries))
		w.entries++
	}
	if err := w.logs.Append(w.Context(), int64(w.entries), "n", eventtest.Batch(testLog, lines...)); err != nil {
		w.Fatal(err)
	}
}

func (w *world) follower(h Handler) *Follower {
	return &Follower{Name: "test", Bucket: w.bucket, Logs: w.logs, Handler: h}
}

func (w *world) follow(f *Follower) {
	w.Helper()
	if err := f.Follow(w.Context(), testLog); err != nil {
		w.Fatal(err)
	}
}

func (w *world) expect(got []int64, from, to int64) {
	w.Helper()
	var want []int64
	for i := from; i < to; i++ {
		want = append(want, i)
	}
	if !slices.Equal(got, want) {
		w.Errorf("%d, want entries [%d, %d)", got, from, to)
	}
}

func TestFollowerContinuesAtItsCursor(t *testing.T) {
	w := newWorld(t)
	first, second := &heard{}, &heard{}
	for range 20 {
		w.grow(7)
		w.follow(w.follower(first))
	}
	w.expect(first.indexes, 0, 140)
	w.follow(w.follower(second))
	w.expect(second.indexes, 0, 0)
	w.grow(3)
	w.follow(w.follower(second))
	w.expect(second.indexes, 140, 143)
	n := 0
	for range w.bucket.List(t.Context(), "cursors/", "") {
		n++
	}
	if n > 8 {
		t.Errorf("%d versions of the cursor are kept", n)
	}
}

func TestFollowerRepeatsEntriesThatWereNotAccepted(t *testing.T) {
	w := newWorld(t)
	w.grow(50)
	refused := errors.New("refused")
	h := &heard{before: func(first int64) error {
		if first > 20 {
			return refused
		}
		return nil
	}}
	if err := w.follower(h).Follow(t.Context(), testLog); err == nil {
		t.Fatal("the refusal is not reported")
	}
	h.before = nil
	w.follow(w.follower(h))
	w.expect(h.indexes, 0, 50)
}

func TestTwoNodesRepeatTheSameEntriesInOrder(t *testing.T) {
	w := newWorld(t)
	w.grow(50)
	other := &heard{}
	h := &heard{before: func(first int64) error {
		if first == 0 {
			w.follow(w.follower(other))
		}
		return nil
	}}
	w.follow(w.follower(h))
	w.expect(h.indexes, 0, 50)
	w.expect(other.indexes, 0, 50)
	w.follow(w.follower(h))
	w.expect(h.indexes, 0, 50)
}

func TestLostCursorRepeatsEntries(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.grow(10)
		w.follow(w.follower(&heard{}))
	}
	for n := 3; n >= 1; n-- {
		if err := w.bucket.Delete(t.Context(), fmt.Sprintf("cursors/test/%s/%010d.json", testLog, n)); err != nil {
			t.Fatal(err)
		}
		h := &heard{}
		w.follow(w.follower(h))
		w.expect(h.indexes, int64(n-1)*10, 30)
		for m := n; m <= 3; m++ {
			w.bucket.Delete(t.Context(), fmt.Sprintf("cursors/test/%s/%010d.json", testLog, m))
		}
	}
}

func TestHandlerIsToldWhichEntriesRetentionRemoved(t *testing.T) {
	w := newWorld(t)
	h := &heard{}
	w.grow(10)
	w.follow(w.follower(h))
	w.grow(10)
	w.grow(10)
	w.grow(10)
	w.prune(20)
	h.before = func(first int64) error { // retention overtakes the follower while it reads
		if first == 20 {
			w.prune(40)
		}
		return nil
	}
	w.follow(w.follower(h))
	told := map[int64]bool{}
	for _, i := range h.indexes {
		told[i] = true
	}
	for _, gap := range h.gaps {
		for i := gap[0]; i < gap[1]; i++ {
			if told[i] {
				t.Errorf("entry %d is in a gap and was given too", i)
			}
			told[i] = true
		}
	}
	if len(told) != w.entries || len(h.gaps) != 2 || !slices.IsSorted(h.indexes) {
		t.Errorf("gaps %d, entries %d", h.gaps, h.indexes)
	}
}

func (w *world) prune(before int64) {
	for {
		p, err := w.logs.Prune(w.Context(), testLog, before)
		if err == nil {
			err = w.logs.Sweep(w.Context(), testLog)
		}
		if err != nil {
			w.Fatal(err)
		}
		if p.Entries == 0 {
			return
		}
	}
}

func TestCursorBeyondTheLogIsAnError(t *testing.T) {
	w := newWorld(t)
	w.grow(10)
	w.follow(w.follower(&heard{}))
	other := newWorld(t)
	other.grow(5)
	f := w.follower(&heard{})
	f.Logs = other.logs
	if err := f.Follow(t.Context(), testLog); !errors.Is(err, ErrAhead) {
		t.Error(err)
	}
}
