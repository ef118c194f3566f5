// Package bom tells from the first bytes of a text how it is encoded.
package bom

import (
	"bytes"
	"errors"
)

// Bytes is how many bytes of a text Skip needs to see, if there are so many.
const Bytes = 3

// ErrUTF16 is returned for a text in UTF-16, with or without a byte-order mark. (So is UTF-32 with one.)
var ErrUTF16 = errors.New("it is UTF-16; send UTF-8")

// Skip returns the length of the byte-order mark of UTF-8 that a JSON text begins with, 0 if it has none.
func Skip(first []byte) (int, error) {
	switch {
	case bytes.HasPrefix(first, []byte("\xef\xbb\xbf")):
		return 3, nil
	case bytes.HasPrefix(first, []byte("\xff\xfe")), bytes.HasPrefix(first, []byte("\xfe\xff")),
		len(first) >= 2 && first[0] == 0 != (first[1] == 0) && bytes.ContainsAny(first[:2], " \t\r\n{[\""):
		return 0, ErrUTF16
	}
	return 0, nil
}
