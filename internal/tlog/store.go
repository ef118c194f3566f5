// Package tlog keeps the logs: append-only sequences of events, in segments of compressed blocks, each described by
// its manifest; and reads them, together with the events that still wait in the write-ahead log.
//
// A log's entries are numbered from 0. An entry's index and bytes never change; merging segments moves entries into
// other objects but changes neither.
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

// Logs reads and appends to the logs in a bucket. It may be used concurrently, and by many processes.
type Logs struct {
	objects *manifest.Objects
	bucket  bucket.Bucket
	wal     *wal.Reader
	options Options
	make    maker

	manifests *otter.Cache[string, *manifest.Manifest] // by log; only ever a hint, the version is always checked
	plans     *otter.Cache[string, []string]           // objects of plans, by nonce
	nodes     *otter.Cache[nodeID, proof.Hash]         // of the tree, above groups

	complete *otter.Cache[string, struct{}] // keys of history objects whose segments lack nothing
	hopeless *otter.Cache[string, struct{}] // keys of segments beside which something cannot be made
	damaged  *otter.Cache[string, struct{}] // keys of objects beside segments
}

// NewLogs returns Logs on b, which reads the write-ahead log through w.
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

// newKeys returns a set of keys that forgets some of them if they are too many.
func newKeys() *otter.Cache[string, struct{}] {
	return otter.Must(&otter.Options[string, struct{}]{MaximumSize: 10_000})
}

// Grace returns how long a replaced object stays.
func (s *Logs) Grace() time.Duration { return s.options.Grace }

func (o Options) shard(log string) int { return wal.ShardOf(log, o.Shards) }
