package index

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/weirlog/weir/internal/bench/corpus"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/segment"
)

// madeSegment is a segment with its index.
type madeSegment struct {
	segment.Info
	data   []byte
	beside []segment.Object
}

func finish(t *testing.T, b *segment.Builder) madeSegment {
	t.Helper()
	data, info, beside, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return madeSegment{info, data, beside}
}

func (w *madeSegment) source(t *testing.T) *segment.Source {
	t.Helper()
	at := func(s segment.Span) []byte { return w.data[s.Offset:s.End()] }
	x, err := segment.DecodeIndex(w.Info, at(w.IndexSpan()))
	if err != nil {
		t.Fatal(err)
	}
	s := &segment.Source{Info: w.Info, Index: x, Parts: map[segment.ID][]byte{}}
	for _, p := range x.Parts {
		if s.Parts[p.ID], err = p.Content(at(p.Span)); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range w.beside {
		s.Parts[o.ID] = o.Data
	}
	return s
}

// In a log whose segments are merged again and again, each segment that is large enough has an index, the same as one
// built from the lines of its blocks.
func TestSegmentsHaveTheIndexOfTheirLines(t *testing.T) {
	const blockBytes = 100 << 10
	var tree proof.Tree
	var p event.Parser
	c := &corpus.Corpus{Events: 4000, Days: 30, Until: until, Seed: 1}
	rnd := rand.New(rand.NewPCG(1, 1))
	var segments []madeSegment
	for range 20 {
		b := segment.New(&tree, blockBytes, Kind{})
		for range rnd.IntN(400) + 1 {
			line, ok := c.Next(nil)
			if !ok {
				break
			}
			e, err := p.Entry(bytes.TrimSuffix(line, []byte("\n")))
			if err != nil {
				t.Fatal(err)
			}
			b.Add(line, e)
		}
		segments = append(segments, finish(t, b))
	}
	with, without := 0, 0
	for len(segments) > 0 {
		for _, s := range segments {
			if s.check(t) {
				with++
			} else {
				without++
			}
		}
		if len(segments) == 1 {
			break
		}
		count := min(len(segments), 3)
		b := segment.NewMerge(segments[0].First, blockBytes, Kind{})
		for _, s := range segments[:count] {
			err := b.Merge(s.source(t), func(block *segment.Block) ([]byte, error) {
				return s.data[block.Offset:block.Span.End()], nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		segments = append([]madeSegment{finish(t, b)}, segments[count:]...)
	}
	if with < 5 || without < 5 {
		t.Errorf("%d segments have an index, %d have none", with, without)
	}
}

// check checks the segment's index, and tells whether there is one.
func (w *madeSegment) check(t *testing.T) bool {
	t.Helper()
	s := w.source(t)
	var notes []*note
	for i := range s.Index.Blocks {
		b := &s.Index.Blocks[i]
		lines, err := b.Decode(nil, w.data[b.Offset:b.Span.End()])
		if err != nil {
			t.Fatal(err)
		}
		notes = append(notes, noteOf(segment.Content{Block: b, Lines: lines}))
	}
	got, ok := s.Parts[ID]
	if ok != (w.Raw >= leastRaw) {
		t.Fatalf("a segment with %d bytes of lines has an index: %t", w.Raw, ok)
	}
	if ok && !bytes.Equal(got, encode(notes)) {
		t.Fatalf("the index of the segment with the entries from %d on is not that of its lines", w.First)
	}
	return ok
}

func TestNoIndexOfTooManyPaths(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	var blocks [][][]byte
	for b := range mostColumns/maxPaths + 1 {
		var lines [][]byte
		for i := range maxPaths / maxChildren {
			lines = append(lines, wide(fmt.Sprintf("p%d-%d", b, i), maxChildren))
		}
		blocks = append(blocks, lines)
	}
	content, err := Kind{}.Build(made(blocks))
	if content != nil || err != nil {
		t.Errorf("%d bytes, %v", len(content), err)
	}
	if content, err = (Kind{}).Build(made(blocks[1:])); content == nil || err != nil {
		t.Errorf("%d bytes of as many paths as there may be, %v", len(content), err)
	}
}

func TestMergeRefusesIndexesOfOtherBlocks(t *testing.T) {
	blocks := someBlocks()
	content := build(blocks)
	for name, parts := range map[string][]byte{"nothing": nil, "half": content[:len(content)/2],
		"others": build(blocks[:1])} {
		s := &segment.Source{Parts: map[segment.ID][]byte{ID: parts}}
		merged := made(blocks)
		merged[1].Note, merged[1].Source, merged[1].Number = nil, s, 1
		if _, err := (Kind{}).Merge([]*segment.Source{s}, merged); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Nothing is claimed about a block with a line that is not an event.
func TestNothingIsClaimedOfBlocksWithOtherLines(t *testing.T) {
	blocks := someBlocks()
	last := len(blocks) - 1
	x := open(t, build(blocks))
	for _, q := range someQueries(t) {
		m := x.evaluate(t, q, x.All())[last]
		if m.Yes != nil || m.Every || m.Perhaps.Count() != len(blocks[last]) {
			t.Errorf("%s: %v", q, m)
		}
	}
	facets, err := x.Facets(context.Background(), []query.Field{"a", "who"}, last, []Matches{{Every: true}}, x.fetch)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range facets {
		if len(f.Values) > 0 || f.Missing > 0 || f.Hidden[0].Count() != len(blocks[last]) {
			t.Errorf("%v", f)
		}
	}
	err = x.Times(context.Background(), []int{last}, x.fetch, func(_ int, times []int64) error {
		if times != nil {
			t.Errorf("its times are %v", times)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// The index decides usual questions about usual events.
func TestIndexDecidesUsualQuestions(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	blocks, counts := corpusBlocks(20_000, true)
	var notes []*note
	for i := range blocks {
		notes = append(notes, noteBlock(blocks[i], counts[i]))
	}
	x := open(t, encode(notes))
	for _, text := range []string{"nowhere", "orders-*", "203.0.113.0/24", "who:admin.user-7 outcome:failure",
		"processor-31", "src_endpoint.ip:203.0.112.7 or entity.name:processor-0*", "not target:*", "time > 2026-11-01",
		"status_id >= 2",
		"src_endpoint.port > 60000", "duration > 30000", "duration:100", "duration:7* or 4711",
		"class:authentication what:(logout or authenticate)", "*", "2001:db8::1", "from:*"} {
		q, err := query.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		m, err := query.Compile(q)
		if err != nil {
			t.Fatal(err)
		}
		undecided := 0
		for b, result := range x.evaluate(t, q, x.All()) {
			certain, possible := result.sets(counts[b])
			entry := 0
			for line := range bytes.Lines(blocks[b]) {
				switch want := m.Match(bytes.TrimSuffix(line, []byte("\n"))); {
				case possible.Has(entry):
					undecided++
				case want != certain.Has(entry):
					t.Fatalf("%s on %s: %t", text, line, !want)
				}
				entry++
			}
		}
		if undecided > 800 {
			t.Errorf("%s: %d entries are not decided", text, undecided)
		}
	}
}

func TestScopeLimitsBlocks(t *testing.T) {
	blocks := someBlocks()
	x := open(t, build(blocks))
	for _, q := range someQueries(t) {
		all := x.evaluate(t, q, x.All())
		for from := range blocks {
			for to := from; to <= len(blocks); to++ {
				s := x.All()
				s.From, s.To = from, to
				if got := x.evaluate(t, q, s); fmt.Sprint(got) != fmt.Sprint(all[from:to]) {
					t.Fatalf("%s in blocks %d to %d: %v, want %v", q, from, to, got, all[from:to])
				}
			}
		}
	}
	for _, s := range []Scope{{From: -1, To: 1}, {From: 2, To: 1}, {From: 0, To: len(blocks) + 1}} {
		if _, err := x.Evaluate(context.Background(), someQueries(t)[0], s, x.fetch); err == nil {
			t.Errorf("%v: no error", s)
		}
	}
	for from, count := range map[int]int{-1: 1, 1: len(blocks), len(blocks) + 1: 0} {
		if _, err := x.Facets(context.Background(), nil, from, make([]Matches, count), x.fetch); err == nil {
			t.Errorf("facets of %d blocks from %d on: no error", count, from)
		}
	}
	relative := &query.Query{Root: query.Term{Field: "time", Match: query.During{Time: query.Time{Text: "now"}}}}
	if _, err := x.Evaluate(context.Background(), relative, x.All(), x.fetch); err == nil {
		t.Error("a query that was not resolved was evaluated")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := x.Evaluate(ctx, someQueries(t)[0], x.All(), x.fetch); err == nil {
		t.Error("evaluation went on after its context was cancelled")
	}
}

func TestIndexIsConcurrent(t *testing.T) {
	content, queries := build(someBlocks()), someQueries(t)
	x := open(t, content)
	want, err := answers(x, queries)
	if err != nil {
		t.Fatal(err)
	}
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			mine := &opened{Index: x.Index, content: content}
			for range 3 {
				if got, err := answers(mine, queries); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("other answers: %v", err)
				}
			}
		})
	}
	workers.Wait()
}

// A question about one field reads only the head, its dictionary, and its records and those of its bases.
func TestOneFieldIsReadAlone(t *testing.T) {
	blocks, counts := corpusBlocks(50_000, true)
	var notes []*note
	for i := range blocks {
		notes = append(notes, noteBlock(blocks[i], counts[i]))
	}
	x := open(t, encode(notes))
	for text, most := range map[string]int{"src_endpoint.ip:203.0.112.7": 3, "who:nobody": 1, "nowhere": 1, "*": 0,
		"class_uid:*": 0, "time > 2026-11": 0} {
		q, err := query.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		x.fetches, x.fetched = 0, 0
		x.evaluate(t, q, x.All())
		if x.fetches > most+1 || x.fetched > len(x.content)/4 {
			t.Errorf("%s: %d fetches of %d bytes in all; the index has %d", text, x.fetches, x.fetched, len(x.content))
		}
	}
}
