package audit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/manifest"
)

// Contents is what a log consists of, for who copies it: the objects first, then the manifest that names them.
type Contents struct {
	Manifest string // key of the highest manifest; empty: the log has none
	Version  int64
	Data     []byte // of the manifest
	LastPlan int64  // the last plan applied to the log
	Objects  []string
}

// Contents returns what a log consists of now. Nothing is believed but that the manifest is one.
func (d *Auditor) Contents(ctx context.Context, log string) (*Contents, error) {
	found := &Contents{}
	err := d.newest(ctx, log, func(m *manifest.Manifest, data []byte) (err error) {
		found, err = d.contents(ctx, m, data)
		return err
	})
	return found, err
}

// newest calls do with the highest manifest of a log, and again with a higher one if something that the manifest names
// has been removed since. It does not call it if the log has no manifest.
func (d *Auditor) newest(ctx context.Context, log string, do func(m *manifest.Manifest, data []byte) error) error {
	for {
		version, err := manifest.Highest(ctx, d.Bucket, log, 0)
		if err != nil || version == 0 {
			return err
		}
		m, data, err := d.manifest(ctx, log, version)
		if err == nil {
			err = do(m, data)
		}
		if !errors.Is(err, bucket.ErrNotExist) {
			return err
		}
		if newer, highestErr := manifest.Highest(ctx, d.Bucket, log, version); highestErr != nil || newer == version {
			return errors.Join(err, highestErr)
		}
	}
}

func (d *Auditor) manifest(ctx context.Context, log string, version int64) (*manifest.Manifest, []byte, error) {
	key := manifest.Key(log, version)
	data, err := bucket.Read(ctx, d.Bucket, key, bucket.Range{})
	if err != nil {
		return nil, nil, err
	}
	m, err := manifest.Decode(data, log, version)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", key, err)
	}
	return m, data, nil
}

func (d *Auditor) contents(ctx context.Context, m *manifest.Manifest, data []byte) (*Contents, error) {
	c := &Contents{Manifest: manifest.Key(m.Log, m.Version), Version: m.Version, Data: data, LastPlan: m.LastPlan}
	for _, r := range m.Digests {
		c.Objects = append(c.Objects, r.Key)
	}
	for _, h := range m.History {
		c.Objects = append(c.Objects, h.Key)
	}
	for seg, err := range d.objects().Segments(ctx, m, 0, math.MinInt64, math.MaxInt64) {
		if err != nil {
			return nil, err
		}
		c.Objects = slices.AppendSeq(c.Objects, seg.Keys())
	}
	return c, nil
}

// Listed is the segments that a log consists of.
type Listed struct {
	Version  int64              // of the manifest; 0: the log has none, and so no segments
	First    int64              // index of the oldest entry that retention has not removed
	Entries  int64              // index that the next entry will have
	Segments []manifest.Segment // oldest first, without a gap
}

// Segments returns the segments that a log consists of now. It compares the lists with their digests and, if the
// auditor has keys, the manifest with its signature; the segments themselves it does not read. Whatever the manifest
// says, the keys are such as segments of the log have, so they can be given to other programs.
func (d *Auditor) Segments(ctx context.Context, log string) (*Listed, error) {
	found := &Listed{}
	err := d.newest(ctx, log, func(m *manifest.Manifest, data []byte) error {
		if err := d.authentic(m, data); err != nil {
			return fmt.Errorf("%s: %w", manifest.Key(log, m.Version), err)
		}
		found = &Listed{Version: m.Version, First: m.Pruned.End(), Entries: m.Entries}
		for seg, err := range d.objects().Segments(ctx, m, 0, math.MinInt64, math.MaxInt64) {
			if err == nil && !manifest.IsSegmentKey(log, seg.Key) {
				err = fmt.Errorf("%s: %w, it names %.100q as a segment", manifest.Key(log, m.Version),
					manifest.ErrNotAuthentic, seg.Key)
			}
			if err != nil {
				return err
			}
			found.Segments = append(found.Segments, seg)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// OldManifests returns the keys of a log's manifests below a version.
func (d *Auditor) OldManifests(ctx context.Context, log string, version int64) ([]string, error) {
	var old []string
	for info, err := range d.Bucket.List(ctx, manifest.Prefix(log), "") {
		if err != nil {
			return nil, err
		}
		if v, err := manifest.VersionOf(log, info.Key); err == nil && v < version {
			old = append(old, info.Key)
		}
	}
	return old, nil
}
