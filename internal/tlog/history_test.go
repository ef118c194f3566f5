package tlog

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/audit"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/segment"
	"github.com/weirlog/weir/internal/tlog/tlogtest"
	"github.com/weirlog/weir/internal/wal"
)

var errFault = errors.New("injected")

// lifetime is a log that several processes grow, merge and prune, with faults.
type lifetime struct {
	*rapid.T
	b        *bucketest.Memory
	o        Options
	stores   []*Logs
	failing  atomic.Int64 // number of calls until one fails, after its effect if it is odd
	entries  int          // number of entries appended so far
	batch    int64
	roots    map[int64]proof.Hash // roots of the tree of the regular log, by size
	tree     proof.Tree
	captured map[string]string // checkpoints of all manifests ever made, by key
}

func (l *lifetime) start() *Logs {
	fail := func(after bool) error {
		if n := l.failing.Add(-1); n == 0 && after == (l.batch%2 == 0) {
			return errFault
		}
		return nil
	}
	f := &bucketest.Faulty{Bucket: l.b,
		Before: func(context.Context, bucketest.Op, string) error { return fail(false) },
		After: func(ctx context.Context, op bucketest.Op, key string) error {
			if op == bucketest.PutNew && strings.HasPrefix(key, manifest.Prefix(testLog)) {
				l.capture(key)
			}
			return fail(true)
		}}
	return NewLogs(f, wal.NewReader(f, seal.NewKey(make([]byte, 32)), 1<<16), l.o)
}

func (l *lifetime) capture(key string) {
	version, err := manifest.VersionOf(testLog, key)
	if err != nil {
		l.Fatal(err)
	}
	m, err := (&Logs{bucket: l.b, options: l.o}).readManifest(context.Background(), testLog, version)
	if err != nil {
		l.Fatal(err)
	}
	l.captured[key+m.ID] = m.Checkpoint
}

func (l *lifetime) store() *Logs {
	return l.stores[rapid.IntRange(0, len(l.stores)-1).Draw(l.T, "process")]
}

// try calls do, possibly with a fault, until it succeeds.
func (l *lifetime) try(do func(s *Logs) error) {
	l.failing.Store(int64(rapid.IntRange(0, 25).Draw(l.T, "fault")))
	for {
		err := do(l.store())
		l.failing.Store(0)
		if err == nil {
			return
		}
		if !errors.Is(err, errFault) {
			l.Fatal(err)
		}
	}
}

func (l *lifetime) grow(t *rapid.T) {
	n := rapid.IntRange(1, 300).Draw(t, "entries")
	l.batch++
	first := l.entries
	l.entries += n
	l.try(func(s *Logs) error {
		var entries []Entry
		for i := first; i < first+n; i++ {
			entries = append(entries, entry(i, 3))
		}
		return s.Append(context.Background(), l.batch, "nonce", batchOf(entries...))
	})
	for i := first; i < first+n; i++ {
		l.tree.Append(proof.Leaf(proof.Digest(entry(i, 3).Line)))
	}
	l.roots[l.tree.Size] = l.tree.Root()
}

func (l *lifetime) merge(*rapid.T) {
	l.try(func(s *Logs) error { _, err := s.Merge(context.Background(), testLog); return err })
}

func (l *lifetime) prune(t *rapid.T) {
	before := int64(rapid.IntRange(0, l.entries).Draw(t, "before")) * 1000
	l.try(func(s *Logs) error { _, err := s.Prune(context.Background(), testLog, before); return err })
}

func (l *lifetime) sweep(*rapid.T) {
	l.try(func(s *Logs) error { return s.Sweep(context.Background(), testLog) })
}

func (l *lifetime) crash(t *rapid.T) {
	l.stores[rapid.IntRange(0, len(l.stores)-1).Draw(t, "process")] = l.start()
}

// audit checks that everything in the bucket is correct.
func (l *lifetime) audit(t *rapid.T) {
	a, err := (&audit.Auditor{Bucket: l.b, Keys: l.o.Keys}).Log(context.Background(), testLog)
	if err != nil || len(a.Findings) > 0 || l.entries > 0 && (a.Size != int64(l.entries) || a.Root != l.tree.Root()) {
		t.Fatalf("%d entries, audit: %d entries, %+v, %v", l.entries, a.Size, a.Findings, err)
	}
}

// check checks that every checkpoint ever signed is that of a prefix of the same log.
func (l *lifetime) check(t *rapid.T) {
	for key, signed := range l.captured {
		if signed == "" {
			continue
		}
		c, err := l.o.Keys.OpenCheckpoint("example.org/"+testLog, signed)
		delete(l.captured, key) // one check suffices, since the past of a log does not change
		if root, ok := l.roots[c.N]; err != nil || !ok || root != c.Hash {
			t.Fatalf("%s: %q, %v; the log's root is %v", key, signed, err, root)
		}
	}
}

// I3: each checkpoint ever signed is consistent with each later one, for any crashes, faults, merges and retention.
func TestCheckpointsStayConsistent(t *testing.T) {
	o, _ := signing(t, small)
	o.Beside = []segment.Kind{tlogtest.LineCounts{}}
	rapid.Check(t, func(rt *rapid.T) {
		l := &lifetime{T: rt, b: bucketest.NewMemory(), o: o, roots: map[int64]proof.Hash{},
			captured: map[string]string{}}
		l.stores = []*Logs{l.start(), l.start()}
		rt.Repeat(map[string]func(*rapid.T){"grow": l.grow, "merge": l.merge, "prune": l.prune, "sweep": l.sweep,
			"crash": l.crash, "audit": l.audit, "": l.check})
		l.audit(rt)
	})
}
