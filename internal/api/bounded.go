package api

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds on what a reply or a line of the log repeats of what a client sent, in bytes before JSON escapes them. With
// them the reply of an error is never longer than 64 KiB, whatever the request.
const (
	maxName        = 256  // of a name, or of another part of a request
	maxDescription = 512  // of what is wrong with one thing
	maxDetail      = 1024 // of the detail of an error
	maxLogged      = 200  // of a path, a user agent, an id in the log
	maxFields      = 100  // wrong things that a reply names
	maxFieldsBytes = 32 << 10
)

// cut returns the beginning of a text that is longer than a number of bytes. What is not UTF-8 becomes U+FFFD.
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

// quoted quotes the beginning of a value for people.
func quoted(value string) string { return strconv.Quote(cut(value, 40)) }

// visible returns the beginning of a text for the log, with what does not print (control characters, those that change
// the direction of writing, what is not UTF-8) escaped as in Go.
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

// bounded cuts a list of wrong things: each of them, their number and their size together. The last one says how many
// are left out.
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

// names lists the names of wrong things.
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
