package tlog

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/segment"
)

// maker makes the objects that manifests name. It changes no manifest.
type maker struct {
	objects    *manifest.Objects // from which segments are read
	bucket     bucket.Bucket
	blockBytes int
	beside     []segment.Kind
}

// put stores the result of b under new keys: first the objects beside the segment, then the segment. After an error
// some may exist; no manifest names them, and a later Merge removes them.
func (k *maker) put(ctx context.Context, log string, b *segment.Builder) (manifest.Segment, error) {
	data, info, beside, err := b.Finish()
	if err != nil {
		return manifest.Segment{}, fmt.Errorf("make a segment of log %s: %w", log, err)
	}
	seg := manifest.Segment{Key: manifest.NewSegmentKey(log, info.First), Info: info}
	for _, o := range beside {
		at := manifest.NewBeside(manifest.NewBesideKey(log, o.ID, info.First), o)
		if err := k.bucket.PutNew(ctx, at.Key, o.Data); err != nil {
			return manifest.Segment{}, err
		}
		seg.Beside = append(seg.Beside, at)
	}
	return seg, k.bucket.PutNew(ctx, seg.Key, data)
}

// mergeSegments merges consecutive segments into one.
func (k *maker) mergeSegments(ctx context.Context, log string, segments []manifest.Segment) (manifest.Segment, error) {
	w := segment.NewMerge(segments[0].First, k.blockBytes, k.beside...)
	for _, seg := range segments {
		source, err := k.objects.Source(ctx, seg, k.beside)
		if err != nil {
			return manifest.Segment{}, err
		}
		read := func(b *segment.Block) ([]byte, error) { return k.objects.Block(ctx, seg, *b) }
		if err := w.Merge(source, read); err != nil {
			return manifest.Segment{}, fmt.Errorf("merge %s: %w", seg.Key, err)
		}
	}
	return k.put(ctx, log, w)
}

// cut makes a segment of the entries of another from an index on.
func (k *maker) cut(ctx context.Context, log string, seg manifest.Segment, first int64) (manifest.Segment, error) {
	w, err := k.buildFrom(ctx, seg, first)
	if err != nil {
		return manifest.Segment{}, err
	}
	return k.put(ctx, log, w)
}

// buildFrom builds a segment of the entries of another from an index on, with the objects beside it.
func (k *maker) buildFrom(ctx context.Context, seg manifest.Segment, first int64) (*segment.Builder, error) {
	source, err := k.objects.Source(ctx, seg, nil)
	if err != nil {
		return nil, err
	}
	w := segment.NewMerge(first, k.blockBytes, k.beside...)
	read := func(b *segment.Block) ([]byte, error) { return k.objects.Block(ctx, seg, *b) }
	if err := w.MergeFrom(source, first, read); err != nil {
		return nil, fmt.Errorf("cut %s: %w", seg.Key, err)
	}
	return w, nil
}

// putHistory stores a list of segments.
func (k *maker) putHistory(ctx context.Context, log string, segments []manifest.Segment) (manifest.History, error) {
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
	return h, k.bucket.PutNew(ctx, h.Key, data) // after an error the next attempt uses another key
}
