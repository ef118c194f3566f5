package search

import (
	"bytes"
	"context"
	"fmt"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/segment"
	"github.com/weirlog/weir/internal/tlog"
)

// block is a block that may hold events that are asked for.
type block struct {
	log     string
	segment *tlog.Segment
	*segment.Block
}

// blocksOf returns the blocks of a segment that hold events of the question's range.
func (q *Question) blocksOf(ctx context.Context, log string, s *tlog.Segment) ([]block, error) {
	all, err := s.Blocks(ctx)
	if err != nil {
		return nil, err
	}
	var some []block
	for i := range all {
		if b := &all[i]; b.MaxTime >= q.Start && b.MinTime < q.End {
			some = append(some, block{log, s, b})
		}
	}
	return some, nil
}

// each calls do with each event of the block that matches and is in the range. Its line is valid until do returns.
func (b *block) each(ctx context.Context, q *Question, m *query.Matcher, do func(Hit) error) error {
	lines, err := b.segment.Lines(ctx, b.Block)
	if err != nil {
		return err
	}
	var p event.Parser
	index := b.First - 1
	for len(lines) > 0 {
		if index%64 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		line, rest, _ := bytes.Cut(lines, []byte{'\n'})
		lines = rest
		if index++; !m.Match(line) {
			continue
		}
		e, err := p.Entry(line)
		if err != nil {
			return fmt.Errorf("entry %d of log %s: %w", index, b.log, err)
		}
		if e.Time < q.Start || e.Time >= q.End {
			continue
		}
		if err := do(Hit{Position{e.Time, b.log, e.Key}, index, line}); err != nil {
			return err
		}
	}
	return nil
}
