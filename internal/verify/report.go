// Package verify checks that nothing in a log was altered, removed or reordered. It checks a downloaded file with its
// proof, a log over the API, a bucket, or a folder of segments. It trusts only the public keys that it is given.
package verify

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/weirlog/weir/internal/proof"
)

// Verdict is the outcome of a check.
type Verdict string

const (
	Verified Verdict = "verified"
	Differs  Verdict = "does not verify"
	Unknown  Verdict = "cannot tell" // something that the check needs is missing
)

// Report is the result for one log, or one file of it.
type Report struct {
	Subject string  `json:"subject"`       // what was checked
	Log     string  `json:"log,omitempty"` // origin of its checkpoints
	Verdict Verdict `json:"verdict"`
	// number of entries of the tree that the checkpoint signs, or that was computed
	Size        int64  `json:"size"`
	Root        string `json:"root,omitempty"`    // of that tree
	Entries     int64  `json:"entries"`           // number of entries whose content was checked
	First       *int64 `json:"first,omitempty"`   // index of the first of these, and of the last
	Last        *int64 `json:"last,omitempty"`    //
	Between     []Run  `json:"between,omitempty"` // entries between First and Last that the file does not hold
	Removed     int64  `json:"removed,omitempty"` // entries whose content retention has removed
	Unsequenced int64  `json:"unsequenced,omitempty"`
	Taken       *Taken `json:"taken,omitempty"` // of a file only
	// size of the largest older checkpoint that the log extends
	Since     int64     `json:"since,omitempty"`
	Witnesses []string  `json:"witnesses,omitempty"` // given witnesses that have cosigned the checkpoint
	Claims    *Claims   `json:"claims,omitempty"`
	Problems  []Problem `json:"problems,omitempty"`
	Notes     []string  `json:"notes,omitempty"`
}

// Taken tells when the lines of a file were taken in, by the clocks of the nodes that did so. These times are part of
// the lines, and proven as they are. Lines longer than 64 KiB do not count.
type Taken struct {
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Lines int64     `json:"lines"` // number of lines that have a time
}

// join adds the times of other lines.
func (t *Taken) join(other Taken) {
	switch {
	case other.Lines == 0:
		return
	case t.Lines == 0:
		*t = other
		return
	}
	if other.First.Before(t.First) {
		t.First = other.First
	}
	if other.Last.After(t.Last) {
		t.Last = other.Last
	}
	t.Lines += other.Lines
}

// Claims is the part of a proof that nothing signs. No verdict depends on it.
type Claims struct {
	Source    string `json:"source,omitempty"` // path of the log in the API
	Start     string `json:"start,omitempty"`  // start of the range of event times that was asked for
	End       string `json:"end,omitempty"`    // end of that range, exclusive
	Processor string `json:"processor,omitempty"`
	Query     string `json:"query,omitempty"`     // query that found the lines
	Removed   *Run   `json:"removed,omitempty"`   // entries that retention had removed
	Sequenced int64  `json:"sequenced,omitempty"` // size of the tree when the file was made
	Pending   int64  `json:"pending,omitempty"`   // lines of the file that were not sequenced yet
	// keys that seem to have signed the checkpoint and were not given
	Signatures []string `json:"signatures,omitempty"`
}

// Run is a range of consecutive entries.
type Run struct {
	First int64 `json:"first"`
	Count int64 `json:"count"`
}

// Problem is one fault that a check found.
type Problem struct {
	Object  string `json:"object,omitempty"` // key in the bucket
	Entry   *int64 `json:"entry,omitempty"`  // index of the first entry concerned
	Line    *int64 `json:"line,omitempty"`   // of the file, from 1
	Lines   int64  `json:"lines,omitempty"`  // number of lines from Line on, if it is not one
	What    string `json:"what"`
	Missing bool   `json:"missing,omitempty"` // whether the object is missing, rather than different
}

func (r *Report) add(p Problem) { r.Problems = append(r.Problems, p) }

func (r *Report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// judge sets the verdict by the problems. Something that differs outweighs something that is missing.
func (r *Report) judge() {
	r.Verdict = Verified
	for _, p := range r.Problems {
		if !p.Missing {
			r.Verdict = Differs
			return
		}
		r.Verdict = Unknown
	}
}

// Worst returns the worst verdict of several reports.
func Worst(reports []*Report) Verdict {
	worst := Verified
	for _, r := range reports {
		if r.Verdict == Differs || r.Verdict == Unknown && worst == Verified {
			worst = r.Verdict
		}
	}
	return worst
}

// LoadKeys reads the public keys that a check trusts. Each text is a key, or the name of a file of keys. Names in keys
// do not matter, since one key signs all logs of a bucket.
func LoadKeys(texts ...string) (*proof.Keys, error) {
	all := &proof.Keys{}
	for _, text := range texts {
		if data, err := readBounded(text, maxKeys); err == nil {
			text = string(data)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("key: %w", err)
		} else if !strings.Contains(text, "+") {
			return nil, fmt.Errorf("key: there is no file %s, and it is not a key such as \"weir key show\" prints",
				text)
		}
		keys, err := proof.ParseKeys(text)
		if err != nil {
			return nil, err
		}
		all.Trusted = append(all.Trusted, keys.Trusted...)
	}
	if len(all.Trusted) == 0 {
		return nil, errors.New("no key to check with: give --key, or set WEIR_VERIFIER_KEY; \"weir key show\" prints " +
			"it where the log is kept")
	}
	return all, nil
}

// Checkpoint is a signed checkpoint that was kept outside of the bucket.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   proof.Hash
}

// LoadCheckpoint reads a checkpoint from a file: a signed checkpoint, or a proof that ends with one. A trusted key must
// have signed it.
func LoadCheckpoint(file string, keys *proof.Keys) (Checkpoint, error) {
	signed, err := readCheckpoint(file)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	c, err := keys.OpenCheckpoint(proof.Origin(signed), signed)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%s: %w", file, err)
	}
	return Checkpoint{c.Origin, c.N, c.Hash}, nil
}

// LoadCheckpoints calls LoadCheckpoint for files, and for all files in folders.
func LoadCheckpoints(names []string, keys *proof.Keys) (all []Checkpoint, err error) {
	for _, name := range names {
		files := []string{name}
		if st, err := os.Stat(name); err == nil && st.IsDir() {
			if files, err = filesIn(name); err != nil {
				return nil, err
			}
		}
		for _, file := range files {
			c, err := LoadCheckpoint(file, keys)
			if err != nil {
				return nil, err
			}
			all = append(all, c)
		}
	}
	return all, nil
}

// filesIn returns the names of the files in a folder whose names do not begin with a dot.
func filesIn(folder string) (files []string, err error) {
	entries, err := os.ReadDir(folder)
	for _, e := range entries {
		if !e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			files = append(files, filepath.Join(folder, e.Name()))
		}
	}
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("the folder %s has no checkpoints", folder)
	}
	return files, err
}

// logID returns the id of the checkpoint's log: the last part of its origin.
func (c *Checkpoint) logID() string { return c.Origin[strings.LastIndexByte(c.Origin, '/')+1:] }

// maxCheckpoint bounds a file with a checkpoint, in bytes.
const maxCheckpoint = 1 << 20

func readCheckpoint(file string) (string, error) {
	p, err := readProof(file)
	if err == nil {
		return p.Checkpoint, nil
	}
	if !errors.Is(err, proof.ErrMalformed) {
		return "", err
	}
	data, err := readBounded(file, maxCheckpoint)
	return string(data), err
}

// readBounded reads a file of at most most bytes.
func readBounded(file string, most int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s has more than %d bytes", file, most)
	}
	return data, err
}

// maxKeys bounds a file of keys, in bytes.
const maxKeys = 1 << 20

// LoadWitnesses reads the public keys of witnesses. Each text is a key, or the name of a file with one key on each
// line.
func LoadWitnesses(texts ...string) (all []note.Verifier, err error) {
	for _, text := range texts {
		if data, err := readBounded(text, maxKeys); err == nil {
			text = string(data)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("witness key: %w", err)
		}
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
				continue
			}
			v, err := proof.ParseWitness(line)
			if err != nil {
				return nil, err
			}
			same := func(w note.Verifier) bool { return w.Name() == v.Name() && w.KeyHash() == v.KeyHash() }
			if !slices.ContainsFunc(all, same) {
				all = append(all, v)
			}
		}
	}
	return all, nil
}
