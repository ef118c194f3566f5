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

// Contents lists the objects of a log for a copy: first the objects, then the manifest that names them.
type Contents struct {
	Manifest string // key of the highest manifest; empty if the log has none
	Version  int64
	Data     []byte // of the manifest
	LastPlan int64  // the last plan applied to the log
	Objects  []string
}

// Contents returns the objects of a log now. It checks the form of the manifest, but no signature.
func (d *Auditor) Contents(ctx context.Context, log string) (*Contents, error) {
	found := &Contents{}
	err := d.newest(ctx, log, func(m *manifest.Manifest, data []byte) (err error) {
		found, err = d.contents(ctx, m, data)
		return err
	})
	return found, err
}

// newest calls do with the highest manifest of a log. If an object that the manifest names has been removed since, it
// calls do again with a higher one. If the log has no manifest, it does not call do.
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

// Listed is the list of a log's segments.
type Listed struct {
	Version  int64              // of the manifest; 0 if the log has none
	First    int64              // index of the oldest entry that retention has not removed
	Entries  int64              // number of entries, so the index of the next one
	Segments []manifest.Segment // oldest first, without gaps
}

// Segments returns the segments of a log now. It compares the lists with their digests and, if the auditor has keys,
// checks the signature of the manifest. It does not read the segments. The keys always have the form of keys of the
// log's segments, so it is safe to give them to other programs.
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
