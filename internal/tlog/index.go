package tlog

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/gzipmember"
	"github.com/weirlog/weir/internal/proof"
)

// The layout of a segment. zcat shows its lines.
//
//	blocks     each a member that holds whole entries
//	"WB" aside the index of the blocks; the manifest has its SHA-256, and it has those of the blocks and of the asides
//	           behind it, so that whatever is read of a segment is checked against the manifest
//	"WF" aside a filter of the keys of each block's entries, in the order of the blocks
//	"WG" aside the hashes of the groups of 256 entries that end in this segment
//	"WT" aside of fixed size: first entry, length of the "WB", the "WF" and the "WG" aside, 8 bytes big-endian each
//
// Segments from before there were trees have neither digests nor the "WG" aside.
var (
	idBlocks  = gzipmember.ID{'W', 'B'}
	idFilters = gzipmember.ID{'W', 'F'}
	idGroups  = gzipmember.ID{'W', 'G'}
	idTrailer = gzipmember.ID{'W', 'T'}
)

// Block is a gzip member of a segment: the unit that is copied, or opened.
type Block struct {
	Offset, Length   int64 // in the segment, bytes
	Raw              int64 // bytes of its lines
	First            int64 // index in the log of its first entry
	Count            int   // of its entries
	MinTime, MaxTime int64 // of its events, milliseconds since the epoch, both included
	Processors       []int // stream processors of its events, as numbers in Index.Processors
	AnyProcessor     bool  // there are too many to list: it may hold events of every processor

	Sum proof.Hash // SHA-256 of the member; zero: of a segment from before there were trees
}

func (b *Block) end() int64 { return b.First + int64(b.Count) }

// Index is what a segment consists of.
type Index struct {
	Processors []string
	Blocks     []Block
	FiltersSum proof.Hash // SHA-256 of the "WF" aside,
	GroupsSum  proof.Hash // and of the "WG" aside
}

const (
	maxBlockProcessors = 256 // a block with more lists none
	maxProcessorName   = 256 // bytes; a block with a longer one lists none
)

// mayConcern tells whether a block may hold events of processor number p (-1: one that the segment does not list).
func (b *Block) mayConcern(p int) bool {
	if b.AnyProcessor {
		return true
	}
	for _, q := range b.Processors {
		if q == p {
			return true
		}
	}
	return false
}

// number returns the number of a processor's name, -1 if no block lists it.
func (x *Index) number(processor string) int {
	for i, name := range x.Processors {
		if name == processor {
			return i
		}
	}
	return -1
}

func (x *Index) encode() []byte {
	data := binary.AppendUvarint(nil, uint64(len(x.Processors)))
	for _, name := range x.Processors {
		data = gzipmember.AppendString(data, name)
	}
	data = append(append(data, x.FiltersSum[:]...), x.GroupsSum[:]...)
	data = binary.AppendUvarint(data, uint64(len(x.Blocks)))
	last := int64(0)
	for _, b := range x.Blocks {
		data = append(data, b.Sum[:]...)
		for _, n := range []int64{b.Length, b.Raw, int64(b.Count)} {
			data = binary.AppendUvarint(data, uint64(n))
		}
		data = binary.AppendVarint(data, b.MinTime-last)
		data = binary.AppendUvarint(data, uint64(b.MaxTime-b.MinTime))
		last = b.MinTime
		if b.AnyProcessor {
			data = binary.AppendUvarint(data, 0)
			continue
		}
		data = binary.AppendUvarint(data, uint64(len(b.Processors)+1))
		for _, p := range b.Processors {
			data = binary.AppendUvarint(data, uint64(p))
		}
	}
	return data
}

// decodeIndex reads a "WB" aside of a segment whose first entry has the index first and whose blocks take size bytes, and
// that has digests or not.
func decodeIndex(aside []byte, first, size int64, digests bool) (*Index, error) {
	data, err := gzipmember.Aside(aside, idBlocks)
	if err != nil {
		return nil, err
	}
	d := gzipmember.NewDecoder(data)
	x := &Index{Processors: make([]string, d.Count(1))}
	for i := range x.Processors {
		x.Processors[i] = d.String()
	}
	sum := func(to *proof.Hash) {
		if digests {
			copy(to[:], d.Bytes(len(to)))
		}
	}
	sum(&x.FiltersSum)
	sum(&x.GroupsSum)
	x.Blocks = make([]Block, d.Count(6))
	var offset, last int64
	for i := range x.Blocks {
		b := &x.Blocks[i]
		b.Offset, b.First = offset, first
		sum(&b.Sum)
		b.Length, b.Raw, b.Count = int64(d.Uint(uint64(size))), int64(d.Uint(math.MaxInt32)), int(d.Uint(math.MaxInt32))
		last += d.Int()
		b.MinTime, b.MaxTime = last, last+int64(d.Uint(math.MaxInt64))
		n := d.Count(1)
		b.AnyProcessor = n == 0
		if n > 1 {
			b.Processors = make([]int, n-1)
		}
		for j := range b.Processors {
			b.Processors[j] = int(d.Uint(uint64(max(0, len(x.Processors)-1))))
		}
		offset += b.Length
		first += int64(b.Count)
	}
	if err := d.Err(); err != nil {
		return nil, err
	}
	if offset != size {
		return nil, fmt.Errorf("blocks of %d bytes in a segment of %d: %w", offset, size, gzipmember.ErrCorrupt)
	}
	return x, nil
}

// A filter tells for a key either "not here" or "perhaps here", the latter wrongly for 1 key of 15,000 (a Bloom filter
// of 24 bits a key and 7 probes; the keys are hashes already). Those of older segments have 10 bits a key, and are wrong
// for 1 of 120. All filters of a segment have as many.
const (
	filterBits    = 24
	oldFilterBits = 10
	filterProbes  = 7
)

func filterSize(count, bits int) int { return (count*bits + 7) / 8 }

// splitFilters returns the filter of each block, given what the "WF" aside of their segment holds: its length tells how
// many bits a key has.
func splitFilters(data []byte, blocks []Block) ([][]byte, error) {
	for _, bits := range []int{filterBits, oldFilterBits} {
		size := 0
		for _, b := range blocks {
			size += filterSize(b.Count, bits)
		}
		if size != len(data) {
			continue
		}
		filters := make([][]byte, len(blocks))
		for i, b := range blocks {
			n := filterSize(b.Count, bits)
			filters[i], data = data[:n:n], data[n:]
		}
		return filters, nil
	}
	return nil, fmt.Errorf("%d bytes for %d blocks: %w", len(data), len(blocks), gzipmember.ErrCorrupt)
}

func makeFilter(keys []event.Key, bits int) []byte {
	f := make([]byte, filterSize(len(keys), bits))
	for _, k := range keys {
		h, step := filterHash(k)
		for range filterProbes {
			bit := h % uint64(len(f)*8)
			f[bit/8] |= 1 << (bit % 8)
			h += step
		}
	}
	return f
}

func filterHas(f []byte, k event.Key) bool {
	h, step := filterHash(k)
	for range filterProbes {
		bit := h % uint64(len(f)*8)
		if f[bit/8]&(1<<(bit%8)) == 0 {
			return false
		}
		h += step
	}
	return true
}

func filterHash(k event.Key) (h, step uint64) {
	return binary.LittleEndian.Uint64(k[:]), binary.LittleEndian.Uint64(k[8:]) | 1
}
