package tlog

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/bits"

	"filippo.io/torchwood"
	modtlog "golang.org/x/mod/sumdb/tlog"

	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/proof"
)

// withTree calls read for a log that has a tree.
func (s *Logs) withTree(ctx context.Context, log string, read func(*view, *hashReader) error) error {
	v, err := s.sequenced(ctx, log)
	if err != nil {
		return err
	}
	return v.use(ctx, func(v *view) error {
		if v.manifest.Tree == nil {
			return fmt.Errorf("log %s has no tree yet: %w", log, ErrBeyond)
		}
		return read(v, &hashReader{ctx: ctx, view: v})
	})
}

// Head describes a log's tree as its manifest has it.
type Head struct {
	Checkpoint string // signed; empty if there is no key
	Size       int64
	Root       proof.Hash
	Keys       []manifest.SignedBy
	Pruned     manifest.Pruned

	Cosignatures []string // lines with the witnesses' signatures of the checkpoint
}

// head returns the tree of a manifest. The tree of a log without entries is empty and has no checkpoint.
func head(m *manifest.Manifest) Head {
	tree := m.CloneTree()
	return Head{Checkpoint: m.Checkpoint, Size: tree.Size, Root: tree.Root(), Keys: m.Keys, Pruned: m.Pruned}
}

// Head returns the tree of a log, and its checkpoint, even if the log has no entries. It returns ErrBeyond if the log
// has no tree yet.
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

func (s *Logs) headOf(m *manifest.Manifest) (Head, error) {
	h := head(m)
	if m.Entries != h.Size {
		return h, fmt.Errorf("log %s has no tree yet: %w", m.Log, ErrBeyond)
	}
	var err error
	if h.Size == 0 && s.options.Keys != nil {
		h.Checkpoint, err = s.options.Keys.SignCheckpoint(s.Origin(m.Log), 0, h.Root)
	}
	return h, err
}

// Tile returns a tile of a log's tree (https://c2sp.org/tlog-tiles). The tile of level -1 is a bundle of entries. It
// returns ErrBeyond if the tree does not have all of the tile.
func (s *Logs) Tile(ctx context.Context, log string, t modtlog.Tile) (data []byte, err error) {
	return data, s.withTree(ctx, log, func(v *view, r *hashReader) error {
		level := max(t.L, 0)
		if t.H != torchwood.TileHeight || level > 7 || t.N >= maxInt64>>16 ||
			t.N*proof.Group+int64(t.W) > v.manifest.Tree.Size>>(8*level) {
			return fmt.Errorf("tile %+v: %w", t, ErrBeyond)
		}
		if t.L >= 0 {
			data, err = modtlog.ReadTileData(t, r)
			return err
		}
		digests, err := v.digests(ctx, t.N*proof.Group, t.N*proof.Group+int64(t.W))
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
func (s *Logs) ProveEntry(ctx context.Context, log string, index int64) (p modtlog.RecordProof, h Head,
	digest proof.Hash, err error) {
	err = s.withTree(ctx, log, func(v *view, r *hashReader) error {
		if index < 0 || index >= v.manifest.Tree.Size {
			return fmt.Errorf("entry %d of log %s: %w", index, log, ErrBeyond)
		}
		h = head(v.manifest)
		if h.Cosignatures, err = s.cosignatures(ctx, log, h); err != nil {
			return err
		}
		digests, err := v.digests(ctx, index, index+1)
		if err != nil {
			return err
		}
		digest = digests[0]
		p, err = modtlog.ProveRecord(v.manifest.Tree.Size, index, r)
		return err
	})
	return p, h, digest, err
}

// ProveSince returns the proof that a log's tree of size to extends its tree of size from.
func (s *Logs) ProveSince(ctx context.Context, log string, from, to int64) (p modtlog.TreeProof, err error) {
	return p, s.withTree(ctx, log, func(v *view, r *hashReader) error {
		if from < 1 || from > to || to > v.manifest.Tree.Size {
			return fmt.Errorf("sizes %d and %d of log %s, which has %d entries: %w", from, to, log,
				v.manifest.Tree.Size, ErrBeyond)
		}
		p, err = modtlog.ProveTree(to, from, r)
		return err
	})
}

// ProveFile writes the proof for a file with the entries below an index that a query selects, as a download returned
// them when the tree had that size. The format is weir's own (see proof.File). The proof covers the present tree. Its
// memory is bounded for any query. After an error the written bytes are not a whole proof. It returns ErrBeyond if the
// tree is smaller than below.
func (s *Logs) ProveFile(ctx context.Context, log, source string, q Query, below int64, w io.Writer) error {
	v, err := s.sequenced(ctx, log)
	if err != nil {
		return err
	}
	head, err := s.headOf(v.manifest)
	if err == nil {
		head.Cosignatures, err = s.cosignatures(ctx, log, head)
	}
	if err != nil {
		return err
	}
	if below > head.Size || below < 0 {
		return fmt.Errorf("a tree of %d entries of log %s: %w", below, log, ErrBeyond)
	}
	removed := proof.Run{First: head.Pruned.First, Count: head.Pruned.Entries}
	p := &filePart{size: head.Size, query: q, w: proof.NewFileWriter(w, &proof.File{Log: s.Origin(log),
		Claims: proof.Claims{
			Source: source, Start: q.Start, End: q.End, Processor: q.Processor, Removed: removed, Sequenced: below}})}
	if err := v.use(ctx, func(v *view) error { return p.prove(ctx, v, below) }); err != nil {
		return err
	}
	return p.w.End(head.Signed())
}

// filePart is the proof of a file, while it is written. Merges and retention do not invalidate what is written, since
// they do not change an entry's index or digest.
type filePart struct {
	size  int64 // of the tree that the proof covers
	query Query
	w     *proof.FileWriter

	next  int64     // the first entry that was not looked at yet
	held  proof.Run // entries of the file that are not written yet
	lines int64     // number of lines of the file before held
	done  int64     // the first entry that is not written yet
}

// prove continues the proof, in a view that may be newer than the previous one.
func (p *filePart) prove(ctx context.Context, v *view, below int64) error {
	hashes := &hashReader{ctx: ctx, view: v}
	for r, err := range v.blocks(ctx, p.next, below, p.query) {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = p.block(ctx, &r, hashes)
		}
		if err != nil {
			return err
		}
	}
	p.next = below
	for _, to := range []int64{below, p.size} {
		if err := p.gap(to, hashes); err != nil {
			return err
		}
	}
	return nil
}

// block adds the entries of a run of one block that the file holds, from p.next on.
func (p *filePart) block(ctx context.Context, r *Run, hashes *hashReader) error {
	b := r.blocks[0]
	if !r.cut {
		if err := p.hold(max(b.First, p.next), b.End(), hashes); err != nil {
			return err
		}
		p.next = b.End()
		return nil
	}
	lines, err := r.objects.Lines(ctx, nil, r.segment, b)
	if err != nil {
		return err
	}
	out := &output{query: p.query}
	index := b.First - 1
	for line := range bytes.Lines(lines) {
		if index++; index < p.next || !r.wants(index) {
			continue
		}
		selected, err := out.selects(line)
		if err == nil && selected {
			err = p.hold(index, index+1, hashes)
		}
		if err != nil {
			return err
		}
		p.next = index + 1
	}
	return nil
}

// hold notes that the file holds entries.
func (p *filePart) hold(from, to int64, hashes *hashReader) error {
	if p.held.Count > 0 && p.held.End() == from {
		p.held.Count += to - from
		return nil
	}
	if err := p.gap(from, hashes); err != nil {
		return err
	}
	p.held = proof.Run{First: from, Count: to - from}
	return nil
}

// gap writes the held entries, and the hashes of the entries up to another one.
func (p *filePart) gap(to int64, hashes *hashReader) error {
	if p.held.Count > 0 {
		if err := p.w.Part(proof.Part{Run: p.held, Held: true, Line: p.lines}); err != nil {
			return err
		}
		p.lines += p.held.Count
		p.done = p.held.End()
		p.held = proof.Run{}
	}
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
