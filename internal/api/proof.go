package api

import (
	"context"
	"io"
	"strconv"
	"strings"

	"filippo.io/torchwood"
	modtlog "golang.org/x/mod/sumdb/tlog"

	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/tlog"
)

// proofs are the operations that return proofs of a log: its checkpoint, tiles (https://c2sp.org/tlog-tiles) and
// proofs.
type proofs struct{ logs *tlog.Logs }

func (h proofs) checkpoint(c *call) (*text, error) {
	head, err := h.logs.Head(c.context(), c.path("logId"))
	if err != nil {
		return nil, err
	}
	return &text{textPlain, "no-cache", []byte(head.Signed())}, nil
}

// tile returns a full or partial tile. Its content never changes.
func (h proofs) tile(c *call) (*text, error) {
	t, err := torchwood.ParseTilePath("tile/" + c.path("tile"))
	if err != nil {
		return nil, resourceNotFound(c.r.URL.Path)
	}
	data, err := h.logs.Tile(c.context(), c.path("logId"), t)
	if err != nil {
		return nil, err
	}
	return &text{"application/octet-stream", "private, max-age=31536000, immutable", data}, nil
}

// entryProof is the proof that an entry is in the tree.
type entryProof struct {
	Index      int64        `json:"index"`
	Entry      proof.Hash   `json:"entry"` // SHA-256 of the line
	Hashes     []proof.Hash `json:"hashes"`
	Checkpoint string       `json:"checkpoint"`
}

// entry proves that an entry is in the log. It returns C2SP tlog-proof if the client asks for text, and JSON otherwise.
func (h proofs) entry(c *call) (result, error) {
	if err := c.need(entryIndex); err != nil {
		return nil, err
	}
	index := c.integer("index", 0)
	p, head, digest, err := h.logs.ProveEntry(c.context(), c.scope.log.id, index)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(strings.Join(c.r.Header.Values("Accept"), ","), "text/plain") {
		return value{entryProof{index, digest, nonNil(p), head.Signed()}}, nil
	}
	return &text{textPlain, "no-cache", torchwood.FormatProof(index, p, []byte(head.Signed()))}, nil
}

// need returns an error if the query lacks a parameter.
func (c *call) need(p parameter) error {
	if c.query.Has(p.name) {
		return nil
	}
	return invalidQuery(field{p.name, "is missing"})
}

// treeProof is the proof that a tree extends an older one.
type treeProof struct {
	From   int64        `json:"from"`
	To     int64        `json:"to"`
	Hashes []proof.Hash `json:"hashes"`
}

// growth proves that a tree extends an older one.
func (h proofs) growth(c *call) (any, error) {
	if err := c.need(toSize); err != nil {
		return nil, err
	}
	from, to := c.integer("from", 0), c.integer("to", 0)
	if to < from {
		return nil, invalidQuery(field{"to", "must be an integer, at least " + strconv.FormatInt(from, 10)})
	}
	var p modtlog.TreeProof
	if from > 0 { // every tree extends the empty one
		var err error
		if p, err = h.logs.ProveSince(c.context(), c.scope.log.id, from, to); err != nil {
			return nil, err
		}
	}
	return treeProof{from, to, nonNil(p)}, nil
}

func nonNil(hashes []proof.Hash) []proof.Hash {
	if hashes == nil {
		return []proof.Hash{}
	}
	return hashes
}

// download proves which entries a download has, given its parameters and the size of the tree that its headers say.
func (h proofs) download(c *call) (*stream, error) {
	if !c.query.Has(treeSize.name) {
		return nil, invalidQuery(field{"index",
			`is missing: give "index", or "from" and "to", or "size" with the parameters of a download`})
	}
	q, err := rangeOf(c.query, c.now)
	if err != nil {
		return nil, err
	}
	size, log, source := c.integer("size", 0), c.scope.log.id, strings.TrimSuffix(c.r.URL.Path, "/proof")
	head, err := h.logs.Head(c.context(), log)
	if err == nil && head.Size < size {
		err = resourceNotFound(c.r.URL.Path)
	}
	if err != nil {
		return nil, err
	}
	return &stream{textPlain, func(ctx context.Context, w io.Writer) error {
		return h.logs.ProveFile(ctx, log, source,
			q, size, w)
	}}, nil
}
