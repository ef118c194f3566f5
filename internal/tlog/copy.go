package tlog

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/weirlog/weir/internal/gzipmember"
)

// lines returns the checksum and size of the lines of a run, as the tail of a gzip member has them.
func (r *Run) lines() (s gzipmember.Sum) {
	for i := range r.blocks {
		s = s.Then(r.blocks[i].Lines())
	}
	return s
}

// copy copies the stored blocks of a run. Blocks that have not been verified in this version of the object are verified
// before they are sent. If all are verified, the kernel may copy them.
func (r *Run) copy(ctx context.Context, out *output) error {
	first, last := r.blocks[0], r.blocks[len(r.blocks)-1]
	o, err := r.objects.Open(ctx, r.segment, first, last)
	if err != nil {
		return err
	}
	defer o.Close()
	known := r.objects.Verified(r.segment.Key, o.Version)
	if known.Has(r.number, len(r.blocks)) {
		return out.copy(o, r.lines())
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for i := range r.blocks {
		b := &r.blocks[i]
		data := slices.Grow((*buf)[:0], int(b.Length))[:b.Length]
		*buf = data
		if _, err := io.ReadFull(o, data); err != nil {
			return fmt.Errorf("block of %s at %d: %w", r.segment.Key, b.Offset, err)
		}
		if err := r.objects.CheckBlock(r.segment, b, data); err != nil {
			return err
		}
		if err := out.copy(bytes.NewReader(data), b.Lines()); err != nil {
			return err
		}
		known.Add(r.number + i)
	}
	return nil
}

// writeSelected writes the entries of a run of one block that the query of out selects.
func (r *Run) writeSelected(ctx context.Context, out *output) error {
	b := r.blocks[0]
	data, err := r.objects.Block(ctx, r.segment, b)
	if err != nil {
		return err
	}
	var keep func([]byte) bool
	if b.First < r.from || b.End() > r.to {
		next := b.First - 1
		keep = func([]byte) bool { next++; return r.wants(next) }
	}
	decode := func(dst []byte) ([]byte, error) { return b.Decode(dst, data) }
	if err := out.cut(decode, keep); err != nil {
		return fmt.Errorf("block of %s at %d: %w", r.segment.Key, b.Offset, err)
	}
	return nil
}
