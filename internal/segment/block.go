package segment

import (
	"fmt"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/gzipmember"
	"github.com/weirlog/weir/internal/proof"
)

// Block is the unit of a segment. It is copied unchanged, or decompressed.
type Block struct {
	Span
	Raw              int64  // bytes of its lines
	CRC              uint32 // CRC-32 (IEEE) of its lines
	First            int64  // index in the log of its first entry
	Count            int    // number of entries
	MinTime, MaxTime int64  // of its events, milliseconds since the epoch, both included
	Processors       []int  // stream processors of its events, as indexes into Index.Processors
	AnyProcessor     bool   // it has too many processors to list, so it may hold events of any

	Sum proof.Hash // SHA-256 of the stored bytes
}

// End is the index of the first entry behind the block.
func (b *Block) End() int64 { return b.First + int64(b.Count) }

// Lines returns the checksum and size of the block's lines, as the tail of a gzip member has them.
func (b *Block) Lines() gzipmember.Sum { return gzipmember.Sum{CRC: b.CRC, Size: b.Raw} }

// encode encodes lines as a block, and sets its sizes and digests. Only encode and Decode know the encoding of a block:
// a piece of a gzip member.
func (b *Block) encode(lines []byte) []byte {
	data, sum := gzipmember.Compress(make([]byte, 0, len(lines)/6), lines, gzipmember.Small)
	b.Length, b.Raw, b.CRC, b.Sum = int64(len(data)), sum.Size, sum.CRC, proof.Digest(data)
	return data
}

// Decode appends the lines of a block to dst. data is the stored block.
func (b *Block) Decode(dst, data []byte) ([]byte, error) {
	start := len(dst)
	lines, err := gzipmember.Decompress(dst, data, b.Raw)
	if err != nil {
		return dst, err
	}
	if gzipmember.SumOf(lines[start:]) != b.Lines() {
		return dst, fmt.Errorf("its checksum does not match: %w", ErrCorrupt)
	}
	return lines, nil
}

// Entries returns the entries of a block. data is the stored block.
func (b *Block) Entries(data []byte) (event.Batch, error) {
	lines, err := b.Decode(nil, data)
	if err != nil {
		return event.Batch{}, err
	}
	entries, err := event.Read("", lines, b.Count)
	if err != nil {
		return event.Batch{}, fmt.Errorf("from entry %d: %w", b.First, err)
	}
	return entries, nil
}
