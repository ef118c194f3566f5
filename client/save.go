package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/weirlog/weir/internal/durable"
)

// ErrIncomplete is returned (wrapped) for a download that is not a whole gzip file.
var ErrIncomplete = errors.New("the download is incomplete or damaged")

// Saved describes the file that was written.
type Saved struct {
	Bytes  int64 // size in bytes
	Events int64 // number of lines in it
}

// Copy copies a download to w and checks that it is a whole gzip file. If it is not, Copy returns ErrIncomplete
// (wrapped).
func Copy(w io.Writer, d *Download) (Saved, error) {
	pipe, feed := io.Pipe()
	type checked struct {
		lines int64
		err   error
	}
	result := make(chan checked, 1)
	go func() {
		lines, err := countLines(pipe)
		pipe.CloseWithError(err)
		result <- checked{lines, err}
	}()
	n, copyErr := io.Copy(io.MultiWriter(w, feed), d)
	if copyErr != nil {
		feed.CloseWithError(copyErr)
	} else {
		feed.Close()
	}
	c := <-result
	saved := Saved{Bytes: n, Events: c.lines}
	switch {
	case c.err != nil && (copyErr == nil || errors.Is(copyErr, c.err)):
		return saved, fmt.Errorf("%w: %w", ErrIncomplete, c.err)
	case copyErr != nil && isWriteError(copyErr):
		return saved, copyErr
	case copyErr != nil:
		return saved, fmt.Errorf("%w: %w", ErrIncomplete, copyErr)
	case d.Size >= 0 && n != d.Size:
		return saved, fmt.Errorf("%w: %d of %d bytes", ErrIncomplete, n, d.Size)
	}
	return saved, nil
}

// isWriteError tells whether writing the file failed, as opposed to reading from the server.
func isWriteError(err error) bool {
	var p *os.PathError
	return errors.As(err, &p)
}

// countLines reads a gzip file to its end and checks every member.
func countLines(r io.Reader) (lines int64, err error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return 0, err
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := z.Read(buf)
		lines += int64(bytes.Count(buf[:n], []byte("\n")))
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return lines, err
		}
	}
}

// SaveOptions says how Save writes.
type SaveOptions struct {
	New      bool                      // fail with os.ErrExist (wrapped) if the name exists
	Progress func(io.Writer) io.Writer // if not nil, the file is written through the writer that it returns
}

// Save copies a download to the file name. A regular file gets its name only when it is complete, so a file under the
// name is always a whole one; a file that it replaces stays until then. A symbolic link stays, and the file that it
// points to is written. A device, a pipe or a descriptor (below /dev/fd or /proc) is written to directly.
func Save(name string, d *Download, o SaveOptions) (Saved, error) {
	var saved Saved
	err := SaveFrom(name, o, func(w io.Writer) (err error) { saved, err = Copy(w, d); return err })
	return saved, err
}

// SaveFrom writes the file name as Save does, with the content that write produces.
func SaveFrom(name string, o SaveOptions, write func(io.Writer) error) error {
	if o.Progress == nil {
		o.Progress = func(w io.Writer) io.Writer { return w }
	}
	through := func(w io.Writer) error { return write(o.Progress(w)) }
	target, direct, err := destination(name, o.New)
	switch {
	case err != nil:
		return err
	case direct:
		return saveDirectly(target, through)
	case o.New:
		return durable.CreateFrom(target, 0o644, through)
	}
	return durable.ReplaceFrom(target, 0o644, through)
}

// IsRegular tells whether Save would make, or replace, a regular file of that name.
func IsRegular(name string) bool {
	_, direct, err := destination(name, false)
	return err == nil && !direct
}

// maxLinks bounds how many symbolic links are followed; the kernel has the same bound.
const maxLinks = 40

// destination returns the file to write for a name, and whether it is written to directly rather than replaced. If
// isNew is set, the name itself must not exist.
func destination(name string, isNew bool) (target string, direct bool, err error) {
	if isNew {
		if _, err := os.Lstat(name); err == nil {
			return "", false, &os.PathError{Op: "create", Path: name, Err: os.ErrExist}
		}
		return name, false, nil
	}
	info, err := os.Stat(name)
	if err == nil && info.IsDir() {
		return "", false, &os.PathError{Op: "write", Path: name, Err: errors.New("it is a folder")}
	}
	if err == nil && !info.Mode().IsRegular() {
		return name, true, nil
	}
	target = name
	for range maxLinks {
		if isDescriptor(target) {
			return name, true, nil
		}
		to, err := os.Readlink(target)
		if err != nil {
			return target, false, nil // It is not a link. If it cannot be written, writing says why.
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(target), to)
		}
		target = to
	}
	return "", false, &os.PathError{Op: "write", Path: name, Err: errors.New("too many symbolic links")}
}

// isDescriptor tells whether a path names an open file of a process.
func isDescriptor(path string) bool {
	path = filepath.Clean(path)
	return strings.HasPrefix(path, "/dev/fd/") || strings.HasPrefix(path, "/proc/")
}

// saveDirectly writes to a target that cannot be replaced. If the download breaks off, the part that was written stays.
func saveDirectly(name string, write func(io.Writer) error) error {
	// A regular file behind a descriptor may have content already.
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
