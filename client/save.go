package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/gzip"
)

// ErrIncomplete is returned (wrapped) for a download that is not a whole gzip file.
var ErrIncomplete = errors.New("the download is incomplete or damaged")

// Saved is what was downloaded.
type Saved struct {
	Bytes  int64 // of the file
	Events int64 // lines in it
}

// Copy copies a download to w and checks that it is a whole gzip file.
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

// isWriteError tells whether writing failed here, rather than reading from the server.
func isWriteError(err error) bool {
	var p *os.PathError
	return errors.As(err, &p)
}

// countLines reads a gzip file to its end, checking every member.
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

// Save copies a download to the file name. The file gets its name only when it is whole, so a file that exists is a whole
// file; what it replaces is there until then.
func Save(name string, d *Download, progress func(io.Writer) io.Writer) (Saved, error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".weir-download-*")
	if err != nil {
		return Saved{}, err
	}
	saved, err := Copy(progress(f), d)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return saved, errors.Join(err, os.Remove(f.Name()))
	}
	return saved, nil
}
