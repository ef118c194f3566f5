package tlog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/gzipmember"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/wal"
)

// waitingSection is a section of events that wait to be sequenced.
type waitingSection struct {
	wal.Place
	entries []event.Entry // of its lines
	skip    map[int]bool  // numbers of the lines that the log or an earlier section has
}

// selects tells whether a query selects line i, and it is not a duplicate.
func (w *waitingSection) selects(q Query, i int) bool {
	return !w.skip[i] && q.selects(w.entries[i])
}

// isCut tells whether some of the lines may not be selected.
func (w *waitingSection) isCut(q Query) bool {
	return len(w.skip) > 0 || q.Processor != "" || w.MinTime < q.Start || w.MaxTime >= q.End
}

// waiting returns the sections of the view's tail with events that a query may select. It finds the lines that the log
// or an earlier section has, by the same rules as sequencing. Duplicates have the same time, so other times do not
// matter.
func (v *view) waiting(ctx context.Context, q Query) ([]waitingSection, error) {
	var once event.Once
	var sections []waitingSection
	for _, t := range v.tail {
		if t.MaxTime < q.Start || t.MinTime >= q.End {
			continue
		}
		entries, err := v.logs.wal.Entries(ctx, t.Object, t.Section)
		if err != nil {
			return nil, err
		}
		known, err := v.known(ctx, entries)
		if err != nil {
			return nil, err
		}
		once.Mark(entries, known)
		w := waitingSection{Place: t, entries: entries, skip: map[int]bool{}}
		for i := range entries {
			if known[i] == event.Known {
				w.skip[i] = true
			}
		}
		if len(w.skip) < t.Count && (q.Processor == "" || slices.Contains(t.Processors, q.Processor)) {
			sections = append(sections, w)
		}
	}
	return sections, nil
}

// Waiting yields the selected events that waited to be sequenced when the Reader was made, each once, wherever they are
// now.
func (r *Reader) Waiting(ctx context.Context) iter.Seq2[Indexed, error] {
	return func(yield func(Indexed, error) bool) {
		send := func(e Indexed) error {
			if !yield(e, nil) {
				return errStop
			}
			return nil
		}
		err := r.eachWaiting(ctx, func(w *waitingSection, data []byte) error {
			b, err := w.decode(data)
			for i := 0; err == nil && i < len(b.Entries); i++ {
				if w.selects(r.query, i) {
					err = send(unsequenced(b, i))
				}
			}
			return err
		}, send)
		if err != nil && !errors.Is(err, errStop) {
			yield(Indexed{}, err)
		}
	}
}

// eachWaiting calls section with each waiting section and the gzip member of its lines. If a section is gone, it has
// been sequenced. Then the events of this section and of later ones are looked up in the log, and moved is called with
// each selected one.
func (r *Reader) eachWaiting(ctx context.Context, section func(*waitingSection, []byte) error,
	moved func(Indexed) error) error {
	for i := range r.tail {
		w := &r.tail[i]
		data, err := r.view.logs.wal.Member(ctx, w.Object, w.Section)
		if errors.Is(err, bucket.ErrNotExist) {
			return r.follow(ctx, r.tail[i:], moved)
		}
		if err == nil {
			err = section(w, data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// follow calls do with the selected events of sections that have been sequenced.
func (r *Reader) follow(ctx context.Context, sections []waitingSection, do func(Indexed) error) error {
	wanted := map[event.Key]struct{}{}
	for _, w := range sections {
		for i, e := range w.entries {
			if w.selects(r.query, i) {
				wanted[e.Key] = struct{}{}
			}
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	take := func(e Indexed) error {
		if _, ok := wanted[e.Key]; !ok {
			return nil
		}
		delete(wanted, e.Key)
		return do(e)
	}
	v, err := r.view.logs.view(ctx, r.view.manifest.Log)
	if err != nil {
		return err
	}
	err = v.use(ctx, func(v *view) error {
		r.view = v
		return v.eachSince(ctx, r.next, r.query, take)
	})
	if err == nil && len(wanted) > 0 {
		err = r.gone(ctx, sections, len(wanted))
	}
	return err
}

// gone returns the error for events of sections that cannot be found any more. It wraps seal.ErrForged if a section was
// damaged after the Reader was made, and ErrPruned if retention may have removed the events. That may have happened
// before the Reader was made: if the plan of a section's object is lost, the object stays for a while, and the filters
// of the log no longer show that it had those events.
func (r *Reader) gone(ctx context.Context, sections []waitingSection, count int) error {
	err := fmt.Errorf("%d events of log %s that waited to be sequenced are gone", count, r.view.manifest.Log)
	for _, w := range sections {
		if _, why := r.view.logs.wal.Member(ctx, w.Object, w.Section); errors.Is(why, seal.ErrForged) {
			return fmt.Errorf("%w: %w", err, why)
		}
	}
	if removed := pruned(r.view.manifest, 0, r.query); removed != nil {
		return fmt.Errorf("%w: %w", err, removed)
	}
	return err
}

// eachSince calls do with the entries from an index on that a query may select, including those that wait to be
// sequenced.
func (v *view) eachSince(ctx context.Context, from int64, q Query, do func(Indexed) error) error {
	for block, err := range v.blocks(ctx, from, v.manifest.Entries, q) {
		var entries []Indexed
		if err == nil {
			entries, err = block.entries(ctx, q)
		}
		for i := 0; err == nil && i < len(entries); i++ {
			err = do(entries[i])
		}
		if err != nil {
			return err
		}
	}
	for _, t := range v.tail {
		b, err := v.logs.wal.Batch(ctx, v.manifest.Log, t)
		for i := 0; err == nil && i < len(b.Entries); i++ {
			err = do(unsequenced(b, i))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// decode returns the lines of the section. data is the gzip member.
func (w *waitingSection) decode(data []byte) (event.Batch, error) {
	lines, err := gzipmember.Decode(nil, data, w.RawLength)
	var b event.Batch
	if err == nil {
		b, err = event.Cut(w.Log, lines, w.entries)
	}
	if err != nil {
		return b, w.failed(err)
	}
	return b, nil
}

// failed says of which section an error is.
func (w *waitingSection) failed(err error) error {
	return fmt.Errorf("section of %s at %d: %w", w.Object, w.Offset, err)
}

func unsequenced(b event.Batch, i int) Indexed { return Indexed{Unsequenced, b.Line(i), b.Entries[i]} }
