package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/audit"
	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/layout"
	"github.com/weirlog/weir/internal/doc"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/wal"
)

// Kind counts the objects of a bucket whose keys have the same first part.
type Kind struct {
	Name    string `json:"name"`
	Objects int64  `json:"objects"`
	Bytes   int64  `json:"bytes"`
}

// Stray is an object that is not needed.
type Stray struct {
	Object  string `json:"object"`
	Why     string `json:"why"`
	movable bool
}

// Intact is a log in which no problem was found.
type Intact struct {
	Log     string `json:"log"`             // its id
	Entries int64  `json:"entries"`         // number of entries up to which it is intact
	Since   int64  `json:"since,omitempty"` // size of the largest older checkpoint that it extends
}

// Whole is the report of a check of a whole bucket.
type Whole struct {
	Verdict  Verdict   `json:"verdict"`
	Kinds    []Kind    `json:"kinds"`
	Logs     int       `json:"logs"`
	Intact   []Intact  `json:"intact,omitempty"`
	Problems []Problem `json:"problems,omitempty"`
	Strays   []Stray   `json:"strays,omitempty"`
	Notes    []string  `json:"notes,omitempty"`
	Moved    []string  `json:"quarantined,omitempty"` // keys that Quarantine moved away

	check  Check
	before string // the previous key in the listing
}

// Everything checks every object in a bucket, which may be in use. Objects of weir's kinds must be whole, all objects
// that a log names must exist, documents that refer to each other must agree, and objects that nothing names are
// listed. Objects that a node is writing, or has just replaced, look like strays. Without keys, signatures are not
// checked. Without the key of the seals, damage to sealed objects is found, and forgery is not.
func (c Check) Everything(ctx context.Context, b bucket.Bucket) (*Whole, error) {
	w := &Whole{check: c}
	if err := w.objects(ctx, b); err != nil {
		return nil, err
	}
	waiting, err := wal.Audit(ctx, b, c.Seals)
	if err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(waiting.Damaged)) {
		what := waiting.Damaged[key].Error() + "; parts that do not verify are not used: put it back from a copy"
		w.problem(Problem{Object: key, What: what})
	}
	if waiting.Events > 0 {
		w.Notes = append(w.Notes, fmt.Sprintf("%d events wait to be sequenced", waiting.Events))
	}
	accounts := account.NewDirectory(seal.NewBucket(b, c.Seals))
	needed, err := w.needed(ctx, accounts)
	if err != nil {
		return nil, err
	}
	if err := accounts.CrossCheck(ctx, w.inconsistent); err != nil {
		return nil, err
	}
	d := &audit.Auditor{Bucket: b, Keys: c.Keys, Beside: beside, Progress: c.Progress}
	logs, err := logsOf(ctx, d, c.Since)
	if err != nil {
		return nil, err
	}
	for _, log := range logs {
		if err := w.log(ctx, d, log, needed); err != nil {
			return nil, err
		}
	}
	w.judge()
	return w, nil
}

func (w *Whole) problem(p Problem) { w.Problems = append(w.Problems, p) }

func (w *Whole) stray(key, why string, movable bool) {
	w.Strays = append(w.Strays, Stray{key, why, movable})
}

// inconsistent adds a document that does not agree with another one.
func (w *Whole) inconsistent(x account.Inconsistency) {
	if x.Certain {
		w.problem(Problem{Object: x.Object, Missing: true,
			What: x.What + ": a version of it was deleted, or an earlier one put back; put the latest back from a copy"})
		return
	}
	w.Notes = append(w.Notes, fmt.Sprintf("%s: %s: a change was broken off, or a version was deleted",
		x.Object, x.What))
}

func (w *Whole) judge() {
	r := Report{Problems: w.Problems}
	r.judge()
	w.Verdict = r.Verdict
}

// objects counts all objects, and reads those that are documents.
func (w *Whole) objects(ctx context.Context, b bucket.Bucket) error {
	counts := map[string]*Kind{}
	for info, err := range b.List(ctx, "", "") {
		if err != nil {
			return err
		}
		kind, ok := layout.Of(info.Key)
		if !ok {
			w.stray(info.Key, "it is not of a kind that this version of weir knows", false)
			continue
		}
		size, err := info.Size()
		if errors.Is(err, bucket.ErrNotExist) {
			continue // deleted while the bucket was listed
		}
		if err != nil {
			return err
		}
		name := kind.Top()
		if counts[name] == nil {
			counts[name] = &Kind{Name: name}
		}
		counts[name].Objects++
		counts[name].Bytes += size
		switch kind.Check {
		case layout.AsLeftover:
			w.stray(info.Key, "left by a node that died at its start, while it tried the store", true)
		case layout.AsDocument, layout.AsSealed:
			if err := w.sealed(ctx, b, info.Key, kind); err != nil {
				return err
			}
		}
	}
	for _, name := range layout.Tops(layout.All) {
		if k := counts[name]; k != nil {
			w.Kinds = append(w.Kinds, *k)
		}
	}
	if counts[layout.Settings.Top()] == nil {
		w.problem(Problem{Object: layout.Settings.Prefix(), What: "the bucket's settings: " +
			bucket.ErrNotExist.Error() + "; is this a bucket of weir?", Missing: true})
	}
	return nil
}

// sealed reads a sealed object, which may be a version of a document.
func (w *Whole) sealed(ctx context.Context, b bucket.Bucket, key string, kind layout.Kind) error {
	if kind.Check == layout.AsDocument && !kind.Cleaned {
		if missing := doc.Missing(w.before, key); missing != "" {
			w.problem(Problem{Object: missing, What: "a later version is there, and this one is not: " +
				bucket.ErrNotExist.Error() + "; put it back from a copy", Missing: true})
		}
		w.before = key
	}
	data, err := bucket.Read(ctx, seal.NewBucket(b, w.check.Seals), key, bucket.Range{})
	if err == nil && kind.Check == layout.AsDocument {
		err = doc.Check(key, data)
	}
	switch {
	case errors.Is(err, bucket.ErrNotExist):
		return nil // deleted since the listing
	case errors.Is(err, seal.ErrForged), errors.Is(err, doc.ErrDamaged):
		w.problem(Problem{Object: key, What: err.Error() + "; put it back from a copy"})
		return nil
	}
	return err
}

// needed returns the logs that documents name. It returns nil if the documents cannot be read; then nothing is reported
// as a stray.
func (w *Whole) needed(ctx context.Context, accounts *account.Directory) (map[string]bool, error) {
	logs := map[string]bool{}
	for log, err := range accounts.AllLogs(ctx) {
		if err != nil && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			w.Notes = append(w.Notes, "cannot tell which logs belong to a project or an organization: "+err.Error())
			return nil, nil
		}
		logs[log] = true
	}
	return logs, nil
}

func (w *Whole) log(ctx context.Context, d *audit.Auditor, log string, needed map[string]bool) error {
	a, since, err := auditSince(ctx, d, log, w.check.Since)
	if err != nil {
		return err
	}
	w.Logs++
	problems := len(w.Problems)
	for _, f := range a.Findings {
		p := Problem{Object: f.Object, What: f.What, Missing: f.Missing}
		if f.Entry >= 0 {
			entry := f.Entry
			p.Entry = &entry
		}
		w.problem(p)
	}
	if a.Rebuilt && a.Size > 0 {
		w.problem(Problem{Object: manifest.Prefix(log),
			What: fmt.Sprintf("no manifest, but segments with %d entries: %v; put the highest manifest back "+
				"from a copy", a.Size, bucket.ErrNotExist), Missing: true})
	}
	r := Report{Log: a.Origin, Size: a.Size}
	r.goesOn(a, since)
	for _, p := range r.Problems {
		p.Object = manifest.LogPrefix(log)
		w.problem(p)
	}
	if len(w.Problems) == problems {
		w.Intact = append(w.Intact, Intact{log, a.Size, r.Since})
	}
	w.unnamed(a)
	if needed != nil && !needed[log] {
		w.Notes = append(w.Notes, fmt.Sprintf("log %s belongs to nobody: its workspace was removed, or "+
			"never came to be", log))
	}
	return nil
}

// unnamed lists the objects of a log that no manifest names. If one of them belongs after the last entry, a later
// manifest may have been deleted. Then these objects are the evidence of that, and are not moved.
func (w *Whole) unnamed(a *audit.Audit) {
	movable := len(a.Findings) == 0 && !a.Rebuilt
	for _, key := range a.Unnamed {
		movable = movable && !isBehind(key, a.Size)
	}
	for _, key := range a.Unnamed {
		why := "no manifest names it: left by a merge or a writer that died, or just being written"
		if isBehind(key, a.Size) {
			why = fmt.Sprintf("no manifest names it, and it follows entry %d, the last one: it is just being "+
				"written, a writer died, or a later manifest was deleted; a kept checkpoint (--since) tells which",
				a.Size)
		}
		w.stray(key, why, movable)
	}
}

// isBehind tells whether an object of a log holds entries from size on.
func isBehind(key string, size int64) bool {
	kind, ok := layout.Of(key)
	name, _, _ := strings.Cut(key[strings.LastIndexByte(key, '/')+1:], "-")
	entry, err := strconv.ParseInt(name, 10, 64)
	return ok && err == nil && kind.Name == layout.Segment && entry >= size
}

// Quarantine moves strays below quarantine/<time>/, and keeps their keys. A stray is deleted only after its copy has
// been read back. No node may use the bucket meanwhile.
func (w *Whole) Quarantine(ctx context.Context, b bucket.Bucket, now time.Time) error {
	below := layout.Quarantined.Prefix(now.UTC().Format("20060102T150405Z"))
	for _, s := range w.Strays {
		if !s.movable {
			continue
		}
		if err := quarantine(ctx, b, s.Object, below+s.Object); err != nil {
			return fmt.Errorf("quarantine %s: %w", s.Object, err)
		}
		w.Moved = append(w.Moved, s.Object)
	}
	return nil
}

func quarantine(ctx context.Context, b bucket.Bucket, from, to string) error {
	data, err := bucket.Read(ctx, b, from, bucket.Range{})
	if err == nil {
		err = b.PutNew(ctx, to, data)
	}
	var there []byte
	if err == nil {
		there, err = bucket.Read(ctx, b, to, bucket.Range{})
	}
	if err == nil && string(there) != string(data) {
		err = errors.New("the copy that was read back differs from the original")
	}
	if err != nil {
		return err
	}
	return b.Delete(ctx, from)
}
