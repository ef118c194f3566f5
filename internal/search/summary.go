package search

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/index"
	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/tlog"
)

// Bounds of the different values of a facet. If there are more, a list of events is better than a facet.
const (
	maxValues     = 50_000
	maxValueBytes = 4 << 20
)

// Outline says what to count. The zero value of each field means that it is not wanted.
type Outline struct {
	Bars   int            // maximum number of bars of a histogram
	Zone   *time.Location // of the starts of the bars
	Part   *query.Query   // if not nil, the events of each bar that it matches too are also counted alone
	Facets []query.Field
	Top    int // number of values of each facet
}

// Summary counts all matching events.
type Summary struct {
	Total     int64
	Histogram []Bar
	Facets    []Facet // in the order of the outline
}

// Bar is a bar of a histogram. It ends where the next one begins, and the last one with the question's range.
type Bar struct {
	Start int64 // milliseconds since the epoch
	Count int64
	Part  int64 // number of these events that the outline's Part matches
}

// Facet counts the values of a field. An event with several values counts for each of them.
type Facet struct {
	Field   query.Field
	Values  []Count // the most frequent first
	Other   int64   // sum of the counts of all other values
	Missing int64   // number of events without a value
	TooMany bool    // whether the field has too many different values to count; then there are no counts
}

// Count is the number of events that have a value.
type Count struct {
	Value query.Scalar
	Count int64
}

// compareCounts returns a negative number if a is more frequent than b, or equally frequent and before b.
func compareCounts(a, b Count) int {
	return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Value.Text, b.Value.Text),
		cmp.Compare(a.Value.Kind, b.Value.Kind))
}

// Summary counts all matching events. If the time limit passes, it returns ErrTooSlow.
func (s *Searcher) Summary(ctx context.Context, q Question, o Outline) (*Summary, error) {
	all, err := newTally(s, q, o)
	if err != nil {
		return nil, err
	}
	tallies := []*tally{all}
	if o.Part != nil && o.Bars > 0 {
		narrow := q
		narrow.Query = &query.Query{Root: query.And{q.Query.Root, o.Part.Root}}
		part, err := newTally(s, narrow, Outline{Bars: o.Bars, Zone: o.Zone})
		if err != nil {
			return nil, err
		}
		tallies = append(tallies, part)
	}
	if err := s.within(ctx, func(ctx context.Context) error { return s.count(ctx, q, tallies) }); err != nil {
		return nil, err
	}
	sum := all.summary()
	for _, part := range tallies[1:] {
		for i, n := range part.counts {
			sum.Histogram[i].Part = n
		}
	}
	return sum, nil
}

// count makes all tallies count from zero, at the same snapshots of the logs.
func (s *Searcher) count(ctx context.Context, q Question, tallies []*tally) error {
	snapshots, err := s.snapshots(ctx, q)
	if err != nil {
		return err
	}
	for _, t := range tallies {
		t.reset()
		if err := s.visitAll(ctx, snapshots, &t.question, t.matcher, t); err != nil {
			return err
		}
	}
	return nil
}

// tally counts events.
type tally struct {
	searcher *Searcher
	question Question
	matcher  *query.Matcher
	outline  Outline
	bars     []int64
	extracts sync.Pool // of *query.Extract

	mu     sync.Mutex
	total  int64
	counts []int64 // by bar
	facets []facet
}

func newTally(s *Searcher, q Question, o Outline) (*tally, error) {
	m, err := query.Compile(q.Query)
	if err != nil {
		return nil, err
	}
	t := &tally{searcher: s, question: q, matcher: m, outline: o}
	t.extracts.New = func() any { return query.NewExtract(o.Facets...) }
	if o.Bars > 0 {
		t.bars = Bars(q.Start, q.End, o.Bars, cmp.Or(o.Zone, time.UTC))
	}
	return t, nil
}

// reset sets all counts to zero.
func (t *tally) reset() {
	t.total, t.counts, t.facets = 0, make([]int64, len(t.bars)), make([]facet, len(t.outline.Facets))
	for i := range t.facets {
		t.facets[i].counts = map[query.Scalar]*int64{}
	}
}

// waiting counts an event that waits to be sequenced.
func (t *tally) waiting(_ context.Context, line []byte, e event.Entry) error {
	return t.count(e.Time, line)
}

func (t *tally) end(context.Context) error { return nil }

// segment counts the events of a segment, from its index as far as possible.
func (t *tally) segment(ctx context.Context, log string, seg *tlog.Segment, p *plan) error {
	var known *indexed
	if p != nil {
		var err error
		known, err = t.countIndexed(ctx, p)
		if err != nil && !useless(err) {
			return err
		}
		if err != nil {
			t.searcher.options.Damaged(seg.Beside(index.ID).Key, err)
			p = nil
		}
	}
	if p != nil && len(known.read) == 0 {
		t.addIndexed(known)
		return nil
	}
	blocks, err := t.searcher.blocks(ctx, &t.question, log, seg, p)
	if err != nil {
		return err
	}
	if p != nil && (len(blocks) == 0 || blocks[0].matches != nil) {
		t.addIndexed(known)
		blocks = slices.DeleteFunc(blocks, func(b block) bool { return known.read[b.number] == nil })
	}
	for i := range blocks {
		b := &blocks[i]
		if b.matches == nil {
			err = b.each(ctx, &t.question, t.matcher, func(h Hit) error { return t.count(h.Time, h.Line) })
		} else {
			err = t.addRest(ctx, b, known.read[b.number], t.matcher)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// count counts an event.
func (t *tally) count(time int64, line []byte) error {
	var x *query.Extract
	if len(t.facets) > 0 {
		x = t.extracts.Get().(*query.Extract)
		defer t.extracts.Put(x)
		if err := x.Read(line); err != nil {
			return err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total++
	if t.bars != nil {
		t.counts[barOf(t.bars, time)]++
	}
	for i := range t.facets {
		t.facets[i].count(x.Values(i))
	}
	return nil
}

func (t *tally) summary() *Summary {
	s := &Summary{Total: t.total}
	for i, start := range t.bars {
		s.Histogram = append(s.Histogram, Bar{Start: max(start, t.question.Start), Count: t.counts[i]})
	}
	for i := range t.facets {
		s.Facets = append(s.Facets, t.facets[i].result(t.outline.Facets[i], t.outline.Top))
	}
	return s
}

// facet counts the values of a field.
type facet struct {
	counts  map[query.Scalar]*int64 // pointers, since storing a count in the map itself would store the key again
	bytes   int
	missing int64
	tooMany bool
}

// count counts an event that has these values.
func (f *facet) count(values []query.Scalar) {
	if len(values) == 0 {
		f.missing++
	}
	for i, v := range values {
		if !slices.Contains(values[:i], v) {
			f.add(v, 1)
		}
	}
}

// add counts n events with a value.
func (f *facet) add(v query.Scalar, n int64) {
	if f.tooMany {
		return
	}
	if count, ok := f.counts[v]; ok {
		*count += n
		return
	}
	f.bytes += len(v.Text)
	if len(f.counts) == maxValues || f.bytes > maxValueBytes {
		f.tooMany, f.counts = true, nil
		return
	}
	v.Text = strings.Clone(v.Text) // it may be part of the event's line
	f.counts[v] = &n
}

func (f *facet) result(field query.Field, top int) Facet {
	r := Facet{Field: field, Missing: f.missing, TooMany: f.tooMany}
	if f.tooMany {
		return r
	}
	for v, n := range f.counts {
		r.Values = append(r.Values, Count{v, *n})
	}
	slices.SortFunc(r.Values, compareCounts)
	for _, c := range r.Values[min(top, len(r.Values)):] {
		r.Other += c.Count
	}
	r.Values = slices.Clip(r.Values[:min(top, len(r.Values))])
	return r
}
