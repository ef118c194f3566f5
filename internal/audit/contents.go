package audit

import (
	"context"
	"errors"
	"fmt"
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
	s := d.objects()
	for {
		version, err := manifest.Highest(ctx, d.Bucket, log, 0)
		if err != nil || version == 0 {
			return &Contents{}, err
		}
		c, err := d.contents(ctx, s, log, version)
		if !errors.Is(err, bucket.ErrNotExist) {
			return c, err
		}
		if newer, highestErr := manifest.Highest(ctx, d.Bucket, log, version); highestErr != nil || newer == version {
			return nil, errors.Join(err, highestErr)
		}
	}
}

func (d *Auditor) contents(ctx context.Context, s *manifest.Objects, log string, version int64) (*Contents, error) {
	c := &Contents{Manifest: manifest.Key(log, version), Version: version}
	var err error
	if c.Data, err = bucket.Read(ctx, d.Bucket, c.Manifest, bucket.Range{}); err != nil {
		return nil, err
	}
	m, err := manifest.Decode(c.Data, log, version)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Manifest, err)
	}
	c.LastPlan = m.LastPlan
	for _, r := range m.Digests {
		c.Objects = append(c.Objects, r.Key)
	}
	segments := m.Segments
	for _, h := range m.History {
		older, err := s.History(ctx, h)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", h.Key, err)
		}
		c.Objects = append(c.Objects, h.Key)
		segments = append(segments[:len(segments):len(segments)], older...)
	}
	for _, seg := range segments {
		c.Objects = slices.AppendSeq(c.Objects, seg.Keys())
	}
	return c, nil
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
