package manifest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/gzipmember"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/segment"
)

// Index returns the index of a segment.
func (s *Objects) Index(ctx context.Context, seg Segment) (*segment.Index, error) {
	return cached(ctx, s.indexes, seg.Key, func(ctx context.Context, key string) (*segment.Index, error) {
		data, err := s.readSpan(ctx, key, seg.IndexSpan(), seg.Sum, "index")
		if err != nil {
			return nil, err
		}
		x, err := segment.DecodeIndex(seg.Info, data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		return x, nil
	})
}

// part returns the content of a part of a segment with the index x.
func (s *Objects) part(ctx context.Context, seg Segment, x *segment.Index, id segment.ID) ([]byte, error) {
	p, ok := x.Part(id)
	if !ok {
		return nil, fmt.Errorf("%s has no part %s: %w", seg.Key, id, segment.ErrCorrupt)
	}
	data, err := s.readSpan(ctx, seg.Key, p.Span, p.Sum, "part "+string(id))
	if err != nil {
		return nil, err
	}
	content, err := p.Content(data)
	if err != nil {
		return nil, fmt.Errorf("part %s of %s: %w", id, seg.Key, err)
	}
	return content, nil
}

// Beside returns the content of the object of a kind beside a segment. The error wraps bucket.ErrNotExist if there is
// none, and ErrNotAuthentic if its digest differs.
func (s *Objects) Beside(ctx context.Context, seg Segment, part segment.ID) ([]byte, error) {
	for _, b := range seg.Beside {
		if b.Part == part {
			return s.ReadSized(ctx, b.Key, b.Size, b.Sum)
		}
	}
	return nil, fmt.Errorf("part %s beside %s: %w", part, seg.Key, bucket.ErrNotExist)
}

// Head returns the head of an object beside a segment.
func (s *Objects) Head(ctx context.Context, b Beside) ([]byte, error) {
	data, err := s.ReadExactly(ctx, b.Key, 0, max(b.Head, min(b.Size, headAhead)))
	if err != nil {
		return nil, err
	}
	head := slices.Clone(data[:b.Head])
	return head, s.forgetIfForged(b.Key, authenticated(head, b.HeadSum, "head", b.Key))
}

// headAhead is how many bytes of an object are read along with its head. For a small object, these include what is read
// next, so a cache before a storage then has it, and one request replaces two.
const headAhead = 128 << 10

// Piece returns bytes of an object beside a segment. The caller verifies them by the object's head.
func (s *Objects) Piece(ctx context.Context, b Beside, offset, length int64) ([]byte, error) {
	return s.ReadExactly(ctx, b.Key, offset, length)
}

// readSpan reads bytes of a segment and verifies their digest.
func (s *Objects) readSpan(ctx context.Context, key string, at segment.Span, sum proof.Hash,
	what string) ([]byte, error) {
	data, err := s.ReadExactly(ctx, key, at.Offset, at.Length)
	if err == nil {
		err = s.forgetIfForged(key, authenticated(data, sum, what, key))
	}
	return data, err
}

// Filters returns the filter of each block of a segment with the index x.
func (s *Objects) Filters(ctx context.Context, seg Segment, x *segment.Index) ([]segment.Filter, error) {
	return cached(ctx, s.filters, seg.Key, func(ctx context.Context, key string) ([]segment.Filter, error) {
		data, err := s.part(ctx, seg, x, segment.Filters)
		if err != nil {
			return nil, err
		}
		filters, err := segment.DecodeFilters(data, x.Blocks)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		return filters, nil
	})
}

// ReadExactly reads length bytes of an object, without verifying a digest. It returns gzipmember.ErrCorrupt (wrapped)
// if the object ends before.
func (s *Objects) ReadExactly(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	data, err := bucket.Read(ctx, s.bucket, key, bucket.Range{Offset: offset, Length: length})
	if err == nil && int64(len(data)) != length {
		err = fmt.Errorf("read %s at %d: %w, it ends early", key, offset, gzipmember.ErrCorrupt)
	}
	return data, err
}

// Open returns a reader of the stored blocks of a segment from first to last. Their digests are not verified.
func (s *Objects) Open(ctx context.Context, seg Segment, first, last segment.Block) (*bucket.Object, error) {
	return s.bucket.Get(ctx, seg.Key, bucket.Range{Offset: first.Offset,
		Length: last.Offset + last.Length - first.Offset})
}

// Lines appends the lines of a block to dst.
func (s *Objects) Lines(ctx context.Context, dst []byte, seg Segment, b segment.Block) ([]byte, error) {
	data, err := s.Block(ctx, seg, b)
	if err != nil {
		return dst, err
	}
	lines, err := b.Decode(dst, data)
	if err != nil {
		return dst, fmt.Errorf("block of %s at %d: %w", seg.Key, b.Offset, err)
	}
	return lines, nil
}

// Entries returns the entries of a block.
func (s *Objects) Entries(ctx context.Context, seg Segment, b segment.Block) (event.Batch, error) {
	data, err := s.Block(ctx, seg, b)
	if err != nil {
		return event.Batch{}, err
	}
	entries, err := b.Entries(data)
	if err != nil {
		return event.Batch{}, fmt.Errorf("block of %s at %d: %w", seg.Key, b.Offset, err)
	}
	return entries, nil
}

// Source returns a segment as the source of a merge: its index, and the contents of its parts. It leaves out an object
// beside the segment, of one of the kinds, that is lost or damaged; a merge makes it again from the lines.
func (s *Objects) Source(ctx context.Context, seg Segment, kinds []segment.Kind) (*segment.Source, error) {
	x, err := s.Index(ctx, seg)
	if err != nil {
		return nil, err
	}
	source := &segment.Source{Info: seg.Info, Index: x, Parts: map[segment.ID][]byte{}}
	for _, p := range x.Parts {
		if source.Parts[p.ID], err = s.part(ctx, seg, x, p.ID); err != nil {
			return nil, err
		}
	}
	for _, kind := range kinds {
		content, err := s.Beside(ctx, seg, kind.ID())
		switch {
		case err == nil:
			source.Parts[kind.ID()] = content
		case !errors.Is(err, bucket.ErrNotExist) && !errors.Is(err, ErrNotAuthentic):
			return nil, err
		}
	}
	return source, nil
}
