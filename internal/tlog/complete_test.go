package tlog

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/segment"
	"github.com/weirlog/weir/internal/tlog/tlogtest"
)

func completeAll(t testing.TB, s *Logs) (steps int) {
	t.Helper()
	for more := true; more; {
		var err error
		if more, err = s.Complete(context.Background(), testLog); err != nil {
			t.Fatal(err)
		}
		if more {
			steps++
		}
		if steps > 1000 {
			t.Fatal("it does not end")
		}
	}
	return steps
}

// A log that is older than a kind of object gets such an object beside all segments, those of its history included. Its
// entries and its tree do not change.
func TestOldSegmentsGetWhatTheyLack(t *testing.T) {
	b := bucketest.NewMemory()
	o := Options{BlockBytes: 300, SegmentBytes: 2 << 10, MergeWidth: 2, HistorySegments: 2, Grace: -1}
	s := newStore(b, o)
	fill(t, s, 600, 40, 3)
	m, err := s.manifest(t.Context(), testLog)
	if err != nil {
		t.Fatal(err)
	}
	lines, segments := read(t, s, All), len(m.Segments)
	if len(m.History) == 0 || segments == 0 {
		t.Fatalf("%d history objects, %d segments", len(m.History), segments)
	}
	head, err := s.Head(t.Context(), testLog)
	if err != nil {
		t.Fatal(err)
	}
	o.Beside = []segment.Kind{tlogtest.LineCounts{}}
	s = newStore(b, o)
	steps := completeAll(t, s)
	if n := checkBeside(t, s); n != steps {
		t.Errorf("%d segments, %d were made anew", n, steps)
	}
	if got := read(t, s, All); !slices.Equal(got, lines) {
		t.Errorf("%d lines, there were %d", len(got), len(lines))
	}
	if now, err := s.Head(t.Context(), testLog); err != nil || now.Root != head.Root || now.Size != head.Size {
		t.Errorf("the tree has become %d, %x: %v", now.Size, now.Root, err)
	}
	if steps := completeAll(t, newStore(b, o)); steps != 0 {
		t.Errorf("%d more steps on a complete log", steps)
	}
}

// A lost object is made again after it was reported, even if the log grows meanwhile.
func TestDamagedObjectsAreMadeAnew(t *testing.T) {
	memory := bucketest.NewMemory()
	b := &bucketest.Faulty{Bucket: memory}
	o := Options{BlockBytes: 300, MergeWidth: 4, Grace: -1, Beside: []segment.Kind{tlogtest.LineCounts{}}}
	s := newStore(b, o)
	fill(t, s, 300, 40, 3)
	for _, key := range besideKeys(t, memory) {
		if err := memory.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		s.Damaged(key)
	}
	grown := 0
	b.Before = func(_ context.Context, op bucketest.Op, key string) error {
		if op != bucketest.PutNew || !strings.HasPrefix(key, manifest.Prefix(testLog)) || grown == 2 {
			return nil
		}
		grown++ // just before the step is committed
		entries := []tlogtest.Entry{tlogtest.Regular(1000+grown, 3)}
		return newStore(memory, o).Append(context.Background(), int64(1<<40+grown), "nonce", tlogtest.Batch(entries...))
	}
	if steps := completeAll(t, s); steps == 0 || grown == 0 {
		t.Errorf("%d steps, the log grew %d times", steps, grown)
	}
	b.Before = nil
	checkBeside(t, s)
}
