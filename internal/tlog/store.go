// Package tlog keeps the logs. A log is an append-only sequence of events, in segments of compressed blocks, and its
// manifest names the segments. The package also reads logs, together with the events that wait in the write-ahead log.
//
// Entries are numbered from 0. The index and the bytes of an entry never change: merging moves entries into other
// objects, and changes neither.
package tlog

import (
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/mod/sumdb/note"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/segment"
	"github.com/weirlog/weir/internal/wal"
)

// Options of Logs. A zero field means its default.
type Options struct {
	BlockBytes      int           // size of the lines of a full block, in bytes (default 512 KiB)
	SegmentBytes    int64         // maximum compressed size of a segment that a merge makes, in bytes (default 32 MiB)
	MergeWidth      int           // number of segments of a size that are merged into one (default 8)
	HistorySegments int           // number of segments that a history object lists (default 256)
	KeepManifests   int64         // number of versions that a cleaning keeps, and between two cleanings (default 8)
	Grace           time.Duration // how long a replaced object is kept (default 10 minutes)
	CacheBytes      uint64        // memory for caches of indexes, filters, manifests and keys (default 48 MiB)
	Shards          int           // number of shards of the bucket (default 1)

	Keys   *proof.Keys // sign and verify manifests and checkpoints; if nil, nothing is signed or verified
	Origin string      // of the bucket's logs; the origin of a log is <Origin>/<id of the log>

	Beside []segment.Kind // kinds of objects that are kept beside each segment (default none)

	Witnesses []note.Verifier // witnesses whose cosignatures are shown with checkpoints
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

// Logs reads and appends to the logs in a bucket. It may be used concurrently, and many processes may share a bucket.
type Logs struct {
	objects *manifest.Objects
	bucket  bucket.Bucket
	wal     *wal.Reader
	options Options
	make    maker

	manifests *otter.Cache[string, *manifest.Manifest] // by log; may be out of date, so the version is always checked
	plans     *otter.Cache[string, []string]           // objects of plans, by nonce
	nodes     *otter.Cache[nodeID, proof.Hash]         // hashes of the tree above groups

	complete *otter.Cache[string, struct{}] // keys of history objects whose segments lack nothing
	hopeless *otter.Cache[string, struct{}] // keys of segments beside which an object cannot be made
	damaged  *otter.Cache[string, struct{}] // keys of damaged objects beside segments
}

// NewLogs returns the Logs in b. It reads the write-ahead log through w.
func NewLogs(b bucket.Bucket, w *wal.Reader, o Options) *Logs {
	o = o.withDefaults()
	share := o.CacheBytes / 13
	objects := manifest.NewObjects(b, 10*share)
	return &Logs{objects: objects, bucket: b, wal: w, options: o, make: maker{objects, b, o.BlockBytes, o.Beside},
		manifests: manifest.NewCache(share, func(_ string, m *manifest.Manifest) int {
			return 256 + 256*(len(m.Segments)+len(m.History)+len(m.Removing))
		}),
		plans:    manifest.NewCache(share, func(_ string, objects []string) int { return 64 + 64*len(objects) }),
		nodes:    manifest.NewCache(share, func(nodeID, proof.Hash) int { return 160 }),
		complete: newKeys(), hopeless: newKeys(), damaged: newKeys(),
	}
}

// newKeys returns a set of keys that forgets some if there are too many.
func newKeys() *otter.Cache[string, struct{}] {
	return otter.Must(&otter.Options[string, struct{}]{MaximumSize: 10_000})
}

// Grace returns how long a replaced object is kept.
func (s *Logs) Grace() time.Duration { return s.options.Grace }

func (o Options) shard(log string) int { return wal.ShardOf(log, o.Shards) }
