package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/weirlog/weir/internal/charset"
	"github.com/weirlog/weir/internal/event"
)

// splitter splits arriving bytes into events.
type splitter interface {
	// next returns the next event with its number, counted from 1, or io.EOF after the last one. The bytes are valid
	// until the next call. An error with a number refuses only that event.
	next() (n int, raw []byte, err error)
}

// window is the part of a body that is in memory: at most one event, and what arrived with it.
type window struct {
	src        io.Reader
	most       int   // maximum size of the buffer, for one event
	limit      int64 // maximum size of the whole body; 0 means no limit
	hold       *Reservation
	buf        []byte
	start, end int       // buf[start:end] was read and is not used yet
	read       int64     // number of bytes that have arrived
	err        error     // of the reader
	first      [512]byte // the first buffer, until it is full
	pooled     *[]byte
}

const windowSize = 64 << 10

var windows = sync.Pool{New: func() any { b := make([]byte, windowSize); return &b }}

// close releases the buffer.
func (w *window) close() {
	if len(w.buf) > len(w.first) {
		w.hold.shrink(int64(len(w.buf)))
	}
	if w.pooled != nil {
		windows.Put(w.pooled)
	}
}

// at returns the offset in the body of buf[start+i].
func (w *window) at(i int) int { return int(w.read) - (w.end - w.start) + i }

// fill reads more. It returns io.EOF at the end of the body. It may change start.
func (w *window) fill() error {
	if w.read > 0 {
		return w.more()
	}
	var err error
	for err == nil && charset.Undecided(w.buf[w.start:w.end]) {
		err = w.more()
	}
	if w.read == 0 || err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	text, err := charset.SkipMark(w.buf[w.start:w.end])
	if err != nil {
		w.err = &Unreadable{err}
		return w.err
	}
	w.start = w.end - len(text)
	return nil
}

// more reads at least one byte.
func (w *window) more() error {
	if w.err != nil {
		return w.err
	}
	if w.buf == nil {
		w.buf = w.first[:]
	}
	if w.start == w.end {
		w.start, w.end = 0, 0
	}
	if w.end == len(w.buf) {
		if err := w.room(); err != nil {
			return err
		}
	}
	for range 100 {
		n, err := w.src.Read(w.buf[w.end:])
		w.end += n
		w.read += int64(n)
		if w.limit > 0 && w.read > w.limit {
			w.err = &TooLarge{What: "bytes, after decompression", Most: w.limit}
			return w.err
		}
		if err != nil && !errors.Is(err, io.EOF) && !refusesMemory(err) && !errors.As(err, new(*Unreadable)) {
			err = &Unreadable{err}
		}
		w.err = err
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return &Unreadable{io.ErrNoProgress}
}

// room makes room at the end of the buffer.
func (w *window) room() error {
	if w.start > 0 && len(w.buf) > len(w.first) {
		w.end = copy(w.buf, w.buf[w.start:w.end])
		w.start = 0
		return nil
	}
	size := windowSize
	if len(w.buf) >= windowSize {
		size = min(2*len(w.buf), w.most)
	}
	if err := w.hold.Grow(int64(size)); err != nil {
		return err
	}
	before := *w
	if w.pooled = nil; size == windowSize {
		w.pooled = windows.Get().(*[]byte)
		w.buf = *w.pooled
	} else {
		w.buf = make([]byte, size)
	}
	w.end = copy(w.buf, before.buf[w.start:w.end])
	w.start = 0
	before.close()
	return nil
}

// full tells whether an event of which i bytes were read exceeds the maximum size.
func (w *window) full(i int) bool { return i >= w.most }

// tooLong returns the error for an event of n bytes, which was not kept completely.
func tooLong(n, most int) *event.Error {
	return &event.Error{Reason: fmt.Sprintf("the event has %d bytes, at most %d are allowed", n, most)}
}

// lines splits NDJSON into lines, without their ends (LF or CRLF). Blank lines count, but are not returned.
type lines struct {
	*window
	most   int // maximum size of an event
	number int
}

func (l *lines) next() (int, []byte, error) {
	for {
		line, dropped, err := l.line()
		if err != nil {
			return 0, nil, err
		}
		l.number++
		if dropped > 0 {
			return l.number, nil, tooLong(dropped+len(line), l.most)
		}
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(bytes.TrimLeft(line, " \t\r")) > 0 {
			return l.number, line, nil
		}
	}
}

// line returns the next line. If it is too long, line returns its last part and the number of bytes before that part.
func (l *lines) line() (line []byte, dropped int, err error) {
	for scanned := 0; ; {
		if i := bytes.IndexByte(l.buf[l.start+scanned:l.end], '\n'); i >= 0 {
			line = l.buf[l.start : l.start+scanned+i]
			l.start += scanned + i + 1
			return line, dropped, nil
		}
		if scanned = l.end - l.start; l.full(scanned) {
			dropped += scanned
			l.start, scanned = l.end, 0
		}
		if err := l.fill(); errors.Is(err, io.EOF) && scanned+dropped > 0 {
			line = l.buf[l.start:l.end]
			l.start = l.end
			return line, dropped, nil
		} else if err != nil {
			return nil, 0, err
		}
	}
}

// elements splits a JSON array into its elements, or returns the one object that replaces it. It checks only where an
// element ends and the next begins. An error within an element refuses only that element.
type elements struct {
	*window
	most   int // maximum size of an event
	number int
	begun  bool
	array  bool
	many   bool // objects may follow one another, as clients of Splunk write them
}

func (e *elements) next() (int, []byte, error) {
	c, err := e.peek()
	switch {
	case err != nil:
		return 0, nil, err
	case !e.begun && c == 0:
		return 0, nil, io.EOF
	case !e.begun && c == '{':
		e.begun = true
		return e.element()
	case !e.begun && c == '[':
		e.begun, e.array = true, true
		e.start++
		if c, err = e.peek(); err != nil {
			return 0, nil, err
		}
		if c != ']' {
			return e.element()
		}
	case e.many && !e.array && c == '{':
		return e.element()
	case !e.begun:
		return 0, nil, e.malformed(0, "the body is neither a JSON object nor an array of them")
	case e.array && c == ',':
		e.start++
		if _, err := e.peek(); err != nil {
			return 0, nil, err
		}
		return e.element()
	case e.array && c != ']':
		return 0, nil, e.malformed(0, "not JSON: a comma or the array's closing bracket is expected")
	}
	if e.array {
		e.start++
	}
	e.array = false
	switch c, err := e.peek(); {
	case err != nil:
		return 0, nil, err
	case c == '{' && e.many:
		return e.element()
	case c != 0:
		return 0, nil, e.malformed(0, "there is data after the end of the JSON; to send one event on each line, use "+
			"application/x-ndjson")
	}
	return 0, nil, io.EOF
}

// peek skips white space and returns the byte behind it, or 0 at the end of the body. A byte 0 in the body is returned
// as 1, which is not valid JSON either.
func (e *elements) peek() (byte, error) {
	for {
		for ; e.start < e.end; e.start++ {
			switch c := e.buf[e.start]; c {
			case ' ', '\t', '\r', '\n':
			default:
				return max(c, 1), nil
			}
		}
		if err := e.fill(); errors.Is(err, io.EOF) {
			return 0, nil
		} else if err != nil {
			return 0, err
		}
	}
}

// element reads over one element. It counts brackets and braces, and does not match them.
func (e *elements) element() (int, []byte, error) {
	e.number++
	var s nesting
	dropped := 0
	for i := 0; ; {
		n, ended := s.scan(e.buf[e.start+i : e.end])
		if i += n; ended {
			return e.take(i, dropped)
		}
		if e.full(i) {
			dropped += i
			e.start, i = e.end, 0
		}
		err := e.fill()
		switch {
		case err == nil:
		case !errors.Is(err, io.EOF):
			return 0, nil, err
		case s.quoted:
			return 0, nil, e.malformed(i, "the body ends within a string")
		case s.depth > 0 || !e.array:
			return 0, nil, e.malformed(i, "the body ends within an event")
		default:
			return e.take(i, dropped)
		}
	}
}

func (e *elements) take(length, dropped int) (int, []byte, error) {
	raw := e.buf[e.start : e.start+length]
	if length+dropped == 0 {
		return 0, nil, e.malformed(0, "not JSON: an element is missing")
	}
	e.start += length
	if dropped > 0 {
		return e.number, nil, tooLong(length+dropped, e.most)
	}
	return e.number, raw, nil
}

func (e *elements) malformed(i int, reason string) error {
	return &Malformed{&event.Error{Offset: e.at(i), Reason: reason}}
}

// nesting is the state of a reader within an element.
type nesting struct {
	depth           int
	quoted, escaped bool
}

// scan reads over a part of an element, and tells whether the element ends after the first n bytes.
func (s *nesting) scan(part []byte) (n int, ended bool) {
	for i, c := range part {
		switch {
		case s.escaped:
			s.escaped = false
		case s.quoted && c == '\\':
			s.escaped = true
		case s.quoted && c == '"':
			if s.quoted = false; s.depth == 0 {
				return i + 1, true
			}
		case s.quoted:
		case c == '"':
			s.quoted = true
		case c == '{' || c == '[':
			s.depth++
		case c == '}' || c == ']':
			switch s.depth--; {
			case s.depth < 0:
				return i, true
			case s.depth == 0:
				return i + 1, true
			}
		case c == ',' || c == ' ' || c == '\t' || c == '\r' || c == '\n':
			if s.depth == 0 {
				return i, true
			}
		}
	}
	return len(part), false
}
