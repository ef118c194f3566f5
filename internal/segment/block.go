package segment

import (
	"fmt"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/gzipmember"
	"github.com/weirlog/weir/internal/proof"
)

// Block is the unit of a segment: it is copied as it lies, or opened.
type Block struct {
	Span
	Raw              int64  // bytes of its lines
	CRC              uint32 // CRC-32 (IEEE) of its lines
	First            int64  // index in the log of its first entry
	Count            int    // number of entries
	MinTime, MaxTime int64  // of its events, milliseconds since the epoch, both included
	Processors       []int  // stream processors of its events, as numbers in Index.Processors
	AnyProcessor     bool   // it has too many to list: it may hold events of every processor

	Sum proof.Hash // SHA-256 of the block as it lies
}

// End is the index of the first entry behind the block.
func (b *Block) End() int64 { return b.First + int64(b.Count) }

// Lines returns what the tail of a gzip member says of the block's lines.
func (b *Block) Lines() gzipmember.Sum { return gzipmember.Sum{CRC: b.CRC, Size: b.Raw} }

// encode returns the lines as a block, and notes its sizes and digests. Together with Decode it is the only place that
// knows how a block is encoded: as a piece of a gzip member.
func (b *Block) encode(lines []byte) []byte {
	data, sum := gzipmember.Compress(make([]byte, 0, len(lines)/6), lines, gzipmember.Small)
	b.Length, b.Raw, b.CRC, b.Sum = int64(len(data)), sum.Size, sum.CRC, proof.Digest(data)
	return data
}

// Decode appends the lines of a block to dst, given its bytes.
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

// Entries returns the entries of a block, given its bytes.
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
