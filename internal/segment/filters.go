package segment

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/weirlog/weir/internal/event"
)

// Filter tells whether a key is absent or may be present. For 1 absent key in 15,000 it says "may be present" (a Bloom
// filter with 24 bits a key and 7 probes). It looks only at the ids of keys, which are hashes, so it also finds
// conflicts.
type Filter []byte

const (
	filterBits   = 24 // for each key
	filterProbes = 7
)

func filterSize(count int) int { return (count*filterBits + 7) / 8 }

func newFilter(keys []event.Key) Filter {
	f := make(Filter, filterSize(len(keys)))
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

// Has tells whether the filter may have been made of a key with the same id.
func (f Filter) Has(k event.Key) bool {
	if len(f) == 0 {
		return false
	}
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
	id := k.ID()
	h = binary.LittleEndian.Uint64(id[:])
	const odd = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio: multiplying by it spreads the bits of h
	return h, bits.ReverseBytes64(h*odd) | 1
}

// DecodeFilters returns the filter of each block from the content of the part. The filters alias data.
func DecodeFilters(data []byte, blocks []Block) ([]Filter, error) {
	filters := make([]Filter, len(blocks))
	rest := data
	for i := range blocks {
		n := filterSize(blocks[i].Count)
		if n > len(rest) {
			return nil, fmt.Errorf("filters: %d bytes for %d blocks: %w", len(data), len(blocks), ErrCorrupt)
		}
		filters[i], rest = rest[:n:n], rest[n:]
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("filters: %d bytes for %d blocks: %w", len(data), len(blocks), ErrCorrupt)
	}
	return filters, nil
}

// filters is the kind of part that has a filter of the keys of each block, in the order of the blocks.
type filters struct{}

func (filters) ID() ID { return Filters }

func (filters) Note(c Content) any { return newFilter(c.Keys) }

func (f filters) Build(blocks []Made) ([]byte, error) { return f.Merge(nil, blocks) }

func (filters) Merge(sources []*Source, blocks []Made) ([]byte, error) {
	known := map[*Source][]Filter{}
	for _, s := range sources {
		split, err := DecodeFilters(s.Parts[Filters], s.Index.Blocks)
		if err != nil {
			return nil, err
		}
		known[s] = split
	}
	var data []byte
	for _, b := range blocks {
		if b.Source != nil {
			data = append(data, known[b.Source][b.Number]...)
			continue
		}
		data = append(data, b.Note.(Filter)...)
	}
	return data, nil
}
