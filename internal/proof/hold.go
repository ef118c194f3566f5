package proof

import (
	"cmp"
	"fmt"
	"slices"
)

// Hold gives the proof its parts: line i of the file is the entry entries[i] of a tree with f.Claims.Sequenced entries.
// An entry that is negative, or beyond that tree, stands for a line that is not in the tree; such lines count as
// pending. Hold calls subtree for the hashes of complete subtrees of the entries that the file lacks, in the order of
// the log.
func (f *File) Hold(entries []int64, subtree func(first, count int64) (Hash, error)) error {
	f.Parts, f.Claims.Pending = nil, 0
	size := f.Claims.Sequenced
	for line, entry := range entries {
		if entry < 0 || entry >= size {
			f.Claims.Pending++
			continue
		}
		f.Parts = append(f.Parts, Part{Run: Run{entry, 1}, Held: true, Line: int64(line)})
	}
	held := f.Parts
	slices.SortFunc(held, func(a, b Part) int { return cmp.Compare(a.First, b.First) })
	f.Parts = nil
	end := int64(0)
	for _, p := range held {
		if p.First < end {
			return fmt.Errorf("entry %d is there twice", p.First)
		}
		if err := f.lack(end, p.First, subtree); err != nil {
			return err
		}
		end = p.End()
		if last := len(f.Parts) - 1; last >= 0 && f.Parts[last].precedes(p) {
			f.Parts[last].Count++
		} else {
			f.Parts = append(f.Parts, p)
		}
	}
	return f.lack(end, size, subtree)
}

// lack adds the parts for the entries [from, to), which the file does not hold.
func (f *File) lack(from, to int64, subtree func(first, count int64) (Hash, error)) error {
	for first, count := range Cover(from, to) {
		hash, err := subtree(first, count)
		if err != nil {
			return err
		}
		f.Parts = append(f.Parts, Part{Run: Run{first, count}, Hash: hash, Hashed: true})
	}
	if len(f.Parts) > maxParts {
		return fmt.Errorf("the proof would have more than %d parts", maxParts)
	}
	return nil
}
