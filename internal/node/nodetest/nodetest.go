// Package nodetest wires the parts of a node that record, sequence and read, for tests of packages that use them. Tests
// of package node start whole nodes; those of wal, tlog, sequence and record wire their own, since they may not import
// a package that imports them.
package nodetest

import (
	"log/slog"
	"testing"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/record"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/sequence"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/wal"
)

// Seals is the key of the nodes' secret.
var Seals = seal.NewKey(make([]byte, 32))

// Options are those of a node's parts. Sequencers that have no logger log nothing.
type Options struct {
	Logs       tlog.Options // Its Shards are the node's (default 1).
	Sequencing sequence.Options
	Recording  record.Options
	WALCache   uint64 // bytes (default 1 MiB)
}

// Node is the parts of a node. Nothing runs in the background: a test makes the rounds of its sequencers.
type Node struct {
	Logs       *tlog.Logs
	Writers    []*wal.Writer         // by shard
	Sequencers []*sequence.Sequencer // by shard
	Recorder   *record.Recorder
}

// New returns a node on a bucket. Its writers are closed when the test ends.
func New(t testing.TB, b bucket.Bucket, o Options) *Node {
	if o.WALCache == 0 {
		o.WALCache = 1 << 20
	}
	if o.Sequencing.Logger == nil {
		o.Sequencing.Logger = slog.New(slog.DiscardHandler)
	}
	reader := wal.NewReader(b, Seals, o.WALCache)
	n := &Node{Logs: tlog.NewLogs(b, reader, o.Logs)}
	for shard := range max(o.Logs.Shards, 1) {
		s := sequence.New(b, reader, n.Logs, shard, o.Sequencing)
		n.Sequencers = append(n.Sequencers, s)
		n.Writers = append(n.Writers, wal.NewWriter(b, reader, shard, s.Notify))
	}
	n.Recorder = record.New(b, n.Logs, n.Writers, o.Recording)
	t.Cleanup(n.Close)
	return n
}

// Close waits for what is being written and stops. It may be called again.
func (n *Node) Close() {
	for _, w := range n.Writers {
		w.Close()
	}
}
