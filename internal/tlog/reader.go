package tlog

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/manifest"
)

// Indexed is an entry with its index in the log. The index of an event in the write-ahead log is Unsequenced.
type Indexed struct {
	Index int64
	Line  []byte // ended by '\n'
	event.Entry
}

// Unsequenced replaces the index of an event that is not sequenced yet.
const Unsequenced = -1

// Reader reads the events of a log that a query selects, as the log was when the Reader was made. All readers of the
// contents of logs use one. If merging or sequencing moves entries that a Reader has not read yet, it takes a newer
// view and continues at the same entry. Its memory is bounded by a block, and by the entries that wait to be sequenced.
// A Reader may not be used concurrently.
type Reader struct {
	view  *view // the newest view
	query Query
	head  Head
	next  int64
	first int64
	tail  []waitingSection
}

// Read returns a Reader of all events that a query selects, including those that wait to be sequenced.
func (s *Logs) Read(ctx context.Context, log string, q Query) (*Reader, error) {
	v, err := s.view(ctx, log)
	if err != nil {
		return nil, err
	}
	var r *Reader
	err = v.use(ctx, func(v *view) error {
		tail, err := v.waiting(ctx, q)
		if err != nil {
			return err
		}
		v.tail = nil // The reader, which may live for hours, needs only its own sections.
		r = newReader(v, q)
		r.tail = tail
		return nil
	})
	return r, err
}

// ReadSequenced returns a Reader of the sequenced entries that a query selects. It costs one listing.
func (s *Logs) ReadSequenced(ctx context.Context, log string, q Query) (*Reader, error) {
	v, err := s.sequenced(ctx, log)
	if err != nil {
		return nil, err
	}
	return newReader(v, q), nil
}

func newReader(v *view, q Query) *Reader {
	return &Reader{view: v, query: q, head: head(v.manifest), next: v.manifest.Entries, first: v.manifest.Pruned.End()}
}

// Head returns the tree of the sequenced entries, without cosignatures.
func (r *Reader) Head() Head { return r.head }

// First returns the index of the oldest entry that was not removed by retention when the Reader was made.
func (r *Reader) First() int64 { return r.first }

// Next returns the index of the next entry to be sequenced. The Reader reads the entries below it.
func (r *Reader) Next() int64 { return r.next }

// errStop ends a loop early without a failure.
var errStop = errors.New("stop")

// Entries yields the selected sequenced entries from an index on. It ends with ErrPruned (wrapped) if retention has
// removed one that may be selected.
func (r *Reader) Entries(ctx context.Context, from int64) iter.Seq2[Indexed, error] {
	return func(yield func(Indexed, error) bool) {
		err := pruned(r.view.manifest, from, r.query)
		if err == nil {
			err = r.EachBlock(ctx, from, func(entries []Indexed) error {
				for _, e := range entries {
					if !yield(e, nil) {
						return errStop
					}
				}
				return nil
			})
		}
		if err != nil && !errors.Is(err, errStop) {
			yield(Indexed{}, err)
		}
	}
}

// EachBlock calls do with the selected entries of each block from an index on, in order. It leaves out entries that
// retention had removed when the Reader was made.
func (r *Reader) EachBlock(ctx context.Context, from int64, do func([]Indexed) error) error {
	return r.each(ctx, (*view).blocks, from, r.next, func(block *Run) error {
		entries, err := block.entries(ctx, r.query)
		if err != nil || len(entries) == 0 {
			return err
		}
		return do(entries)
	})
}

// each calls do with the runs of source that hold selected entries of [from, to), in order. If do fails because the log
// has changed, each continues in a newer view, after the last run for which do succeeded.
func (r *Reader) each(ctx context.Context, source source, from, to int64, do func(*Run) error) error {
	next := max(from, r.first)
	return r.use(ctx, func(v *view) error {
		if err := pruned(v.manifest, next, r.query); err != nil {
			return err // continuing would look complete
		}
		next = max(next, v.manifest.Pruned.End())
		for run, err := range source(v, ctx, next, to, r.query) {
			if err == nil {
				err = ctx.Err()
			}
			if err == nil {
				err = do(&run)
			}
			if err != nil {
				return err
			}
			next = run.end()
		}
		return nil
	})
}

// use calls do with the newest view. While do fails because the view is old, use calls it again with a newer one.
func (r *Reader) use(ctx context.Context, do func(*view) error) error {
	return r.view.use(ctx, func(v *view) error {
		r.view = v
		return do(v)
	})
}

// ErrPruned is returned (wrapped) if retention has removed entries to be read.
var ErrPruned = errors.New("removed by retention")

// pruned returns ErrPruned (wrapped) if entries from an index on that a query may select have been removed.
func pruned(m *manifest.Manifest, from int64, q Query) error {
	gone := m.Pruned
	if from < gone.End() && gone.MaxTime >= q.Start && gone.MinTime < q.End {
		return fmt.Errorf("entries %d to %d of log %s: %w", from, gone.End()-1, m.Log, ErrPruned)
	}
	return nil
}
