package proof

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// File says which entries of a log a downloaded file holds, and shows it: that exactly these lines stand at these places of
// the tree that a checkpoint signs. It is text:
//
//	weir file proof v1
//	log <origin>
//	source <path of the log in the API>
//	range <start> <end>              of event times, milliseconds since the epoch, half-open
//	processor <quoted name>          if only its events were asked for
//	removed <first> <count>          entries that retention has removed, if any
//	sequenced <size>                 of the tree when the file was made: what the file holds beyond is not shown yet
//	pending <count>                  of the file's lines that are not shown yet, if any
//	entries <first> <count> <line>   the file's lines from <line> on (the first is 0) are these entries
//	entries <first> <count> <line> <hash>   the same, with the hash of the subtree, which tells where a file differs
//	hash <first> <count> <hash>      of a subtree of entries that the file does not hold
//
//	<the signed checkpoint>
//
// Parts come in the order of the log and cover the whole tree, so their hashes alone give its root.
type File struct {
	Log        string // origin of the log's checkpoints
	Source     string // path of the log in the API
	Start, End int64  // range of event times that was asked for, milliseconds since the epoch, half-open
	Processor  string // that was asked for; empty: all
	Removed    Run    // entries that retention has removed
	Sequenced  int64  // size of the tree when the file was made
	Pending    int64  // lines of the file that are not shown yet
	Parts      []Part
	Checkpoint string // signed
}

// Run is consecutive entries, or lines.
type Run struct{ First, Count int64 }

// End is the number behind the last one.
func (r Run) End() int64 { return r.First + r.Count }

// Part is consecutive entries that the file holds, or a subtree of those that it does not.
type Part struct {
	Run
	Held   bool
	Line   int64 // of the file that is the first entry, if it holds them
	Hash   Hash  // of the subtree
	Hashed bool  // there is a Hash; always if the file does not hold them
}

// precedes tells whether q could be the end of p: both are held, and follow each other in the log and in the file.
func (p *Part) precedes(q Part) bool {
	return p.Held && !p.Hashed && p.End() == q.First && p.Line+p.Count == q.Line
}

const fileHead = "weir file proof v1"

// FileWriter writes a File part by part, so that it need not be held in memory.
type FileWriter struct{ w *bufio.Writer }

// NewFileWriter writes what comes before the parts.
func NewFileWriter(w io.Writer, f *File) *FileWriter {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%s\nlog %s\nsource %s\nrange %d %d\n", fileHead, f.Log, f.Source, f.Start, f.End)
	if f.Processor != "" {
		fmt.Fprintf(b, "processor %q\n", f.Processor)
	}
	if f.Removed.Count > 0 {
		fmt.Fprintf(b, "removed %d %d\n", f.Removed.First, f.Removed.Count)
	}
	fmt.Fprintf(b, "sequenced %d\n", f.Sequenced)
	if f.Pending > 0 {
		fmt.Fprintf(b, "pending %d\n", f.Pending)
	}
	return &FileWriter{b}
}

// Part writes the next part.
func (w *FileWriter) Part(p Part) error {
	var err error
	switch {
	case !p.Held:
		_, err = fmt.Fprintf(w.w, "hash %d %d %s\n", p.First, p.Count, p.Hash)
	case p.Hashed:
		_, err = fmt.Fprintf(w.w, "entries %d %d %d %s\n", p.First, p.Count, p.Line, p.Hash)
	default:
		_, err = fmt.Fprintf(w.w, "entries %d %d %d\n", p.First, p.Count, p.Line)
	}
	return err
}

// End writes the checkpoint, and everything that is not written yet.
func (w *FileWriter) End(checkpoint string) error {
	fmt.Fprintf(w.w, "\n%s", checkpoint)
	return w.w.Flush()
}

// Encode returns the text of f.
func (f *File) Encode() ([]byte, error) {
	var b bytes.Buffer
	w := NewFileWriter(&b, f)
	for _, p := range f.Parts {
		if err := w.Part(p); err != nil {
			return nil, err
		}
	}
	err := w.End(f.Checkpoint)
	return b.Bytes(), err
}

// ErrMalformed is returned (wrapped) for bytes that are no proof.
var ErrMalformed = errors.New("malformed proof")

// ParseFile reads the text of a File.
func ParseFile(text []byte) (*File, error) {
	head, checkpoint, ok := strings.Cut(string(text), "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || lines[0] != fileHead {
		return nil, fmt.Errorf("%w: it does not begin with %q", ErrMalformed, fileHead)
	}
	f := &File{Checkpoint: checkpoint}
	for i, line := range lines[1:] {
		if err := f.parseLine(line); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrMalformed, i+2, err)
		}
	}
	return f, nil
}

func (f *File) parseLine(line string) (err error) {
	name, rest, _ := strings.Cut(line, " ")
	fields := strings.Split(rest, " ")
	number := func(i int, least int64) (n int64) {
		if i >= len(fields) {
			err = errors.Join(err, errors.New("a number is missing"))
			return 0
		}
		n, parseErr := strconv.ParseInt(fields[i], 10, 64)
		if parseErr != nil || n < least || n > math.MaxInt64/4 && name != "range" {
			err = errors.Join(err, fmt.Errorf("%q is not a number that can stand there", fields[i]))
		}
		return n
	}
	switch name {
	case "log":
		f.Log = rest
	case "source":
		f.Source = rest
	case "processor":
		f.Processor, err = strconv.Unquote(rest)
	case "range":
		f.Start, f.End = number(0, math.MinInt64), number(1, math.MinInt64)
	case "removed":
		f.Removed = Run{number(0, 0), number(1, 1)}
	case "sequenced":
		f.Sequenced = number(0, 0)
	case "pending":
		f.Pending = number(0, 1)
	case "entries":
		p := Part{Run: Run{number(0, 0), number(1, 1)}, Held: true, Line: number(2, 0), Hashed: len(fields) > 3}
		if p.Hashed && err == nil {
			p.Hash, err = parseHash(fields[3])
		}
		f.Parts = append(f.Parts, p)
	case "hash":
		p := Part{Run: Run{number(0, 0), number(1, 1)}, Hashed: true}
		if len(fields) != 3 {
			return errors.New("want first entry, number of entries, hash")
		}
		if err == nil {
			p.Hash, err = parseHash(fields[2])
		}
		f.Parts = append(f.Parts, p)
	default:
		return fmt.Errorf("%.40q is not known", name)
	}
	return err
}

func parseHash(text string) (h Hash, err error) {
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(data) != len(h) {
		return h, fmt.Errorf("%.60q is not a hash", text)
	}
	return Hash(data), nil
}

// Shown is what a File shows of the lines of a file.
type Shown struct {
	Size    int64 // of the tree
	Root    Hash
	Held    int64 // lines that are entries of the log
	First   int64 // index of the first of these entries, and of the last; -1 if there are none
	Last    int64
	Between []Run // entries between those two that the file does not hold
	Pending []Run // lines that are not shown to be entries
}

// Differs is the error for a file, or a proof, that does not verify.
type Differs struct {
	Lines   Run // of the file, one of which differs; Count 0: it cannot be told which
	Entries Run // that they should be
	Why     string
}

func (d *Differs) Error() string {
	switch {
	case d.Lines.Count == 0:
		return d.Why
	case d.Lines.Count == 1:
		return fmt.Sprintf("line %d is not entry %d of the log: %s", d.Lines.First+1, d.Entries.First, d.Why)
	}
	return fmt.Sprintf("lines %d to %d are not entries %d to %d of the log: %s", d.Lines.First+1, d.Lines.End(), d.Entries.First, d.Entries.End()-1, d.Why)
}

// Verify checks the lines of a file, given by the leaf hashes of their digests, against f and its checkpoint, which a trusted
// key must have signed. A *Differs says what does not verify.
func (f *File) Verify(keys *Keys, leaves []Hash) (*Shown, error) {
	c, err := keys.OpenCheckpoint(f.Log, f.Checkpoint)
	if err != nil {
		return nil, &Differs{Why: err.Error()}
	}
	s := &Shown{Size: c.N, Root: c.Hash, First: -1, Last: -1}
	used := make([]bool, len(leaves))
	var tree, claimed Tree // of the lines; of the hashes that f has of them
	var first *Differs
	for _, p := range f.Parts {
		if p.First != tree.Size {
			return nil, &Differs{Why: fmt.Sprintf("the proof leaves a gap at entry %d", tree.Size)}
		}
		if !p.Held {
			if err := errors.Join(tree.AppendSubtree(p.Count, p.Hash), claimed.AppendSubtree(p.Count, p.Hash)); err != nil {
				return nil, &Differs{Why: err.Error()}
			}
			continue
		}
		if p.Line+p.Count > int64(len(leaves)) {
			missing := max(0, int64(len(leaves))-p.Line)
			first = cmp.Or(first, &Differs{Why: fmt.Sprintf("the file has %d lines, too few: line %d should be entry %d", len(leaves), p.Line+missing+1, p.First+missing)})
			if !p.Hashed {
				return nil, first
			}
			if err := errors.Join(tree.AppendSubtree(p.Count, Hash{}), claimed.AppendSubtree(p.Count, p.Hash)); err != nil {
				return nil, &Differs{Why: err.Error()}
			}
			continue
		}
		for i := p.Line; i < p.Line+p.Count; i++ {
			if used[i] {
				return nil, &Differs{Why: fmt.Sprintf("the proof takes line %d twice", i+1)}
			}
			used[i] = true
		}
		same, err := p.hold(&tree, &claimed, leaves[p.Line:p.Line+p.Count])
		if err != nil {
			return nil, &Differs{Why: err.Error()}
		}
		if !same && first == nil {
			first = &Differs{Lines: Run{p.Line, p.Count}, Entries: p.Run, Why: "they were changed, moved, or stand in for others"}
		}
		s.hold(p.Run)
	}
	if tree.Size != c.N || tree.Root() != c.Hash {
		if first != nil && claimed.Size == c.N && claimed.Root() == c.Hash {
			return nil, first // the hashes that the lines differ from are the log's
		}
		return nil, &Differs{Why: "the lines and the hashes of the proof do not give the root that the checkpoint signs"}
	}
	s.Pending = unused(used)
	return s, nil
}

// hold appends the part's entries to both trees and tells whether the lines have the hash that the part says.
func (p *Part) hold(tree, claimed *Tree, leaves []Hash) (same bool, err error) {
	if !p.Hashed {
		for _, leaf := range leaves {
			tree.Append(leaf)
			claimed.Append(leaf)
		}
		return true, nil
	}
	if p.Count&(p.Count-1) != 0 {
		return false, fmt.Errorf("%d entries are no subtree", p.Count)
	}
	hash := Subtree(leaves)
	return hash == p.Hash, errors.Join(tree.AppendSubtree(p.Count, hash), claimed.AppendSubtree(p.Count, p.Hash))
}

func (s *Shown) hold(r Run) {
	if s.Held == 0 {
		s.First = r.First
	} else if r.First > s.Last+1 {
		s.Between = append(s.Between, Run{s.Last + 1, r.First - s.Last - 1})
	}
	s.Held += r.Count
	s.Last = r.End() - 1
}

func unused(used []bool) []Run {
	var runs []Run
	for i, u := range used {
		switch last := len(runs) - 1; {
		case u:
		case last >= 0 && runs[last].End() == int64(i):
			runs[last].Count++
		default:
			runs = append(runs, Run{int64(i), 1})
		}
	}
	return runs
}

// maxMarks is about how many hashes of held entries Mark makes.
const maxMarks = 512

// Mark gives f hashes of the entries that the file holds, so that of a file that is changed later Verify can say where: of
// single lines if they are few, of subtrees if they are many. The leaves are those that Verify has found good.
func (f *File) Mark(leaves []Hash) {
	width := int64(1)
	if n := uint64(len(leaves) / maxMarks); n > 0 {
		width = 1 << bits.Len64(n)
	}
	var parts []Part
	for _, p := range f.Parts {
		if !p.Held {
			parts = append(parts, p)
			continue
		}
		for first, count := range Cover(p.First, p.First+p.Count) {
			for ; count > 0; first, count = first+width, count-width {
				n := min(width, count)
				line := p.Line + first - p.First
				parts = append(parts, Part{Run: Run{first, n}, Held: true, Line: line, Hash: Subtree(leaves[line : line+n]), Hashed: true})
			}
		}
	}
	f.Parts = parts
}

// Settle looks for lines that were pending among the entries that the log got since: leaves are those of the file's lines,
// entries the leaf hashes of entries from f.Sequenced on up to the size of the new checkpoint. Verify then tells the rest.
func (f *File) Settle(leaves []Hash, pending []Run, entries []Hash, checkpoint string) {
	line := map[Hash]int64{}
	for _, r := range pending {
		for i := r.First; i < r.End(); i++ {
			line[leaves[i]] = i
		}
	}
	end := len(f.Parts)
	for end > 0 && f.Parts[end-1].First >= f.Sequenced {
		end--
	}
	parts := f.Parts[:end:end]
	from := int64(0) // first of entries that no part covers yet
	cover := func(to int64) {
		for first, count := range Cover(f.Sequenced+from, f.Sequenced+to) {
			at := first - f.Sequenced
			parts = append(parts, Part{Run: Run{first, count}, Hash: Subtree(entries[at : at+count]), Hashed: true})
		}
		from = to
	}
	for i, leaf := range entries {
		at, ok := line[leaf]
		if !ok {
			continue
		}
		delete(line, leaf)
		cover(int64(i))
		from = int64(i) + 1
		next := Part{Run: Run{f.Sequenced + int64(i), 1}, Held: true, Line: at}
		if last := len(parts) - 1; last >= end && parts[last].precedes(next) {
			parts[last].Count++
		} else {
			parts = append(parts, next)
		}
	}
	cover(int64(len(entries)))
	f.Parts, f.Checkpoint = parts, checkpoint
	f.Sequenced += int64(len(entries))
}
