package search

import (
	"context"

	"github.com/weirlog/weir/internal/index"
	"github.com/weirlog/weir/internal/query"
)

// indexed has the counts of matching events that come from the index of a segment.
type indexed struct {
	total  int64
	bars   []int64
	facets []index.Facet
	read   map[int]*rest // what only the lines know, by number of the block
}

// rest names the facts about a block that are only in its lines.
type rest struct {
	noTimes bool         // whether the times of its events are unknown
	hidden  []index.Bits // by facet: events whose values are unknown
}

// restOf returns the rest of a block. It creates a missing one.
func (n *indexed) restOf(block, facets int) *rest {
	r := n.read[block]
	if r == nil {
		r = &rest{hidden: make([]index.Bits, facets)}
		n.read[block] = r
	}
	return r
}

// countIndexed counts what the index of a segment knows.
func (t *tally) countIndexed(ctx context.Context, p *plan) (*indexed, error) {
	n := &indexed{bars: make([]int64, len(t.bars)), read: map[int]*rest{}}
	var timed []int // blocks whose events are in several bars
	for i := range p.matches {
		m := &p.matches[i]
		if m.Perhaps != nil {
			n.restOf(i, len(t.facets))
		}
		yes := m.Yes.Count()
		if m.Every {
			yes = p.index.Entries(i)
		}
		if n.total += int64(yes); yes == 0 || t.bars == nil {
			continue
		}
		least, largest := p.index.Bounds(i)
		least, largest = max(least, t.question.Start), min(largest, t.question.End-1)
		if bar := barOf(t.bars, least); bar == barOf(t.bars, largest) {
			n.bars[bar] += int64(yes)
			continue
		}
		timed = append(timed, i)
	}
	err := p.index.Times(ctx, timed, p.fetch, func(block int, times []int64) error {
		if times == nil {
			n.restOf(block, len(t.facets)).noTimes = true
			return nil
		}
		m := &p.matches[block]
		for entry, at := range times {
			if m.Every || m.Yes.Has(entry) {
				n.bars[barOf(t.bars, at)]++
			}
		}
		return nil
	})
	if err != nil || len(t.facets) == 0 {
		return n, err
	}
	n.facets, err = p.index.Facets(ctx, t.outline.Facets, 0, p.matches, p.fetch)
	for f := range n.facets {
		for block, hidden := range n.facets[f].Hidden {
			if hidden.Count() > 0 {
				n.restOf(block, len(t.facets)).hidden[f] = hidden
			}
		}
	}
	return n, err
}

// addIndexed adds the counts from an index.
func (t *tally) addIndexed(n *indexed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total += n.total
	for i, count := range n.bars {
		t.counts[i] += count
	}
	for i := range n.facets {
		f := &t.facets[i]
		f.missing += int64(n.facets[i].Missing)
		for _, c := range n.facets[i].Values {
			f.add(c.Value, int64(c.Entries))
		}
	}
}

// addRest adds what only the lines of a block know. Everything else is counted already.
func (t *tally) addRest(ctx context.Context, b *block, r *rest, m *query.Matcher) error {
	isHidden := func(entry int) bool {
		for _, h := range r.hidden {
			if h.Has(entry) {
				return true
			}
		}
		return false
	}
	counted := func(entry int) bool { return b.matches.Every || b.matches.Yes.Has(entry) }
	wanted := func(entry int, line []byte) bool {
		if counted(entry) {
			return r.noTimes || isHidden(entry)
		}
		return b.matches.Perhaps.Has(entry) && m.Match(line)
	}
	return b.eachOf(ctx, &t.question, wanted, func(entry int, h Hit) error {
		if !counted(entry) {
			return t.count(h.Time, h.Line)
		}
		return t.complete(entry, h, r)
	})
}

// complete adds what only the line of an event knows. Everything else is counted already.
func (t *tally) complete(entry int, h Hit, r *rest) error {
	x := t.extracts.Get().(*query.Extract)
	defer t.extracts.Put(x)
	if err := x.Read(h.Line); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.noTimes {
		t.counts[barOf(t.bars, h.Time)]++
	}
	for i, hidden := range r.hidden {
		if hidden.Has(entry) {
			t.facets[i].count(x.Values(i))
		}
	}
	return nil
}
