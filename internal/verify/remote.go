package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"filippo.io/torchwood"
	modtlog "golang.org/x/mod/sumdb/tlog"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/proof"
)

// The range of all events that the API knows, seconds since the epoch.
var firstSecond, lastSecond = int64(1199145600), int64(253402300799)

// Log checks a log over the API: it downloads all of it.
func Log(ctx context.Context, c *client.Client, source client.Source, keys *proof.Keys, since *Checkpoint, progress func(int64)) (*Report, error) {
	all := client.Query{Start: &firstSecond, End: &lastSecond}
	d, err := c.Download(ctx, source, all)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if d.Log == "" {
		return nil, fmt.Errorf("the server proves nothing of its logs: it is not weir")
	}
	leaves, err := StreamLeaves(ctx, &counted{d, progress})
	if err != nil {
		return nil, err
	}
	path := source.LogPath(d.Log)
	text, err := c.FileProof(ctx, path, all, d.Sequenced)
	if err != nil {
		return nil, err
	}
	r := &Report{Subject: "log " + d.Log}
	p, err := proof.ParseFile(text)
	if err != nil {
		r.add(Problem{What: err.Error()})
		r.judge()
		return r, nil
	}
	if !strings.HasSuffix(p.Log, "/"+d.Log) {
		r.add(Problem{What: fmt.Sprintf("the proof is of another log: %s", p.Log)})
	}
	shown := r.file(p, keys, leaves, nil)
	if shown == nil {
		return r, nil
	}
	r.Removed = p.Removed.Count
	r.allThere(shown, p.Removed)
	if since != nil {
		if err := r.remoteSince(ctx, c, path, shown, since); err != nil {
			return nil, err
		}
	}
	r.judge()
	return r, nil
}

// allThere checks that a download of everything holds every entry from the first that retention has left. What is not
// sequenced yet is no problem of the log.
func (r *Report) allThere(shown *proof.Shown, removed proof.Run) {
	problems := r.Problems
	r.Problems, r.Between = nil, nil
	for _, p := range problems {
		if p.Line == nil || !p.Missing {
			r.add(p)
		}
	}
	r.Notes = nil
	missing := append([]proof.Run(nil), shown.Between...)
	if shown.Held == 0 {
		missing = []proof.Run{{First: removed.End(), Count: shown.Size - removed.End()}}
	} else if shown.First > removed.End() {
		missing = append(missing, proof.Run{First: removed.End(), Count: shown.First - removed.End()})
	}
	for _, run := range missing {
		if run.Count > 0 {
			r.add(Problem{Entry: &run.First, What: fmt.Sprintf("a download of everything lacks %d entries from there on", run.Count)})
		}
	}
}

func (r *Report) remoteSince(ctx context.Context, c *client.Client, path string, shown *proof.Shown, since *Checkpoint) error {
	roots := map[int64]proof.Hash{shown.Size: shown.Root}
	if since.Size < shown.Size && since.Size > 0 {
		data, err := c.Fetch(ctx, path+"/proof", url.Values{"from": {strconv.FormatInt(since.Size, 10)}, "to": {strconv.FormatInt(shown.Size, 10)}})
		if err != nil {
			return err
		}
		var p struct{ Hashes []proof.Hash }
		if err := json.Unmarshal(data, &p); err != nil {
			return fmt.Errorf("the server's reply: %w", err)
		}
		roots[since.Size] = proof.Hash{} // not the one that was signed
		if modtlog.CheckTree(p.Hashes, shown.Size, shown.Root, since.Size, since.Root) == nil {
			roots[since.Size] = since.Root
		}
	}
	if since.Size == 0 {
		roots[0] = new(proof.Tree).Root()
	}
	r.since(since, roots, "the log cannot be compared with the older checkpoint")
	return nil
}

// Prove completes the proof of a file with what was sequenced since it was made, and checks it. It returns the new proof.
func Prove(ctx context.Context, c *client.Client, p *proof.File, leaves []proof.Hash, keys *proof.Keys) (*proof.File, *Report, error) {
	r := &Report{}
	shown := r.file(p, keys, leaves, nil)
	if shown == nil || len(shown.Pending) == 0 {
		complete(p, r, leaves, shown)
		return p, r, nil
	}
	if p.Source == "" {
		return nil, nil, fmt.Errorf("the proof does not say where its log is")
	}
	signed, err := c.Fetch(ctx, p.Source+"/checkpoint", nil)
	if err != nil {
		return nil, nil, err
	}
	checkpoint, err := keys.OpenCheckpoint(p.Log, string(signed))
	if err != nil {
		return nil, nil, err
	}
	entries, err := leafHashes(ctx, c, p.Source, p.Sequenced, checkpoint.N)
	if err != nil {
		return nil, nil, err
	}
	p.Settle(leaves, shown.Pending, entries, string(signed))
	again := &Report{}
	shown = again.file(p, keys, leaves, nil)
	complete(p, again, leaves, shown)
	return p, again, nil
}

// complete adds to a proof that was checked what only helps who checks it later.
func complete(p *proof.File, r *Report, leaves []proof.Hash, shown *proof.Shown) {
	if shown != nil {
		p.Pending = r.Unsequenced
		p.Mark(leaves)
	}
}

// leafHashes returns the leaf hashes of the entries [from, to) of a log, from its tiles.
func leafHashes(ctx context.Context, c *client.Client, path string, from, to int64) ([]proof.Hash, error) {
	var hashes []proof.Hash
	for n := from / proof.Group; n*proof.Group < to; n++ {
		width := int(min(proof.Group, to-n*proof.Group))
		data, err := c.Fetch(ctx, path+"/"+torchwood.TilePath(modtlog.Tile{H: torchwood.TileHeight, L: 0, N: n, W: width}), nil)
		if err != nil {
			return nil, err
		}
		if len(data) != width*modtlog.HashSize {
			return nil, fmt.Errorf("the server's reply: a tile of %d hashes has %d bytes", width, len(data))
		}
		for i := range width {
			if index := n*proof.Group + int64(i); index >= from {
				hashes = append(hashes, proof.Hash(data[i*modtlog.HashSize:]))
			}
		}
	}
	return hashes, nil
}
