package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/weirlog/weir/internal/gzipmember"
	"github.com/weirlog/weir/internal/proof"
)

// Index describes the content of a segment.
type Index struct {
	Processors []string // names of the stream processors that the blocks list
	Blocks     []Block
	Parts      []Part // in the order in which they follow the index
}

// Part describes a part of a segment.
type Part struct {
	ID ID
	Span
	Sum proof.Hash // SHA-256 of its stored bytes
}

// Content returns the content of a part. data is the stored part.
func (p *Part) Content(data []byte) ([]byte, error) { return gzipmember.Aside(data, p.ID.aside()) }

// Part returns the part of a kind, and false if there is none.
func (x *Index) Part(id ID) (Part, bool) {
	i := slices.IndexFunc(x.Parts, func(p Part) bool { return p.ID == id })
	if i < 0 {
		return Part{}, false
	}
	return x.Parts[i], true
}

const (
	maxBlockProcessors = 256 // a block with more lists none
	maxProcessorName   = 256 // in bytes; a block with a longer name lists none
)

// MayConcern tells whether a block may hold events of the processor with a number. A number of -1 means that no block
// of the segment lists the processor.
func (b *Block) MayConcern(number int) bool {
	return b.AnyProcessor || slices.Contains(b.Processors, number)
}

// Tail returns the bytes after the last block: the end of the gzip member that holds the blocks.
func (x *Index) Tail() []byte {
	var lines gzipmember.Sum
	for i := range x.Blocks {
		lines = lines.Then(x.Blocks[i].Lines())
	}
	return gzipmember.AppendTail(nil, lines)
}

// Number returns the number of a processor's name, or -1 if no block lists it.
func (x *Index) Number(processor string) int { return slices.Index(x.Processors, processor) }

// encode returns the index in its stored form.
func (x *Index) encode() []byte {
	data := binary.AppendUvarint(nil, uint64(len(x.Processors)))
	for _, name := range x.Processors {
		data = gzipmember.AppendString(data, name)
	}
	data = binary.AppendUvarint(data, uint64(len(x.Blocks)))
	last := int64(0)
	for i := range x.Blocks {
		b := &x.Blocks[i]
		data = b.append(data, last)
		last = b.MinTime
	}
	data = binary.AppendUvarint(data, uint64(len(x.Parts)))
	for _, p := range x.Parts {
		data = gzipmember.AppendString(data, string(p.ID))
		data = binary.AppendUvarint(data, uint64(p.Length))
		data = append(data, p.Sum[:]...)
	}
	return gzipmember.AppendAside(nil, index.aside(), data)
}

// append appends the entry of a block to the data of an index. last is the minimum time of the block before.
func (b *Block) append(data []byte, last int64) []byte {
	data = append(data, b.Sum[:]...)
	data = binary.LittleEndian.AppendUint32(data, b.CRC)
	for _, n := range []int64{b.Length, b.Raw, int64(b.Count)} {
		data = binary.AppendUvarint(data, uint64(n))
	}
	data = binary.AppendVarint(data, b.MinTime-last)
	data = binary.AppendUvarint(data, uint64(b.MaxTime-b.MinTime))
	if b.AnyProcessor {
		return binary.AppendUvarint(data, 0)
	}
	data = binary.AppendUvarint(data, uint64(len(b.Processors)+1))
	for _, p := range b.Processors {
		data = binary.AppendUvarint(data, uint64(p))
	}
	return data
}

// Minimum number of bytes of a block and of a part in an index.
const (
	leastBlock = len(proof.Hash{}) + 4 + 6
	leastPart  = len(proof.Hash{}) + 2
)

// DecodeIndex decodes the index of a segment from its stored form. It uses only the first entry and the lengths of s,
// which the trailer has. Every block and part that it returns lies within the segment.
func DecodeIndex(s Info, data []byte) (*Index, error) {
	x, err := decodeIndex(s, data)
	if err != nil {
		return nil, fmt.Errorf("index: %w", errors.Join(ErrCorrupt, err))
	}
	return x, nil
}

func decodeIndex(s Info, data []byte) (*Index, error) {
	end := s.Blocks - int64(gzipmember.TailSize) // of the last block
	if end < int64(gzipmember.HeadSize) || s.Index < 0 || s.Parts < 0 {
		return nil, errors.New("it has lengths that no segment can have")
	}
	data, err := gzipmember.Aside(data, index.aside())
	if err != nil {
		return nil, err
	}
	d := gzipmember.NewDecoder(data)
	x := &Index{Processors: make([]string, d.Count(1))}
	for i := range x.Processors {
		x.Processors[i] = d.String()
	}
	x.Blocks = make([]Block, d.Count(leastBlock))
	next, offset, last := s.First, int64(gzipmember.HeadSize), int64(0)
	for i := range x.Blocks {
		b := &x.Blocks[i]
		b.Offset, b.First = offset, next
		b.decode(d, end-offset, last, len(x.Processors))
		offset, next, last = b.Span.End(), b.End(), b.MinTime
	}
	blocks := offset
	x.Parts = make([]Part, d.Count(leastPart))
	offset = s.Blocks + s.Index
	for i := range x.Parts {
		p := &x.Parts[i]
		p.ID = ID(d.String())
		p.Span = Span{offset, int64(d.Uint(uint64(s.Blocks + s.Index + s.Parts - offset)))}
		copy(p.Sum[:], d.Bytes(len(p.Sum)))
		offset = p.End()
	}
	if err := d.Err(); err != nil {
		return nil, err
	}
	if blocks != end {
		return nil, fmt.Errorf("its blocks end at byte %d, not at %d", blocks, end)
	}
	if parts := offset - s.Blocks - s.Index; parts != s.Parts {
		return nil, fmt.Errorf("its parts have %d bytes, not %d", parts, s.Parts)
	}
	for _, p := range x.Parts {
		if len(p.ID) != len(gzipmember.ID{}) {
			return nil, fmt.Errorf("the id of a part has %d bytes", len(p.ID))
		}
	}
	return x, nil
}

// decode decodes a block that append has encoded. most is its maximum length; processors is the number of processors of
// the segment.
func (b *Block) decode(d *gzipmember.Decoder, most, last int64, processors int) {
	copy(b.Sum[:], d.Bytes(len(b.Sum)))
	if crc := d.Bytes(4); crc != nil {
		b.CRC = binary.LittleEndian.Uint32(crc)
	}
	b.Length, b.Raw = int64(d.Uint(uint64(most))), int64(d.Uint(math.MaxInt32))
	b.Count = int(d.Uint(math.MaxInt32))
	b.MinTime = last + d.Int()
	b.MaxTime = b.MinTime + int64(d.Uint(math.MaxInt64))
	n := d.Count(1)
	b.AnyProcessor = n == 0
	if n > 1 {
		b.Processors = make([]int, n-1)
	}
	for j := range b.Processors {
		b.Processors[j] = int(d.Uint(uint64(max(0, processors-1))))
	}
}

// Describe returns the description of a segment for a manifest, and its index. s comes from the trailer; data is the
// stored index.
func Describe(s Info, data []byte) (Info, *Index, error) {
	x, err := DecodeIndex(s, data)
	if err != nil {
		return Info{}, nil, err
	}
	s.Sum = proof.Digest(data)
	s.sumUp(x.Blocks)
	return s, x, nil
}

// sumUp sets the fields that follow from the blocks.
func (s *Info) sumUp(blocks []Block) {
	s.Count, s.Raw, s.MinTime, s.MaxTime = 0, 0, math.MaxInt64, math.MinInt64
	for i := range blocks {
		b := &blocks[i]
		s.Count += int64(b.Count)
		s.Raw += b.Raw
		s.MinTime, s.MaxTime = min(s.MinTime, b.MinTime), max(s.MaxTime, b.MaxTime)
	}
}
