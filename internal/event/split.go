package event

import (
	"bytes"
	"iter"
)

// Lines yields the lines of an NDJSON body with their numbers, counted from 1, without their ends (LF or CRLF) and
// without the blank ones.
func Lines(body []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for n := 1; len(body) > 0; n++ {
			var line []byte
			line, body, _ = bytes.Cut(body, []byte("\n"))
			line = bytes.TrimSuffix(line, []byte("\r"))
			if event, _ := trim(line); len(event) > 0 && !yield(n, line) {
				return
			}
		}
	}
}

// Elements yields the elements of a body that is a JSON array, or the one object that it is instead, with their numbers,
// counted from 1. Only where one element ends and the next begins is checked, all of it before Elements returns: what is
// wrong within an element, Append says, so that it can be refused alone. An error is an *Error.
func Elements(body []byte) (iter.Seq2[int, []byte], error) {
	for rest := (elements{body: body}); ; {
		if element, err := rest.next(); err != nil {
			return nil, err
		} else if element == nil {
			break
		}
	}
	return func(yield func(int, []byte) bool) {
		rest := elements{body: body}
		for n := 1; ; n++ {
			element, err := rest.next()
			if err != nil || element == nil || !yield(n, element) {
				return
			}
		}
	}, nil
}

// elements reads a body element by element.
type elements struct {
	body  []byte
	pos   int
	begun bool
	array bool
}

// next returns the next element, nil at the end of the body.
func (e *elements) next() ([]byte, error) {
	e.space()
	switch {
	case !e.begun && e.peek() == '{':
		e.begun = true
		return e.element()
	case !e.begun && e.peek() == '[':
		e.begun, e.array = true, true
		e.pos++
		if e.space(); e.peek() != ']' {
			return e.element()
		}
	case !e.begun:
		return nil, e.fail("the body is neither a JSON object nor an array of them")
	case e.array && e.peek() == ',':
		e.pos++
		e.space()
		return e.element()
	case e.array && e.peek() != ']':
		return nil, e.fail("not JSON: a comma or the array's closing bracket is expected")
	}
	if e.array {
		e.pos++
	}
	if e.space(); e.pos < len(e.body) {
		return nil, e.fail("there is something behind the end of the JSON; one event a line is sent as application/x-ndjson")
	}
	e.array = false
	return nil, nil
}

// element goes over one element: brackets and braces are counted, not matched.
func (e *elements) element() ([]byte, error) {
	start, depth := e.pos, 0
	for ; e.pos < len(e.body); e.pos++ {
		switch c := e.body[e.pos]; c {
		case '"':
			if !e.text() {
				return nil, e.fail("the body ends within a string")
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth--; depth < 0 {
				return e.since(start)
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return e.since(start)
			}
			continue
		default:
			continue
		}
		if depth == 0 { // behind a string, an object or an array
			e.pos++
			return e.since(start)
		}
	}
	if depth > 0 || !e.array {
		return nil, e.fail("the body ends within an event")
	}
	return e.since(start)
}

func (e *elements) since(start int) ([]byte, error) {
	if e.pos == start {
		return nil, e.fail("not JSON: an element is missing")
	}
	return e.body[start:e.pos], nil
}

// text goes over a string, to its closing quote.
func (e *elements) text() bool {
	for e.pos++; e.pos < len(e.body); e.pos++ {
		switch e.body[e.pos] {
		case '"':
			return true
		case '\\':
			e.pos++
		}
	}
	return false
}

func (e *elements) space() {
	for e.pos < len(e.body) && bytes.IndexByte([]byte(" \t\r\n"), e.body[e.pos]) >= 0 {
		e.pos++
	}
}

func (e *elements) peek() byte {
	if e.pos < len(e.body) {
		return e.body[e.pos]
	}
	return 0
}

func (e *elements) fail(reason string) error { return &Error{Offset: e.pos, Reason: reason} }
