package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	modtlog "golang.org/x/mod/sumdb/tlog"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/proof"
)

// The range of all event times that the API accepts, seconds since the epoch.
var firstSecond, lastSecond = int64(1199145600), int64(253402300799)

// Log checks a log over the API. It downloads the whole log.
func (c Check) Log(ctx context.Context, from *client.Client, source client.Source) (*Report, error) {
	all := client.Query{Start: &firstSecond, End: &lastSecond}
	d, err := from.Download(ctx, source, all)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if d.Log == "" {
		return nil, fmt.Errorf("the server gives no proofs, so it is not weir")
	}
	r := &Report{Subject: "log " + d.Log}
	defer r.judge()
	path := source.LogPath(d.Log)
	p, err := fetchProof(ctx, from, path, all, d.Sequenced)
	if errors.Is(err, proof.ErrMalformed) {
		r.add(Problem{What: err.Error()})
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(p.Log, "/"+d.Log) {
		r.add(Problem{What: fmt.Sprintf("the proof is of another log: %s", p.Log)})
	}
	of := c
	of.Since = nil
	l, err := of.lines(ctx, r, d, p, false)
	if err != nil || l == nil {
		return r, err
	}
	r.allThere(l.shown, p.Claims.Removed)
	for _, since := range r.kept(c.Since) {
		if err := r.remoteSince(ctx, from, path, l.shown, &since); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func fetchProof(ctx context.Context, c *client.Client, path string, q client.Query,
	sequenced int64) (*proof.File, error) {
	text, err := c.FileProof(ctx, path, q, sequenced)
	if err != nil {
		return nil, err
	}
	defer text.Close()
	return proof.ReadFile(text)
}

// allThere checks that a download of the whole log has every entry from the first one that retention has kept. Events
// that are not sequenced yet are not a problem.
func (r *Report) allThere(shown *proof.Shown, removed proof.Run) {
	problems := r.Problems
	r.Problems, r.Between, r.Notes = nil, nil, nil
	for _, p := range problems {
		if p.Line == nil || !p.Missing {
			r.add(p)
		}
	}
	missing := append([]proof.Run(nil), shown.Between...)
	if shown.Held == 0 {
		missing = []proof.Run{{First: removed.End(), Count: shown.Size - removed.End()}}
	} else if shown.First > removed.End() {
		missing = append(missing, proof.Run{First: removed.End(), Count: shown.First - removed.End()})
	}
	for _, run := range missing {
		if run.Count > 0 {
			r.add(Problem{Entry: &run.First,
				What: fmt.Sprintf("a download of everything lacks %d entries from there on", run.Count)})
		}
	}
}

func (r *Report) remoteSince(ctx context.Context, c *client.Client, path string, shown *proof.Shown,
	since *Checkpoint) error {
	roots := map[int64]proof.Hash{shown.Size: shown.Root}
	if since.Size < shown.Size && since.Size > 0 {
		data, err := c.Fetch(ctx, path+"/proof", url.Values{"from": {strconv.FormatInt(since.Size, 10)},
			"to": {strconv.FormatInt(shown.Size, 10)}})
		if err != nil {
			return err
		}
		var p struct{ Hashes []proof.Hash }
		if err := json.Unmarshal(data, &p); err != nil {
			return fmt.Errorf("the server's reply: %w", err)
		}
		roots[since.Size] = proof.Hash{} // differs from the root that was signed
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

// Prove completes the proof of a file with the entries that were sequenced since it was made, and checks it. It returns
// the new proof, and a report that says what differs.
func (c Check) Prove(ctx context.Context, from *client.Client, p *proof.File, file io.ReadSeeker) (*proof.File,
	*Report, error) {
	r, l, err := c.fileLines(ctx, file, p)
	if err != nil || l == nil {
		return p, r, err
	}
	if len(l.shown.Pending) > 0 {
		if err := c.settle(ctx, from, p, file, l.shown.Pending); err != nil {
			return nil, nil, err
		}
		if r, l, err = c.fileLines(ctx, file, p); err != nil || l == nil {
			return p, r, err
		}
	}
	p.Parts, p.Claims.Pending = l.marked, r.Unsequenced // for those who check the proof later
	return p, r, nil
}

// fileLines checks the lines of a file from its start.
func (c Check) fileLines(ctx context.Context, file io.ReadSeeker, p *proof.File) (*Report, *lines, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, nil, err
	}
	r := &Report{}
	defer r.judge()
	l, err := c.lines(ctx, r, file, p, true)
	return r, l, err
}

// maxPending bounds the lines that Prove looks for.
const maxPending = 4 << 20

// settle completes a proof with the entries that its log has appended since.
func (c Check) settle(ctx context.Context, from *client.Client, p *proof.File, file io.ReadSeeker,
	pending []proof.Run) error {
	path := p.Claims.Source
	if !strings.HasPrefix(path, "/api/weir/v1/") || strings.ContainsAny(path, "?#%") || strings.Contains(path, "..") {
		return fmt.Errorf("the proof does not say where its log is: %.200q is not the path of a log", path)
	}
	signed, err := from.Fetch(ctx, path+"/checkpoint", nil)
	if err != nil {
		return err
	}
	checkpoint, err := c.Keys.OpenCheckpoint(p.Log, string(signed))
	if err != nil {
		return err
	}
	leaves, err := pendingLeaves(ctx, file, pending)
	if err != nil {
		return err
	}
	s := p.Settle(leaves)
	if err := eachEntry(ctx, from, path, p.Claims.Sequenced, checkpoint.N, s.Entry); err != nil {
		return err
	}
	s.End(string(signed))
	return nil
}

// pendingLeaves returns the numbers of the pending lines of a file, by leaf hash.
func pendingLeaves(ctx context.Context, file io.ReadSeeker, pending []proof.Run) (map[proof.Hash]int64, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	leaves, line := map[proof.Hash]int64{}, int64(0)
	_, err := eachLeaf(ctx, file, func(leaf proof.Hash) error {
		for len(pending) > 0 && pending[0].End() <= line {
			pending = pending[1:]
		}
		if len(pending) > 0 && pending[0].First <= line {
			leaves[leaf] = line
		}
		if line++; len(leaves) > maxPending {
			return fmt.Errorf("more than %d lines are not sequenced; download again", maxPending)
		}
		return nil
	})
	return leaves, err
}

// eachEntry calls yield with the leaf hashes of the entries [from, to) of a log, from its tiles.
func eachEntry(ctx context.Context, c *client.Client, path string, from, to int64, yield func(proof.Hash) error) error {
	t := tiles{path: path, size: to, fetch: func(ctx context.Context, path string) ([]byte, error) {
		return c.Fetch(ctx, path, nil)
	}}
	for n := from / proof.Group; n*proof.Group < to; n++ {
		hashes, err := t.tile(ctx, 0, n)
		if err != nil {
			return err
		}
		for _, hash := range hashes[max(0, from-n*proof.Group):] {
			if err := yield(hash); err != nil {
				return err
			}
		}
	}
	return nil
}
