package tlog

import (
	"bytes"
	"context"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/segment"
	"github.com/weirlog/weir/internal/tlog/tlogtest"
)

// checkBeside checks that each segment of a log has its object with the right content, and that no other one is named.
func checkBeside(t testing.TB, s *Logs) (segments int) {
	t.Helper()
	ctx := context.Background()
	m, err := s.manifest(ctx, testLog)
	if err != nil {
		t.Fatal(err)
	}
	for seg, err := range s.objects.Segments(ctx, m, 0, minInt64, maxInt64) {
		if err != nil {
			t.Fatal(err)
		}
		x, err := s.objects.Index(ctx, seg)
		if err != nil {
			t.Fatal(err)
		}
		var want []byte
		for _, b := range x.Blocks {
			want = binary.BigEndian.AppendUint64(want, uint64(b.Count))
		}
		got, err := s.objects.Beside(ctx, seg, tlogtest.LineCounts{}.ID())
		if err != nil || !bytes.Equal(got, want) || len(seg.Beside) != 1 {
			t.Fatalf("beside %s stands %x, want %x: %v", seg.Key, got, want, err)
		}
		segments++
	}
	return segments
}

func besideKeys(t testing.TB, b bucket.Bucket) (keys []string) {
	t.Helper()
	for info, err := range b.List(context.Background(), manifest.BesidePrefix(testLog), "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func TestObjectsBesideSegmentsLiveAsLongAsTheseDo(t *testing.T) {
	b := bucketest.NewMemory()
	o := small
	o.Beside, o.Grace = []segment.Kind{tlogtest.LineCounts{}}, -1
	s := newStore(b, o)
	fill(t, s, 3000, 100, 3)
	if segments := checkBeside(t, s); segments < 2 {
		t.Fatalf("%d segments", segments)
	}
	if _, err := s.PruneTo(t.Context(), testLog, maxInt64, maxInt64); err != nil {
		t.Fatal(err)
	}
	for range 3 { // one history object at a time
		if _, err := s.Prune(t.Context(), testLog, maxInt64); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Sweep(t.Context(), testLog); err != nil {
		t.Fatal(err)
	}
	segments := checkBeside(t, s)
	if left := besideKeys(t, b); len(left) != segments {
		t.Errorf("%d segments, beside them %s", segments, strings.Join(left, " "))
	}
}

// An object beside a segment may be lost or damaged, or its kind may be newer than the segment. A merge makes such
// objects from the lines, and uses those that exist.
func TestMergeMakesWhatIsMissingBesideSegments(t *testing.T) {
	for name, harm := range map[string]func(*bucketest.Memory, string){
		"whole": func(*bucketest.Memory, string) {},
		"lost":  func(b *bucketest.Memory, key string) { b.Delete(context.Background(), key) },
		"damaged": func(b *bucketest.Memory, key string) {
			b.Put(context.Background(), key, []byte("something else, which is longer than what was there"))
		},
		"newer kind": nil,
	} {
		t.Run(name, func(t *testing.T) {
			b := bucketest.NewMemory()
			counted := 0
			kinds := []segment.Kind{tlogtest.LineCounts{Counted: &counted}}
			o := Options{BlockBytes: 200, SegmentBytes: 1 << 20, MergeWidth: 4}
			if harm != nil {
				o.Beside = kinds
			}
			s := newStore(b, o)
			for i := range 4 {
				var entries []Entry
				for n := range 20 {
					entries = append(entries, entry(20*i+n, 3))
				}
				if err := s.Append(t.Context(), int64(i+1), "nonce", batchOf(entries...)); err != nil {
					t.Fatal(err)
				}
			}
			for _, key := range besideKeys(t, b) {
				harm(b, key)
			}
			before := counted
			o.Beside = kinds
			s = newStore(b, o)
			if _, err := s.Merge(t.Context(), testLog); err != nil {
				t.Fatal(err)
			}
			if segments := checkBeside(t, s); segments != 1 {
				t.Fatalf("%d segments", segments)
			}
			if made := counted > before; made == (name == "whole") {
				t.Errorf("made anew from lines: %t", made)
			}
		})
	}
}
