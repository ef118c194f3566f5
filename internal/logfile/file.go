// Package logfile reads the lines of files that grow and rotate: by renaming, by truncating, by copying and
// truncating, and with compression of old files. A position, kept after lines are recorded, leads to the next line
// also after the file was renamed, truncated or compressed. After a crash lines may come once more, and none is left
// out.
//
// It relies on this: rotated files lie in the folder of the file, under its name with numbers or dates, and keep the
// time of their last change; a program writes lines to the old file for no longer than Settle after a new one is there.
package logfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Lost is the error of Next for lines that are nowhere to be found. The next call goes on with the lines that there
// are.
type Lost struct {
	Name   string
	Offset int64 // from where on they are missing
}

func (e *Lost) Error() string {
	return fmt.Sprintf("%s: the lines from byte %d on are neither in it nor in a rotated file beside it; they may be lost",
		e.Name, e.Offset)
}

// clockError is how much earlier the time of a file's change can be than the clock's.
const clockError = 2 * time.Second

// Settle is how long a file that was rotated is read on.
const Settle = 5 * time.Second

// File is a file that grows and rotates. It may not be used concurrently.
type File struct {
	Name    string
	Settle  time.Duration // (default Settle)
	at      Position
	current *source
	// Behind the current file come these, from their beginning, and then Name. If nil, the position tells.
	next    func() []sibling
	seen    []sibling     // rotated files that were there when next was made
	done    []fs.FileInfo // the files that were read last, and were changed at one time
	rotated time.Time     // when the current file was found to be rotated; zero if it is not
	missing time.Time     // when the position was first not found; zero if it is found
}

// New returns a File that goes on at a position. The zero Position is the beginning of the file as it is now.
func New(name string, at Position) *File { return &File{Name: name, Settle: Settle, at: at} }

// Close closes what is open.
func (f *File) Close() {
	if f.current != nil {
		f.current.close()
		f.current = nil
	}
}

// Batch is lines of one file.
type Batch struct {
	Name    string // of the file that they are in now
	Lines   []byte
	Offsets []int64  // of each line in the file
	TooLong []int64  // offsets of lines that are left out, since they are longer than is ever taken
	Next    Position // behind them
}

// Next returns lines that were not returned yet, at most so many of at most so many bytes together unless one has more;
// none if there are none now. An error, with which there are none, is a *Lost, or that a file could not be read, which
// may be tried again.
func (f *File) Next(lines, bytes int) (Batch, error) {
	for {
		if f.current == nil {
			if err := f.open(); err != nil || f.current == nil {
				return Batch{}, err
			}
		}
		if f.current.live && len(f.current.buf) == 0 {
			moved, err := f.leave()
			if err != nil {
				return Batch{}, err
			}
			if moved {
				continue
			}
		}
		b, err := f.read(lines, bytes)
		if err != nil && !errors.Is(err, io.EOF) {
			f.again()
		}
		if len(b.Offsets)+len(b.TooLong) > 0 {
			return b, nil // The next call meets the error again.
		}
		if !errors.Is(err, io.EOF) {
			return b, err
		}
		more, err := f.atEnd()
		if err != nil || !more {
			return Batch{}, err
		}
	}
}

// read reads lines of the current file; io.EOF at its end, which for one that is not live comes behind the rest.
func (f *File) read(lines, bytes int) (b Batch, err error) {
	s := f.current
	b.Name = s.name
	for len(b.Offsets) < lines && (len(b.Lines) < bytes || len(b.Offsets) == 0) {
		start := s.offset
		line, cut, err := s.line()
		if errors.Is(err, io.EOF) && !s.live && len(s.buf) > 0 {
			line, cut, err = append(s.rest(), '\n'), s.skipping, nil
		}
		if err != nil {
			f.finish(&b)
			return b, err
		}
		if cut {
			b.TooLong = append(b.TooLong, start)
			continue
		}
		b.Lines, b.Offsets = append(b.Lines, line...), append(b.Offsets, start)
	}
	f.finish(&b)
	return b, nil
}

// again has the current file, which could not be read, be opened again where it is: it may be being compressed.
func (f *File) again() {
	if f.current.offset > 0 {
		f.next = nil
	}
	f.Close()
}

// finish notes where a batch ends, if it has lines.
func (f *File) finish(b *Batch) {
	if len(b.Offsets)+len(b.TooLong) == 0 {
		return
	}
	b.Next = f.current.position()
	b.Next.Since = time.Now().Add(-clockError)
	f.at = b.Next
}

// atEnd decides what comes behind the end of the current file; false if there is nothing now.
func (f *File) atEnd() (more bool, err error) {
	s := f.current
	was, err := s.file.Stat()
	if err != nil {
		return false, err
	}
	if !s.live {
		f.Close()
		return true, f.openBehind(was)
	}
	moved, err := f.leave()
	if err != nil || moved {
		return moved, err
	}
	now, err := os.Stat(f.Name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err == nil && os.SameFile(now, was) {
		f.rotated = time.Time{}
		return false, nil
	}
	if err != nil {
		return false, nil // There is no new file yet.
	}
	if f.rotated.IsZero() {
		f.rotated = time.Now()
	}
	if time.Since(f.rotated) < f.Settle {
		return false, nil
	}
	f.rotated, s.live = time.Time{}, false
	return true, nil
}

// leave opens another file if the current one does not hold any more what was read of it; or if, empty as it is, it has
// been filled and emptied meanwhile.
func (f *File) leave() (bool, error) {
	s := f.current
	if s.offset+int64(len(s.buf)) > 0 {
		changed, err := s.rewritten()
		if err != nil || !changed {
			return false, err
		}
		f.Close()
		f.next = nil
		return true, f.open()
	}
	since, seen := f.at.Since, f.seen
	if len(f.changedSince(since, seen)) == 0 {
		return false, nil
	}
	f.Close()
	return true, f.openFirst(func() []sibling { return f.changedSince(since, seen) })
}

// open opens the file at the position, wherever it is now.
func (f *File) open() error {
	if f.next != nil {
		return f.openFirst(f.next)
	}
	s, err := f.find()
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case s != nil:
		f.missing = time.Time{}
		s.live = s.name == f.Name
		f.current = s
		return nil
	case f.at.Offset > 0 && !f.settled():
		return nil // A file may be being renamed or compressed.
	}
	lost := f.at
	f.at, f.missing = Position{Since: f.at.Since}, time.Time{}
	f.next = func() []sibling {
		if lost.Since.IsZero() {
			return nil
		}
		return f.changedSince(lost.Since, nil)
	}
	if lost.Offset > 0 {
		return &Lost{f.Name, lost.Offset}
	}
	return f.openFirst(f.next)
}

// settled tells whether the position was not found for long enough.
func (f *File) settled() bool {
	if f.missing.IsZero() {
		f.missing = time.Now()
	}
	return time.Since(f.missing) >= f.Settle
}

// find returns the file with the position, open there; nil if there is none.
func (f *File) find() (*source, error) {
	if f.at.Offset == 0 {
		return nil, nil
	}
	s, err := openAt(f.Name, f.at)
	if s != nil || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	for _, c := range f.siblings() {
		if s, err := openAt(c.name, f.at); err == nil && s != nil {
			return s, nil
		}
	}
	return nil, nil
}

// openBehind opens what comes behind a file that was read to its end.
func (f *File) openBehind(was fs.FileInfo) error {
	if len(f.done) > 0 && !f.done[0].ModTime().Equal(was.ModTime()) {
		f.done = nil
	}
	f.done = append(f.done, was)
	return f.openFirst(func() []sibling { return f.newer(was) })
}

// openFirst opens the first of some rotated files, or Name if there is none, from its beginning. If it is not there, it
// will come. It opens the file that was listed: files may be renamed meanwhile.
func (f *File) openFirst(list func() []sibling) error {
	f.next = list
	for range 100 {
		info, err := os.Stat(f.Name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		f.seen = f.siblings()
		first := sibling{f.Name, info}
		if rotated := list(); len(rotated) > 0 {
			first = rotated[0]
		} else if err != nil {
			return nil
		}
		s, err := open(first.name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		opened, err := s.file.Stat()
		if err == nil && os.SameFile(opened, first.info) {
			s.live = first.name == f.Name
			f.current = s
			return nil
		}
		s.close()
	}
	return fmt.Errorf("%s: the file was renamed each time that it was opened", f.Name)
}

// sibling is a rotated file.
type sibling struct {
	name string
	info fs.FileInfo
}

var (
	rotatedEnd  = regexp.MustCompile(`^[.\-_]([0-9][0-9TZ.:_\-]*|old|bak)(\.(gz|zst))?$`)
	rotatedStem = regexp.MustCompile(`^[.\-_][0-9][0-9TZ.:_\-]*$`)
)

// isRotated tells whether a name is one that a rotated file of a base name has: with a number or a date at its end, or
// before its extension, and compressed or not.
func isRotated(base, name string) bool {
	if rest, ok := strings.CutPrefix(name, base); ok {
		return rotatedEnd.MatchString(rest)
	}
	ext := filepath.Ext(base)
	rest, ok := strings.CutPrefix(name, strings.TrimSuffix(base, ext))
	if !ok || ext == "" {
		return false
	}
	for _, packed := range []string{"", ".gz", ".zst"} {
		if middle, ok := strings.CutSuffix(rest, ext+packed); ok {
			return rotatedStem.MatchString(middle)
		}
	}
	return false
}

// siblings returns the rotated files, the one that was changed first first.
func (f *File) siblings() (all []sibling) {
	folder, base := filepath.Split(f.Name)
	entries, err := os.ReadDir(filepath.Clean(folder + "."))
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && isRotated(base, e.Name()) {
			all = append(all, sibling{folder + e.Name(), info})
		}
	}
	slices.SortStableFunc(all, func(a, b sibling) int { return a.info.ModTime().Compare(b.info.ModTime()) })
	return all
}

// newer returns the rotated files that were changed later than one of them, or at the same time and are not done.
func (f *File) newer(than fs.FileInfo) []sibling {
	return slices.DeleteFunc(f.siblings(), func(c sibling) bool {
		at := c.info.ModTime()
		return at.Before(than.ModTime()) || at.Equal(than.ModTime()) &&
			slices.ContainsFunc(f.done, func(d fs.FileInfo) bool { return os.SameFile(d, c.info) })
	})
}

// changedSince returns the rotated files that were changed since, but for some.
func (f *File) changedSince(at time.Time, but []sibling) []sibling {
	return slices.DeleteFunc(f.siblings(), func(c sibling) bool {
		return c.info.ModTime().Before(at) || slices.ContainsFunc(but, c.same)
	})
}

// same tells whether a file is another one, under whatever name, and has not changed.
func (s sibling) same(other sibling) bool {
	return os.SameFile(s.info, other.info) && s.info.ModTime().Equal(other.info.ModTime())
}
