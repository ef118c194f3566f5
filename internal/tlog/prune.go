package tlog

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/proof"
)

// Prunable returns what one Prune would remove now.
func (s *Logs) Prunable(ctx context.Context, log string, before int64) (p manifest.Pruned, err error) {
	v, err := s.sequenced(ctx, log)
	if err != nil {
		return manifest.Pruned{}, err
	}
	err = v.use(ctx, func(v *view) error {
		_, old, err := v.oldest(ctx, before, maxInt64)
		for _, seg := range old {
			p.Add(seg)
		}
		return err
	})
	return p, err
}

// Prune does one step of retention: it removes the oldest segments as far as every event in them is older than before
// (milliseconds since the epoch), at most those that one history object lists. A segment that holds a younger event
// stays, and all behind it. It returns what it removed; nothing if there is nothing more to do. Their objects are
// deleted after the grace period, by Sweep or Merge.
func (s *Logs) Prune(ctx context.Context, log string, before int64) (manifest.Pruned, error) {
	return s.PruneTo(ctx, log, before, maxInt64)
}

// PruneTo is Prune that leaves the entries from an index on.
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
func (s *Logs) prune(ctx context.Context, v *view, before, end int64) (removed manifest.Pruned, err error) {
	m := v.manifest
	history, old, err := v.oldest(ctx, before, end)
	if err != nil || len(old) == 0 {
		return manifest.Pruned{}, err
	}
	now := time.Now()
	next := m.Clone()
	if err := s.keepDigests(ctx, next, old); err != nil {
		return manifest.Pruned{}, err
	}
	for _, seg := range old {
		removed.Add(seg)
		next.Pruned.Add(seg)
		next.Remove(seg, now)
	}
	if history == nil {
		next.Segments = next.Segments[len(old):]
	} else {
		next.Removing = append(next.Removing, manifest.Removal{Key: m.History[0].Key, Since: now})
		next.History = next.History[1:]
		if rest := history[len(old):]; len(rest) > 0 {
			h, err := s.putHistory(ctx, m.Log, rest)
			if err != nil {
				return manifest.Pruned{}, err
			}
			next.History = slices.Insert(next.History, 0, h)
		}
	}
	done, err := s.commit(ctx, next)
	if err == nil && !done {
		err = errOvertaken
	}
	if err != nil {
		return manifest.Pruned{}, err
	}
	return removed, nil
}

// oldest returns the oldest segments of the view whose every event is older than before and that end before an index,
// and the list of the first history object that they stand in. The list is nil if the manifest itself lists them.
func (v *view) oldest(ctx context.Context, before, end int64) (history, old []manifest.Segment, err error) {
	m := v.manifest
	segments := m.Segments
	if len(m.History) > 0 {
		if history, err = v.History(ctx, m.History[0]); err != nil {
			return nil, nil, err
		}
		segments = history
	}
	n := slices.IndexFunc(segments, func(seg manifest.Segment) bool { return seg.MaxTime >= before || seg.End() > end })
	if n < 0 {
		n = len(segments)
	}
	return history, segments[:n], nil
}

// putHistory stores a list of segments.
func (s *Logs) putHistory(ctx context.Context, log string, segments []manifest.Segment) (manifest.History, error) {
	first := segments[0]
	h := manifest.History{Key: manifest.NewHistoryKey(log, first.First), First: first.First, MinTime: first.MinTime,
		MaxTime: first.MaxTime}
	for _, seg := range segments {
		h.Count += seg.Count
		h.MinTime, h.MaxTime = min(h.MinTime, seg.MinTime), max(h.MaxTime, seg.MaxTime)
	}
	data, err := json.Marshal(segments)
	if err != nil {
		return h, fmt.Errorf("encode history: %w", err)
	}
	h.Sum = proof.Digest(data)
	return h, s.bucket.PutNew(ctx, h.Key, data) // after an error the next attempt takes another name
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
	_, err = s.commit(ctx, next) // if somebody was faster it is for the next time
	return err
}

// Drop deletes what is left of a log whose every entry was pruned and swept, and that nothing can be recorded in any
// more.
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
