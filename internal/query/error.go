package query

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/weirlog/weir/internal/visible"
)

// Error says where a text is no query, what stands there, and what is expected.
type Error struct {
	Column   int    // in characters, counted from 1
	Found    string // what stands there; cut to 40 characters, and with what cannot be seen written as escapes
	Expected string
}

func (e *Error) Error() string {
	return fmt.Sprintf("column %d: found %s; expected %s", e.Column, e.Found, e.Expected)
}

// maxFound is the number of characters of a text that an error repeats.
const maxFound = 40

// found returns the beginning of a text in a form that can be shown; of an empty one, that it ends.
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

// shown returns a character, or its escape if it cannot be seen.
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

// canBeSeen tells whether a character shows that it is there.
func canBeSeen(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d' // some scripts need them
	return r == ' ' || unicode.IsGraphic(r) && !unicode.IsSpace(r) || r == nonJoiner || r == joiner
}

// column returns the column of a byte of a text.
func column(text string, i int) int { return utf8.RuneCountInString(text[:i]) + 1 }
