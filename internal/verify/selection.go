package verify

import (
	"context"
	"errors"
	"fmt"
	"math/bits"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	modtlog "golang.org/x/mod/sumdb/tlog"

	"github.com/weirlog/weir/internal/proof"
)

// Fetch returns the content at a path of the API. It retries where that may help.
type Fetch func(ctx context.Context, path string) ([]byte, error)

// Selection makes the proof of a file with lines of a log that were chosen one by one, for example by a search, in any
// order.
type Selection struct {
	log     string // its origin
	path    string
	fetch   Fetch
	signed  string
	size    int64   // of the signed tree
	entries []int64 // entry of each line; beyond size if it is not in the tree
}

// Select begins a selection of lines of the log at a path of the API. It must come before the lines are read: a line
// that is not sequenced when it is read is then not in the tree of this checkpoint.
func Select(ctx context.Context, fetch Fetch, path string) (*Selection, error) {
	signed, err := fetch(ctx, path+"/checkpoint")
	if err != nil {
		return nil, err
	}
	// The server is not trusted: the proof is checked with a key later.
	_, err = note.Open(signed, note.VerifierList())
	var unverified *note.UnverifiedNoteError
	if !errors.As(err, &unverified) {
		return nil, fmt.Errorf("the server's reply: checkpoint: %w", err)
	}
	c, err := torchwood.ParseCheckpoint(unverified.Note.Text)
	if err != nil {
		return nil, fmt.Errorf("the server's reply: checkpoint: %w", err)
	}
	return &Selection{log: c.Origin, path: path, fetch: fetch, signed: string(signed), size: c.N}, nil
}

// Add adds the next line. entry is its entry, or nil if the line waits to be sequenced. If the selection has more than
// 4,194,304 lines, Add returns an error.
func (s *Selection) Add(entry *int64) error {
	if len(s.entries) == maxPending {
		return fmt.Errorf("more than %d events are found; ask for a shorter range of time", maxPending)
	}
	index := s.size
	if entry != nil {
		index = *entry
	}
	s.entries = append(s.entries, index)
	return nil
}

// Proof returns the proof of the lines, with these claims. Lines that were not sequenced when the selection began are
// pending; see Check.Prove.
func (s *Selection) Proof(ctx context.Context, claims proof.Claims) (*proof.File, error) {
	claims.Source, claims.Sequenced = s.path, s.size
	p := &proof.File{Log: s.log, Claims: claims, Checkpoint: s.signed}
	t := tiles{fetch: s.fetch, path: s.path, size: s.size}
	err := p.Hold(s.entries, func(first, count int64) (proof.Hash, error) { return t.subtree(ctx, first, count) })
	if err != nil {
		return nil, fmt.Errorf("the proof of the lines: %w", err)
	}
	return p, nil
}

// tiles are the hashes of a log's tree. The last tile of each level is kept, so if hashes are asked for in the order of
// the log, each tile is fetched once.
type tiles struct {
	fetch Fetch
	path  string
	size  int64 // of the tree
	last  map[int]tile
}

type tile struct {
	number int64
	hashes []proof.Hash
}

// subtree returns the hash of a complete subtree.
func (t *tiles) subtree(ctx context.Context, first, count int64) (proof.Hash, error) {
	level := bits.Len64(uint64(count)) - 1
	level /= torchwood.TileHeight
	first, count = first>>(level*torchwood.TileHeight), count>>(level*torchwood.TileHeight)
	hashes, err := t.tile(ctx, level, first/proof.Group)
	if err != nil {
		return proof.Hash{}, err
	}
	from := first % proof.Group
	return proof.Subtree(hashes[from : from+count]), nil
}

// tile returns the hashes of a tile that the tree has.
func (t *tiles) tile(ctx context.Context, level int, number int64) ([]proof.Hash, error) {
	if last, ok := t.last[level]; ok && last.number == number {
		return last.hashes, nil
	}
	width := int(min(proof.Group, t.size>>(level*torchwood.TileHeight)-number*proof.Group))
	data, err := t.fetch(ctx, t.path+"/"+torchwood.TilePath(modtlog.Tile{H: torchwood.TileHeight, L: level, N: number,
		W: width}))
	if err != nil {
		return nil, err
	}
	if len(data) != width*modtlog.HashSize {
		return nil, fmt.Errorf("the server's reply: a tile of %d hashes has %d bytes", width, len(data))
	}
	hashes := make([]proof.Hash, width)
	for i := range hashes {
		hashes[i] = proof.Hash(data[i*modtlog.HashSize:])
	}
	if t.last == nil {
		t.last = map[int]tile{}
	}
	t.last[level] = tile{number, hashes}
	return hashes, nil
}
