package tlog

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

// Who can write the bucket must not be able to make a node serve, or sign, what was never recorded. So a manifest is
// signed, has the digests of the objects that it names, and is believed only if a trusted key has signed it; and what is
// read of these objects is checked against their digests. An object in the bucket that nothing signed names is nothing.

// ErrNotAuthentic is returned (wrapped) for an object of a log that is not what its writer wrote.
var ErrNotAuthentic = errors.New("not authentic")

// signatureOf is the second line of a manifest.
type signatureOf struct {
	Signature []byte `json:"signature"` // Ed25519
}

// manifestContext keeps the signature of a manifest from being taken for one of anything else.
const manifestContext = "weir manifest"

// encode returns the bytes of a manifest: its JSON on the first line, its signature on the second one. If keys is nil it is not
// signed.
func (m *Manifest) encode(keys *proof.Keys) ([]byte, error) {
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

// decodeManifest reads a version of a log's manifest. It does not look at the signature.
func decodeManifest(data []byte, log string, version int64) (*Manifest, error) {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	m := new(Manifest)
	if err := json.Unmarshal(line, m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotAuthentic, err)
	}
	if m.Format != manifestFormat {
		return nil, fmt.Errorf("format %d: this version of weir reads format %d", m.Format, manifestFormat)
	}
	if m.Log != log || m.Version != version {
		return nil, fmt.Errorf("%w: it is version %d of log %s", ErrNotAuthentic, m.Version, m.Log)
	}
	return m, m.check()
}

// check returns what makes a manifest impossible, whoever signed it.
func (m *Manifest) check() error {
	next := m.Pruned.end()
	for _, h := range m.History {
		if h.First != next || h.Count <= 0 {
			return fmt.Errorf("%w: its segments have a gap at entry %d", ErrNotAuthentic, next)
		}
		next += h.Count
	}
	for _, seg := range m.Segments {
		if seg.First != next || seg.Count <= 0 {
			return fmt.Errorf("%w: its segments have a gap at entry %d", ErrNotAuthentic, next)
		}
		next += seg.Count
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

// verifyManifest returns why a manifest is not to be believed; nil if it is.
func verifyManifest(m *Manifest, data []byte, keys *proof.Keys, origin string) error {
	line, rest, _ := bytes.Cut(data, []byte("\n"))
	var by signatureOf
	if err := json.Unmarshal(rest, &by); err != nil || !keys.Verify(manifestContext, data[:len(line)+1], by.Signature) {
		return fmt.Errorf("%w: no trusted key has signed it", ErrNotAuthentic)
	}
	if m.Entries == 0 {
		return nil
	}
	return checkCheckpoint(m, keys, origin)
}

// checkCheckpoint checks that the checkpoint of a manifest is that of its tree.
func checkCheckpoint(m *Manifest, keys *proof.Keys, origin string) error {
	c, err := keys.OpenCheckpoint(origin, m.Checkpoint)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotAuthentic, err)
	}
	if c.N != m.Entries || c.Hash != m.Tree.Root() {
		return fmt.Errorf("%w: its checkpoint is not that of its tree", ErrNotAuthentic)
	}
	return nil
}

// neverHadManifest returns an error for a log without a manifest that must have had one: only a log's first segment can
// be there before its first manifest.
func (s *Logs) neverHadManifest(ctx context.Context, log string) error {
	for info, err := range s.bucket.List(ctx, segmentPrefix(log), newSegmentPrefix(log, 1)) {
		if err != nil {
			return err
		}
		if version, err := s.highest(ctx, log, 0); err != nil || version > 0 {
			return err // it has got one since
		}
		return fmt.Errorf("log %s has no manifest, but %s is there: %w", log, info.Key, ErrNotAuthentic)
	}
	return nil
}

// authenticated returns an error if bytes of an object do not have the digest.
func authenticated(data []byte, sum proof.Hash, what, key string) error {
	if proof.Digest(data) != sum {
		return fmt.Errorf("%s of %s: %w, its digest is another one: %w", what, key, ErrNotAuthentic, gzipmember.ErrCorrupt)
	}
	return nil
}

// forgetIfForged passes an error on. If it says that an object is not authentic, a cache before the bucket forgets the object, so that
// the next reader sees what the bucket has.
func (s *objects) forgetIfForged(key string, err error) error {
	if errors.Is(err, ErrNotAuthentic) {
		s.bucket.Forget(key)
	}
	return err
}

// block reads a block, as it lies.
func (s *objects) block(ctx context.Context, seg Segment, b segment.Block) ([]byte, error) {
	data, err := s.readExactly(ctx, seg.Key, b.Offset, b.Length)
	if err != nil {
		return nil, err
	}
	return data, s.forgetIfForged(seg.Key, checkBlock(&b, data, seg.Key))
}

// checkBlock checks the bytes of a block of the segment at a key.
func checkBlock(b *segment.Block, data []byte, key string) error {
	return authenticated(data, b.Sum, fmt.Sprintf("block with entries %d to %d", b.First, b.End()-1), key)
}

// readWhole reads an object that has a digest.
func (s *objects) readWhole(ctx context.Context, key string, sum proof.Hash) ([]byte, error) {
	return s.readDigested(ctx, key, bucket.Range{}, sum)
}

// readSized reads an object of size bytes that has a digest. It holds no more than that, whatever the object has become.
func (s *objects) readSized(ctx context.Context, key string, size int64, sum proof.Hash) ([]byte, error) {
	return s.readDigested(ctx, key, bucket.Range{Length: size + 1}, sum) // One byte more tells a longer object.
}

func (s *objects) readDigested(ctx context.Context, key string, at bucket.Range, sum proof.Hash) ([]byte, error) {
	data, err := bucket.Read(ctx, s.bucket, key, at)
	if err != nil {
		return nil, err
	}
	return data, s.forgetIfForged(key, authenticated(data, sum, "content", key))
}
