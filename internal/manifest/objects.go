package manifest

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"

	"github.com/maypok86/otter/v2"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/segment"
)

// Objects reads the objects that manifests name, verifies their digests, and caches parts of them in memory. It may be
// used concurrently.
type Objects struct {
	bucket bucket.Bucket

	histories *otter.Cache[string, []Segment]        // by key; immutable, like the objects
	indexes   *otter.Cache[string, *segment.Index]   // by key of the segment
	filters   *otter.Cache[string, []segment.Filter] // of blocks, by key of the segment
	keys      *otter.Cache[blockID, []event.Key]
	digested  *otter.Cache[blockID, []proof.Hash] // entries of the tree, by block
	grouped   *otter.Cache[string, []byte]        // hashes of groups, by key of the segment
	// the blocks that were verified, by key of the segment
	verified *otter.Cache[string, *VerifiedBlocks]
}

type blockID struct {
	segment string
	offset  int64
}

// NewObjects returns Objects that cache up to cacheBytes of what they read from b.
func NewObjects(b bucket.Bucket, cacheBytes uint64) *Objects {
	share := cacheBytes / 10
	return &Objects{bucket: b,
		histories: NewCache(share, func(_ string, segments []Segment) int { return 64 + 192*len(segments) }),
		indexes:   NewCache(2*share, func(_ string, x *segment.Index) int { return indexWeight(x) }),
		filters: NewCache(2*share, func(_ string, filters []segment.Filter) int {
			size := 64
			for _, f := range filters {
				size += 24 + len(f)
			}
			return size
		}),
		keys:     NewCache(share, func(_ blockID, k []event.Key) int { return 64 + 16*len(k) }),
		digested: NewCache(share, func(_ blockID, d []proof.Hash) int { return 64 + 32*len(d) }),
		grouped:  NewCache(2*share, func(_ string, g []byte) int { return 64 + len(g) }),
		verified: NewCache(share, func(_ string, c *VerifiedBlocks) int { return 256 + len(c.blocks) }),
	}
}

// NewCache returns a cache in memory. weigh returns the size of an entry in bytes; together they have at most bytes.
func NewCache[K comparable, V any](bytes uint64, weigh func(K, V) int) *otter.Cache[K, V] {
	return otter.Must(&otter.Options[K, V]{
		MaximumWeight: bytes,
		Weigher:       func(k K, v V) uint32 { return uint32(weigh(k, v)) },
	})
}

// cached returns the value of key from the cache, or loads it. Callers share a load; a caller whose context ends does
// not stop it.
func cached[K comparable, V any](ctx context.Context, c *otter.Cache[K, V], key K, load func(context.Context, K) (V,
	error)) (V, error) {
	return c.Get(context.WithoutCancel(ctx), key, otter.LoaderFunc[K, V](load))
}

// indexWeight returns the approximate size of an index in memory, in bytes.
func indexWeight(x *segment.Index) int {
	n := 320 + 160*len(x.Blocks)
	for _, b := range x.Blocks {
		n += 8 * len(b.Processors)
	}
	return n
}

// Segments yields the segments of m with entries from the index from on and with events in [minTime, maxTime].
func (s *Objects) Segments(ctx context.Context, m *Manifest, from, minTime, maxTime int64) iter.Seq2[Segment, error] {
	return func(yield func(Segment, error) bool) {
		wanted := func(first, count, lo, hi int64) bool { return first+count > from && lo <= maxTime && hi >= minTime }
		for _, h := range m.History {
			if !wanted(h.First, h.Count, h.MinTime, h.MaxTime) {
				continue
			}
			segments, err := s.History(ctx, h)
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

// History returns the segments that a history object lists. Each begins where the one before ends.
func (s *Objects) History(ctx context.Context, h History) ([]Segment, error) {
	return cached(ctx, s.histories, h.Key, func(ctx context.Context, key string) ([]Segment, error) {
		data, err := s.readWhole(ctx, key, h.Sum)
		if err != nil {
			return nil, err
		}
		var segments []Segment
		if err := json.Unmarshal(data, &segments); err != nil {
			return nil, fmt.Errorf("read %s: %w: %w", key, ErrNotAuthentic, err)
		}
		if err := h.check(segments); err != nil {
			return nil, fmt.Errorf("read %s: %w", key, err)
		}
		return segments, nil
	})
}

// check returns ErrNotAuthentic (wrapped) unless segments are those of the object.
func (h *History) check(segments []Segment) error {
	next := h.First
	var err error
	for _, seg := range segments {
		if next, err = follow(next, seg.First, seg.Count); err != nil {
			return err
		}
	}
	if next != h.First+h.Count {
		return fmt.Errorf("%w: its segments end at entry %d", ErrNotAuthentic, next)
	}
	return nil
}
