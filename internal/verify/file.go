package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/weirlog/weir/internal/charset"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/seal"
)

// Check configures the checks.
type Check struct {
	Keys      *proof.Keys     // trusted keys, one of which must have signed
	Witnesses []note.Verifier // witnesses whose cosignatures are looked for
	Quorum    int             // number of these that must have cosigned
	Since     []Checkpoint    // older checkpoints, of any logs, that the logs must extend
	Seals     seal.Key        // of the nodes of a bucket; if zero, only the form of seals is checked
	Progress  func(int64)     // if not nil, it is called with the number of bytes after each read
}

// File checks a downloaded file against the proof beside it.
func (c Check) File(ctx context.Context, name, proofName string) (*Report, error) {
	r := &Report{Subject: name}
	defer r.judge()
	p, err := readProof(proofName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.add(Problem{What: fmt.Sprintf("there is no proof %s; \"weir download --proof\" makes one with the file",
			proofName), Missing: true})
		return r, nil
	case errors.Is(err, proof.ErrMalformed):
		r.add(Problem{Object: proofName, What: err.Error()})
		return r, nil
	case err != nil:
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	l, err := c.lines(ctx, r, f, p, false)
	if err != nil || l == nil {
		return r, err
	}
	if r.Unsequenced > p.Claims.Pending {
		r.addedLines(r.Unsequenced - p.Claims.Pending)
	}
	return r, nil
}

// readProof reads a proof from a file.
func readProof(name string) (*proof.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return proof.ReadFile(f)
}

// lines is the result for the lines of a file.
type lines struct {
	shown  *proof.Shown
	marked []proof.Part // parts of the proof, if they were asked for
}

// mostAdded bounds how many lines are read beyond those that a proof accounts for.
const mostAdded = 1 << 20

var errAdded = errors.New("far more lines than the proof accounts for")

// lines checks the lines of a gzip file against a proof, and reports. It returns nil if they differ.
func (c Check) lines(ctx context.Context, r *Report, file io.Reader, p *proof.File, mark bool) (*lines, error) {
	r.Log, r.Claims = p.Log, claimsOf(p)
	check, err := p.Check(c.Keys, mark)
	var shown *proof.Shown
	var seen content
	if err == nil {
		most := mostAdded + min(p.Claims.Pending, maxPending)
		for _, part := range p.Parts {
			if part.Held {
				most += part.Count
			}
		}
		seen, err = eachLeaf(ctx, &counted{file, c.Progress}, func(leaf proof.Hash) error {
			if most--; most < 0 {
				return errAdded
			}
			return check.Line(leaf)
		})
		if seen.marked {
			r.note("the file begins with a byte-order mark, which weir does not write; it was skipped")
		}
	}
	if err == nil {
		shown, err = check.End()
	}
	var differs *proof.Differs
	switch {
	case errors.As(err, &differs):
		r.differs(differs)
		return nil, nil
	case errors.Is(err, errAdded):
		r.add(Problem{What: fmt.Sprintf("it has over %d lines more than its proof accounts for; %s",
			mostAdded, merged)})
		return nil, nil
	case errors.Is(err, ErrNotGzip), errors.Is(err, charset.ErrNotUTF8):
		r.add(Problem{What: err.Error()})
		return nil, nil
	case err != nil:
		return nil, err
	}
	r.shown(shown)
	if seen.taken.Lines > 0 {
		r.Taken = &seen.taken
	}
	c.signatures(r, p.Checkpoint)
	for _, since := range r.kept(c.Since) {
		r.since(&since, map[int64]proof.Hash{shown.Size: shown.Root},
			"a proof shows a tree of one size only; check the log itself, over the API or in its bucket")
	}
	return &lines{shown, check.Marked()}, nil
}

// merged explains how a file may have more lines than its proof.
const merged = "if several downloads were put together, verify each by its own proof"

func (r *Report) addedLines(n int64) {
	r.add(Problem{What: fmt.Sprintf("%d lines were added to the file since its proof was made; %s", n, merged)})
}

// claimsOf returns the claims of a proof, which nothing signs.
func claimsOf(p *proof.File) *Claims {
	at := func(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
	c := &Claims{Source: p.Claims.Source, Start: at(p.Claims.Start), End: at(p.Claims.End),
		Processor: p.Claims.Processor, Query: p.Claims.Query,
		Sequenced: p.Claims.Sequenced, Pending: p.Claims.Pending}
	if p.Claims.Removed.Count > 0 {
		c.Removed = &Run{p.Claims.Removed.First, p.Claims.Removed.Count}
	}
	return c
}

// shown reports what a proof proves.
func (r *Report) shown(s *proof.Shown) {
	r.Size, r.Root, r.Entries = s.Size, s.Root.String(), s.Held
	if s.Held > 0 {
		r.First, r.Last = &s.First, &s.Last
	}
	for _, run := range s.Between {
		r.Between = append(r.Between, Run(run))
	}
	if len(r.Between) > 0 {
		r.note("entries between the first and the last are not in the file: they were not asked for, " +
			"or were left out; a proof cannot tell which")
	}
	for _, run := range s.Pending {
		r.Unsequenced += run.Count
		line := run.First + 1
		r.add(Problem{Line: &line, Lines: run.Count, Missing: true,
			What: "not shown to be in the log: they were not sequenced when the proof was made; \"weir prove\" " +
				"completes it"})
	}
}

// signatures reports which keys have signed the checkpoint of a log. One of the trusted keys has signed it.
func (c Check) signatures(r *Report, checkpoint string) {
	s, err := c.Keys.Signatures(r.Log, checkpoint, c.Witnesses)
	if err != nil {
		r.add(Problem{What: err.Error()})
		return
	}
	r.Witnesses = s.Witnesses
	if len(s.Unchecked) > 0 {
		if r.Claims == nil {
			r.Claims = &Claims{}
		}
		r.Claims.Signatures = s.Unchecked
	}
	if len(s.Witnesses) < c.Quorum {
		r.add(Problem{Missing: true, What: fmt.Sprintf("cosignatures of the checkpoint: %d witnesses of those given "+
			"have signed it, want %d", len(s.Witnesses), c.Quorum)})
	}
}

func (r *Report) differs(d *proof.Differs) {
	p := Problem{What: d.Why}
	if d.Lines.Count > 0 {
		line, entry := d.Lines.First+1, d.Entries.First
		p.Line, p.Lines, p.Entry = &line, d.Lines.Count, &entry
	}
	r.add(p)
}

// kept returns the older checkpoints that are of the log. If there are some and none is of this log, it adds a problem.
func (r *Report) kept(all []Checkpoint) []Checkpoint {
	of := slices.DeleteFunc(slices.Clone(all), func(c Checkpoint) bool { return c.Origin != r.Log })
	if len(of) == 0 && len(all) > 0 {
		r.add(Problem{What: fmt.Sprintf("none of the older checkpoints is of this log; one is of the log %q",
			all[0].Origin)})
	}
	return of
}

// since checks that the log extends an older checkpoint, given the roots that it had at some sizes.
func (r *Report) since(c *Checkpoint, roots map[int64]proof.Hash, otherwise string) {
	root, known := roots[c.Size]
	switch {
	case c.Size > r.Size:
		size := r.Size
		r.add(Problem{Entry: &size, What: fmt.Sprintf("the log had %d entries when the older checkpoint was signed "+
			"and has %d now: it was put back to an earlier state, or shortened", c.Size, r.Size)})
	case !known:
		r.add(Problem{What: otherwise, Missing: true})
	case root != c.Root:
		r.add(Problem{What: fmt.Sprintf("the log does not extend the older checkpoint of %d entries: its history was "+
			"changed, or there are two versions of it", c.Size)})
	default:
		r.Since = max(r.Since, c.Size)
	}
}
