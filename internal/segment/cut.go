package segment

import (
	"fmt"
	"slices"

	"github.com/weirlog/weir/internal/proof"
)

// MergeFrom is Merge of the entries of a segment from an index on. The block that holds this entry is decompressed,
// unless it begins with it; later blocks are copied unchanged. The objects beside the segment are made again.
func (w *Builder) MergeFrom(s *Source, first int64, read func(*Block) ([]byte, error)) error {
	blocks := s.Index.Blocks
	n := slices.IndexFunc(blocks, func(b Block) bool { return b.End() > first })
	if n < 0 || first < s.First || first >= s.End() {
		return fmt.Errorf("merge: entry %d is not in the segment with entries %d to %d: %w", first, s.First, s.End()-1,
			ErrCorrupt)
	}
	filters, err := DecodeFilters(s.Parts[Filters], blocks)
	if err != nil {
		return err
	}
	groups, err := DecodeGroups(s.Parts[Groups], s.Info)
	if err != nil {
		return err
	}
	if b := &blocks[n]; b.First < first {
		// The entries of this block are added. Only the hashes of groups are taken from the source.
		if err := w.Merge(s.part(first, b.End(), nil, nil, groups), nil); err != nil {
			return err
		}
		if err := w.addFrom(b, first, read); err != nil {
			return err
		}
		n++
	}
	if n == len(blocks) {
		return nil
	}
	return w.Merge(s.part(blocks[n].First, s.End(), blocks[n:], filters[n:], groups), read)
}

// addFrom adds the entries of a block from an index on.
func (w *Builder) addFrom(b *Block, first int64, read func(*Block) ([]byte, error)) error {
	data, err := read(b)
	if err != nil {
		return err
	}
	entries, err := b.Entries(data)
	if err != nil {
		return fmt.Errorf("block with entries %d to %d: %w", b.First, b.End()-1, err)
	}
	for i := int(first - b.First); i < len(entries.Entries); i++ {
		w.Add(entries.Line(i), entries.Entries[i])
	}
	return nil
}

// part returns a source of the entries [first, end) of s, with the given blocks and filters. groups are the hashes of
// all groups of s.
func (s *Source) part(first, end int64, blocks []Block, filters []Filter, groups []byte) *Source {
	at := func(entry int64) int64 { return (entry/proof.Group - s.First/proof.Group) * int64(len(proof.Hash{})) }
	return &Source{Info: Info{First: first, Count: end - first},
		Index: &Index{Processors: s.Index.Processors, Blocks: blocks},
		Parts: map[ID][]byte{Filters: slices.Concat(filters...), Groups: groups[at(first):at(end)]}}
}
