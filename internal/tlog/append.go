package tlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/segment"
)

// ErrOtherPlan is returned (wrapped) by Append if the log carries another plan with this number or a higher one, or if
// the plan was applied without some of the entries. The caller must delete nothing, since the log may lack the entries.
var ErrOtherPlan = errors.New("the log carries another plan")

// Append applies a plan to the log of a batch. It appends the entries that the log does not have, in the order of their
// times (entries with the same time in the given order), and records the plan's number and nonce. Any number of callers
// may apply a plan, any number of times; it takes effect once. If Append returns nil, the log's manifest has carried
// the plan, and the log has, or had, each of the entries.
func (s *Logs) Append(ctx context.Context, plan int64, nonce string, b event.Batch) error {
	v, err := s.sequenced(ctx, b.Log)
	if err != nil {
		return err
	}
	return v.use(ctx, func(v *view) error { return s.appendTo(ctx, v, plan, nonce, b) })
}

// appendTo is Append to a log in a view. It returns errOvertaken if there is a newer manifest.
func (s *Logs) appendTo(ctx context.Context, v *view, plan int64, nonce string, b event.Batch) error {
	m := v.manifest
	if m.LastPlan == plan && m.Nonce == nonce {
		return v.accountsFor(ctx, b)
	}
	if m.LastPlan >= plan {
		return fmt.Errorf("plan %d: %w, %d", plan, ErrOtherPlan, m.LastPlan)
	}
	fresh, err := v.fresh(ctx, b.Entries)
	if err != nil {
		return err
	}
	m = m.Clone()
	m.LastPlan, m.Nonce = plan, nonce
	if len(fresh) > 0 {
		if err := s.grow(ctx, m, b, fresh); err != nil {
			return err
		}
	}
	if err := s.archive(ctx, m); err != nil {
		return err
	}
	done, err := s.commit(ctx, m)
	if err == nil && !done {
		err = errOvertaken
	}
	return err
}

// accountsFor returns ErrOtherPlan (wrapped) if the log lacks an entry of a plan that it carries. Then the process that
// applied the plan could not read the entry, and left it out. An entry that is as old as those that retention has
// removed may be one of them, and does not count as lacking.
func (v *view) accountsFor(ctx context.Context, b event.Batch) error {
	known, err := v.known(ctx, b.Entries)
	if err != nil {
		return err
	}
	for i, e := range b.Entries {
		if removed := v.manifest.Pruned; known[i] != event.Known && (removed.Entries == 0 || e.Time > removed.MaxTime) {
			return fmt.Errorf("plan %d was applied without some of its entries: %w", v.manifest.LastPlan, ErrOtherPlan)
		}
	}
	return nil
}

// fresh returns the numbers of the entries that the log does not have, without duplicates, in the order of their times.
func (v *view) fresh(ctx context.Context, entries []event.Entry) ([]int, error) {
	known, err := v.known(ctx, entries)
	if err != nil {
		return nil, err
	}
	new(event.Once).Mark(entries, known)
	fresh := make([]int, 0, len(entries))
	for i := range entries {
		if known[i] != event.Known {
			fresh = append(fresh, i)
		}
	}
	slices.SortStableFunc(fresh, func(a, b int) int { return cmp.Compare(entries[a].Time, entries[b].Time) })
	return fresh, nil
}

// grow appends the entries with these numbers to m, in a segment of their own, and signs the new tree.
func (s *Logs) grow(ctx context.Context, m *manifest.Manifest, b event.Batch, numbers []int) error {
	tree := m.CloneTree()
	w := segment.New(&tree, s.options.BlockBytes, s.options.Beside...)
	for _, i := range numbers {
		w.Add(b.Line(i), b.Entries[i])
	}
	seg, err := s.make.put(ctx, m.Log, w)
	if err != nil {
		return err
	}
	m.Segments = append(m.Segments, seg)
	m.Entries += seg.Count
	return s.options.sign(m, tree)
}

// Merge does one step of upkeep on a log: it merges a run of small segments into a larger one, and deletes objects that
// the log no longer needs. more tells whether there may be more to do.
func (s *Logs) Merge(ctx context.Context, log string) (more bool, err error) {
	m, err := s.manifest(ctx, log)
	if err != nil {
		return false, err
	}
	if err := s.remove(ctx, m); err != nil {
		return false, err
	}
	from, to := s.options.mergeable(m.Segments)
	if from == to {
		return false, nil
	}
	merged, err := s.make.mergeSegments(ctx, log, m.Segments[from:to])
	if err != nil {
		err = s.viewOf(m).outdated(ctx, err)
		return err == nil, err
	}
	now := time.Now()
	next := m.Clone()
	next.Removing = slices.DeleteFunc(next.Removing,
		func(r manifest.Removal) bool { return s.options.graceOver(r, now) })
	for _, seg := range m.Segments[from:to] {
		next.Remove(seg, now)
	}
	next.Segments = slices.Replace(next.Segments, from, to, merged)
	if err := s.noteOrphans(ctx, next, now); err != nil {
		return false, err
	}
	_, err = s.commit(ctx, next)
	return err == nil, err
}

func (o Options) graceOver(r manifest.Removal, now time.Time) bool { return now.Sub(r.Since) > o.Grace }

// remove deletes the objects that m lists for removal and whose grace period is over. The next merge takes them off the
// list.
func (s *Logs) remove(ctx context.Context, m *manifest.Manifest) error {
	now := time.Now()
	var keys []string
	for _, r := range m.Removing {
		if s.options.graceOver(r, now) {
			keys = append(keys, r.Key)
		}
	}
	return s.bucket.Delete(ctx, keys...)
}

// noteOrphans lists for removal the segments, and the objects beside segments, that m does not name: a writer that
// died, or lost a race, has left them. If the writer still lives, it cannot commit them once m is committed (see
// Removal).
func (s *Logs) noteOrphans(ctx context.Context, m *manifest.Manifest, now time.Time) error {
	named := map[string]bool{}
	for _, r := range m.Removing {
		named[r.Key] = true
	}
	for seg, err := range s.objects.Segments(ctx, m, 0, minInt64, maxInt64) {
		if err != nil {
			return err
		}
		for key := range seg.Keys() {
			named[key] = true
		}
	}
	for _, prefix := range []string{manifest.SegmentPrefix(m.Log), manifest.BesidePrefix(m.Log)} {
		for info, err := range s.bucket.List(ctx, prefix, "") {
			if err != nil {
				return err
			}
			if !named[info.Key] {
				m.Removing = append(m.Removing, manifest.Removal{Key: info.Key, Since: now})
			}
		}
	}
	return nil
}

// mergeable returns a run of segments worth merging: at least MergeWidth neighbours up to the size of a tier, or fewer
// if they fill a segment. A tier is MergeWidth times as large as the one before. So a log has about MergeWidth segments
// of each tier at most, and an entry is moved at most once for each tier.
func (o Options) mergeable(segments []manifest.Segment) (from, to int) {
	for limit := int64(16 << 10); limit <= o.SegmentBytes; limit *= int64(o.MergeWidth) {
		from, size := len(segments), int64(0)
		to := from
		for i := len(segments) - 1; i >= -1; i-- {
			if i >= 0 && segments[i].Blocks < limit && size+segments[i].Blocks <= o.SegmentBytes {
				from, size = i, size+segments[i].Blocks
				continue
			}
			if to-from >= o.MergeWidth || to-from > 1 && size >= o.SegmentBytes/2 {
				return from, to
			}
			from, to, size = i, i, 0
		}
	}
	return 0, 0
}

// LastPlan returns the number of the last plan that was applied to a log, or 0 if there is none.
func (s *Logs) LastPlan(ctx context.Context, log string) (int64, error) {
	m, err := s.manifest(ctx, log)
	if err != nil {
		return 0, err
	}
	return m.LastPlan, nil
}
