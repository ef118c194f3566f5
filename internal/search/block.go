package search

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/index"
	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/segment"
	"github.com/weirlog/weir/internal/tlog"
)

// block is a block that may contain matching events.
type block struct {
	log     string
	segment *tlog.Segment
	*segment.Block
	number  int            // in its segment
	matches *index.Matches // from the index; if nil, all entries must be read
}

// each calls do with each matching event of the block in the range. The line is valid until do returns.
func (b *block) each(ctx context.Context, q *Question, m *query.Matcher, do func(Hit) error) error {
	return b.eachOf(ctx, q, func(entry int, line []byte) bool { return b.wants(entry, line, m) },
		func(_ int, h Hit) error { return do(h) })
}

// buffers are for the lines of blocks, since a question may read thousands of blocks.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// mostBuffered bounds the size in bytes of a buffer that is kept. A block has about 512 KiB, or more if it has a long
// line.
const mostBuffered = 1 << 20

// eachOf calls do with each event of the block that is in the range and for which wanted returns true, given its number
// and its line. The line is valid until do returns.
func (b *block) eachOf(ctx context.Context, q *Question, wanted func(int, []byte) bool,
	do func(int, Hit) error) error {
	buffer := buffers.Get().(*[]byte)
	lines, err := b.segment.Lines(ctx, (*buffer)[:0], b.Block)
	if cap(lines) <= mostBuffered {
		*buffer = lines
		defer buffers.Put(buffer)
	}
	if err != nil {
		return err
	}
	var p event.Parser
	number := -1
	for len(lines) > 0 {
		if number%64 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		line, rest, _ := bytes.Cut(lines, []byte{'\n'})
		lines = rest
		if number++; !wanted(number, line) {
			continue
		}
		index := b.First + int64(number)
		e, err := p.Entry(line)
		if err != nil {
			return fmt.Errorf("entry %d of log %s: %w", index, b.log, err)
		}
		if e.Time < q.Start || e.Time >= q.End {
			continue
		}
		if err := do(number, Hit{Position{e.Time, b.log, e.Key}, index, line}); err != nil {
			return err
		}
	}
	return nil
}
