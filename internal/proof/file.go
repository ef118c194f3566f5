package proof

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
)

// File says which entries of a log a downloaded file holds, and proves that exactly these lines are at these places in
// the tree that a checkpoint signs. It is a text; parts in brackets are optional:
//
//	weir file proof v1
//	log <origin>
//	source <path of the log in the API>
//	range <start> <end>              of event times, milliseconds since the epoch, half-open
//	[processor <quoted name>]        if only its events were asked for
//	[query <quoted text>]            if a search found the file's lines: its query
//	[removed <first> <count>]        entries that retention has removed
//	sequenced <size>                 of the tree when the file was made; lines beyond it are not proven yet
//	[pending <count>]                number of the file's lines that are not proven yet
//	entries <first> <count> <line>   the file's lines from <line> on (the first is 0) are these entries
//	entries <first> <count> <line> <hash>   the same, with the hash of the subtree, which tells where a file differs
//	hash <first> <count> <hash>      of a subtree of entries that the file does not hold
//
//	<the signed checkpoint, with the cosignatures of witnesses>
//
// Parts are in the order of the log and cover the whole tree, so their hashes alone give its root. All lines before the
// parts, except the origin, are claims: nothing signs them, and no check relies on them.
type File struct {
	Log        string // origin of the log's checkpoints
	Claims     Claims
	Parts      []Part
	Checkpoint string // signed
}

// Claims is the part of a File that no signature covers.
type Claims struct {
	Source     string // path of the log in the API
	Start, End int64  // range of event times that was asked for, milliseconds since the epoch, half-open
	Processor  string // that was asked for; empty if all events were
	Query      string // that found the lines; empty for a download
	Removed    Run    // entries that retention had removed
	Sequenced  int64  // size of the tree when the file was made
	Pending    int64  // lines of the file that are not proven yet
}

// Run is a range of consecutive entries, or lines.
type Run struct{ First, Count int64 }

// End returns the number after the last one.
func (r Run) End() int64 { return r.First + r.Count }

// Part is a range of entries that the file holds, or a subtree of entries that it does not hold.
type Part struct {
	Run
	Line   int64 // line of the file that is the first entry, if the file holds the entries
	Hash   Hash  // of the subtree
	Held   bool
	Hashed bool // whether there is a Hash; always true if the file does not hold the entries
}

// precedes tells whether q can be joined to p: the file holds both, and they follow each other in the log and in the
// file.
func (p *Part) precedes(q Part) bool {
	return p.Held && !p.Hashed && p.End() == q.First && p.Line+p.Count == q.Line
}

const fileHead = "weir file proof v1"

// FileWriter writes a File part by part, so that the File need not be in memory.
type FileWriter struct{ w *bufio.Writer }

// NewFileWriter writes the lines before the parts.
func NewFileWriter(w io.Writer, f *File) *FileWriter {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%s\nlog %s\nsource %s\nrange %d %d\n", fileHead, f.Log, f.Claims.Source, f.Claims.Start,
		f.Claims.End)
	if f.Claims.Processor != "" {
		fmt.Fprintf(b, "processor %q\n", f.Claims.Processor)
	}
	if f.Claims.Query != "" {
		fmt.Fprintf(b, "query %q\n", f.Claims.Query)
	}
	if f.Claims.Removed.Count > 0 {
		fmt.Fprintf(b, "removed %d %d\n", f.Claims.Removed.First, f.Claims.Removed.Count)
	}
	fmt.Fprintf(b, "sequenced %d\n", f.Claims.Sequenced)
	if f.Claims.Pending > 0 {
		fmt.Fprintf(b, "pending %d\n", f.Claims.Pending)
	}
	return &FileWriter{b}
}

// Part writes the next part.
func (w *FileWriter) Part(p Part) error {
	_, err := w.w.WriteString(p.line() + "\n")
	return err
}

func (p *Part) line() string {
	switch {
	case !p.Held:
		return fmt.Sprintf("hash %d %d %s", p.First, p.Count, p.Hash)
	case p.Hashed:
		return fmt.Sprintf("entries %d %d %d %s", p.First, p.Count, p.Line, p.Hash)
	}
	return fmt.Sprintf("entries %d %d %d", p.First, p.Count, p.Line)
}

// End writes the checkpoint, and flushes.
func (w *FileWriter) End(checkpoint string) error {
	fmt.Fprintf(w.w, "\n%s", checkpoint)
	return w.w.Flush()
}

// Write writes the text of f.
func (f *File) Write(to io.Writer) error {
	w := NewFileWriter(to, f)
	for _, p := range f.Parts {
		if err := w.Part(p); err != nil {
			return err
		}
	}
	return w.End(f.Checkpoint)
}

// Encode returns the text of f.
func (f *File) Encode() ([]byte, error) {
	var b bytes.Buffer
	err := f.Write(&b)
	return b.Bytes(), err
}
