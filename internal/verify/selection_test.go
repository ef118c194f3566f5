package verify

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"filippo.io/torchwood"

	"github.com/weirlog/weir/internal/proof"
)

// served is a log as the API serves it.
type served struct {
	keys    *proof.Keys
	signed  string
	levels  [][]proof.Hash // of tiles
	fetched map[string]int // number of times by path
}

func serve(t *testing.T, size int) *served {
	t.Helper()
	key, err := proof.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	l := &served{keys: proof.NewKeys(key), levels: make([][]proof.Hash, 1), fetched: map[string]int{}}
	var tree proof.Tree
	for i := range size {
		leaf := leafOf(i)
		tree.Append(leaf)
		l.levels[0] = append(l.levels[0], leaf)
	}
	for hashes := l.levels[0]; len(hashes) >= proof.Group; hashes = l.levels[len(l.levels)-1] {
		var above []proof.Hash
		for full := range slices.Chunk(hashes[:len(hashes)/proof.Group*proof.Group], proof.Group) {
			above = append(above, proof.Subtree(full))
		}
		l.levels = append(l.levels, above)
	}
	if l.signed, err = l.keys.SignCheckpoint("example.org/log", int64(size), tree.Root()); err != nil {
		t.Fatal(err)
	}
	return l
}

func leafOf(i int) proof.Hash { return proof.Leaf(proof.Digest(fmt.Append(nil, "line ", i))) }

func (l *served) fetch(_ context.Context, path string) ([]byte, error) {
	l.fetched[path]++
	if path == "/log/checkpoint" {
		return []byte(l.signed), nil
	}
	tile, err := torchwood.ParseTilePath(strings.TrimPrefix(path, "/log/"))
	if err != nil {
		return nil, err
	}
	var data []byte
	for _, h := range l.levels[tile.L][tile.N*proof.Group:][:tile.W] {
		data = append(data, h[:]...)
	}
	return data, nil
}

// Any entries of a log of any size are proven, in any order, and each tile is fetched once.
func TestSelectionProvesItsLines(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, 255, 256, 257, 70_000} {
		l := serve(t, size)
		for _, most := range []int{0, 1, 20, size} {
			s, err := Select(t.Context(), l.fetch, "/log")
			if err != nil {
				t.Fatal(err)
			}
			clear(l.fetched)
			var leaves []proof.Hash
			for _, i := range r.Perm(size)[:min(most, size)] {
				entry := int64(i)
				if err := s.Add(&entry); err != nil {
					t.Fatal(err)
				}
				leaves = append(leaves, leafOf(i))
			}
			beyond := int64(size)
			if err := s.Add(&beyond); err != nil || s.Add(nil) != nil {
				t.Fatal(err)
			}
			p, err := s.Proof(t.Context(), proof.Claims{Query: "*"})
			if err != nil {
				t.Fatal(err)
			}
			shown, err := p.Verify(l.keys, append(leaves, proof.Hash{1}, proof.Hash{2}))
			if err != nil || shown.Held != int64(len(leaves)) || p.Claims.Pending != 2 || len(shown.Pending) != 1 {
				t.Fatalf("%d of %d entries: %+v, %v", most, size, shown, err)
			}
			for path, n := range l.fetched {
				if n > 1 {
					t.Errorf("%s was asked for %d times", path, n)
				}
			}
		}
	}
}

// A reply that cannot be right is an error.
func TestSelectionRefusesBadReplies(t *testing.T) {
	l := serve(t, 300)
	s, err := Select(t.Context(), l.fetch, "/log")
	if err != nil {
		t.Fatal(err)
	}
	twice := int64(7)
	if err := s.Add(&twice); err != nil || s.Add(&twice) != nil {
		t.Fatal(err)
	}
	_, err = s.Proof(t.Context(), proof.Claims{})
	if err == nil || !strings.Contains(err.Error(), "entry 7 is there twice") {
		t.Error(err)
	}
	short := func(ctx context.Context, path string) ([]byte, error) {
		data, err := l.fetch(ctx, path)
		if strings.Contains(path, "/tile/") {
			data = data[1:]
		}
		return data, err
	}
	if s, err = Select(t.Context(), short, "/log"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Proof(t.Context(), proof.Claims{}); err == nil || !strings.Contains(err.Error(), "bytes") {
		t.Error(err)
	}
	if _, err := Select(t.Context(), func(context.Context, string) ([]byte, error) { return []byte("no"), nil },
		"/log"); err == nil {
		t.Error("text that is no checkpoint is taken for one")
	}
}
