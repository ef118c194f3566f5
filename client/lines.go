package client

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/weirlog/weir/internal/charset"
)

// lineReader cuts what it reads into lines, in a goroutine of its own, and sends them without their ends. It reads no
// more once its context has ended, but sends every whole line that it has read by then. It closes lines at the end;
// what stands below is set by then.
type lineReader struct {
	from  io.Reader
	lines chan []byte
	left  chan struct{} // closed when nobody receives any more

	err     error // of reading
	ended   bool  // all was read
	partial bool  // the beginning of a line was read, and its end was not
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

// appendBounded appends to a line, but holds only a little more than a line may have.
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
