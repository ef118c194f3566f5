package tlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/manifest"
)

// manifest returns the highest version of a log's manifest. If a log has none yet, it is an empty one of version 0.
func (s *Logs) manifest(ctx context.Context, log string) (*manifest.Manifest, error) {
	cached, ok := s.manifests.GetIfPresent(log)
	if !ok {
		cached = &manifest.Manifest{Format: manifest.Format, Log: log}
	}
	for {
		version, err := manifest.Highest(ctx, s.bucket, log, cached.Version)
		if err != nil {
			return nil, err
		}
		if version == 0 {
			return cached, neverHadManifest(ctx, s.bucket, log)
		}
		if version == cached.Version {
			return cached, nil
		}
		m, err := s.readManifest(ctx, log, version)
		if errors.Is(err, bucket.ErrNotExist) {
			continue // deleted since: there is a higher one
		}
		if err != nil {
			return nil, err
		}
		s.manifests.Set(log, m)
		return m, nil
	}
}

func (s *Logs) readManifest(ctx context.Context, log string, version int64) (*manifest.Manifest, error) {
	key := manifest.Key(log, version)
	data, err := bucket.Read(ctx, s.bucket, key, bucket.Range{})
	if err != nil {
		return nil, err
	}
	m, err := manifest.Decode(data, log, version)
	if err == nil && s.options.Keys != nil {
		err = m.Verify(data, s.options.Keys, s.Origin(log))
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return m, nil
}

// commit stores m as the version after the one that it was derived from, and tells whether that is now the highest. If
// not, the caller reads the manifest again and decides again. There are three reasons: another writer was faster; m is
// below versions whose predecessors were deleted while this process slept; or another writer has already built upon m.
func (s *Logs) commit(ctx context.Context, m *manifest.Manifest) (bool, error) {
	m.Version++
	m.ID = manifest.RandomID()
	data, err := m.Encode(s.options.Keys)
	if err != nil {
		return false, err
	}
	key := manifest.Key(m.Log, m.Version)
	err = s.bucket.PutNew(ctx, key, data)
	if errors.Is(err, bucket.ErrExist) {
		return false, nil
	}
	if err != nil { // The outcome is unknown. Because of the ID, equal bytes were written by this call.
		if there, readErr := bucket.Read(ctx, s.bucket, key, bucket.Range{}); readErr != nil ||
			!bytes.Equal(there, data) {
			return false, err
		}
	}
	version, err := manifest.Highest(ctx, s.bucket, m.Log, m.Version)
	if err != nil {
		return false, err
	}
	if version != m.Version { // No reader uses m any more. With another continuation, two trees would be signed.
		return false, s.bucket.Delete(ctx, key)
	}
	s.manifests.Set(m.Log, m)
	if m.Version%s.options.KeepManifests == 0 {
		return true, cleanManifests(ctx, s.bucket, m, s.options.KeepManifests)
	}
	return true, nil
}

// cleanManifests deletes the versions before m, except for the last ones.
func cleanManifests(ctx context.Context, b bucket.Bucket, m *manifest.Manifest, keep int64) error {
	var old []string
	for info, err := range b.List(ctx, manifest.Prefix(m.Log), "") {
		if err != nil {
			return err
		}
		if info.Key >= manifest.Key(m.Log, max(0, m.Version-keep)) {
			break
		}
		old = append(old, info.Key)
	}
	return b.Delete(ctx, old...)
}

// archive moves the older segments of m into a history object if there are many.
func (s *Logs) archive(ctx context.Context, m *manifest.Manifest) error {
	if len(m.Segments) < 2*s.options.HistorySegments {
		return nil
	}
	old := m.Segments[:s.options.HistorySegments]
	h, err := s.make.putHistory(ctx, m.Log, old)
	if err != nil {
		return err
	}
	m.History = append(m.History, h)
	m.Segments = append([]manifest.Segment(nil), m.Segments[len(old):]...)
	return nil
}

// neverHadManifest returns an error if a log without a manifest must have had one: only the first segment of a log can
// exist before its first manifest.
func neverHadManifest(ctx context.Context, b bucket.Bucket, log string) error {
	for info, err := range b.List(ctx, manifest.SegmentPrefix(log), manifest.SegmentsFrom(log, 1)) {
		if err != nil {
			return err
		}
		if version, err := manifest.Highest(ctx, b, log, 0); err != nil || version > 0 {
			return err // a manifest has been made since
		}
		return fmt.Errorf("log %s has no manifest, but %s is there: %w", log, info.Key, manifest.ErrNotAuthentic)
	}
	return nil
}
