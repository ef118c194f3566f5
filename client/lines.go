package client

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/weirlog/weir/internal/charset"
)

// lineReader cuts its input into lines, in a goroutine of its own, and sends them without their line ends. After its
// context has ended it reads no more, but sends every whole line that it has read. At the end it closes lines; the
// fields below are set before that.
type lineReader struct {
	from  io.Reader
	lines chan []byte
	left  chan struct{} // closed when the receiver stops receiving

	err     error // error of reading
	ended   bool  // the end of the input was reached
	partial bool  // reading stopped in the middle of a line
}

const readAtOnce = 64 << 10

func (r *lineReader) run(ctx context.Context) {
	defer close(r.lines)
	var held []byte // the beginning of a line
	buf := make([]byte, readAtOnce)
	for first := true; ctx.Err() == nil; first = false {
		n, err := r.from.Read(buf)
		for first && err == nil && charset.Undecided(buf[:n]) {
			var more int
			more, err = r.from.Read(buf[n:])
			n += more
		}
		text := buf[:n]
		if first {
			if text, r.err = charset.SkipMark(text); r.err != nil {
				return
			}
		}
		for {
			line, rest, whole := bytes.Cut(text, []byte("\n"))
			held = appendBounded(held, line)
			if !whole {
				break
			}
			if !r.send(held) {
				return
			}
			held, text = nil, rest
		}
		if errors.Is(err, io.EOF) {
			r.ended = true
			if len(held) > 0 {
				r.send(held)
			}
			return
		}
		if err != nil {
			if ctx.Err() == nil {
				r.err = err
			}
			break
		}
	}
	r.partial = len(held) > 0
}

// appendBounded appends to a line. It keeps no more than maxLine+1 bytes, enough to see that the line is too long.
func appendBounded(held, more []byte) []byte {
	return append(held, more[:min(len(more), maxLine+1-min(len(held), maxLine+1))]...)
}

func (r *lineReader) send(line []byte) bool {
	select {
	case r.lines <- bytes.TrimRight(line, "\r"):
		return true
	case <-r.left:
		return false
	}
}
