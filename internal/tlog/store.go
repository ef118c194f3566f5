// Package tlog keeps the logs: append-only sequences of events, in segments of compressed blocks, each described by
// its manifest; and reads them, together with the events that still wait in the write-ahead log.
//
// A log's entries are numbered from 0. An entry's index and bytes never change; merging segments moves entries into
// other objects but changes neither.
package tlog

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/mod/sumdb/note"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/gzipmember"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/segment"
	"github.com/weirlog/weir/internal/wal"
)

// Options of Logs. The zero value of each field means its default.
type Options struct {
	BlockBytes      int           // of lines in a block, 512 KiB
	SegmentBytes    int64         // no merge makes a larger segment, 32 MiB compressed
	MergeWidth      int           // how many segments of a size are merged into one, 8
	HistorySegments int           // how many segments a history object lists, 256
	KeepManifests   int64         // how many versions a cleaning leaves, and how many are made between two cleanings, 8
	Grace           time.Duration // how long a replaced object stays, 10 minutes
	CacheBytes      uint64        // of memory for indexes, filters, manifests and keys, 48 MiB
	Shards          int           // of the bucket, 1

	Keys   *proof.Keys // sign manifests and checkpoints, and say what is believed; nil: nothing is signed or checked
	Origin string      // of the bucket's logs; that of one log is <Origin>/<id of the log>

	Beside []segment.Kind // What is made and kept beside each segment (default nothing).

	Witnesses []note.Verifier // whose cosignatures are shown with checkpoints
}

func (o Options) withDefaults() Options {
	set(&o.BlockBytes, 512<<10)
	set(&o.SegmentBytes, 32<<20)
	set(&o.MergeWidth, 8)
	set(&o.HistorySegments, 256)
	set(&o.KeepManifests, 8)
	set(&o.Grace, 10*time.Minute)
	set(&o.CacheBytes, 48<<20)
	set(&o.Shards, 1)
	return o
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// objects reads the objects that manifests name, and keeps some of what it read in memory.
type objects struct {
	bucket bucket.Bucket

	histories *otter.Cache[string, []Segment]        // by key, immutable as the rest
	indexes   *otter.Cache[string, *segment.Index]   // by key of the segment
	filters   *otter.Cache[string, []segment.Filter] // of blocks, by key of the segment
	keys      *otter.Cache[blockID, []event.Key]
	digested  *otter.Cache[blockID, []proof.Hash]   // entries of the tree
	grouped   *otter.Cache[string, []byte]          // hashes of groups, by key of the segment
	verified  *otter.Cache[string, *verifiedBlocks] // which blocks were compared with their digests, by key of the segment
}

// Logs reads and appends to the logs in a bucket. It may be used concurrently, and by many processes.
type Logs struct {
	*objects
	wal     *wal.Reader
	options Options

	manifests *otter.Cache[string, *Manifest]  // by log; only ever a hint, the version is always checked
	plans     *otter.Cache[string, []string]   // objects of plans, by nonce
	nodes     *otter.Cache[nodeID, proof.Hash] // of the tree, above groups
}

type blockID struct {
	segment string
	offset  int64
}

// NewLogs returns Logs on b, which reads the write-ahead log through w.
func NewLogs(b bucket.Bucket, w *wal.Reader, o Options) *Logs {
	o = o.withDefaults()
	share := o.CacheBytes / 13
	return &Logs{objects: newObjects(b, share), wal: w, options: o,
		manifests: newCache(share, func(_ string, m *Manifest) int {
			return 256 + 256*(len(m.Segments)+len(m.History)+len(m.Removing))
		}),
		plans: newCache(share, func(_ string, objects []string) int { return 64 + 64*len(objects) }),
		nodes: newCache(share, func(nodeID, proof.Hash) int { return 160 }),
	}
}

func newObjects(b bucket.Bucket, share uint64) *objects {
	return &objects{bucket: b,
		histories: newCache(share, func(_ string, segments []Segment) int { return 64 + 192*len(segments) }),
		indexes:   newCache(2*share, func(_ string, x *segment.Index) int { return indexWeight(x) }),
		filters: newCache(2*share, func(_ string, filters []segment.Filter) int {
			size := 64
			for _, f := range filters {
				size += 24 + len(f)
			}
			return size
		}),
		keys:     newCache(share, func(_ blockID, k []event.Key) int { return 64 + 16*len(k) }),
		digested: newCache(share, func(_ blockID, d []proof.Hash) int { return 64 + 32*len(d) }),
		grouped:  newCache(2*share, func(_ string, g []byte) int { return 64 + len(g) }),
		verified: newCache(share, func(_ string, c *verifiedBlocks) int { return 256 + len(c.blocks) }),
	}
}

func newCache[K comparable, V any](bytes uint64, weigh func(K, V) int) *otter.Cache[K, V] {
	return otter.Must(&otter.Options[K, V]{
		MaximumWeight: bytes,
		Weigher:       func(k K, v V) uint32 { return uint32(weigh(k, v)) },
	})
}

// cached returns what load makes of key, from the cache if it is there. Others may wait for the same load, so a caller
// that goes away does not stop it.
func cached[K comparable, V any](ctx context.Context, c *otter.Cache[K, V], key K, load func(context.Context, K) (V, error)) (V, error) {
	return c.Get(context.WithoutCancel(ctx), key, otter.LoaderFunc[K, V](load))
}

// indexWeight returns how many bytes of memory an index takes, about.
func indexWeight(x *segment.Index) int {
	n := 320 + 160*len(x.Blocks)
	for _, b := range x.Blocks {
		n += 8 * len(b.Processors)
	}
	return n
}

// Grace returns how long a replaced object stays.
func (s *Logs) Grace() time.Duration { return s.options.Grace }

func (s *Logs) shard(log string) int { return wal.ShardOf(log, s.options.Shards) }

func (s *objects) history(ctx context.Context, h History) ([]Segment, error) {
	return cached(ctx, s.histories, h.Key, func(ctx context.Context, key string) ([]Segment, error) {
		data, err := s.readWhole(ctx, key, h.Sum)
		if err != nil {
			return nil, err
		}
		var segments []Segment
		if err := json.Unmarshal(data, &segments); err != nil {
			return nil, fmt.Errorf("read %s: %w", key, err)
		}
		return segments, nil
	})
}

func (s *objects) index(ctx context.Context, seg Segment) (*segment.Index, error) {
	return cached(ctx, s.indexes, seg.Key, func(ctx context.Context, key string) (*segment.Index, error) {
		data, err := s.readSpan(ctx, key, seg.IndexSpan(), seg.Sum, "index")
		if err != nil {
			return nil, err
		}
		x, err := segment.DecodeIndex(seg.Info, data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		return x, nil
	})
}

// part returns the content of a part of a segment, which has the index x.
func (s *objects) part(ctx context.Context, seg Segment, x *segment.Index, id segment.ID) ([]byte, error) {
	p, ok := x.Part(id)
	if !ok {
		return nil, fmt.Errorf("%s has no part %s: %w", seg.Key, id, segment.ErrCorrupt)
	}
	data, err := s.readSpan(ctx, seg.Key, p.Span, p.Sum, "part "+string(id))
	if err != nil {
		return nil, err
	}
	content, err := p.Content(data)
	if err != nil {
		return nil, fmt.Errorf("part %s of %s: %w", id, seg.Key, err)
	}
	return content, nil
}

// beside returns the content of the object of a kind that stands beside a segment. The error wraps bucket.ErrNotExist if there is
// none, and ErrNotAuthentic if it is not what was written.
func (s *objects) beside(ctx context.Context, seg Segment, part segment.ID) ([]byte, error) {
	for _, b := range seg.Beside {
		if b.Part == part {
			return s.readSized(ctx, b.Key, b.Size, b.Sum)
		}
	}
	return nil, fmt.Errorf("part %s beside %s: %w", part, seg.Key, bucket.ErrNotExist)
}

// readSpan reads bytes of a segment that have a digest.
func (s *objects) readSpan(ctx context.Context, key string, at segment.Span, sum proof.Hash, what string) ([]byte, error) {
	data, err := s.readExactly(ctx, key, at.Offset, at.Length)
	if err == nil {
		err = s.forgetIfForged(key, authenticated(data, sum, what, key))
	}
	return data, err
}

// blockFilters returns the filter of each block of a segment, which has the index x.
func (s *objects) blockFilters(ctx context.Context, seg Segment, x *segment.Index) ([]segment.Filter, error) {
	return cached(ctx, s.filters, seg.Key, func(ctx context.Context, key string) ([]segment.Filter, error) {
		data, err := s.part(ctx, seg, x, segment.Filters)
		if err != nil {
			return nil, err
		}
		filters, err := segment.DecodeFilters(data, x.Blocks)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		return filters, nil
	})
}

func (s *objects) readExactly(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	data, err := bucket.Read(ctx, s.bucket, key, bucket.Range{Offset: offset, Length: length})
	if err == nil && int64(len(data)) != length {
		err = fmt.Errorf("read %s at %d: %w, it ends early", key, offset, gzipmember.ErrCorrupt)
	}
	return data, err
}

// lines returns the lines of a block, in memory that the caller owns.
func (s *objects) lines(ctx context.Context, seg Segment, b segment.Block) ([]byte, error) {
	data, err := s.block(ctx, seg, b)
	if err != nil {
		return nil, err
	}
	lines, err := b.Decode(nil, data)
	if err != nil {
		return nil, fmt.Errorf("block of %s at %d: %w", seg.Key, b.Offset, err)
	}
	return lines, nil
}

// entries returns the entries of a block.
func (s *objects) entries(ctx context.Context, seg Segment, b segment.Block) (event.Batch, error) {
	data, err := s.block(ctx, seg, b)
	if err != nil {
		return event.Batch{}, err
	}
	entries, err := b.Entries(data)
	if err != nil {
		return event.Batch{}, fmt.Errorf("block of %s at %d: %w", seg.Key, b.Offset, err)
	}
	return entries, nil
}
