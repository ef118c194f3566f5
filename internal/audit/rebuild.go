package audit

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	modtlog "golang.org/x/mod/sumdb/tlog"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/gzipmember"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/segment"
)

// rebuild computes what a lost manifest must have said, from the segments and digests that follow each other from entry
// 0 on. If several begin at one entry, it takes the longest, since merged objects stay for a while.
func (d *Auditor) rebuild(ctx context.Context, s *manifest.Objects, a *Audit) (*manifest.Manifest, error) {
	a.Rebuilt = true
	m := &manifest.Manifest{Format: manifest.Format, Log: a.Log}
	digests := map[int64]manifest.Digests{} // by first entry
	for info, err := range d.Bucket.List(ctx, manifest.DigestsPrefix(a.Log), "") {
		if err != nil {
			return nil, err
		}
		first, err := firstOf(info.Key)
		if err != nil {
			continue
		}
		size, err := info.Size()
		if err != nil {
			return nil, err
		}
		if count := size / modtlog.HashSize; count > digests[first].Count {
			digests[first] = manifest.Digests{Key: info.Key, First: first, Count: count}
		}
	}
	segments := map[int64]manifest.Segment{}
	for info, err := range d.Bucket.List(ctx, manifest.SegmentPrefix(a.Log), "") {
		if err != nil {
			return nil, err
		}
		seg, err := readTrailer(ctx, d.Bucket, info)
		if isFatal(err) {
			return nil, err
		}
		if err != nil {
			a.find(info.Key, -1, err)
			continue
		}
		if seg.Count > segments[seg.First].Count {
			segments[seg.First] = seg
		}
	}
	for {
		if seg, ok := segments[m.Entries]; ok {
			m.Segments = append(m.Segments, seg)
			m.Entries += seg.Count
		} else if r, ok := digests[m.Entries]; ok && len(m.Segments) == 0 {
			data, err := bucket.Read(ctx, d.Bucket, r.Key, bucket.Range{})
			if err != nil {
				return nil, err
			}
			r.Sum = proof.Digest(data) // there is no manifest to compare it with
			m.Digests = append(m.Digests, r)
			m.Entries += r.Count
			m.Pruned.Entries = m.Entries
		} else {
			break
		}
	}
	for first := range segments {
		if first > m.Entries {
			a.find(manifest.SegmentPrefix(a.Log), m.Entries,
				fmt.Errorf("the segment with entry %d, before those from entry %d on: %w", m.Entries, first,
					bucket.ErrNotExist))
			break
		}
	}
	return m, nil
}

// firstOf returns the first entry in the key of an object.
func firstOf(key string) (int64, error) {
	name := key[strings.LastIndexByte(key, '/')+1:]
	number, _, ok := strings.Cut(name, "-")
	first, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil {
		return 0, fmt.Errorf("%s does not begin with the number of an entry", key)
	}
	return first, nil
}

// checkFrame checks the bytes of a segment around its blocks, given its index x, and that it ends as its manifest says.
// weir does not read them, but zcat does.
func checkFrame(ctx context.Context, b bucket.Bucket, seg manifest.Segment, x *segment.Index) error {
	head, tail := seg.HeadSpan(), seg.TailSpan()
	for _, part := range []struct {
		at   bucket.Range
		want []byte
		what string
	}{
		{bucket.Range{Offset: head.Offset, Length: head.Length}, []byte(gzipmember.Head), "head"},
		{bucket.Range{Offset: tail.Offset, Length: tail.Length}, x.Tail(), "tail"},
		{bucket.Range{Offset: seg.TrailerSpan().Offset}, seg.Trailer(), "trailer"},
	} {
		got, err := bucket.Read(ctx, b, seg.Key, part.at)
		if err != nil {
			return err
		}
		if !bytes.Equal(got, part.want) {
			return fmt.Errorf("%w: its %s is not what it must be", manifest.ErrNotAuthentic, part.what)
		}
	}
	return nil
}

// readTrailer reads a segment's own description.
func readTrailer(ctx context.Context, b bucket.Bucket, info bucket.Info) (manifest.Segment, error) {
	seg := manifest.Segment{Key: info.Key}
	tail, err := bucket.Read(ctx, b, info.Key, bucket.Range{Offset: -segment.TrailerSize})
	if err != nil {
		return seg, err
	}
	size, err := info.Size()
	if err != nil {
		return seg, err
	}
	if seg.Info, err = segment.DecodeTrailer(tail, size); err != nil {
		return seg, fmt.Errorf("%w: %w", manifest.ErrNotAuthentic, err)
	}
	at := seg.IndexSpan()
	index, err := bucket.Read(ctx, b, info.Key, bucket.Range{Offset: at.Offset, Length: max(1, at.Length)})
	if err != nil {
		return seg, err
	}
	if seg.Info, _, err = segment.Describe(seg.Info, index); err != nil {
		return seg, fmt.Errorf("%w: %w", manifest.ErrNotAuthentic, err)
	}
	return seg, nil
}
