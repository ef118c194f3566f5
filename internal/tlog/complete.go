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
// tells whether there may be more to do now. The entries and the bytes of full blocks stay as they are. A log that grows
// all the time may be left as it is until Complete is called again.
func (s *Logs) Complete(ctx context.Context, log string) (more bool, err error) {
	v, err := s.sequenced(ctx, log)
	if err != nil {
		return false, err
	}
	var old manifest.Segment
	var built *segment.Builder
	err = v.use(ctx, func(v *view) error {
		if old, err = s.findIncomplete(ctx, v); err != nil || old.Key == "" {
			return err
		}
		built, err = s.buildFrom(ctx, old, old.First)
		return err
	})
	if err != nil || old.Key == "" {
		return false, err
	}
	// No manifest up to this one lists the new objects for removal, for they are not there yet.
	if v, err = s.sequenced(ctx, log); err != nil {
		return false, err
	}
	made, err := s.put(ctx, log, built)
	if err != nil {
		return false, err
	}
	if s.incomplete(made) {
		s.hopeless.Set(made.Key, struct{}{}) // It cannot be made, whatever is wanted.
	}
	return s.commitExchange(ctx, v.manifest, old, made)
}

// commitExchange commits that a segment stands in the place of another, in the version that follows m, or in one of
// those behind that as long as it has seen them all: one that it has not seen may have listed the new objects for
// removal, and they may be gone (see manifest.Removal). It tells whether it has done so.
func (s *Logs) commitExchange(ctx context.Context, m *manifest.Manifest, old, made manifest.Segment) (bool, error) {
	for {
		next := m.Clone()
		there, err := s.exchange(ctx, next, old, made)
		if err != nil || !there {
			return false, s.viewOf(m).outdated(ctx, err)
		}
		done, err := s.commit(ctx, next)
		if err != nil || done {
			return done, err
		}
		newest, err := s.manifest(ctx, m.Log)
		if err != nil || newest.Version != m.Version+1 {
			return false, err
		}
		m = newest
	}
}

// findIncomplete returns a segment beside which something is missing; one without a key if there is none.
func (s *Logs) findIncomplete(ctx context.Context, v *view) (manifest.Segment, error) {
	if i := slices.IndexFunc(v.manifest.Segments, s.incomplete); i >= 0 {
		return v.manifest.Segments[i], nil
	}
	for _, h := range v.manifest.History {
		if _, ok := s.complete.GetIfPresent(h.Key); ok {
			continue
		}
		listed, err := v.History(ctx, h)
		if err != nil {
			return manifest.Segment{}, err
		}
		if i := slices.IndexFunc(listed, s.incomplete); i >= 0 {
			return listed[i], nil
		}
		s.complete.Set(h.Key, struct{}{})
	}
	return manifest.Segment{}, nil
}

// exchange puts a segment in the place of another one in m, which it lists for removal. It tells whether the other one
// was there, and the new one may be named.
func (s *Logs) exchange(ctx context.Context, m *manifest.Manifest, old, made manifest.Segment) (bool, error) {
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
		listed, err := s.objects.History(ctx, h)
		n := slices.IndexFunc(listed, isOld)
		if err != nil || n < 0 {
			return false, err
		}
		listed = slices.Clone(listed)
		listed[n] = made
		m.History = slices.Clone(m.History)
		if m.History[i], err = s.putHistory(ctx, m.Log, listed); err != nil {
			return false, err
		}
		m.Remove(old, time.Now())
		m.Removing = append(m.Removing, manifest.Removal{Key: h.Key, Since: time.Now()})
		return true, nil
	}
	return false, nil
}

// incomplete tells whether something is missing beside a segment.
func (s *Logs) incomplete(seg manifest.Segment) bool {
	if _, ok := s.hopeless.GetIfPresent(seg.Key); ok {
		return false
	}
	return slices.ContainsFunc(s.options.Beside, func(k segment.Kind) bool { return s.lacks(seg, k) })
}

func (s *Logs) lacks(seg manifest.Segment, kind segment.Kind) bool {
	if k, ok := kind.(segment.Selective); ok && !k.Wants(seg.Info) {
		return false
	}
	return !slices.ContainsFunc(seg.Beside, func(b manifest.Beside) bool {
		_, damaged := s.damaged.GetIfPresent(b.Key)
		return b.Part == kind.ID() && !damaged
	})
}

// Damaged tells that an object beside a segment, given by its key, is lost or damaged, so that Complete makes it anew.
func (s *Logs) Damaged(key string) {
	s.damaged.Set(key, struct{}{})
	s.complete.InvalidateAll()
}
