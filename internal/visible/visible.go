// Package visible shows text of others (of a server, a proof, a file) so that it cannot act on the terminal or pass for
// something else: control characters, those of C1, bidirectional and other invisible ones are shown as \u and four
// digits, as JSON writes them, so JSON that passes stays the same JSON.
package visible

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Rune tells whether a character can be shown as it is. Line feeds and tabs cannot: see Writer.
func Rune(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d' // some scripts need them
	switch {
	case r < utf8.RuneSelf:
		return r >= ' ' && r != 0x7f
	case r == nonJoiner || r == joiner:
		return true
	}
	return !unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs)
}

// Text returns a text on one line. Bytes that are not UTF-8 become U+FFFD.
func Text(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		writeRune(&b, r)
	}
	return b.String()
}

// Lines is Text for text that may have several lines: each but the first is indented, so that none can pass for the
// beginning of a message.
func Lines(s string) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	for i, line := range lines {
		lines[i] = Text(line)
	}
	return strings.Join(lines, "\n  ")
}

// Printf is fmt.Fprintf whose operands are shown by Text if they are strings, errors or fmt.Stringers. The format is
// trusted.
func Printf(w io.Writer, format string, operands ...any) {
	shown := make([]any, len(operands))
	for i, o := range operands {
		switch o := o.(type) {
		case string:
			shown[i] = Text(o)
		case error:
			shown[i] = Text(o.Error())
		case fmt.Stringer:
			shown[i] = Text(o.String())
		default:
			shown[i] = o
		}
	}
	fmt.Fprintf(w, format, shown...)
}

func plain(s string) bool {
	for _, r := range s {
		if !Rune(r) || r == utf8.RuneError {
			return false
		}
	}
	return true
}

func writeRune(b *strings.Builder, r rune) {
	if Rune(r) {
		b.WriteRune(r)
	} else {
		b.WriteString(Escape(r))
	}
}

// Escape returns a character as JSON writes it by its number.
func Escape(r rune) string {
	if r > 0xffff {
		high, low := utf16.EncodeRune(r)
		return fmt.Sprintf(`\u%04x\u%04x`, high, low)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// Writer is the last thing before standard output and standard error: it shows all that is written as Text does, but
// for line feeds and tabs, which are the program's own. Those of others Text and Printf have shown before. It may be
// used concurrently.
type Writer struct {
	mu   sync.Mutex
	to   io.Writer
	rest []byte // the beginning of a character
}

// NewWriter returns a Writer.
func NewWriter(to io.Writer) *Writer { return &Writer{to: to} }

// Raw returns the underlying writer, for bytes that are not text.
func (w *Writer) Raw() io.Writer { return w.to }

// Write implements io.Writer. The beginning of a character is kept until its end comes.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := append(w.rest, p...)
	var b strings.Builder
	for len(text) > 0 && utf8.FullRune(text) {
		r, n := utf8.DecodeRune(text)
		if r == '\n' || r == '\t' {
			b.WriteByte(byte(r))
		} else {
			writeRune(&b, r)
		}
		text = text[n:]
	}
	w.rest = append([]byte(nil), text...)
	if _, err := io.WriteString(w.to, b.String()); err != nil {
		return 0, err
	}
	return len(p), nil
}
