package query

import (
	"strings"
	"unicode"
)

// Field is an alias, or a path of names joined by dots, in its normal form: a name is quoted, as JSON quotes strings,
// if it could not stand there otherwise, and so is a path that would be an alias. Equal fields are equal texts.
type Field string

// Path returns the field of the names from the event down. There is at least one.
func Path(names ...string) Field {
	if len(names) == 1 && isAlias(names[0]) {
		return Field(quote(names[0]))
	}
	var b strings.Builder
	for i, name := range names {
		if i > 0 {
			b.WriteByte('.')
		}
		if plainName(name, i == 0) && !(len(names) == 1 && isKeyword(name)) {
			b.WriteString(name)
		} else {
			b.WriteString(quote(name))
		}
	}
	return Field(b.String())
}

// Alias tells whether the field is an alias.
func (f Field) Alias() bool { return isAlias(string(f)) }

// Names returns the names of a path, nil for an alias and for no field.
func (f Field) Names() []string {
	if f == "" || f.Alias() {
		return nil
	}
	var names []string
	for rest := string(f); ; {
		name, end := rest, len(rest)
		if strings.HasPrefix(rest, `"`) {
			if end = quotedEnd(rest); end < 0 {
				return append(names, rest) // no field that Path made
			}
			name, _, _ = unquote(rest[:end])
		} else if dot := strings.IndexByte(rest, '.'); dot >= 0 {
			name, end = rest[:dot], dot
		}
		names = append(names, name)
		if end >= len(rest) {
			return names
		}
		rest = strings.TrimPrefix(rest[end:], ".")
	}
}

// plainName tells whether a name may stand in a path without quotes.
func plainName(name string, first bool) bool {
	for i, r := range name {
		switch {
		case r == '_' || unicode.IsLetter(r):
		case i == 0 && first:
			return false
		case r == '$' || r == '-' || unicode.IsDigit(r):
		default:
			return false
		}
	}
	return name != ""
}

func isKeyword(word string) bool {
	return strings.EqualFold(word, "and") || strings.EqualFold(word, "or") || strings.EqualFold(word, "not")
}
