package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
)

// Lines yields the lines of an NDJSON body with their numbers, from 1, without their ends (LF or CRLF) and without
// blank lines.
func Lines(body []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for n := 1; len(body) > 0; n++ {
			line, rest, _ := bytes.Cut(body, []byte("\n"))
			body = rest
			if len(bytes.Trim(line, " \t\r")) > 0 && !yield(n, line) {
				return
			}
		}
	}
}

// Elements yields the elements of a JSON array, or the one object that the body is instead; or at last why it is neither.
// An element is valid until the next one: never are all held at once, since the body's size does not bound their number
// by much.
func Elements(body []byte) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		d := json.NewDecoder(bytes.NewReader(body))
		var element json.RawMessage
		if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' {
			if err := d.Decode(&element); err != nil {
				yield(nil, fmt.Errorf("the body is not JSON: %w", err))
				return
			}
			if !yield(element, nil) {
				return
			}
		} else {
			if token, err := d.Token(); err != nil || token != json.Delim('[') {
				yield(nil, errors.New("the body is neither a JSON object nor an array"))
				return
			}
			for d.More() {
				if err := d.Decode(&element); err != nil {
					yield(nil, fmt.Errorf("the body is not JSON: %w", err))
					return
				}
				if !yield(element, nil) {
					return
				}
			}
			if _, err := d.Token(); err != nil { // the closing bracket
				yield(nil, fmt.Errorf("the body is not JSON: %w", err))
				return
			}
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			yield(nil, errors.New("there is something behind the end of the JSON; for one object a line, send application/x-ndjson"))
		}
	}
}
