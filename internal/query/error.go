package query

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/weirlog/weir/internal/visible"
)

// Error says where a text is not a query, what was found there, and what is expected.
type Error struct {
	Column   int    // in characters, from 1
	Found    string // text at the column, at most 40 characters, with invisible characters as escapes
	Expected string
}

func (e *Error) Error() string {
	return fmt.Sprintf("column %d: found %s; expected %s", e.Column, e.Found, e.Expected)
}

// maxFound is the number of characters of a text that an error repeats.
const maxFound = 40

// found returns the beginning of a text with invisible characters as escapes. For an empty text it says that the query
// ends.
func found(text string) string {
	if text == "" {
		return "the end of the query"
	}
	var b strings.Builder
	n := 0
	for _, r := range text {
		if n++; n > maxFound {
			b.WriteString("…")
			break
		}
		b.WriteString(shown(r))
	}
	return "`" + b.String() + "`"
}

// shown returns a character, or an escape if it is invisible.
func shown(r rune) string {
	switch {
	case r == '\n':
		return `\n`
	case r == '\t':
		return `\t`
	case r == '\r':
		return `\r`
	case canBeSeen(r):
		return string(r)
	}
	return visible.Escape(r)
}

// canBeSeen tells whether a character is visible.
func canBeSeen(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d' // some scripts need them
	return r == ' ' || unicode.IsGraphic(r) && !unicode.IsSpace(r) || r == nonJoiner || r == joiner
}

// column returns the column of a byte offset.
func column(text string, i int) int { return utf8.RuneCountInString(text[:i]) + 1 }
