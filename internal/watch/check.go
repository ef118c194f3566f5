package watch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/weirlog/weir/internal/proof"
)

// checkMost bounds the time of one check of a log.
const checkMost = 30 * time.Second

// finding is the result of a check of a log: a problem, or a good checkpoint.
type finding struct {
	kind   Kind // empty if there is no problem
	detail string
	signed string // the checkpoint that was served; empty if there was none
	tree   tlog.Tree
}

func bad(kind Kind, signed, format string, args ...any) finding {
	return finding{kind: kind, signed: signed, detail: fmt.Sprintf(format, args...)}
}

// check compares a log as it is served now with its kept checkpoint, if there is one. If whole is set, it checks the
// tiles even if the checkpoint is the same.
func (w *Watcher) check(ctx context.Context, s Source, kept *Log, whole bool) finding {
	ctx, cancel := context.WithTimeout(ctx, checkMost)
	defer cancel()
	f := &fetcher{strings.TrimRight(s.URL, "/") + "/", s.HTTP, w.options.UserAgent, map[tlog.Tile][]byte{}}
	data, err := f.ReadEndpoint(ctx, "checkpoint")
	if unreached(err) || missing(err) {
		return bad(Unreachable, "", "%v", err)
	}
	if err != nil {
		return bad(Signature, "", "%v", err)
	}
	signed := string(data)
	now, err := w.open(s, kept, signed)
	if err != nil {
		return bad(Signature, signed, "%v", err)
	}
	before := tlog.Tree{Hash: new(proof.Tree).Root()}
	if kept.Checkpoint != "" {
		c, err := read(kept.Checkpoint)
		if err != nil {
			return bad(Damaged, signed, "the kept checkpoint of the log: %v", err) // ParseState has checked it
		}
		before = c.Tree
	}
	switch {
	case now.N < before.N:
		return bad(Shrunk, signed, "it has %d entries, but had %d before", now.N, before.N)
	case now.N == before.N && now.Hash != before.Hash:
		return bad(Forked, signed, "two trees of %d entries with different roots were signed", now.N)
	case now.N > before.N || whole:
		if kind, err := follow(ctx, f, before, now.Tree); err != nil {
			return bad(kind, signed, "%v", err)
		}
	}
	return finding{signed: signed, tree: now.Tree}
}

// open verifies a checkpoint of a log, and that it is of this log.
func (w *Watcher) open(s Source, kept *Log, signed string) (torchwood.Checkpoint, error) {
	origin := proof.Origin(signed)
	if kept.Origin != "" && origin != kept.Origin {
		return torchwood.Checkpoint{}, fmt.Errorf("the checkpoint is of %.200q, not of %q", origin, kept.Origin)
	}
	if s.ID != "" && origin != s.ID && !strings.HasSuffix(origin, "/"+s.ID) {
		return torchwood.Checkpoint{}, fmt.Errorf("the checkpoint is of %.200q, which is not the log %s", origin, s.ID)
	}
	return w.options.Keys.OpenCheckpoint(origin, signed)
}

// follow checks that a tree extends an earlier one, and that the tiles along its right edge exist and belong to it.
func follow(ctx context.Context, f *fetcher, before, now tlog.Tree) (Kind, error) {
	if now.N == 0 {
		if now.Hash != before.Hash {
			return Forked, errors.New("the checkpoint has no entries, but its root is not that of an empty tree")
		}
		return "", nil
	}
	tiles := torchwood.TileHashReaderWithContext(ctx, now, f)
	for _, tree := range []tlog.Tree{before, now} {
		if tree.N == 0 {
			continue
		}
		root, err := tlog.TreeHash(tree.N, tiles)
		switch {
		case unreached(err):
			return Unreachable, err
		case err != nil:
			return Damaged, fmt.Errorf("its tiles do not match its checkpoint of %d entries: %w", now.N, err)
		case root != tree.Hash:
			return Forked, fmt.Errorf("its %d entries do not extend the %d that were signed before",
				now.N, before.N)
		}
	}
	return "", nil
}
