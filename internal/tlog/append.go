package tlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weirlog/weir/internal/event"
)

// ErrOtherPlan is returned (wrapped) by Append if the log carries a plan with this number or a higher one that is not the
// plan given. The caller must delete nothing: the log does not account for the entries.
var ErrOtherPlan = errors.New("the log carries another plan")

// Append applies a plan to the log of a batch: it appends those of the entries that the log does not have yet, in the
// order of their times (entries of one time in the order given), and notes the plan's number and nonce. Any number of
// callers may apply a plan, any number of times; it takes effect once. If Append returns nil, the log's manifest has
// carried the plan.
func (s *Logs) Append(ctx context.Context, plan int64, nonce string, b event.Batch) error {
	for {
		m, err := s.manifest(ctx, b.Log)
		if err != nil || m.LastPlan == plan && m.Nonce == nonce {
			return err
		}
		if m.LastPlan >= plan {
			return fmt.Errorf("plan %d: %w, %d", plan, ErrOtherPlan, m.LastPlan)
		}
		if m.Tree == nil && m.Entries > 0 && !s.options.WithoutTree {
			if err := s.growTree(ctx, m); err != nil {
				return err
			}
			continue
		}
		fresh, err := s.fresh(ctx, m, b.Entries)
		if err != nil {
			if old, err := s.outdated(ctx, m, err); !old {
				return err
			}
			continue
		}
		m = m.clone()
		m.LastPlan, m.Nonce = plan, nonce
		if len(fresh) > 0 {
			if err := s.grow(ctx, m, b, fresh); err != nil {
				return err
			}
		}
		if err := s.archive(ctx, m); err != nil {
			return err
		}
		if done, err := s.commit(ctx, m); done || err != nil {
			return err
		}
	}
}

// fresh returns the numbers of the entries that the log does not have, each event once, in the order of their times.
func (s *Logs) fresh(ctx context.Context, m *Manifest, entries []event.Entry) ([]int, error) {
	known, err := s.known(ctx, m, entries)
	if err != nil {
		return nil, err
	}
	new(event.Once).Mark(entries, known)
	fresh := make([]int, 0, len(entries))
	for i := range entries {
		if !known[i] {
			fresh = append(fresh, i)
		}
	}
	slices.SortStableFunc(fresh, func(a, b int) int { return cmp.Compare(entries[a].Time, entries[b].Time) })
	return fresh, nil
}

// grow appends the entries of a batch that have these numbers to m, in a segment of their own, and signs what the log has
// become.
func (s *Logs) grow(ctx context.Context, m *Manifest, b event.Batch, numbers []int) error {
	tree := m.tree()
	w := newBuilder(m.Entries, s.options.BlockBytes)
	if !s.options.WithoutTree {
		w.tree = &tree
	}
	for _, i := range numbers {
		w.add(b.Line(i), b.Entries[i])
	}
	seg, err := s.put(ctx, m.Log, w)
	if err != nil {
		return err
	}
	m.Segments = append(m.Segments, seg)
	m.Entries += seg.Count
	if s.options.WithoutTree {
		return nil
	}
	return s.sign(m, tree)
}

// put stores what b built under a new name. After an error the object may exist; then nothing names it, and a later
// Merge removes it.
func (s *Logs) put(ctx context.Context, log string, b *builder) (Segment, error) {
	data, seg := b.finish()
	seg.Key = newSegmentKey(log, seg.First)
	return seg, s.bucket.PutNew(ctx, seg.Key, data)
}

// Merge does one step of upkeep on a log, and tells whether there may be more to do: it merges a run of small segments
// into a larger one, and removes objects that the log no longer needs.
func (s *Logs) Merge(ctx context.Context, log string) (more bool, err error) {
	m, err := s.manifest(ctx, log)
	if err != nil {
		return false, err
	}
	if err := s.remove(ctx, m); err != nil {
		return false, err
	}
	from, to := s.mergeable(m.Segments)
	if from == to || m.Tree == nil && !s.options.WithoutTree {
		return false, nil
	}
	merged, err := s.mergeSegments(ctx, log, m.Segments[from:to])
	if err != nil {
		return s.outdated(ctx, m, err)
	}
	now := time.Now()
	next := m.clone()
	next.Removing = slices.DeleteFunc(next.Removing, func(r Removal) bool { return s.graceOver(r, now) })
	for _, seg := range m.Segments[from:to] {
		next.Removing = append(next.Removing, Removal{seg.Key, now})
	}
	next.Segments = slices.Replace(next.Segments, from, to, merged)
	if err := s.noteOrphans(ctx, next, now); err != nil {
		return false, err
	}
	_, err = s.commit(ctx, next)
	return err == nil, err
}

func (s *Logs) graceOver(r Removal, now time.Time) bool { return now.Sub(r.Since) > s.options.Grace }

// remove deletes what m lists as no longer needed for long enough. The next merge takes it off the list.
func (s *Logs) remove(ctx context.Context, m *Manifest) error {
	now := time.Now()
	var keys []string
	for _, r := range m.Removing {
		if s.graceOver(r, now) {
			keys = append(keys, r.Key)
		}
	}
	return s.bucket.Delete(ctx, keys...)
}

// noteOrphans lists for removal the segments that m does not name: left by a writer that died, or that lost a race.
// If their writer still lives, it cannot commit them any more once m is committed (see Removal).
func (s *Logs) noteOrphans(ctx context.Context, m *Manifest, now time.Time) error {
	named := map[string]bool{}
	for _, r := range m.Removing {
		named[r.Key] = true
	}
	for seg, err := range s.segments(ctx, m, 0, minInt64, maxInt64) {
		if err != nil {
			return err
		}
		named[seg.Key] = true
	}
	for info, err := range s.bucket.List(ctx, segmentPrefix(m.Log), "") {
		if err != nil {
			return err
		}
		if !named[info.Key] {
			m.Removing = append(m.Removing, Removal{info.Key, now})
		}
	}
	return nil
}

// mergeable returns a run of segments worth merging: at least MergeWidth neighbours none of which is of a higher tier
// than the run is looked for in, a tier being MergeWidth times the one before; fewer, if they fill a segment. So a log
// has at most about MergeWidth segments of each tier, and an entry is moved at most once for each tier.
func (s *Logs) mergeable(segments []Segment) (from, to int) {
	for limit := int64(16 << 10); limit <= s.options.SegmentBytes; limit *= int64(s.options.MergeWidth) {
		from, size := len(segments), int64(0)
		to := from
		for i := len(segments) - 1; i >= -1; i-- {
			if i >= 0 && segments[i].Blocks < limit && size+segments[i].Blocks <= s.options.SegmentBytes {
				from, size = i, size+segments[i].Blocks
				continue
			}
			if to-from >= s.options.MergeWidth || to-from > 1 && size >= s.options.SegmentBytes/2 {
				return from, to
			}
			from, to, size = i, i, 0
		}
	}
	return 0, 0
}

// mergeSegments makes one segment of several consecutive ones. Full blocks are copied as they lie, so their bytes stay
// the same for ever; smaller ones are cut anew.
func (s *Logs) mergeSegments(ctx context.Context, log string, segments []Segment) (Segment, error) {
	w := newBuilder(segments[0].First, s.options.BlockBytes)
	for _, seg := range segments {
		x, err := s.index(ctx, seg)
		if err != nil {
			return Segment{}, err
		}
		if err := s.mergeSegment(ctx, w, seg, x); err != nil {
			return Segment{}, err
		}
		if s.options.WithoutTree {
			continue
		}
		groups, err := s.groups(ctx, seg)
		if err != nil {
			return Segment{}, err
		}
		w.groups = append(w.groups, groups...)
	}
	return s.put(ctx, log, w)
}

func (s *Logs) mergeSegment(ctx context.Context, w *builder, seg Segment, x *Index) error {
	filters, err := s.blockFilters(ctx, seg, x)
	if err != nil {
		return err
	}
	for i, b := range x.Blocks {
		if b.Raw >= int64(s.options.BlockBytes) {
			data, err := s.block(ctx, seg, b)
			if err != nil {
				return err
			}
			filter := filters[i]
			if len(filter) != filterSize(b.Count, w.filterBits) { // of an older segment
				keys, err := s.blockKeys(ctx, seg, b)
				if err != nil {
					return err
				}
				filter = makeFilter(keys, w.filterBits)
			}
			w.addBlock(b, x.Processors, data, filter)
		} else {
			entries, err := s.entries(ctx, seg, b)
			if err != nil {
				return err
			}
			for i, e := range entries.Entries {
				w.add(entries.Line(i), e)
			}
		}
	}
	return nil
}

// LastPlan returns the number of the last plan that was applied to a log. It is 0 if there was none.
func (s *Logs) LastPlan(ctx context.Context, log string) (int64, error) {
	m, err := s.manifest(ctx, log)
	if err != nil {
		return 0, err
	}
	return m.LastPlan, nil
}
