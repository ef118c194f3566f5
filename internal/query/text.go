package query

import (
	"strings"
	"unicode"
	"unicode/utf8"
	"unsafe"
)

// Words yields the words of a text. It is split at white space and at , ; ( ) [ ] { } " ' < > = | and each of . : ! ?
// is trimmed from both ends of a word. So ids, addresses, names with dots or dashes and mail addresses stay whole. A
// word is never empty.
func Words(text string, yield func(word string) bool) {
	for start, end := nextWord(text, 0); start < end; start, end = nextWord(text, end) {
		if !yield(text[start:end]) {
			return
		}
	}
}

// wordsOf returns the words of a text.
func wordsOf(text string) (words []string) {
	for word := range func(yield func(string) bool) { Words(text, yield) } {
		words = append(words, word)
	}
	return words
}

// Classes of ASCII bytes in a text. A byte of another character is foreign until the character is decoded.
const (
	inside = iota
	separator
	trimmed // at both ends of a word
	foreign // not ASCII
)

var byteKinds = func() (kinds [256]uint8) {
	for _, c := range []byte("\t\n\v\f\r ,;()[]{}\"'<>=|") {
		kinds[c] = separator
	}
	for _, c := range []byte(".:!?") {
		kinds[c] = trimmed
	}
	for c := utf8.RuneSelf; c < len(kinds); c++ {
		kinds[c] = foreign
	}
	return kinds
}()

// nextWord returns the next word of a text from i on. If there is none, start equals end.
func nextWord(text string, i int) (start, end int) {
	for i < len(text) {
		start, end = -1, -1 // of the trimmed word
		for i < len(text) {
			kind, size := byteKinds[text[i]], 1
			if kind == foreign {
				kind, size = foreignKind(text[i:])
			}
			i += size
			if kind == separator {
				break
			}
			if kind == inside {
				if start < 0 {
					start = i - size
				}
				end = i
			}
		}
		if start >= 0 {
			return start, end
		}
	}
	return len(text), len(text)
}

func foreignKind(text string) (kind uint8, size int) {
	r, size := utf8.DecodeRuneInString(text)
	if unicode.IsSpace(r) {
		return separator, size
	}
	return inside, size
}

// Fold returns a normal form: two texts have the same if and only if strings.EqualFold holds for them. ASCII becomes
// lower case. Invalid UTF-8 becomes U+FFFD.
func Fold(text string) string {
	return string(AppendFold(make([]byte, 0, len(text)), text))
}

// AppendFold appends the Fold of a text to dst.
func AppendFold[T string | []byte](dst []byte, text T) []byte {
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			if c-'A' < 26 {
				c |= 0x20
			}
			dst = append(dst, c)
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(string(text[i:min(i+utf8.UTFMax, len(text))]))
		dst = utf8.AppendRune(dst, foldRune(r))
		i += size
	}
	return dst
}

// foldRune returns the same rune for all runes that differ only in case: the lower case of the smallest.
func foldRune(r rune) rune {
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	lower := unicode.ToLower(least)
	if lower == r {
		return r
	}
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		if next == lower {
			return lower
		}
	}
	return least
}

// quote returns a text as a JSON string, with invisible characters as escapes.
func quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		if r == '"' || r == '\\' {
			b.WriteByte('\\')
		}
		b.WriteString(shown(r))
	}
	b.WriteByte('"')
	return b.String()
}

// textOf returns bytes as a string without copying them. The string must not be kept.
func textOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
