package manifest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/gzipmember"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/segment"
)

// buffers holds buffers for the lines of blocks.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// Groups returns the concatenated hashes of the groups that end in a segment.
func (s *Objects) Groups(ctx context.Context, seg Segment) ([]byte, error) {
	return cached(ctx, s.grouped, seg.Key, func(ctx context.Context, key string) ([]byte, error) {
		x, err := s.Index(ctx, seg)
		if err != nil {
			return nil, err
		}
		data, err := s.part(ctx, seg, x, segment.Groups)
		if err != nil {
			return nil, err
		}
		groups, err := segment.DecodeGroups(data, seg.Info)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		return groups, nil
	})
}

// BlockDigests returns the entries of the tree for the lines of a block.
func (s *Objects) BlockDigests(ctx context.Context, seg Segment, b segment.Block) ([]proof.Hash, error) {
	return cached(ctx, s.digested, blockID{seg.Key, b.Offset},
		func(ctx context.Context, _ blockID) ([]proof.Hash, error) {
			data, err := s.Block(ctx, seg, b)
			if err != nil {
				return nil, err
			}
			return s.DigestsOf(seg, b, data, nil)
		})
}

// DigestsOf returns the entries of the tree for the lines of a stored block. If see is not nil, it is called with the
// lines, and must not keep them.
func (s *Objects) DigestsOf(seg Segment, b segment.Block, data []byte, see func(lines []byte)) ([]proof.Hash, error) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	lines, err := b.Decode((*buf)[:0], data)
	*buf = lines[:0]
	if err != nil {
		return nil, fmt.Errorf("block of %s at %d: %w", seg.Key, b.Offset, err)
	}
	digests := make([]proof.Hash, 0, b.Count)
	for line := range bytes.Lines(lines) {
		digests = append(digests, proof.Digest(bytes.TrimSuffix(line, []byte("\n"))))
	}
	if len(digests) != b.Count {
		return nil, fmt.Errorf("block of %s at %d: %d lines, want %d: %w", seg.Key, b.Offset, len(digests), b.Count,
			gzipmember.ErrCorrupt)
	}
	if see != nil {
		see(lines)
	}
	return digests, nil
}

// SegmentDigests returns the entries of the tree for the lines of a segment whose indexes are below an index.
func (s *Objects) SegmentDigests(ctx context.Context, seg Segment, below int64) ([]proof.Hash, error) {
	x, err := s.Index(ctx, seg)
	if err != nil {
		return nil, err
	}
	digests := make([]proof.Hash, 0, min(seg.End(), below)-seg.First)
	for _, b := range x.Blocks {
		if b.First >= below {
			break
		}
		more, err := s.BlockDigests(ctx, seg, b)
		if err != nil {
			return nil, err
		}
		digests = append(digests, more[:min(b.End(), below)-b.First]...)
	}
	return digests, nil
}

// BlockKeys returns the keys of a block's entries, sorted.
func (s *Objects) BlockKeys(ctx context.Context, seg Segment, b segment.Block) ([]event.Key, error) {
	load := func(ctx context.Context, _ blockID) ([]event.Key, error) {
		entries, err := s.Entries(ctx, seg, b)
		if err != nil {
			return nil, err
		}
		keys := make([]event.Key, len(entries.Entries))
		for i, e := range entries.Entries {
			keys[i] = e.Key
		}
		slices.SortFunc(keys, event.Key.Compare)
		return keys, nil
	}
	return cached(ctx, s.keys, blockID{seg.Key, b.Offset}, load)
}
