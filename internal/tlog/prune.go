package tlog

import (
	"context"
	"slices"
	"time"

	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/segment"
)

// removal describes what one step of retention removes: the oldest entries of a log.
type removal struct {
	manifest.Pruned
	listed  []manifest.Segment // the oldest segments, which are listed in the same object
	history bool               // the first history object lists them, instead of the manifest
}

// Prunable returns what one step of retention would remove now: the oldest entries of a log, up to the first whose
// event is not older than before (milliseconds since the epoch), and at most those that one history object lists. If a
// segment also holds other entries, it must be made again to lose some. So its entries are included only if one of them
// is older than due, and the entries of a block that also holds others only if one of the block's is. due must not
// exceed before.
func (s *Logs) Prunable(ctx context.Context, log string, before, due int64) (p manifest.Pruned, err error) {
	v, err := s.sequenced(ctx, log)
	if err != nil {
		return manifest.Pruned{}, err
	}
	err = v.use(ctx, func(v *view) error {
		r, err := v.oldest(ctx, before, due, maxInt64)
		p = r.Pruned
		return err
	})
	return p, err
}

// Prune does one step of retention: it removes the oldest entries of a log, up to the first whose event is not older
// than before (milliseconds since the epoch), and at most those that one history object lists. Older entries after that
// one stay. Prune returns what it removed; if that is empty, nothing is left to do. Sweep or Merge delete the objects
// after the grace period.
func (s *Logs) Prune(ctx context.Context, log string, before int64) (manifest.Pruned, error) {
	return s.PruneTo(ctx, log, before, maxInt64)
}

// PruneTo is Prune, but keeps the entries from index end on.
func (s *Logs) PruneTo(ctx context.Context, log string, before, end int64) (p manifest.Pruned, err error) {
	v, err := s.sequenced(ctx, log)
	if err != nil {
		return manifest.Pruned{}, err
	}
	err = v.use(ctx, func(v *view) error {
		p, err = s.prune(ctx, v, before, end)
		return err
	})
	return p, err
}

// prune returns errOvertaken if there is a newer manifest than that of the view.
func (s *Logs) prune(ctx context.Context, v *view, before, end int64) (manifest.Pruned, error) {
	r, err := v.oldest(ctx, before, before, end)
	if err != nil || r.Entries == 0 {
		return manifest.Pruned{}, err
	}
	next := v.manifest.Clone()
	if err := s.takeOut(ctx, next, &r); err != nil {
		return manifest.Pruned{}, err
	}
	done, err := s.commit(ctx, next)
	if err == nil && !done {
		err = errOvertaken
	}
	if err != nil {
		return manifest.Pruned{}, err
	}
	return r.Pruned, nil
}

// takeOut applies a removal to m.
func (s *Logs) takeOut(ctx context.Context, m *manifest.Manifest, r *removal) error {
	now := time.Now()
	losing, left := r.split()
	if err := s.keepDigests(ctx, m, losing, r.End()); err != nil {
		return err
	}
	for _, seg := range losing {
		m.Remove(seg, now)
	}
	cut := len(left) > 0 && left[0].First < r.End()
	if cut {
		var err error
		if left[0], err = s.make.cut(ctx, m.Log, left[0], r.End()); err != nil {
			return err
		}
	}
	m.Pruned.Add(r.Pruned)
	if !r.history {
		m.Segments = left
	} else if err := s.replaceHistory(ctx, m, left, now); err != nil {
		return err
	}
	if cut || m.Pruned.End() == m.Entries { // No later merge may come to remove what an interrupted cut left.
		return s.noteOrphans(ctx, m, now)
	}
	return nil
}

// split returns the listed segments that lose entries, and those that have entries left. The last of the former can be
// the first of the latter.
func (r *removal) split() (losing, left []manifest.Segment) {
	n := 0
	for n < len(r.listed) && r.listed[n].End() <= r.End() {
		n++
	}
	losing, left = r.listed[:n], slices.Clone(r.listed[n:])
	if len(left) > 0 && left[0].First < r.End() {
		losing = r.listed[:n+1]
	}
	return losing, left
}

// replaceHistory replaces the first history object of m by one with these segments.
func (s *Logs) replaceHistory(ctx context.Context, m *manifest.Manifest, segments []manifest.Segment,
	now time.Time) error {
	m.Removing = append(m.Removing, manifest.Removal{Key: m.History[0].Key, Since: now})
	m.History = m.History[1:]
	if len(segments) == 0 {
		return nil
	}
	h, err := s.make.putHistory(ctx, m.Log, segments)
	if err == nil {
		m.History = slices.Insert(m.History, 0, h)
	}
	return err
}

// oldest returns the oldest entries of the view, up to the first whose event is not older than before or whose index is
// end. See Prunable.
func (v *view) oldest(ctx context.Context, before, due, end int64) (r removal, err error) {
	r.listed = v.manifest.Segments
	if len(v.manifest.History) > 0 {
		r.history = true
		if r.listed, err = v.History(ctx, v.manifest.History[0]); err != nil {
			return removal{}, err
		}
	}
	for _, seg := range r.listed {
		if seg.MaxTime < before && seg.End() <= end {
			r.Add(manifest.Pruned{First: seg.First, Entries: seg.Count, MinTime: seg.MinTime, MaxTime: seg.MaxTime})
			continue
		}
		first, err := v.oldestOf(ctx, seg, before, due, end)
		r.Add(first)
		return r, err
	}
	return r, nil
}

// oldestOf returns the first entries of a segment, up to the first whose event is not older than before or whose index
// is end. It returns none if none of them is older than due. It opens at most one block, and none if the entries may
// end before that block without leaving one that is older than due.
func (v *view) oldestOf(ctx context.Context, seg manifest.Segment, before, due, end int64) (p manifest.Pruned,
	err error) {
	if seg.MinTime >= due || seg.First >= end {
		return p, nil
	}
	x, err := v.Index(ctx, seg)
	if err != nil {
		return p, err
	}
	for _, b := range x.Blocks {
		if b.MaxTime < before && b.End() <= end {
			p.Add(manifest.Pruned{First: b.First, Entries: int64(b.Count), MinTime: b.MinTime, MaxTime: b.MaxTime})
			continue
		}
		if b.MinTime < due {
			some, err := v.oldestIn(ctx, seg, b, before, end)
			if err != nil {
				return p, err
			}
			p.Add(some)
		}
		break
	}
	if p.MinTime >= due {
		p = manifest.Pruned{}
	}
	return p, nil
}

// oldestIn returns the first entries of a block, up to the first whose event is not older than before or whose index is
// end.
func (v *view) oldestIn(ctx context.Context, seg manifest.Segment, b segment.Block, before,
	end int64) (p manifest.Pruned, err error) {
	if b.First >= end {
		return p, nil
	}
	entries, err := v.Entries(ctx, seg, b)
	if err != nil {
		return p, err
	}
	for i, e := range entries.Entries {
		index := b.First + int64(i)
		if e.Time >= before || index >= end {
			break
		}
		p.Add(manifest.Pruned{First: index, Entries: 1, MinTime: e.Time, MaxTime: e.Time})
	}
	return p, nil
}

// Sweep deletes the objects that the log has not needed for the grace period. Merge does that too, but only a log that
// grows is merged.
func (s *Logs) Sweep(ctx context.Context, log string) error {
	m, err := s.manifest(ctx, log)
	if err != nil {
		return err
	}
	now := time.Now()
	if !slices.ContainsFunc(m.Removing, func(r manifest.Removal) bool { return s.options.graceOver(r, now) }) {
		return nil
	}
	if err := s.remove(ctx, m); err != nil {
		return err
	}
	next := m.Clone()
	next.Removing = slices.DeleteFunc(next.Removing,
		func(r manifest.Removal) bool { return s.options.graceOver(r, now) })
	_, err = s.commit(ctx, next) // if another writer was faster, the next call does it
	return err
}

// Drop deletes the remaining objects of a log. All its entries must have been pruned and swept, and no event may be
// recorded in it any more.
func (s *Logs) Drop(ctx context.Context, log string) error {
	var keys []string
	for info, err := range s.bucket.List(ctx, manifest.LogPrefix(log), "") {
		if err != nil {
			return err
		}
		keys = append(keys, info.Key)
	}
	s.manifests.Invalidate(log)
	return s.bucket.Delete(ctx, keys...)
}
