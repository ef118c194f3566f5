package tlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	modtlog "golang.org/x/mod/sumdb/tlog"

	"github.com/weirlog/weir/internal/gzipmember"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/proof"
)

// Hashes of a log's tree. A manifest has the right edge of the tree. A segment has the hash of each group of 256
// entries that ends in it (0.125 bytes an entry), which are the hashes of the tiles of level 1. Lower hashes are
// computed from the lines, higher ones from the groups. No hash is stored in an object that a later manifest could
// contradict.

type nodeID struct {
	log   string
	level int
	n     int64
}

// ErrBeyond is returned (wrapped) for a part that lies outside a log's tree.
var ErrBeyond = errors.New("beyond the log's tree")

// Origin returns the name under which the checkpoints of a log are signed.
func (s *Logs) Origin(log string) string { return s.options.originOf(log) }

func (o Options) originOf(log string) string { return o.Origin + "/" + log }

// sign sets the tree of a manifest and the checkpoint of the tree. So a commit of the manifest commits both.
func (o Options) sign(m *manifest.Manifest, tree proof.Tree) error {
	m.Tree = &tree
	if o.Keys == nil {
		return nil
	}
	m.NoteSigners(o.Keys.Signers, tree.Size)
	var err error
	m.Checkpoint, err = o.Keys.SignCheckpoint(o.originOf(m.Log), tree.Size, tree.Root())
	return err
}

// maxDigests is the maximum number of entries in an object of digests (8 MiB), unless a single segment has more.
const maxDigests = 1 << 18

// keepDigests stores the entries of the tree for the lines of segments below an index, which are about to be removed,
// and adds them to m. To keep the manifest small, it joins them with the last object of digests while that is not too
// large.
func (s *Logs) keepDigests(ctx context.Context, m *manifest.Manifest, segments []manifest.Segment,
	below int64) error {
	var made manifest.Digests
	var data []byte
	going := func(seg manifest.Segment) int64 { return min(seg.End(), below) - seg.First }
	put := func() error {
		if made.Count == 0 {
			return nil
		}
		made.Key, made.Sum = manifest.NewDigestsKey(m.Log, made.First), proof.Digest(data)
		m.Digests = append(m.Digests, made)
		return s.bucket.PutNew(ctx, made.Key, data) // after an error the next attempt uses another key
	}
	if last := len(m.Digests) - 1; last >= 0 && m.Digests[last].Count+going(segments[0]) <= maxDigests {
		d := m.Digests[last]
		before, err := s.objects.ReadSized(ctx, d.Key, d.Count*modtlog.HashSize, d.Sum)
		if err != nil {
			return err
		}
		made, data = d, before
		m.Digests = m.Digests[:last]
		m.Removing = append(m.Removing, manifest.Removal{Key: d.Key, Since: time.Now()})
	}
	for _, seg := range segments {
		if made.Count > 0 && made.Count+going(seg) > maxDigests {
			if err := put(); err != nil {
				return err
			}
			made, data = manifest.Digests{}, nil
		}
		digests, err := s.objects.SegmentDigests(ctx, seg, below)
		if err != nil {
			return err
		}
		if made.Count == 0 {
			made.First = seg.First
		}
		made.Count += going(seg)
		for _, d := range digests {
			data = append(data, d[:]...)
		}
	}
	return put()
}

// digests returns the entries [from, to) of the tree.
func (v *view) digests(ctx context.Context, from, to int64) ([]proof.Hash, error) {
	all := make([]proof.Hash, 0, to-from)
	for _, d := range v.manifest.Digests {
		lo, hi := max(from, d.First), min(to, d.First+d.Count)
		if lo >= hi {
			continue
		}
		data, err := v.ReadExactly(ctx, d.Key, (lo-d.First)*modtlog.HashSize, (hi-lo)*modtlog.HashSize)
		if err != nil {
			return nil, err
		}
		for hash := range slices.Chunk(data, modtlog.HashSize) {
			all = append(all, proof.Hash(hash))
		}
	}
	next := from + int64(len(all))
	for r, err := range v.blocks(ctx, next, to, All) {
		var digests []proof.Hash
		if err == nil {
			digests, err = v.BlockDigests(ctx, r.segment, r.blocks[0])
		}
		if err != nil {
			return nil, err
		}
		b := &r.blocks[0]
		all = append(all, digests[max(next, b.First)-b.First:min(to, b.End())-b.First]...)
	}
	if int64(len(all)) != to-from {
		return nil, fmt.Errorf("entries %d to %d of log %s: only %d are there: %w", from, to-1, v.manifest.Log,
			len(all), gzipmember.ErrCorrupt)
	}
	return all, nil
}

// hashReader reads hashes of a log's tree, numbered as by golang.org/x/mod/sumdb/tlog.
type hashReader struct {
	ctx  context.Context
	view *view

	groupNumber int64          // number of the group that was read last
	groupLeaves []modtlog.Hash // leaves of that group; nil before the first is read
}

// ReadHashes implements tlog.HashReader.
func (r *hashReader) ReadHashes(indexes []int64) ([]modtlog.Hash, error) {
	hashes := make([]modtlog.Hash, len(indexes))
	for i, index := range indexes {
		level, n := modtlog.SplitStoredHashIndex(index)
		var err error
		if hashes[i], err = r.subtree(level, n); err != nil {
			return nil, err
		}
	}
	return hashes, nil
}

// subtree returns the hash of a complete subtree of 2^level entries.
func (r *hashReader) subtree(level int, n int64) (modtlog.Hash, error) {
	if level >= 8 {
		return r.node(level, n)
	}
	first := n << level
	if g := first / proof.Group; r.groupLeaves == nil || g != r.groupNumber {
		leaves, err := r.leaves(g*proof.Group, min((g+1)*proof.Group, r.view.manifest.Tree.Size))
		if err != nil {
			return modtlog.Hash{}, err
		}
		r.groupNumber, r.groupLeaves = g, leaves
	}
	at := first % proof.Group
	return proof.Subtree(r.groupLeaves[at : at+1<<level]), nil
}

func (r *hashReader) leaves(from, to int64) ([]modtlog.Hash, error) {
	digests, err := r.view.digests(r.ctx, from, to)
	for i, d := range digests {
		digests[i] = proof.Leaf(d)
	}
	return digests, err
}

// node returns the hash of a complete subtree of 2^level entries, at least a group.
func (r *hashReader) node(level int, n int64) (modtlog.Hash, error) {
	id := nodeID{r.view.manifest.Log, level, n}
	if hash, ok := r.view.logs.nodes.GetIfPresent(id); ok {
		return hash, nil
	}
	var hash modtlog.Hash
	var err error
	if level == 8 {
		hash, err = r.group(n)
	} else {
		var left, right modtlog.Hash
		if left, err = r.node(level-1, 2*n); err == nil {
			right, err = r.node(level-1, 2*n+1)
		}
		hash = proof.Node(left, right)
	}
	if err == nil {
		r.view.logs.nodes.Set(id, hash)
	}
	return hash, err
}

// group returns the hash of group n, from the segment that has its last entry, or from the digests of removed entries.
func (r *hashReader) group(n int64) (modtlog.Hash, error) {
	last := (n+1)*proof.Group - 1
	if last < r.view.manifest.Pruned.End() {
		leaves, err := r.leaves(n*proof.Group, last+1)
		if err != nil {
			return modtlog.Hash{}, err
		}
		return proof.Subtree(leaves), nil
	}
	for seg, err := range r.view.Segments(r.ctx, r.view.manifest, last, minInt64, maxInt64) {
		if err != nil {
			return modtlog.Hash{}, err
		}
		groups, err := r.view.Groups(r.ctx, seg)
		if err != nil {
			return modtlog.Hash{}, err
		}
		at := (n - seg.First/proof.Group) * modtlog.HashSize
		return modtlog.Hash(groups[at : at+modtlog.HashSize]), nil
	}
	return modtlog.Hash{}, fmt.Errorf("entry %d of log %s: %w", last, r.view.manifest.Log, ErrBeyond)
}
