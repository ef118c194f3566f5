package segment

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/proof"
)

// At any cut of a segment, every part equals the part of a segment made of the remaining entries, and the full blocks
// after the cut are unchanged.
func TestCuttingKeepsWhatPartsSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blockBytes := rapid.IntRange(200, 4000).Draw(t, "blockBytes")
		var tree proof.Tree
		for range rapid.IntRange(0, 600).Draw(t, "before") {
			tree.Append(proof.Leaf(proof.Digest(testEntry(tree.Size).Line)))
		}
		w, first := New(&tree, blockBytes, lineCounts{}), tree.Size
		for n := range int64(rapid.IntRange(1, 900).Draw(t, "entries")) {
			w.add(first + n)
		}
		whole := finish(t, w)
		for range rapid.IntRange(1, 4).Draw(t, "cuts") {
			at := rapid.Int64Range(whole.First, whole.End()-1).Draw(t, "at")
			left := cutAt(t, &whole, at, blockBytes)
			left.check(t)
			if left.First != at || left.End() != whole.End() {
				t.Fatalf("cut at %d: entries %d to %d are left of %d to %d", at, left.First, left.End()-1, whole.First,
					whole.End()-1)
			}
			for _, b := range whole.index(t).Blocks {
				if b.First >= at && b.Raw >= int64(blockBytes) && !bytes.Contains(left.data, whole.bytes(b.Span)) {
					t.Fatalf("cut at %d: the block with entries %d to %d does not lie as it lay", at,
						b.First, b.End()-1)
				}
			}
			whole = left
		}
	})
}

func cutAt(t rapid.TB, m *made, at int64, blockBytes int) made {
	t.Helper()
	w := NewMerge(at, blockBytes, lineCounts{})
	read := func(b *Block) ([]byte, error) { return m.bytes(b.Span), nil }
	if err := w.MergeFrom(m.source(t, true), at, read); err != nil {
		t.Fatal(err)
	}
	return finish(t, w)
}

// A cut at an entry that the segment does not have is an error.
func TestCutRefusesEntriesOfOthers(t *testing.T) {
	var tree proof.Tree
	for range 5 {
		tree.Append(proof.Leaf(proof.Digest(testEntry(tree.Size).Line)))
	}
	w := New(&tree, 1000)
	for n := range int64(10) {
		w.add(5 + n)
	}
	m := finish(t, w)
	for _, at := range []int64{0, 4, 15, 16} {
		read := func(b *Block) ([]byte, error) { return m.bytes(b.Span), nil }
		if err := NewMerge(at, 1000).MergeFrom(m.source(t, false), at, read); err == nil {
			t.Errorf("entry %d of a segment with entries 5 to 14 was found", at)
		}
	}
}
