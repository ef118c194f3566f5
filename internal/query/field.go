package query

import (
	"errors"
	"strings"
	"unicode"
)

// Field is an alias, or a path of names joined by dots, in normal form: a name is quoted like a JSON string if it has
// to be, or if the path would be an alias without quotes. Equal fields are equal strings.
type Field string

// Path returns the field with these names, from the event down. There must be at least one.
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

// ParseFields parses fields, separated by commas, in the syntax of queries. An error is an *Error.
func ParseFields(text string) ([]Field, error) {
	var fields []Field
	for at, more := 0, true; more; {
		var name string
		name, more = cutField(text[at:])
		f, err := parseField(name)
		if wrong, ok := errors.AsType[*Error](err); ok {
			wrong.Column += column(text, at) - 1
			return nil, wrong
		}
		fields = append(fields, f)
		at += len(name) + len(",")
	}
	return fields, nil
}

// cutField returns the text before the first comma outside of quotes.
func cutField(text string) (field string, more bool) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			return text[:i], true
		}
	}
	return text, false
}

// parseField reads one field.
func parseField(text string) (Field, error) {
	q, err := Parse(text + ":*")
	if err != nil {
		return "", err
	}
	if t, ok := q.Root.(Term); ok && t.Match == (Exists{}) {
		return t.Field, nil
	}
	return "", &Error{1, found(text), "the name of a field"}
}

// Alias tells whether the field is an alias.
func (f Field) Alias() bool { return isAlias(string(f)) }

// Names returns the names of a path. It returns nil for an alias and for an empty field.
func (f Field) Names() []string {
	if f == "" || f.Alias() {
		return nil
	}
	var names []string
	for rest := string(f); ; {
		name, end := rest, len(rest)
		if strings.HasPrefix(rest, `"`) {
			if end = quotedEnd(rest); end < 0 {
				return append(names, rest) // not a field that Path made
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

// plainName tells whether a name in a path needs no quotes.
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
