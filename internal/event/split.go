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

// Elements returns the elements of a JSON array, or the one object that the body is instead.
func Elements(body []byte) ([]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	var elements []json.RawMessage
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' {
		elements = make([]json.RawMessage, 1)
		if err := d.Decode(&elements[0]); err != nil {
			return nil, fmt.Errorf("the body is not JSON: %w", err)
		}
	} else if err := d.Decode(&elements); err != nil {
		return nil, fmt.Errorf("the body is neither a JSON object nor an array: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something behind the end of the JSON; for one object a line, send application/x-ndjson")
	}
	return elements, nil
}
