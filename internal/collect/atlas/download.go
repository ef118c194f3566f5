package atlas

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/collect"
	"github.com/weirlog/weir/internal/gzipmember"
)

// download is a log that is downloaded as a gzip file.
type download struct {
	*Source
	get func(ctx context.Context, w collect.Window) (*client.Download, error)
}

const (
	stalled = 2 * time.Minute  // without a byte, a reply counts as broken off
	longest = 15 * time.Minute // of one reply

	// A reply without a single byte is no gzip file. It counts as an empty one when it comes so many times in a row.
	empties = 3
)

// errEmpty is returned for a reply of no bytes.
var errEmpty = errors.New("the reply is empty")

// Fetch implements collect.Feed.
func (d *download) Fetch(ctx context.Context, w collect.Window, to io.Writer) (now time.Time, err error) {
	for range empties {
		if now, err = d.fetch(ctx, w, to); !errors.Is(err, errEmpty) {
			return now, err
		}
	}
	return now, nil
}

func (d *download) fetch(ctx context.Context, w collect.Window, to io.Writer) (time.Time, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, longest, fmt.Errorf("%w within %s", collect.ErrIncomplete, longest))
	defer cancel()
	var got *client.Download
	err := d.pace.do(ctx, func() (err error) {
		got, err = d.get(ctx, w)
		return err
	})
	if err != nil {
		return time.Time{}, err
	}
	defer got.Close()
	watched := &watch{src: got, timer: time.AfterFunc(stalled, func() { got.Close() })}
	defer watched.timer.Stop()
	return got.Date, unpack(to, watched)
}

// unpack writes the lines of a gzip file to w, and the end that the last one may lack. Its error is ErrIncomplete
// unless the file ends cleanly.
func unpack(w io.Writer, src io.Reader) error {
	in := bufio.NewReaderSize(src, 64<<10)
	if _, err := in.Peek(1); errors.Is(err, io.EOF) {
		return errEmpty
	}
	z := new(gzipmember.Reader)
	if err := z.Reset(in); err != nil {
		return fmt.Errorf("%w: it does not begin as gzip does: %w", collect.ErrIncomplete, err)
	}
	out := &ended{w: w}
	buf := make([]byte, 64<<10)
	for {
		n, err := z.Read(buf)
		if _, failed := out.Write(buf[:n]); failed != nil {
			return failed
		}
		switch {
		case errors.Is(err, io.EOF):
			return out.end()
		case err != nil:
			return fmt.Errorf("%w: %w", collect.ErrIncomplete, err)
		}
	}
}

// ended ends the last line that is written.
type ended struct {
	w    io.Writer
	last byte
}

func (e *ended) Write(b []byte) (int, error) {
	if len(b) > 0 {
		e.last = b[len(b)-1]
	}
	return e.w.Write(b)
}

func (e *ended) end() error {
	if e.last == 0 || e.last == '\n' {
		return nil
	}
	_, err := e.w.Write([]byte{'\n'})
	return err
}

// watch starts a timer again with each read that brings something.
type watch struct {
	src   io.Reader
	timer *time.Timer
}

func (w *watch) Read(b []byte) (int, error) {
	n, err := w.src.Read(b)
	if n > 0 {
		w.timer.Reset(stalled)
	}
	return n, err
}
