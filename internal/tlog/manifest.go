package tlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/segment"
)

// Manifest says what a log consists of now. The highest version counts.
type Manifest struct {
	Format   int       `json:"format"`
	Log      string    `json:"log"`
	Version  int64     `json:"version"`
	ID       string    `json:"id"`       // random: tells this version from another writer's
	Entries  int64     `json:"entries"`  // how many the log has
	LastPlan int64     `json:"lastPlan"` // the last plan applied to the log
	Nonce    string    `json:"nonce"`    // of that plan
	History  []History `json:"history"`  // older segments, oldest first
	Segments []Segment `json:"segments"` // newer segments, oldest first
	Removing []Removal `json:"removing"` // objects that the log no longer needs
	Pruned   Pruned    `json:"pruned,omitzero"`
	Digests  []Digests `json:"digests,omitempty"` // of the pruned entries

	Tree       *proof.Tree `json:"tree,omitempty"`       // of all entries; nil if there are none
	Checkpoint string      `json:"checkpoint,omitempty"` // signed, of the tree
	Keys       []SignedBy  `json:"keys,omitempty"`       // that have signed its checkpoints, oldest first
}

// Segment is an object of consecutive entries.
type Segment struct {
	Key string `json:"key"`
	segment.Info
	Beside []Beside `json:"beside,omitempty"`
}

// Beside is an object that stands beside a segment and was made from it, such as an index. It has the segment's life:
// it is stored before a manifest names it, merged when the segment is, and removed with it. Without it nothing is lost:
// a merge makes it again.
type Beside struct {
	Part segment.ID `json:"part"` // its kind
	Key  string     `json:"key"`
	Size int64      `json:"size"` // bytes
	Sum  proof.Hash `json:"sum"`  // SHA-256 of the object
}

// keys yields the keys of a segment and of what stands beside it.
func (s *Segment) keys() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, b := range s.Beside {
			if !yield(b.Key) {
				return
			}
		}
		yield(s.Key)
	}
}

// remove lists a segment, and what stands beside it, for removal.
func (m *Manifest) remove(seg Segment, now time.Time) {
	for key := range seg.keys() {
		m.Removing = append(m.Removing, Removal{key, now})
	}
}

// History is an immutable object that lists segments, so that the manifest of a long log stays small.
type History struct {
	Key     string `json:"key"`
	First   int64  `json:"first"`
	Count   int64  `json:"count"` // of entries
	MinTime int64  `json:"minTime"`
	MaxTime int64  `json:"maxTime"`

	Sum proof.Hash `json:"sum"` // SHA-256 of the object
}

// Removal is an object to be deleted once nobody who saw an older manifest can still want it. Only objects that the
// highest manifest lists here are ever deleted: whoever made one and has not committed it yet would have to commit
// the version that lists it, and fails.
type Removal struct {
	Key   string    `json:"key"`
	Since time.Time `json:"since"`
}

const manifestFormat = 1

// highest returns the highest version of a log's manifest above known, or known.
func (s *Logs) highest(ctx context.Context, log string, known int64) (int64, error) {
	return highestManifest(ctx, s.bucket, log, known)
}

func highestManifest(ctx context.Context, b bucket.Bucket, log string, known int64) (int64, error) {
	after := ""
	if known > 0 {
		after = manifestKey(log, known)
	}
	for info, err := range b.List(ctx, manifestPrefix(log), after) {
		if err != nil {
			return 0, err
		}
		if known, err = manifestVersion(log, info.Key); err != nil {
			return 0, err
		}
	}
	return known, nil
}

// manifest returns the highest version of a log's manifest. A log that has none yet has an empty one of version 0.
func (s *Logs) manifest(ctx context.Context, log string) (*Manifest, error) {
	cached, ok := s.manifests.GetIfPresent(log)
	if !ok {
		cached = &Manifest{Format: manifestFormat, Log: log}
	}
	for {
		version, err := s.highest(ctx, log, cached.Version)
		if err != nil {
			return nil, err
		}
		if version == 0 {
			return cached, s.neverHadManifest(ctx, log)
		}
		if version == cached.Version {
			return cached, nil
		}
		m, err := s.readManifest(ctx, log, version)
		if errors.Is(err, bucket.ErrNotExist) {
			continue // cleaned away since: there is a higher one
		}
		if err != nil {
			return nil, err
		}
		s.manifests.Set(log, m)
		return m, nil
	}
}

func (s *Logs) readManifest(ctx context.Context, log string, version int64) (*Manifest, error) {
	key := manifestKey(log, version)
	data, err := bucket.Read(ctx, s.bucket, key, bucket.Range{})
	if err != nil {
		return nil, err
	}
	m, err := decodeManifest(data, log, version)
	if err == nil && s.options.Keys != nil {
		err = verifyManifest(m, data, s.options.Keys, s.Origin(log))
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return m, nil
}

// commit makes m the version after the one that it was derived from, and tells whether it is the highest now. If it
// is not, the caller reads the manifest again and decides again: somebody else was faster, or m stands below versions
// whose predecessors were cleaned away while this process slept, or somebody has already built upon it.
func (s *Logs) commit(ctx context.Context, m *Manifest) (bool, error) {
	m.Version++
	m.ID = randomID()
	data, err := m.encode(s.options.Keys)
	if err != nil {
		return false, err
	}
	key := manifestKey(m.Log, m.Version)
	err = s.bucket.PutNew(ctx, key, data)
	if errors.Is(err, bucket.ErrExist) {
		return false, nil
	}
	if err != nil { // unknown outcome; the ID makes the bytes ours alone
		if there, readErr := bucket.Read(ctx, s.bucket, key, bucket.Range{}); readErr != nil || !bytes.Equal(there, data) {
			return false, err
		}
	}
	version, err := s.highest(ctx, m.Log, m.Version)
	if err != nil || version != m.Version {
		return false, err
	}
	s.manifests.Set(m.Log, m)
	if m.Version%s.options.KeepManifests == 0 {
		return true, s.cleanManifests(ctx, m)
	}
	return true, nil
}

func (s *Logs) cleanManifests(ctx context.Context, m *Manifest) error {
	var old []string
	for info, err := range s.bucket.List(ctx, manifestPrefix(m.Log), "") {
		if err != nil {
			return err
		}
		if info.Key >= manifestKey(m.Log, max(0, m.Version-s.options.KeepManifests)) {
			break
		}
		old = append(old, info.Key)
	}
	return s.bucket.Delete(ctx, old...)
}

// clone returns a copy of m that can be changed into the next version.
func (m *Manifest) clone() *Manifest {
	c := *m
	c.History = append([]History(nil), m.History...)
	c.Segments = append([]Segment(nil), m.Segments...)
	c.Removing = append([]Removal(nil), m.Removing...)
	c.Digests = append([]Digests(nil), m.Digests...)
	c.Keys = append([]SignedBy(nil), m.Keys...)
	return &c
}

// archive moves the older segments of m into a history object once they are many.
func (s *Logs) archive(ctx context.Context, m *Manifest) error {
	if len(m.Segments) < 2*s.options.HistorySegments {
		return nil
	}
	old := m.Segments[:s.options.HistorySegments]
	h, err := s.putHistory(ctx, m.Log, old)
	if err != nil {
		return err
	}
	m.History = append(m.History, h)
	m.Segments = append([]Segment(nil), m.Segments[len(old):]...)
	return nil
}

// segments yields the segments of m that hold entries from the index from on and events of [minTime, maxTime].
func (s *objects) segments(ctx context.Context, m *Manifest, from, minTime, maxTime int64) iter.Seq2[Segment, error] {
	return func(yield func(Segment, error) bool) {
		wanted := func(first, count, lo, hi int64) bool { return first+count > from && lo <= maxTime && hi >= minTime }
		for _, h := range m.History {
			if !wanted(h.First, h.Count, h.MinTime, h.MaxTime) {
				continue
			}
			segments, err := s.history(ctx, h)
			if err != nil {
				yield(Segment{}, err)
				return
			}
			for _, seg := range segments {
				if wanted(seg.First, seg.Count, seg.MinTime, seg.MaxTime) && !yield(seg, nil) {
					return
				}
			}
		}
		for _, seg := range m.Segments {
			if wanted(seg.First, seg.Count, seg.MinTime, seg.MaxTime) && !yield(seg, nil) {
				return
			}
		}
	}
}
