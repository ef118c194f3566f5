package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/audit"
	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/layout"
	"github.com/weirlog/weir/internal/doc"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/wal"
)

// Kind is the objects in a bucket whose keys begin with the same name.
type Kind struct {
	Name    string `json:"name"`
	Objects int64  `json:"objects"`
	Bytes   int64  `json:"bytes"`
}

// Stray is an object that nothing needs.
type Stray struct {
	Object  string `json:"object"`
	Why     string `json:"why"`
	movable bool
}

// Whole is what a check of everything in a bucket found.
type Whole struct {
	Verdict  Verdict   `json:"verdict"`
	Kinds    []Kind    `json:"kinds"`
	Logs     int       `json:"logs"`
	Problems []Problem `json:"problems,omitempty"`
	Strays   []Stray   `json:"strays,omitempty"`
	Notes    []string  `json:"notes,omitempty"`
	Moved    []string  `json:"quarantined,omitempty"` // keys that Quarantine moved away

	seals seal.Key
}

// CheckBucket looks at every object in a bucket, which may be in use: what is of weir's kinds must be whole, what a log
// consists of must be there, and what nothing names is listed. With keys, signatures are checked too. Objects that a
// node is just writing, or has just replaced, look like strays.
//
// Documents, the write-ahead log and plans are sealed with the nodes' secret. With the zero key, the form of their
// seals is checked, and their digests, so that damage is found and forgery is not.
func CheckBucket(ctx context.Context, b bucket.Bucket, keys *proof.Keys, seals seal.Key,
	progress func(int64)) (*Whole, error) {
	w := &Whole{seals: seals}
	if err := w.objects(ctx, b); err != nil {
		return nil, err
	}
	waiting, err := wal.Audit(ctx, b, seals)
	if err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(waiting.Damaged)) {
		what := waiting.Damaged[key].Error() + "; nothing of it that does not verify is used: put it back from a copy"
		w.problem(Problem{Object: key, What: what})
	}
	if waiting.Events > 0 {
		w.Notes = append(w.Notes, fmt.Sprintf("%d events wait to be sequenced", waiting.Events))
	}
	needed, err := w.needed(ctx, b)
	if err != nil {
		return nil, err
	}
	d := &audit.Auditor{Bucket: b, Keys: keys, Progress: progress}
	for log, err := range d.Logs(ctx) {
		if err != nil {
			return nil, err
		}
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
			w.stray(info.Key, "it is of no kind that this version of weir knows", false)
			continue
		}
		name := kind.Top()
		if counts[name] == nil {
			counts[name] = &Kind{Name: name}
		}
		counts[name].Objects++
		counts[name].Bytes += info.Size
		switch kind.Check {
		case layout.AsLeftover:
			w.stray(info.Key, "a node that started died before it had removed what it tried the store with", true)
		case layout.AsDocument, layout.AsSealed:
			if err := w.sealed(ctx, b, info.Key, kind.Check); err != nil {
				return err
			}
		}
	}
	for _, name := range layout.Tops(layout.All) {
		if k := counts[name]; k != nil {
			w.Kinds = append(w.Kinds, *k)
		}
	}
	if counts["weir"] == nil {
		w.problem(Problem{Object: "weir/", What: "the bucket's settings: " +
			bucket.ErrNotExist.Error() + "; is this a bucket of weir?", Missing: true})
	}
	return nil
}

// sealed reads a sealed object, which may be a version of a document.
func (w *Whole) sealed(ctx context.Context, b bucket.Bucket, key string, as layout.Check) error {
	data, err := bucket.Read(ctx, seal.NewBucket(b, w.seals), key, bucket.Range{})
	if err == nil && as == layout.AsDocument {
		err = doc.Check(key, data)
	}
	switch {
	case errors.Is(err, bucket.ErrNotExist):
		return nil // deleted since it was listed
	case errors.Is(err, seal.ErrForged), errors.Is(err, doc.ErrDamaged):
		w.problem(Problem{Object: key, What: err.Error() + "; put it back from a copy"})
		return nil
	}
	return err
}

// needed returns the logs that a document names; nil if the documents cannot be read, so that nothing is called a
// stray.
func (w *Whole) needed(ctx context.Context, b bucket.Bucket) (map[string]bool, error) {
	accounts, logs := account.NewDirectory(seal.NewBucket(b, w.seals)), map[string]bool{}
	unread := func(err error) (map[string]bool, error) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		w.Notes = append(w.Notes, "which logs belong to somebody cannot be told: "+err.Error())
		return nil, nil
	}
	for o, err := range accounts.AllOrganizations(ctx) {
		if err != nil {
			return unread(err)
		}
		logs[o.Log] = true
	}
	for p, err := range accounts.AllProjects(ctx) {
		if err != nil {
			return unread(err)
		}
		logs[p.ID] = true
		for _, workspace := range p.Workspaces {
			logs[workspace.AuditLog], logs[workspace.OperationalLog] = true, true
		}
		for _, workspace := range p.Gone {
			logs[workspace.AuditLog], logs[workspace.OperationalLog] = true, true
		}
	}
	return logs, nil
}

func (w *Whole) log(ctx context.Context, d *audit.Auditor, log string, needed map[string]bool) error {
	a, err := d.Log(ctx, log)
	if err != nil {
		return err
	}
	w.Logs++
	for _, f := range a.Findings {
		p := Problem{Object: f.Object, What: f.What, Missing: f.Missing}
		if f.Entry >= 0 {
			entry := f.Entry
			p.Entry = &entry
		}
		w.problem(p)
	}
	if a.Rebuilt && a.Size > 0 {
		w.problem(Problem{Object: "logs/" + log + "/manifest/",
			What: fmt.Sprintf("no manifest, but segments with %d entries: %v; put the highest manifest back "+
				"from a copy", a.Size, bucket.ErrNotExist), Missing: true})
	}
	if needed != nil && !needed[log] {
		w.Notes = append(w.Notes, fmt.Sprintf("log %s belongs to nobody: its workspace was removed, or "+
			"never came to be", log))
	}
	for _, key := range a.Unnamed {
		w.stray(key, "no manifest names it: left by a merge or a writer that died, or just being written",
			len(a.Findings) == 0 && !a.Rebuilt)
	}
	return nil
}

// Quarantine moves the strays that may be moved below quarantine/<time>/, under the keys that they had. Nothing is
// deleted before its copy has been read back. No node may use the bucket.
func (w *Whole) Quarantine(ctx context.Context, b bucket.Bucket, now time.Time) error {
	for _, s := range w.Strays {
		if !s.movable {
			continue
		}
		if err := quarantine(ctx, b, s.Object,
			"quarantine/"+now.UTC().Format("20060102T150405Z")+"/"+s.Object); err != nil {
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
		err = errors.New("the copy is not what was written")
	}
	if err != nil {
		return err
	}
	return b.Delete(ctx, from)
}
