package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/weirlog/weir/internal/proof"
)

// File checks a downloaded file against the proof beside it.
func File(ctx context.Context, name, proofName string, keys *proof.Keys, since *Checkpoint, progress func(int64)) (*Report, error) {
	r := &Report{Subject: name}
	text, err := os.ReadFile(proofName)
	if errors.Is(err, fs.ErrNotExist) {
		r.add(Problem{What: fmt.Sprintf("there is no proof %s; \"weir download --proof\" makes one with the file", proofName), Missing: true})
		r.judge()
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p, err := proof.ParseFile(text)
	if err != nil {
		r.add(Problem{Object: proofName, What: err.Error()})
		r.judge()
		return r, nil
	}
	leaves, err := Leaves(ctx, f, progress)
	if errors.Is(err, ErrNotGzip) {
		r.add(Problem{What: err.Error()})
		r.judge()
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	if r.file(p, keys, leaves, since) != nil && r.Unsequenced > p.Pending {
		last := int64(len(leaves))
		r.add(Problem{Line: &last, What: fmt.Sprintf("%d lines were added to the file since its proof was made", r.Unsequenced-p.Pending)})
		r.judge()
	}
	return r, nil
}

// file checks lines, by their leaf hashes, against a proof.
func (r *Report) file(p *proof.File, keys *proof.Keys, leaves []proof.Hash, since *Checkpoint) *proof.Shown {
	r.Log = p.Log
	shown, err := p.Verify(keys, leaves)
	var differs *proof.Differs
	if errors.As(err, &differs) {
		r.differs(differs)
		r.judge()
		return nil
	}
	r.Size, r.Root, r.Entries = shown.Size, shown.Root.String(), shown.Held
	if shown.Held > 0 {
		r.First, r.Last = &shown.First, &shown.Last
	}
	for _, run := range shown.Between {
		r.Between = append(r.Between, Run(run))
	}
	if p.Processor == "" && len(r.Between) > 0 {
		r.note("entries between the first and the last are not in the file: their events lie outside its range, or were left out; a proof cannot tell which")
	}
	if p.Removed.Count > 0 {
		r.note("retention had removed entries %d to %d of the log", p.Removed.First, p.Removed.End()-1)
	}
	for _, run := range shown.Pending {
		r.Unsequenced += run.Count
		line := run.First + 1
		r.add(Problem{Line: &line, Lines: run.Count, Missing: true,
			What: "not shown to be in the log: they were not sequenced when the proof was made; \"weir prove\" completes it"})
	}
	if since != nil {
		r.since(since, map[int64]proof.Hash{shown.Size: shown.Root}, "a proof shows a tree of one size only; check the log itself, over the API or in its bucket")
	}
	r.judge()
	return shown
}

func (r *Report) differs(d *proof.Differs) {
	p := Problem{What: d.Why}
	if d.Lines.Count > 0 {
		line, entry := d.Lines.First+1, d.Entries.First
		p.Line, p.Lines, p.Entry = &line, d.Lines.Count, &entry
	}
	r.add(p)
}

// since checks an older checkpoint against the roots that the log had at some sizes.
func (r *Report) since(c *Checkpoint, roots map[int64]proof.Hash, otherwise string) {
	root, known := roots[c.Size]
	switch {
	case c.Origin != r.Log:
		r.add(Problem{What: fmt.Sprintf("the older checkpoint is of the log %q", c.Origin)})
	case c.Size > r.Size:
		size := r.Size
		r.add(Problem{Entry: &size, What: fmt.Sprintf("the log had %d entries when the older checkpoint was signed and has %d now: it was put back, or cut", c.Size, r.Size)})
	case !known:
		r.add(Problem{What: otherwise, Missing: true})
	case root != c.Root:
		r.add(Problem{What: fmt.Sprintf("the log is not the one that the older checkpoint of %d entries signs: its history was changed, or it has two", c.Size)})
	default:
		r.Since = fmt.Sprint(c.Size)
	}
}
