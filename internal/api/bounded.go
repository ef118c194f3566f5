package api

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of the text that a reply or a log line repeats from a request, in bytes before JSON escaping. With them the
// reply of an error is never longer than 64 KiB.
const (
	maxName        = 256  // of a name, or of another part of a request
	maxDescription = 512  // of a name, or of another part of a request
	maxDetail      = 1024 // of the description of one error
	maxLogged      = 200  // of a path, a user agent or an id in the log
	maxFields      = 100  // errors that a reply lists
	maxFieldsBytes = 32 << 10
)

// cut returns a text, cut to a number of bytes. Invalid UTF-8 becomes U+FFFD.
func cut(text string, longest int) string {
	if len(text) <= longest {
		return strings.ToValidUTF8(text, "\uFFFD")
	}
	end := longest
	for end > longest-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end--
	}
	return strings.ToValidUTF8(text[:end], "\uFFFD") + "…"
}

// quoted returns the beginning of a value in quotes, for messages.
func quoted(value string) string { return strconv.Quote(cut(value, 40)) }

// visible returns the beginning of a text for the log. Characters that do not print (control characters, characters
// that change the writing direction, invalid UTF-8) are escaped as in Go.
func visible(text string, longest int) string {
	text = cut(text, longest)
	if strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}

// bounded cuts a list of errors: each of them, their number and their total size. The last one says how many are left
// out.
func bounded(fields []field) []field {
	var kept []field
	size := 0
	for i, f := range fields {
		f = field{cut(f.Field, maxName), cut(f.Description, maxDescription)}
		encoded, err := json.Marshal(f)
		if size += len(encoded); err != nil || i == maxFields || size > maxFieldsBytes {
			return append(kept, field{"more", fmt.Sprintf("%d more are not listed", len(fields)-i)})
		}
		kept = append(kept, f)
	}
	return kept
}

// names lists the names of attributes with errors.
func names(fields []field) string {
	var b strings.Builder
	for i, f := range fields {
		if i > 0 {
			b.WriteString(", ")
		}
		if b.Len() > maxDetail/2 {
			return b.String() + "…"
		}
		b.WriteString(cut(f.Field, maxName))
	}
	return b.String()
}
