package proof

import "fmt"

// Settler looks for a file's pending lines among the entries that the log has appended since.
type Settler struct {
	file    *File
	pending map[Hash]int64
	parts   []Part
	kept    int      // number of parts that were there before
	gap     subtrees // entries after the last one that the file holds
	size    int64
}

// Settle begins to complete f. pending maps the leaf hashes of pending lines to these lines of the file. Then Entry
// must be called with the entries of the log from f.Claims.Sequenced on.
func (f *File) Settle(pending map[Hash]int64) *Settler {
	end := len(f.Parts)
	for end > 0 && f.Parts[end-1].First >= f.Claims.Sequenced {
		end--
	}
	size := f.Claims.Sequenced
	return &Settler{file: f, pending: pending, parts: f.Parts[:end:end], kept: end, size: size,
		gap: subtrees{next: size, limit: noLimit}}
}

// Entry takes the next entry of the log by its leaf hash.
func (s *Settler) Entry(leaf Hash) error {
	index := s.size
	s.size++
	line, ok := s.pending[leaf]
	if !ok {
		s.gap.add(leaf)
		return nil
	}
	delete(s.pending, leaf)
	s.closeGap()
	s.gap = subtrees{next: s.size, limit: noLimit}
	next := Part{Run: Run{index, 1}, Held: true, Line: line}
	if last := len(s.parts) - 1; last >= s.kept && s.parts[last].precedes(next) {
		s.parts[last].Count++
	} else {
		s.parts = append(s.parts, next)
	}
	if len(s.parts) > maxParts {
		return fmt.Errorf("the proof would have more than %d parts", maxParts)
	}
	return nil
}

func (s *Settler) closeGap() {
	first := s.gap.next
	for _, n := range s.gap.nodes {
		first -= int64(1) << n.level
	}
	for _, n := range s.gap.nodes {
		count := int64(1) << n.level
		s.parts = append(s.parts, Part{Run: Run{first, count}, Hash: n.hash, Hashed: true})
		first += count
	}
}

// End adds the new parts to the proof, and the checkpoint of a tree that ends with the last entry. The caller must
// check the proof.
func (s *Settler) End(checkpoint string) {
	s.closeGap()
	s.file.Parts, s.file.Checkpoint, s.file.Claims.Sequenced = s.parts, checkpoint, s.size
}
