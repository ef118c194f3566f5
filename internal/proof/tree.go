// Package proof makes a log provable: its Merkle tree (RFC 6962), its signed checkpoints
// (https://c2sp.org/tlog-checkpoint), and files that prove which entries of a log a download holds. It does not know
// how a log is stored.
//
// Entry i of the tree is the SHA-256 of line i, 32 bytes. So proofs reveal nothing of a line, a line may have any
// length, and a tree whose lines were removed still verifies.
package proof

import (
	"crypto/sha256"
	"fmt"
	"iter"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// Hash is a SHA-256 hash.
type Hash = tlog.Hash

// Group is the number of entries that one stored hash covers: the width of a tile.
const (
	Group      = 1 << groupLevel
	groupLevel = 8
)

// Digest returns the entry of a line, which is given without its '\n'.
func Digest(line []byte) Hash { return sha256.Sum256(line) }

// Leaf returns the leaf hash of an entry (RFC 6962, 2.1).
func Leaf(digest Hash) Hash {
	var b [1 + sha256.Size]byte
	copy(b[1:], digest[:])
	return sha256.Sum256(b[:])
}

// Node returns the hash of two subtrees (RFC 6962, 2.1).
func Node(left, right Hash) Hash {
	var b [1 + 2*sha256.Size]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}

// Tree is the right edge of a Merkle tree, which suffices to append to the tree and to compute its root.
type Tree struct {
	Size int64  `json:"size"`
	Edge []Hash `json:"edge"` // of the largest complete subtrees, from the left
}

// Check returns an error unless the edge fits the size.
func (t *Tree) Check() error {
	if t.Size < 0 || bits.OnesCount64(uint64(t.Size)) != len(t.Edge) {
		return fmt.Errorf("a tree of size %d does not have %d hashes at its edge", t.Size, len(t.Edge))
	}
	return nil
}

// Append appends a leaf. If that completes a group, it returns the hash of the group.
func (t *Tree) Append(leaf Hash) (group Hash, complete bool) {
	t.Edge = append(t.Edge, leaf)
	for n, level := t.Size, 1; n&1 == 1; n, level = n>>1, level+1 {
		last := len(t.Edge) - 1
		t.Edge[last-1] = Node(t.Edge[last-1], t.Edge[last])
		t.Edge = t.Edge[:last]
		if level == groupLevel {
			group, complete = t.Edge[last-1], true
		}
	}
	t.Size++
	return group, complete
}

// AppendSubtree appends a complete subtree of count entries by its hash. It returns an error unless count is a power of
// two that divides the size of the tree.
func (t *Tree) AppendSubtree(count int64, hash Hash) error {
	if count < 1 || count&(count-1) != 0 || t.Size%count != 0 {
		return fmt.Errorf("no subtree of %d entries can follow %d entries", count, t.Size)
	}
	t.Edge = append(t.Edge, hash)
	for n := t.Size / count; n&1 == 1; n >>= 1 {
		last := len(t.Edge) - 1
		t.Edge[last-1] = Node(t.Edge[last-1], t.Edge[last])
		t.Edge = t.Edge[:last]
	}
	t.Size += count
	return nil
}

// Cover yields the largest complete subtrees that make up the entries [from, to), from the left: the first entry and
// the number of entries of each.
func Cover(from, to int64) iter.Seq2[int64, int64] {
	return func(yield func(first, count int64) bool) {
		for from < to {
			count := int64(1) << (bits.Len64(uint64(to-from)) - 1)
			if from > 0 {
				count = min(count, from&-from)
			}
			if !yield(from, count) {
				return
			}
			from += count
		}
	}
}

// Root returns the tree's hash (RFC 6962, 2.1).
func (t *Tree) Root() Hash {
	if len(t.Edge) == 0 {
		return sha256.Sum256(nil)
	}
	root := t.Edge[len(t.Edge)-1]
	for i := len(t.Edge) - 2; i >= 0; i-- {
		root = Node(t.Edge[i], root)
	}
	return root
}

// Clone returns a copy that can be appended to.
func (t Tree) Clone() Tree {
	t.Edge = append(make([]Hash, 0, len(t.Edge)+1), t.Edge...)
	return t
}

// Subtree returns the hash of 2^k adjacent nodes of one level.
func Subtree(nodes []Hash) Hash {
	level := append([]Hash(nil), nodes...)
	for len(level) > 1 {
		for i := range len(level) / 2 {
			level[i] = Node(level[2*i], level[2*i+1])
		}
		level = level[:len(level)/2]
	}
	return level[0]
}
