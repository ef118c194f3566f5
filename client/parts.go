package client

import (
	"bytes"
	"errors"
	"net/http"
)

// InParts calls send with lines, each ended by '\n', and where the server says that a request is too large (413), with
// their halves in turn. before is the number of lines that stand before a part. One line that is too large by itself is
// passed to tooLarge with what the server said, and left out if that returns nil. The first other error is returned.
func InParts(lines []byte, send func(part []byte, before int) error,
	tooLarge func(before int, said *Error) error) error {
	return inParts(lines, 0, send, tooLarge)
}

func inParts(lines []byte, before int, send func([]byte, int) error, tooLarge func(int, *Error) error) error {
	if len(lines) == 0 {
		return nil
	}
	err := send(lines, before)
	said := new(Error)
	if !errors.As(err, &said) || said.Status != http.StatusRequestEntityTooLarge {
		return err
	}
	first, second := halves(lines)
	if len(second) == 0 {
		return tooLarge(before, said)
	}
	if err := inParts(first, before, send, tooLarge); err != nil {
		return err
	}
	return inParts(second, before+bytes.Count(first, []byte("\n")), send, tooLarge)
}

// halves cuts lines behind the one in the middle. The second half of one line is empty.
func halves(lines []byte) (first, second []byte) {
	middle := (len(lines) - 1) / 2
	end := middle + bytes.IndexByte(lines[middle:], '\n') + 1
	if end == len(lines) || end == middle {
		end = bytes.LastIndexByte(lines[:len(lines)-1], '\n') + 1
	}
	if end == 0 {
		return lines, nil
	}
	return lines[:end], lines[end:]
}
