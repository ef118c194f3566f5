package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
)

// lineReader cuts what it reads into lines, in a goroutine of its own, and sends them without their ends. It reads no more once
// its context has ended, but sends every whole line that it has read by then. It closes lines at the end; what stands below is
// set by then.
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
		for first && err == nil && undecided(buf[:n]) {
			var more int
			more, err = r.from.Read(buf[n:])
			n += more
		}
		text := buf[:n]
		if first {
			if text, r.err = skipMark(text); r.err != nil {
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

const utf8Mark = "\xef\xbb\xbf"

// foreign is how text begins that is not UTF-8.
var foreign = []struct{ encoding, mark string }{{"UTF-32LE", "\xff\xfe\x00\x00"}, {"UTF-32BE", "\x00\x00\xfe\xff"},
	{"UTF-16LE", "\xff\xfe"}, {"UTF-16BE", "\xfe\xff"}, {"UTF-16LE", "{\x00"}, {"UTF-16BE", "\x00{"}}

// undecided tells whether more of a text must be seen to know its encoding.
func undecided(text []byte) bool {
	begins := func(mark string) bool { return len(text) < len(mark) && mark[:len(text)] == string(text) }
	return begins(utf8Mark) || slices.ContainsFunc(foreign, func(f struct{ encoding, mark string }) bool { return begins(f.mark) })
}

// skipMark removes UTF-8's byte-order mark from the beginning of a text, and refuses what is UTF-16 or UTF-32.
func skipMark(text []byte) ([]byte, error) {
	if rest, ok := bytes.CutPrefix(text, []byte(utf8Mark)); ok {
		return rest, nil
	}
	for _, f := range foreign {
		if bytes.HasPrefix(text, []byte(f.mark)) {
			return nil, fmt.Errorf("%w: it looks like %s; convert it, as with: iconv -f %s -t UTF-8", ErrEncoding, f.encoding, f.encoding)
		}
	}
	return text, nil
}
