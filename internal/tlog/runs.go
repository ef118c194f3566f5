package tlog

import (
	"context"
	"iter"

	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/segment"
)

// Run is a run of consecutive blocks of a segment with entries that a query selects.
type Run struct {
	objects *manifest.Objects
	segment manifest.Segment
	number  int // number of the first block in the segment
	blocks  []segment.Block
	cut     bool  // it is one block, which also holds entries that are not selected
	from    int64 // only entries in [from, to) are wanted
	to      int64
}

// end is the index of the entry that follows the run.
func (r *Run) end() int64 { return r.blocks[len(r.blocks)-1].End() }

// source is (*view).runs or (*view).blocks.
type source func(v *view, ctx context.Context, from, to int64, q Query) iter.Seq2[Run, error]

// blocks yields the runs, divided into runs of one block.
func (v *view) blocks(ctx context.Context, from, to int64, q Query) iter.Seq2[Run, error] {
	return func(yield func(Run, error) bool) {
		for r, err := range v.runs(ctx, from, to, q) {
			if err != nil {
				yield(Run{}, err)
				return
			}
			for i := range r.blocks {
				one := r
				one.number, one.blocks = r.number+i, r.blocks[i:i+1]
				if !yield(one, nil) {
					return
				}
			}
		}
	}
}

// runs yields the blocks with entries of [from, to) that may hold events of the query, in order.
func (v *view) runs(ctx context.Context, from, to int64, q Query) iter.Seq2[Run, error] {
	return func(yield func(Run, error) bool) {
		for seg, err := range v.Segments(ctx, v.manifest, from, q.Start, q.End-1) {
			if err != nil {
				yield(Run{}, err)
				return
			}
			if seg.First >= to {
				return
			}
			x, err := v.Index(ctx, seg)
			if err != nil {
				yield(Run{}, err)
				return
			}
			r := Run{objects: v.Objects, segment: seg, from: from, to: to}
			if !r.yieldFrom(x, q, yield) {
				return
			}
		}
	}
}

// yieldFrom yields the runs of r's segment. x is the index of the segment.
func (r *Run) yieldFrom(x *segment.Index, q Query, yield func(Run, error) bool) bool {
	processor := x.Number(q.Processor)
	copyFrom := -1 // first block of the run that is being collected
	send := func(first, end int, cut bool) bool {
		one := *r
		one.number, one.blocks, one.cut = first, x.Blocks[first:end], cut
		return yield(one, nil)
	}
	flush := func(end int) bool {
		first := copyFrom
		copyFrom = -1
		return first < 0 || send(first, end, false)
	}
	for i := range x.Blocks {
		b := &x.Blocks[i]
		wanted, whole := r.chooses(b, q, processor)
		if wanted && whole {
			if copyFrom < 0 {
				copyFrom = i
			}
			continue
		}
		if !flush(i) || wanted && !send(i, i+1, true) {
			return false
		}
	}
	return flush(len(x.Blocks))
}

// chooses tells whether a block may hold wanted entries, and whether all its entries are wanted. processor is the
// number of the query's processor in the segment's index.
func (r *Run) chooses(b *segment.Block, q Query, processor int) (wanted, whole bool) {
	wanted = b.End() > r.from && b.First < r.to && b.MaxTime >= q.Start && b.MinTime < q.End &&
		(q.Processor == "" || b.MayConcern(processor))
	whole = b.First >= r.from && b.End() <= r.to && b.MinTime >= q.Start && b.MaxTime < q.End && q.Processor == ""
	return wanted, whole
}

// wants tells whether the index of an entry lies within the bounds of the run.
func (r *Run) wants(index int64) bool { return index >= r.from && index < r.to }

// entries returns the entries of a run of one block that a query selects.
func (r *Run) entries(ctx context.Context, q Query) ([]Indexed, error) {
	b := r.blocks[0]
	all, err := r.objects.Entries(ctx, r.segment, b)
	if err != nil {
		return nil, err
	}
	selected := make([]Indexed, 0, b.Count)
	for i, e := range all.Entries {
		if index := b.First + int64(i); r.wants(index) && q.selects(e) {
			selected = append(selected, Indexed{index, all.Line(i), e})
		}
	}
	return selected, nil
}
