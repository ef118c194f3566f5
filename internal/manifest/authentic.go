// Package manifest describes of which objects a log consists: the manifest, the objects that it names, and how each is
// verified before it is used. It does not know how a log grows (package tlog), or how damage is diagnosed (package
// audit).
package manifest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/gzipmember"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/segment"
)

// Write access to the bucket must not be enough to make a node serve, or sign, an event that was never recorded. So a
// manifest is signed, and is used only if a trusted key has signed it. It has the digests of the objects that it names,
// and all that is read of these objects is verified against their digests. Objects that no signed manifest names have
// no effect.

// ErrNotAuthentic is returned (wrapped) for an object of a log that its writer has not written in this form.
var ErrNotAuthentic = errors.New("not authentic")

// signatureOf is the second line of a manifest.
type signatureOf struct {
	Signature []byte `json:"signature"` // Ed25519
}

// manifestContext prevents the signature of a manifest from being valid for anything else.
const manifestContext = "weir manifest"

// Encode returns the stored form of a manifest: its JSON on the first line, its signature on the second one. If keys is
// nil, it is not signed.
func (m *Manifest) Encode(keys *proof.Keys) ([]byte, error) {
	data, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	data = append(data, '\n')
	if keys == nil {
		return data, nil
	}
	signature, err := json.Marshal(signatureOf{keys.Sign(manifestContext, data)})
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	return append(append(data, signature...), '\n'), nil
}

// Decode decodes a version of a log's manifest. It does not verify the signature.
func Decode(data []byte, log string, version int64) (*Manifest, error) {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	m := new(Manifest)
	if err := json.Unmarshal(line, m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotAuthentic, err)
	}
	if m.Format != Format {
		return nil, fmt.Errorf("format %d: this version of weir reads format %d", m.Format, Format)
	}
	if m.Log != log || m.Version != version {
		return nil, fmt.Errorf("%w: it is version %d of log %s", ErrNotAuthentic, m.Version, m.Log)
	}
	return m, m.check()
}

// maxEntries is more than any log has. Sums of such numbers, one for each object, do not overflow.
const maxEntries = 1 << 40

// follow returns the index behind count entries from first on. It fails unless first equals next.
func follow(next, first, count int64) (int64, error) {
	if first != next || count <= 0 || count > maxEntries {
		return 0, fmt.Errorf("%w: its segments have a gap at entry %d", ErrNotAuthentic, next)
	}
	return next + count, nil
}

// check returns an error for a manifest that no node can have written, even if its signature is good.
func (m *Manifest) check() error {
	if p := m.Pruned; p.First < 0 || p.Entries < 0 || p.First > maxEntries || p.Entries > maxEntries {
		return fmt.Errorf("%w: it says that entries %d to %d were removed", ErrNotAuthentic, p.First, p.End())
	}
	next := m.Pruned.End()
	var err error
	for _, h := range m.History {
		if next, err = follow(next, h.First, h.Count); err != nil {
			return err
		}
	}
	for _, seg := range m.Segments {
		if next, err = follow(next, seg.First, seg.Count); err != nil {
			return err
		}
	}
	if next != m.Entries {
		return fmt.Errorf("%w: its segments hold entries up to %d, not %d", ErrNotAuthentic, next, m.Entries)
	}
	if m.Tree == nil {
		if m.Entries > 0 {
			return fmt.Errorf("%w: it has no tree", ErrNotAuthentic)
		}
		return nil
	}
	if err := m.Tree.Check(); err != nil || m.Tree.Size != m.Entries {
		return fmt.Errorf("%w: its tree is not one of %d entries", ErrNotAuthentic, m.Entries)
	}
	return nil
}

// Verify returns nil if a trusted key has signed a manifest, and otherwise an error that says why it is not believed.
func (m *Manifest) Verify(data []byte, keys *proof.Keys, origin string) error {
	line, rest, _ := bytes.Cut(data, []byte("\n"))
	var by signatureOf
	if err := json.Unmarshal(rest, &by); err != nil || !keys.Verify(manifestContext, data[:len(line)+1], by.Signature) {
		return fmt.Errorf("%w: no trusted key has signed it", ErrNotAuthentic)
	}
	if m.Entries == 0 {
		return nil
	}
	return m.VerifyCheckpoint(keys, origin)
}

// VerifyCheckpoint checks that the checkpoint of a manifest is that of its tree.
func (m *Manifest) VerifyCheckpoint(keys *proof.Keys, origin string) error {
	c, err := keys.OpenCheckpoint(origin, m.Checkpoint)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotAuthentic, err)
	}
	if c.N != m.Entries || c.Hash != m.Tree.Root() {
		return fmt.Errorf("%w: its checkpoint is not that of its tree", ErrNotAuthentic)
	}
	return nil
}

// authenticated returns an error unless data has the digest sum.
func authenticated(data []byte, sum proof.Hash, what, key string) error {
	if proof.Digest(data) != sum {
		return fmt.Errorf("%s of %s: %w, its digest does not match: %w", what, key, ErrNotAuthentic,
			gzipmember.ErrCorrupt)
	}
	return nil
}

// forgetIfForged returns err. If err says that an object is not authentic, caches in the bucket drop the object, so
// that the next reader gets it from the storage.
func (s *Objects) forgetIfForged(key string, err error) error {
	if errors.Is(err, ErrNotAuthentic) {
		s.bucket.Forget(key)
	}
	return err
}

// Block returns a block of a segment in its stored form.
func (s *Objects) Block(ctx context.Context, seg Segment, b segment.Block) ([]byte, error) {
	data, err := s.ReadExactly(ctx, seg.Key, b.Offset, b.Length)
	if err != nil {
		return nil, err
	}
	return data, s.CheckBlock(seg, &b, data)
}

// CheckBlock returns ErrNotAuthentic (wrapped) unless data is a block of a segment as it was written.
func (s *Objects) CheckBlock(seg Segment, b *segment.Block, data []byte) error {
	what := fmt.Sprintf("block with entries %d to %d", b.First, b.End()-1)
	return s.forgetIfForged(seg.Key, authenticated(data, b.Sum, what, seg.Key))
}

// readWhole reads an object and verifies its digest.
func (s *Objects) readWhole(ctx context.Context, key string, sum proof.Hash) ([]byte, error) {
	return s.readDigested(ctx, key, bucket.Range{}, sum)
}

// ReadSized reads an object of size bytes and verifies its digest. It reads at most one byte more, even if the object
// is larger.
func (s *Objects) ReadSized(ctx context.Context, key string, size int64, sum proof.Hash) ([]byte, error) {
	return s.readDigested(ctx, key, bucket.Range{Length: max(0, size) + 1}, sum) // one byte more, to detect a longer one
}

func (s *Objects) readDigested(ctx context.Context, key string, at bucket.Range, sum proof.Hash) ([]byte, error) {
	data, err := bucket.Read(ctx, s.bucket, key, at)
	if err != nil {
		return nil, err
	}
	return data, s.forgetIfForged(key, authenticated(data, sum, "content", key))
}
