package tlog

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/segment"
)

// ErrMoved is returned (wrapped) by a Snapshot if merging, sequencing or retention has moved what it was to read. The
// caller may take a newer Snapshot and begin again.
var ErrMoved = errors.New("the log has moved on")

// Snapshot is a log as it was at one moment, for reading its blocks in any order. It has the events of a download taken
// at that moment: each event once, sequenced or not. A Snapshot is usable as long as replaced objects stay (see
// Options.Grace). To read longer, use a Reader. A Snapshot may be used concurrently.
type Snapshot struct {
	view  *view
	query Query
	tail  []waitingSection
}

// Snapshot returns the events of a log with times in [start, end), in milliseconds since the epoch.
func (s *Logs) Snapshot(ctx context.Context, log string, start, end int64) (*Snapshot, error) {
	r, err := s.Read(ctx, log, Query{Start: start, End: end})
	if err != nil {
		return nil, err
	}
	return &Snapshot{r.view, r.query, r.tail}, nil
}

// Entries returns the number of entries that are sequenced. Their indexes are below it.
func (s *Snapshot) Entries() int64 { return s.view.manifest.Entries }

// Segments yields the segments that hold events of the range.
func (s *Snapshot) Segments(ctx context.Context) iter.Seq2[*Segment, error] {
	return func(yield func(*Segment, error) bool) {
		m := s.view.manifest
		for seg, err := range s.view.Segments(ctx, m, m.Pruned.End(), s.query.Start, s.query.End-1) {
			if err != nil {
				yield(nil, s.moved(ctx, err))
				return
			}
			if !yield(&Segment{seg, s}, nil) {
				return
			}
		}
	}
}

// Waiting calls do with each event of the range that waits to be sequenced. The line ends with '\n', and is valid
// during the call.
func (s *Snapshot) Waiting(ctx context.Context, do func(line []byte, e event.Entry) error) error {
	for i := range s.tail {
		w := &s.tail[i]
		data, err := s.view.logs.wal.Member(ctx, w.Object, w.Section)
		var b event.Batch
		if err == nil {
			b, err = w.decode(data)
		}
		if err != nil {
			return s.moved(ctx, err)
		}
		for i, e := range b.Entries {
			if !w.selects(s.query, i) {
				continue
			}
			if err := do(b.Line(i), e); err != nil {
				return err
			}
		}
	}
	return nil
}

// moved returns ErrMoved (wrapped) if err is caused by the age of the Snapshot, and otherwise err.
func (s *Snapshot) moved(ctx context.Context, err error) error {
	if still := s.view.outdated(ctx, err); still != nil {
		return still
	}
	return fmt.Errorf("%w: %w", ErrMoved, err)
}

// Segment is a segment of a Snapshot.
type Segment struct {
	manifest.Segment
	of *Snapshot
}

// Blocks returns the blocks of the segment. The slice is shared, and must not be changed.
func (s *Segment) Blocks(ctx context.Context) ([]segment.Block, error) {
	x, err := s.of.view.Index(ctx, s.Segment)
	if err != nil {
		return nil, s.of.moved(ctx, err)
	}
	return x.Blocks, nil
}

// Beside returns the object of a kind beside the segment that has a head, or nil if there is none.
func (s *Segment) Beside(part segment.ID) *Beside {
	for _, b := range s.Segment.Beside {
		if b.Part == part && b.Head > 0 {
			return &Beside{b, s.of}
		}
	}
	return nil
}

// Beside is an object beside a segment of a Snapshot.
type Beside struct {
	manifest.Beside
	of *Snapshot
}

// Head returns the verified head of the object.
func (b *Beside) Head(ctx context.Context) ([]byte, error) {
	data, err := b.of.view.Objects.Head(ctx, b.Beside)
	if err != nil {
		return nil, b.of.moved(ctx, err)
	}
	return data, nil
}

// Piece returns bytes of the object. The caller verifies them by the head.
func (b *Beside) Piece(ctx context.Context, offset, length int64) ([]byte, error) {
	data, err := b.of.view.Piece(ctx, b.Beside, offset, length)
	if err != nil {
		return nil, b.of.moved(ctx, err)
	}
	return data, nil
}

// Lines appends the lines of a block to dst.
func (s *Segment) Lines(ctx context.Context, dst []byte, b *segment.Block) ([]byte, error) {
	lines, err := s.of.view.Lines(ctx, dst, s.Segment, *b)
	if err != nil {
		return dst, s.of.moved(ctx, err)
	}
	return lines, nil
}
