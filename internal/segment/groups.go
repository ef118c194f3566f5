package segment

import (
	"bytes"
	"fmt"

	"github.com/weirlog/weir/internal/proof"
)

// DecodeGroups returns the concatenated hashes of the groups of 256 entries that end in a segment, from the content of
// the part.
func DecodeGroups(data []byte, s Info) ([]byte, error) {
	want := (s.End()/proof.Group - s.First/proof.Group) * int64(len(proof.Hash{}))
	if int64(len(data)) != want {
		return nil, fmt.Errorf("groups: %d bytes for %d entries from %d on: %w", len(data), s.Count,
			s.First, ErrCorrupt)
	}
	return data, nil
}

// groups is the kind of part that has the hashes of groups. They do not depend on blocks, so a merge concatenates those
// of its sources.
type groups struct {
	tree *proof.Tree // to which the entries are appended; nil if segments are merged
}

func (g *groups) ID() ID { return Groups }

// Note returns the hashes of the leaves for a block's lines.
func (g *groups) Note(c Content) any {
	if g.tree == nil {
		return nil
	}
	leaves := make([]proof.Hash, 0, c.Block.Count)
	for line := range bytes.Lines(c.Lines) {
		leaves = append(leaves, proof.Leaf(proof.Digest(line[:len(line)-1])))
	}
	return leaves
}

func (g *groups) Build(blocks []Made) ([]byte, error) {
	var data []byte
	for _, b := range blocks {
		for _, leaf := range b.Note.([]proof.Hash) {
			if group, complete := g.tree.Append(leaf); complete {
				data = append(data, group[:]...)
			}
		}
	}
	return data, nil
}

func (g *groups) Merge(sources []*Source, _ []Made) ([]byte, error) {
	var data []byte
	for _, s := range sources {
		part, err := DecodeGroups(s.Parts[Groups], s.Info)
		if err != nil {
			return nil, err
		}
		data = append(data, part...)
	}
	return data, nil
}
