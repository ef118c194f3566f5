package tlog

import (
	"context"
	"slices"
	"time"

	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/segment"
)

// Complete does one step of completing a log: it makes a segment anew beside which an object is missing that should be
// there, because the segment is older than the kind of object, or the object was said to be damaged (see Damaged). It
// tells whether there may be more to do now. The entries and the bytes of full blocks stay as they are. A log that
// grows all the time may be left as it is until Complete is called again.
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
	// No manifest up to this one lists the new objects for removal, for they are not there yet.
	if v, err = s.sequenced(ctx, log); err != nil {
		return false, err
	}
	made, err := s.make.put(ctx, log, built)
	if err != nil {
		return false, err
	}
	if c.incomplete(made) {
		s.hopeless.Set(made.Key, struct{}{}) // It cannot be made, whatever is wanted.
	}
	return c.commit(ctx, v.manifest, old, made)
}

// completion finds what is missing beside the segments of logs, and puts it there.
type completion struct{ logs *Logs }

// commit commits that a segment stands in the place of another, in the version that follows m, or in one of
// those behind that as long as it has seen them all: one that it has not seen may have listed the new objects for
// removal, and they may be gone (see manifest.Removal). It tells whether it has done so.
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

// find returns a segment beside which something is missing; one without a key if there is none.
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

// exchange puts a segment in the place of another one in m, which it lists for removal. It tells whether the other one
// was there, and the new one may be named.
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

// incomplete tells whether something is missing beside a segment.
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

// Damaged tells that an object beside a segment, given by its key, is lost or damaged, so that Complete makes it anew.
func (s *Logs) Damaged(key string) {
	s.damaged.Set(key, struct{}{})
	s.complete.InvalidateAll()
}
