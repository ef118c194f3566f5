package wal

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/maypok86/otter/v2"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/gzipmember"
	"github.com/weirlog/weir/internal/seal"
)

// Reader reads WAL objects, and caches their contents. Objects never change, so List only checks that they still exist.
// Callers share reads; a caller whose context ends does not stop a read that others wait for.
type Reader struct {
	bucket   bucket.Bucket
	key      seal.Key
	sealed   bucket.Bucket // the same bucket, for plans
	forged   *forgedObjects
	sections *otter.Cache[string, []Section]
	entries  *otter.Cache[entriesKey, []event.Entry]
}

type entriesKey struct {
	object string
	offset int64
}

// NewReader returns a Reader that caches about cacheBytes of indexes. It reads only objects that key has sealed. With
// the zero Key it reads without verifying.
func NewReader(b bucket.Bucket, key seal.Key, cacheBytes uint64) *Reader {
	return &Reader{
		bucket: b,
		key:    key,
		sealed: seal.NewBucket(b, key),
		forged: newForgedObjects(),
		sections: otter.Must(&otter.Options[string, []Section]{
			MaximumWeight: cacheBytes / 2,
			Weigher: func(key string, sections []Section) uint32 {
				weight := 64 + len(key)
				for _, s := range sections {
					weight += 120 + 32*len(s.Processors)
				}
				return uint32(weight)
			},
		}),
		entries: otter.Must(&otter.Options[entriesKey, []event.Entry]{
			MaximumWeight: cacheBytes / 2,
			Weigher:       func(_ entriesKey, entries []event.Entry) uint32 { return uint32(128 + 48*len(entries)) },
		}),
	}
}

// List returns the objects of a shard that exist now, oldest first. It leaves out objects that were set aside.
func (r *Reader) List(ctx context.Context, shard int) ([]bucket.Info, error) {
	var objects []bucket.Info
	for info, err := range r.bucket.List(ctx, Prefix(shard), "") {
		if err != nil {
			return nil, err
		}
		if r.forged.whole(info.Key) == nil {
			objects = append(objects, info)
		}
	}
	return objects, nil
}

// AnyGone tells whether one of these objects of a shard no longer exists. An object that is listed exists, even if it
// cannot be read.
func (r *Reader) AnyGone(ctx context.Context, shard int, keys []string) (bool, error) {
	if len(keys) == 0 {
		return false, nil
	}
	objects, err := r.List(ctx, shard)
	if err != nil {
		return false, err
	}
	there := make(map[string]bool, len(objects))
	for _, o := range objects {
		there[o.Key] = true
	}
	return slices.ContainsFunc(keys, func(key string) bool { return !there[key] }), nil
}

// ListAll returns the objects that exist now for each shard below shards, oldest first, with one listing. It leaves out
// objects that were set aside.
func (r *Reader) ListAll(ctx context.Context, shards int) ([][]bucket.Info, error) {
	all := make([][]bucket.Info, shards)
	for info, err := range r.bucket.List(ctx, root, "") {
		if err != nil {
			return nil, err
		}
		if shard, ok := shardOf(info.Key); ok && shard < shards && r.forged.whole(info.Key) == nil {
			all[shard] = append(all[shard], info)
		}
	}
	return all, nil
}

// likelyIndex is how many bytes at the end of an object are read first. They usually contain the index.
const likelyIndex = 16 << 10

// Sections returns the sections of the object at key. The error wraps bucket.ErrNotExist if the object no longer
// exists, and seal.ErrForged if its index does not verify. Sections whose content was found not to verify are left out.
func (r *Reader) Sections(ctx context.Context, key string) ([]Section, error) {
	if err := r.forged.whole(key); err != nil {
		return nil, err
	}
	load := otter.LoaderFunc[string, []Section](r.loadSections)
	sections, err := r.sections.Get(context.WithoutCancel(ctx), key, load)
	if err != nil {
		if errors.Is(err, seal.ErrForged) {
			r.forged.note(key, wholeObject, err)
		}
		return nil, err
	}
	if !r.forged.any(key) {
		return sections, nil
	}
	return slices.DeleteFunc(slices.Clone(sections), func(s Section) bool { return r.forged.has(key, s.Offset) }), nil
}

// Forged tells whether an object, or a part of it, was found not to verify. Such an object must not be deleted: it is
// needed to find out what happened to it.
func (r *Reader) Forged(key string) bool { return r.forged.any(key) }

// SetAside makes List and Sections leave out an object that does not verify and whose other sections are in their logs.
func (r *Reader) SetAside(key string) {
	r.forged.note(key, wholeObject, forgedError(key,
		errors.New("the sections that verify are in their logs; the object is kept")))
}

func (r *Reader) loadSections(ctx context.Context, key string) ([]Section, error) {
	sections, err := r.readSections(ctx, key)
	if errors.Is(err, seal.ErrForged) {
		r.bucket.Forget(key) // The object may have been damaged in transit.
		sections, err = r.readSections(ctx, key)
	}
	return sections, err
}

func (r *Reader) readSections(ctx context.Context, key string) ([]Section, error) {
	o, err := r.bucket.Get(ctx, key, bucket.Range{Offset: -likelyIndex})
	if err != nil {
		return nil, err
	}
	size := o.Size
	tail, err := io.ReadAll(io.LimitReader(o, likelyIndex))
	o.Close()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	n, err := indexLength(tail, size)
	if err == nil && n > maxIndex {
		err = fmt.Errorf("an index of %d bytes", n)
	}
	if err == nil && n > int64(len(tail)) {
		tail, err = bucket.Read(ctx, r.bucket, key, bucket.Range{Offset: -n})
		if err != nil {
			return nil, err
		}
	}
	if err == nil && int64(len(tail)) < n {
		err = fmt.Errorf("index: %w", gzipmember.ErrCorrupt)
	}
	var sections []Section
	if err == nil {
		index := tail[int64(len(tail))-n:]
		if err = checkIndex(key, index, r.key); err == nil {
			sections, err = decodeIndex(index, size)
		}
	}
	if err != nil {
		return nil, forgedError(key, err)
	}
	return sections, nil
}

// maxIndex is the maximum length of an index that is read, in bytes. A larger index cannot occur: an object has at most
// maxObject bytes before its last request.
const maxIndex = 64 << 20

// forgedError returns the error for an object that does not verify, with the reason.
func forgedError(key string, why error) error {
	if errors.Is(why, seal.ErrForged) {
		return fmt.Errorf("read %s: %w", key, why)
	}
	return fmt.Errorf("read %s: %w (%w)", key, seal.ErrForged, why)
}

// part reads a part of a section and verifies its digest. If the digest differs, part reads once more. If it differs
// again, the section counts as forged, and the error wraps seal.ErrForged. A read that fails, or that is cut off, says
// nothing about the object.
func (r *Reader) part(ctx context.Context, key string, s Section, at bucket.Range,
	sum [sha256.Size]byte) ([]byte, error) {
	for range 2 {
		data, err := bucket.Read(ctx, r.bucket, key, at)
		if err != nil {
			return nil, err
		}
		if sha256.Sum256(data) == sum {
			return data, nil
		}
		r.bucket.Forget(key) // The bytes may have been damaged in transit, or in a cache.
	}
	err := forgedError(key, fmt.Errorf("the section at %d is not what was written", s.Offset))
	r.forged.note(key, s.Offset, err)
	return nil, err
}

// Entries returns the entries of a section. Its errors are those of Member.
func (r *Reader) Entries(ctx context.Context, key string, s Section) ([]event.Entry, error) {
	load := func(ctx context.Context, k entriesKey) ([]event.Entry, error) {
		at := bucket.Range{Offset: s.Offset + s.Length, Length: s.EntriesLength}
		data, err := r.part(ctx, key, s, at, s.sums.entries)
		if err != nil {
			return nil, err
		}
		entries, err := decodeEntries(data, s.Count)
		if err != nil {
			return nil, fmt.Errorf("read %s at %d: %w", key, s.Offset+s.Length, err)
		}
		return entries, nil
	}
	return r.entries.Get(context.WithoutCancel(ctx), entriesKey{key, s.Offset},
		otter.LoaderFunc[entriesKey, []event.Entry](load))
}

// Batch returns the lines and entries of sections of one log, in one buffer.
func (r *Reader) Batch(ctx context.Context, log string, places ...Place) (event.Batch, error) {
	var size int64
	var count int
	for _, at := range places {
		size, count = size+at.RawLength, count+at.Count
	}
	lines := make([]byte, 0, size)
	entries := make([]event.Entry, 0, count)
	for _, at := range places {
		known, err := r.Entries(ctx, at.Object, at.Section)
		var data []byte
		if err == nil {
			data, err = r.Member(ctx, at.Object, at.Section)
		}
		if err != nil {
			return event.Batch{}, err
		}
		if lines, err = gzipmember.Decode(lines, data, at.RawLength); err != nil {
			return event.Batch{}, fmt.Errorf("section of %s at %d: %w", at.Object, at.Offset, err)
		}
		entries = append(entries, known...)
	}
	b, err := event.Cut(log, lines, entries)
	if err != nil {
		return event.Batch{}, fmt.Errorf("sections of log %s: %w: %w", log, gzipmember.ErrCorrupt, err)
	}
	return b, nil
}

// Member returns the gzip member that holds the lines of a section. The error wraps bucket.ErrNotExist if the object no
// longer exists, and seal.ErrForged if the section does not verify.
func (r *Reader) Member(ctx context.Context, key string, s Section) ([]byte, error) {
	return r.part(ctx, key, s, bucket.Range{Offset: s.Offset, Length: s.Length}, s.sums.lines)
}

// Forget drops the cached contents of an object that was deleted.
func (r *Reader) Forget(key string) {
	sections, _ := r.sections.Invalidate(key)
	for _, s := range sections {
		r.entries.Invalidate(entriesKey{key, s.Offset})
	}
}

// keep caches the contents of an object that this process has written.
func (r *Reader) keep(key string, sections []Section, entries [][]event.Entry) {
	r.sections.Set(key, sections)
	for i, s := range sections {
		r.entries.Set(entriesKey{key, s.Offset}, entries[i])
	}
}
