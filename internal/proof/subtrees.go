package proof

import "math/bits"

// subtrees are the complete subtrees that make up a range of entries, from the left. They are built leaf by leaf.
// Subtrees of 2^limit entries are not joined to larger ones.
type subtrees struct {
	next  int64 // index of the next leaf
	limit int   // level
	nodes []node
}

// node is the hash of a complete subtree of 2^level entries.
type node struct {
	hash  Hash
	level int8
}

const noLimit = 62

// add appends the next leaf.
func (s *subtrees) add(leaf Hash) {
	index, n := s.next, node{hash: leaf}
	s.next++
	for int(n.level) < s.limit && index&1 == 1 && len(s.nodes) > 0 && s.nodes[len(s.nodes)-1].level == n.level {
		n = node{Node(s.nodes[len(s.nodes)-1].hash, n.hash), n.level + 1}
		s.nodes = s.nodes[:len(s.nodes)-1]
		index >>= 1
	}
	s.nodes = append(s.nodes, n)
}

// levelOf returns the level of a complete subtree with count entries. ok is false if there is no such subtree.
func levelOf(count int64) (level int, ok bool) {
	return bits.TrailingZeros64(uint64(count)), count > 0 && count&(count-1) == 0
}
