package search

import (
	"context"
	"errors"
	"fmt"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/index"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/segment"
	"github.com/weirlog/weir/internal/tlog"
)

// plan is the answer of a segment's index to a question.
type plan struct {
	index   *index.Index
	fetch   index.Fetch
	matches []index.Matches // by block
}

// plan asks the index of a segment. If there is none, or it cannot be used, it returns nil; then all blocks are read.
func (s *Searcher) plan(ctx context.Context, q *Question, seg *tlog.Segment) (*plan, error) {
	beside := seg.Beside(index.ID)
	if beside == nil {
		return nil, nil
	}
	p, err := s.ask(ctx, q, beside)
	if err == nil || !useless(err) {
		return p, err
	}
	s.options.Damaged(beside.Key, err)
	return nil, nil
}

// useless tells whether an index cannot be used because it is lost or damaged. Failures of the storage, and a log that
// has moved on, do not count.
func useless(err error) bool {
	return !errors.Is(err, tlog.ErrMoved) && (errors.Is(err, bucket.ErrNotExist) ||
		errors.Is(err, index.ErrCorrupt) || errors.Is(err, manifest.ErrNotAuthentic))
}

func (s *Searcher) ask(ctx context.Context, q *Question, beside *tlog.Beside) (*plan, error) {
	x, err := s.open(ctx, beside)
	if err != nil {
		return nil, err
	}
	p := &plan{index: x, fetch: func(ctx context.Context, offset, length int64) ([]byte, error) {
		return s.piece(ctx, beside, offset, length)
	}}
	scope := x.All()
	scope.Start, scope.End = q.Start, q.End
	if p.matches, err = x.Evaluate(ctx, q.Query, scope, p.fetch); err != nil {
		return nil, fmt.Errorf("%s: %w", beside.Key, err)
	}
	return p, nil
}

// open returns an index, from memory if possible.
func (s *Searcher) open(ctx context.Context, beside *tlog.Beside) (*index.Index, error) {
	if x, ok := s.indexes.GetIfPresent(beside.Key); ok {
		return x, nil
	}
	head, err := beside.Head(ctx)
	if err != nil {
		return nil, err
	}
	x, err := index.Open(head)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", beside.Key, err)
	}
	s.indexes.Set(beside.Key, x)
	return x, nil
}

type pieceID struct {
	key            string
	offset, length int64
}

// piece returns a range of an index, from memory if possible.
func (s *Searcher) piece(ctx context.Context, beside *tlog.Beside, offset, length int64) ([]byte, error) {
	id := pieceID{beside.Key, offset, length}
	if data, ok := s.pieces.GetIfPresent(id); ok {
		return data, nil
	}
	data, err := beside.Piece(ctx, offset, length)
	if err != nil {
		return nil, err
	}
	s.pieces.Set(id, data)
	return data, nil
}

// any tells whether an entry of the segment matches, or perhaps matches.
func (p *plan) any() bool {
	for i := range p.matches {
		if !p.matches[i].None() {
			return true
		}
	}
	return false
}

// fits returns an error unless the index is of these blocks.
func (p *plan) fits(blocks []segment.Block) error {
	fits := p.index.Blocks() == len(blocks)
	for i := 0; fits && i < len(blocks); i++ {
		fits = p.index.Entries(i) == blocks[i].Count
	}
	if !fits {
		return fmt.Errorf("the index is of other blocks: %w", index.ErrCorrupt)
	}
	return nil
}

// candidates returns the blocks of a segment that may contain matching events.
func (s *Searcher) candidates(ctx context.Context, q *Question, log string, seg *tlog.Segment) ([]block, error) {
	p, err := s.plan(ctx, q, seg)
	if err != nil || p != nil && !p.any() {
		return nil, err
	}
	return s.blocks(ctx, q, log, seg, p)
}

// blocks returns the blocks of a segment with times in the range, without those that cannot match by the plan.
func (s *Searcher) blocks(ctx context.Context, q *Question, log string, seg *tlog.Segment, p *plan) ([]block, error) {
	all, err := seg.Blocks(ctx)
	if err != nil {
		return nil, err
	}
	if p != nil {
		if err := p.fits(all); err != nil {
			s.options.Damaged(seg.Beside(index.ID).Key, err)
			p = nil
		}
	}
	var some []block
	for i := range all {
		b := block{log: log, segment: seg, Block: &all[i], number: i}
		if b.MaxTime < q.Start || b.MinTime >= q.End {
			continue
		}
		if p != nil {
			if b.matches = &p.matches[i]; b.matches.None() {
				continue
			}
		}
		some = append(some, b)
	}
	return some, nil
}

// wants tells whether an entry of a block matches.
func (b *block) wants(entry int, line []byte, m *query.Matcher) bool {
	switch {
	case b.matches == nil:
		return m.Match(line)
	case b.matches.Every || b.matches.Yes.Has(entry):
		return true
	}
	return b.matches.Perhaps.Has(entry) && m.Match(line)
}
