package tlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"filippo.io/torchwood"
	modtlog "golang.org/x/mod/sumdb/tlog"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/segment"
)

// withTree runs read on the manifest of a log that has a tree, again on a newer one if it was overtaken.
func (s *Logs) withTree(ctx context.Context, log string, read func(*Manifest, *hashReader) error) error {
	for {
		m, err := s.manifest(ctx, log)
		if err != nil {
			return err
		}
		if m.Tree == nil {
			return fmt.Errorf("log %s has no tree yet: %w", log, ErrBeyond)
		}
		if err = read(m, &hashReader{ctx: ctx, store: s, m: m}); err == nil || !errors.Is(err, bucket.ErrNotExist) {
			return err
		}
		if old, err := s.outdated(ctx, m, err); !old {
			return err
		}
	}
}

// Head is a log's tree as its manifest has it.
type Head struct {
	Checkpoint string // signed; empty if there is no key
	Size       int64
	Root       proof.Hash
	Keys       []SignedBy
	Pruned     Pruned

	Cosignatures []string // of the checkpoint, by witnesses; lines
}

// head returns the tree of a manifest. That of a log without entries is empty, and has no checkpoint.
func (m *Manifest) head() Head {
	tree := m.tree()
	return Head{Checkpoint: m.Checkpoint, Size: tree.Size, Root: tree.Root(), Keys: m.Keys, Pruned: m.Pruned}
}

// Head returns the tree of a log, and its checkpoint, also if it has no entries. ErrBeyond if it has no tree yet.
func (s *Logs) Head(ctx context.Context, log string) (Head, error) {
	m, err := s.manifest(ctx, log)
	if err != nil {
		return Head{}, err
	}
	h, err := s.headOf(m)
	if err == nil {
		h.Cosignatures, err = s.cosignatures(ctx, log, h)
	}
	return h, err
}

func (s *Logs) headOf(m *Manifest) (Head, error) {
	h := m.head()
	if m.Entries != h.Size {
		return h, fmt.Errorf("log %s has no tree yet: %w", m.Log, ErrBeyond)
	}
	var err error
	if h.Size == 0 && s.options.Keys != nil {
		h.Checkpoint, err = s.options.Keys.SignCheckpoint(s.Origin(m.Log), 0, h.Root)
	}
	return h, err
}

// Tile returns a tile of a log's tree (https://c2sp.org/tlog-tiles), of level -1 a bundle of entries. ErrBeyond if the tree
// does not have all of it.
func (s *Logs) Tile(ctx context.Context, log string, t modtlog.Tile) (data []byte, err error) {
	return data, s.withTree(ctx, log, func(m *Manifest, r *hashReader) error {
		level := max(t.L, 0)
		if t.H != torchwood.TileHeight || level > 7 || t.N >= maxInt64>>16 || t.N*proof.Group+int64(t.W) > m.Tree.Size>>(8*level) {
			return fmt.Errorf("tile %+v: %w", t, ErrBeyond)
		}
		if t.L >= 0 {
			data, err = modtlog.ReadTileData(t, r)
			return err
		}
		digests, err := s.digests(ctx, m, t.N*proof.Group, t.N*proof.Group+int64(t.W))
		if err != nil {
			return err
		}
		data = nil
		for _, d := range digests {
			if data, err = torchwood.AppendTileEntry(data, d[:]); err != nil {
				return err
			}
		}
		return nil
	})
}

// ProveEntry returns the proof that the entry with an index is in the log's tree, and the tree.
func (s *Logs) ProveEntry(ctx context.Context, log string, index int64) (p modtlog.RecordProof, h Head, digest proof.Hash, err error) {
	err = s.withTree(ctx, log, func(m *Manifest, r *hashReader) error {
		if index < 0 || index >= m.Tree.Size {
			return fmt.Errorf("entry %d of log %s: %w", index, log, ErrBeyond)
		}
		h = m.head()
		if h.Cosignatures, err = s.cosignatures(ctx, log, h); err != nil {
			return err
		}
		digests, err := s.digests(ctx, m, index, index+1)
		if err != nil {
			return err
		}
		digest = digests[0]
		p, err = modtlog.ProveRecord(m.Tree.Size, index, r)
		return err
	})
	return p, h, digest, err
}

// ProveSince returns the proof that a log's tree of size to goes on from what it was at size from.
func (s *Logs) ProveSince(ctx context.Context, log string, from, to int64) (p modtlog.TreeProof, err error) {
	return p, s.withTree(ctx, log, func(m *Manifest, r *hashReader) error {
		if from < 1 || from > to || to > m.Tree.Size {
			return fmt.Errorf("sizes %d and %d of log %s, which has %d entries: %w", from, to, log, m.Tree.Size, ErrBeyond)
		}
		p, err = modtlog.ProveTree(to, from, r)
		return err
	})
}

// ProveFile writes the proof for a file with the entries below an index that a query selects (https://c2sp.org says nothing
// of such; see proof.File), as a download gave them when the tree had that size. It covers the tree as it is now. Its memory
// is bounded whatever the query selects. After an error what was written is not a whole proof. ErrBeyond if the tree does
// not reach so far.
func (s *Logs) ProveFile(ctx context.Context, log, source string, q Query, below int64, w io.Writer) error {
	m, err := s.manifest(ctx, log)
	if err != nil {
		return err
	}
	head, err := s.headOf(m)
	if err != nil {
		return err
	}
	if below > head.Size || below < 0 {
		return fmt.Errorf("a tree of %d entries of log %s: %w", below, log, ErrBeyond)
	}
	p := &filePart{store: s, ctx: ctx, m: m, size: head.Size, query: q, w: proof.NewFileWriter(w, &proof.File{Log: s.Origin(log), Source: source,
		Start: q.Start, End: q.End, Processor: q.Processor, Removed: proof.Run{First: m.Pruned.First, Count: m.Pruned.Entries}, Sequenced: below})}
	for {
		err := p.prove(below)
		if err == nil {
			return p.w.End(head.Checkpoint)
		}
		if old, err := s.outdated(ctx, p.m, err); !old {
			return err
		}
		if p.m, err = s.manifest(ctx, log); err != nil {
			return err
		}
	}
}

// filePart is a file's proof in the making. What is written of it stays right whatever merges and retention do, since neither
// changes an entry's index or digest.
type filePart struct {
	store *Logs
	ctx   context.Context
	m     *Manifest
	size  int64 // of the tree that is covered
	query Query
	w     *proof.FileWriter

	next  int64     // the first entry that nothing is known of yet
	held  proof.Run // entries that the file holds, not written yet
	lines int64     // of the file, those in held not included
	done  int64     // the first entry that is not written yet
}

func (p *filePart) prove(below int64) error {
	for r, err := range p.store.runs(p.ctx, p.m, p.next, below, p.query) {
		if err == nil {
			err = p.ctx.Err()
		}
		for i := 0; err == nil && i < len(r.blocks); i++ {
			err = p.block(r, r.blocks[i], below)
		}
		if err != nil {
			return err
		}
	}
	p.next = below
	for _, to := range []int64{below, p.size} {
		if err := p.gap(to); err != nil {
			return err
		}
	}
	return nil
}

// block adds the entries of a block that the file holds, from p.next on.
func (p *filePart) block(r run, b segment.Block, below int64) error {
	if !r.cut {
		if err := p.hold(max(b.First, p.next), b.End()); err != nil {
			return err
		}
		p.next = b.End()
		return nil
	}
	lines, err := p.store.lines(p.ctx, r.segment, b)
	if err != nil {
		return err
	}
	out := &output{query: p.query}
	index := b.First - 1
	for line := range bytes.Lines(lines) {
		if index++; index < p.next || index >= below {
			continue
		}
		selected, err := out.selects(line)
		if err == nil && selected {
			err = p.hold(index, index+1)
		}
		if err != nil {
			return err
		}
		p.next = index + 1
	}
	return nil
}

// hold notes that the file holds entries.
func (p *filePart) hold(from, to int64) error {
	if p.held.Count > 0 && p.held.End() == from {
		p.held.Count += to - from
		return nil
	}
	if err := p.gap(from); err != nil {
		return err
	}
	p.held = proof.Run{First: from, Count: to - from}
	return nil
}

// gap writes what is held, and the hashes of the entries up to another.
func (p *filePart) gap(to int64) error {
	if p.held.Count > 0 {
		if err := p.w.Part(proof.Part{Run: p.held, Held: true, Line: p.lines}); err != nil {
			return err
		}
		p.lines += p.held.Count
		p.done = p.held.End()
		p.held = proof.Run{}
	}
	hashes := &hashReader{ctx: p.ctx, store: p.store, m: p.m}
	for first, count := range proof.Cover(p.done, to) {
		level := bits.TrailingZeros64(uint64(count))
		hash, err := hashes.subtree(level, first>>level)
		if err == nil {
			err = p.w.Part(proof.Part{Run: proof.Run{First: first, Count: count}, Hash: hash, Hashed: true})
		}
		if err != nil {
			return err
		}
		p.done = first + count
	}
	return nil
}
