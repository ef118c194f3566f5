// Package charset tells UTF-8 from other encodings that a text may have by mistake.
package charset

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// ErrNotUTF8 is returned (wrapped) for text in another encoding.
var ErrNotUTF8 = errors.New("not UTF-8")

const utf8Mark = "\xef\xbb\xbf"

// beginning is how a text in an encoding begins.
type beginning struct{ encoding, mark string }

// foreign is how text begins that is not UTF-8: with a mark, or with a character that JSON may begin with.
var foreign = beginnings(" \t\r\n{[\"")

func beginnings(characters string) []beginning {
	all := []beginning{{"UTF-32LE", "\xff\xfe\x00\x00"}, {"UTF-32BE", "\x00\x00\xfe\xff"},
		{"UTF-16LE", "\xff\xfe"}, {"UTF-16BE", "\xfe\xff"}}
	for _, c := range characters {
		all = append(all, beginning{"UTF-16LE", string(c) + "\x00"}, beginning{"UTF-16BE", "\x00" + string(c)})
	}
	return all
}

// Undecided tells whether more of the beginning of a text must be seen before SkipMark can be asked.
func Undecided(text []byte) bool {
	begins := func(mark string) bool { return len(text) < len(mark) && mark[:len(text)] == string(text) }
	return begins(utf8Mark) || slices.ContainsFunc(foreign, func(f beginning) bool { return begins(f.mark) })
}

// SkipMark removes UTF-8's byte-order mark from the beginning of a text. It returns ErrNotUTF8 (wrapped) for a text
// that looks like UTF-16 or UTF-32.
func SkipMark(text []byte) ([]byte, error) {
	if rest, ok := bytes.CutPrefix(text, []byte(utf8Mark)); ok {
		return rest, nil
	}
	for _, f := range foreign {
		if bytes.HasPrefix(text, []byte(f.mark)) {
			return nil, fmt.Errorf("%w: it looks like %s; convert it, as with: iconv -f %s -t UTF-8", ErrNotUTF8,
				f.encoding, f.encoding)
		}
	}
	return text, nil
}
