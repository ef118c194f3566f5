package tlog

import (
	"context"
	"slices"
	"time"

	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/segment"
)

// Complete does one step of completing a log: it makes a segment again that lacks an object beside it, because the
// segment is older than the kind of object, or because the object was reported as damaged (see Damaged). more tells
// whether there may be more to do now. The entries, and the bytes of full blocks, do not change. If the log grows
// constantly, the step may be left undone until Complete is called again.
func (s *Logs) Complete(ctx context.Context, log string) (more bool, err error) {
	c := completion{s}
	v, err := s.sequenced(ctx, log)
	if err != nil {
		return false, err
	}
	var old manifest.Segment
	var built *segment.Builder
	err = v.use(ctx, func(v *view) error {
		if old, err = c.find(ctx, v.manifest); err != nil || old.Key == "" {
			return err
		}
		built, err = s.make.buildFrom(ctx, old, old.First)
		return err
	})
	if err != nil || old.Key == "" {
		return false, err
	}
	// No manifest up to this one lists the new objects for removal, since they do not exist yet.
	if v, err = s.sequenced(ctx, log); err != nil {
		return false, err
	}
	made, err := s.make.put(ctx, log, built)
	if err != nil {
		return false, err
	}
	if c.incomplete(made) {
		s.hopeless.Set(made.Key, struct{}{}) // the object cannot be made
	}
	return c.commit(ctx, v.manifest, old, made)
}

// completion finds missing objects beside the segments of logs, and adds them.
type completion struct{ logs *Logs }

// commit replaces a segment by another, in the version after m or in a later one. It must have seen all versions in
// between: one that it has not seen may list the new objects for removal, and they may be deleted (see
// manifest.Removal). commit tells whether it has committed.
func (c completion) commit(ctx context.Context, m *manifest.Manifest, old, made manifest.Segment) (bool, error) {
	for {
		next := m.Clone()
		there, err := c.exchange(ctx, next, old, made)
		if err != nil || !there {
			return false, c.logs.viewOf(m).outdated(ctx, err)
		}
		done, err := c.logs.commit(ctx, next)
		if err != nil || done {
			return done, err
		}
		newest, err := c.logs.manifest(ctx, m.Log)
		if err != nil || newest.Version != m.Version+1 {
			return false, err
		}
		m = newest
	}
}

// find returns a segment that lacks an object beside it; its key is empty if there is none.
func (c completion) find(ctx context.Context, m *manifest.Manifest) (manifest.Segment, error) {
	if i := slices.IndexFunc(m.Segments, c.incomplete); i >= 0 {
		return m.Segments[i], nil
	}
	for _, h := range m.History {
		if _, ok := c.logs.complete.GetIfPresent(h.Key); ok {
			continue
		}
		listed, err := c.logs.objects.History(ctx, h)
		if err != nil {
			return manifest.Segment{}, err
		}
		if i := slices.IndexFunc(listed, c.incomplete); i >= 0 {
			return listed[i], nil
		}
		c.logs.complete.Set(h.Key, struct{}{})
	}
	return manifest.Segment{}, nil
}

// exchange replaces the segment old in m by made, and lists old for removal. It returns false if m does not have old,
// or lists made for removal.
func (c completion) exchange(ctx context.Context, m *manifest.Manifest, old, made manifest.Segment) (bool, error) {
	isMade := func(r manifest.Removal) bool { return r.Key == made.Key }
	isOld := func(seg manifest.Segment) bool { return seg.Key == old.Key }
	if slices.ContainsFunc(m.Removing, isMade) {
		return false, nil
	}
	if i := slices.IndexFunc(m.Segments, isOld); i >= 0 {
		m.Segments = slices.Clone(m.Segments)
		m.Segments[i] = made
		m.Remove(old, time.Now())
		return true, nil
	}
	for i, h := range m.History {
		if old.First < h.First || old.First >= h.First+h.Count {
			continue
		}
		listed, err := c.logs.objects.History(ctx, h)
		n := slices.IndexFunc(listed, isOld)
		if err != nil || n < 0 {
			return false, err
		}
		listed = slices.Clone(listed)
		listed[n] = made
		m.History = slices.Clone(m.History)
		if m.History[i], err = c.logs.make.putHistory(ctx, m.Log, listed); err != nil {
			return false, err
		}
		m.Remove(old, time.Now())
		m.Removing = append(m.Removing, manifest.Removal{Key: h.Key, Since: time.Now()})
		return true, nil
	}
	return false, nil
}

// incomplete tells whether a segment lacks an object beside it that can be made.
func (c completion) incomplete(seg manifest.Segment) bool {
	if _, ok := c.logs.hopeless.GetIfPresent(seg.Key); ok {
		return false
	}
	return slices.ContainsFunc(c.logs.options.Beside, func(k segment.Kind) bool { return c.lacks(seg, k) })
}

func (c completion) lacks(seg manifest.Segment, kind segment.Kind) bool {
	if k, ok := kind.(segment.Selective); ok && !k.Wants(seg.Info) {
		return false
	}
	return !slices.ContainsFunc(seg.Beside, func(b manifest.Beside) bool {
		_, damaged := c.logs.damaged.GetIfPresent(b.Key)
		return b.Part == kind.ID() && !damaged
	})
}

// Damaged reports that the object beside a segment with a key is lost or damaged, so that Complete makes it again.
func (s *Logs) Damaged(key string) {
	s.damaged.Set(key, struct{}{})
	s.complete.InvalidateAll()
}
