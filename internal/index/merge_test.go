package index

import (
	"bytes"
	"context"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/segment"
)

// made returns blocks as a segment.Builder passes them to a Kind.
func made(blocks [][][]byte) (all []segment.Made) {
	for _, lines := range blocks {
		all = append(all, segment.Made{Block: &segment.Block{Count: len(lines), Raw: leastRaw}, Note: noteLines(lines)})
	}
	return all
}

// Merging indexes gives the same bytes as building, for any distribution of the blocks over segments, and also if a
// block was noted again.
func TestMergeIsBuild(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blocks := drawBlocks(t)
		want, err := Kind{}.Build(made(blocks))
		if err != nil || want == nil {
			t.Fatalf("%d bytes: %v", len(want), err)
		}
		var sources []*segment.Source
		merged := made(blocks)
		for start := 0; start < len(blocks); {
			end := rapid.IntRange(start+1, len(blocks)).Draw(t, "end")
			content, err := Kind{}.Build(made(blocks[start:end]))
			if err != nil {
				t.Fatal(err)
			}
			s := &segment.Source{Parts: map[segment.ID][]byte{ID: content}}
			sources = append(sources, s)
			for i := start; i < end; i++ {
				if rapid.IntRange(0, 3).Draw(t, "copied") > 0 {
					merged[i].Note, merged[i].Source, merged[i].Number = nil, s, i-start
				}
			}
			start = end
		}
		got, err := Kind{}.Merge(sources, merged)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, want %d: %v", len(got), len(want), err)
		}
	})
}

// naive counts the values of a field of entries, by the definition.
func naive(t fatal, field query.Field, lines [][]byte) (counts map[query.Scalar]int, missing int) {
	t.Helper()
	counts = map[query.Scalar]int{}
	x := query.NewExtract(field)
	for _, line := range lines {
		if err := x.Read(line); err != nil {
			t.Fatalf("%v", err)
		}
		seen := map[query.Scalar]bool{}
		for _, v := range x.Values(0) {
			v.Text = string([]byte(v.Text))
			if !seen[v] {
				seen[v] = true
				counts[v]++
			}
		}
		if len(seen) == 0 {
			missing++
		}
	}
	return counts, missing
}

func TestFacetsAgreeWithLines(t *testing.T) {
	hidden, shown := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		blocks := drawBlocks(t)
		x := open(t, build(blocks))
		result := make([]Matches, len(blocks))
		for i := range result {
			result[i] = Matches{Every: true}
		}
		if rapid.Bool().Draw(t, "some") {
			result = x.evaluate(t, &query.Query{Root: drawNode(t, 1)}, x.All())
		}
		var fields []query.Field
		for range 5 {
			fields = append(fields, drawField(t))
		}
		facets, err := x.Facets(context.Background(), fields, 0, result, x.fetch)
		if err != nil {
			t.Fatal(err)
		}
		for i := range facets {
			s, h := checkFacet(t, fields[i], blocks, result, &facets[i])
			shown, hidden = shown+s, hidden+h
		}
	})
	if hidden == 0 || shown < hidden {
		t.Errorf("%d shown, %d hidden", shown, hidden)
	}
}
