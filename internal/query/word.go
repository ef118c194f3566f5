package query

import (
	"encoding/json"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// piece is a part of a run of characters without white space. It is either quoted, or the text between quoted parts.
type piece struct {
	start, end int    // offsets in the query
	text       string // the unquoted text; if the piece is not quoted, as it is written
	quoted     bool
}

// run parses characters up to white space or one of ()<>= that is neither quoted nor after a backslash.
func (p *parser) run() ([]piece, error) {
	var pieces []piece
	for p.last = p.i; ; {
		start := p.i
		if p.peek() == '"' {
			text, err := p.quoted()
			if err != nil {
				return nil, err
			}
			pieces = append(pieces, piece{start, p.i, text, true})
			continue
		}
		if err := p.plain(); err != nil {
			return nil, err
		}
		if p.i == start {
			return pieces, nil
		}
		pieces = append(pieces, piece{start, p.i, p.text[start:p.i], false})
	}
}

// plain skips characters that are not quoted.
func (p *parser) plain() error {
	for p.i < len(p.text) {
		r, size := utf8.DecodeRuneInString(p.text[p.i:])
		switch {
		case unicode.IsSpace(r) || strings.ContainsRune(`()<>="`, r):
			return nil
		case r == '\\':
			after, n := utf8.DecodeRuneInString(p.text[p.i+1:])
			if after < '!' && after != ' ' || after > '~' || unicode.IsLetter(after) || unicode.IsDigit(after) {
				return p.fail(p.i, p.i+1+n, `a backslash only before a space or a punctuation mark; \\ is a `+
					"backslash")
			}
			size += n
		case !canBeSeen(r):
			return p.fail(p.i, p.i+size, "no invisible character outside of double quotes")
		}
		p.i += size
	}
	return nil
}

// quoted parses a text in double quotes.
func (p *parser) quoted() (string, error) {
	start, rest := p.i, p.text[p.i:]
	end := quotedEnd(rest)
	if end < 0 {
		return "", p.fail(start, len(p.text), "a closing double quote for this one")
	}
	text, bad, ok := unquote(rest[:end])
	if !ok {
		r, size := utf8.DecodeRuneInString(rest[bad:])
		if r == '\\' {
			size++
			return "", p.fail(start+bad, start+bad+size, `an escape as in JSON: \", \\, \n, \t, \u00e9`)
		}
		return "", p.fail(start+bad, start+bad+size, `\n, \t or \u and four digits for this character`)
	}
	p.i += end
	return text, nil
}

// quotedEnd returns the length of the quoted text at the start of a text, or -1 if the closing quote is missing.
func quotedEnd(text string) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// unquote returns the content of a text quoted like a JSON string. If ok is false, bad is the offset of the error.
func unquote(quoted string) (text string, bad int, ok bool) {
	for i := 1; i < len(quoted)-1; i++ {
		switch c := quoted[i]; {
		case c < ' ':
			return "", i, false
		case c == '\\':
			n := 2
			if quoted[i+1] == 'u' {
				n = surrogateOr(quoted[i:])
			}
			if i+n > len(quoted)-1 || json.Unmarshal([]byte(`"`+quoted[i:i+n]+`"`), &text) != nil ||
				n >= 6 && strings.HasPrefix(text, "\ufffd") && !strings.EqualFold(quoted[i:i+n], `\ufffd`) {
				return "", i, false
			}
			i += n - 1
		}
	}
	return text, 0, json.Unmarshal([]byte(quoted), &text) == nil
}

// surrogateOr returns the length of the escape at the start of a text: 12 for a pair of \u escapes, and 6 otherwise.
func surrogateOr(text string) int {
	if len(text) >= 12 && strings.EqualFold(text[2:3], "d") && strings.ContainsRune("89abAB", rune(text[3])) &&
		text[6] == '\\' {
		return 12
	}
	return 6
}

// cut returns the pieces before and after the first colon that is neither quoted nor after a backslash.
func cut(pieces []piece) (before, after []piece, ok bool) {
	for n, at := range pieces {
		if at.quoted {
			continue
		}
		for i := 0; i < len(at.text); i++ {
			switch at.text[i] {
			case '\\':
				i++
			case ':':
				before = append(before, pieces[:n]...)
				if i > 0 {
					before = append(before, piece{at.start, at.start + i, at.text[:i], false})
				}
				if i+1 < len(at.text) {
					after = append(after, piece{at.start + i + 1, at.end, at.text[i+1:], false})
				}
				return before, append(after, pieces[n+1:]...), true
			}
		}
	}
	return pieces, nil, false
}

// withColons returns the value of a run that contains a colon but is an address, a network or a time.
func withColons(pieces []piece) (Condition, bool) {
	if len(pieces) != 1 || pieces[0].quoted || strings.IndexByte(pieces[0].text, ':') < 0 {
		return nil, false
	}
	text := pieces[0].text
	if n, ok := parseNetwork(text); ok {
		return n, true
	}
	return Value{text}, mayHaveColons(text)
}

func mayHaveColons(text string) bool {
	_, err := netip.ParseAddr(text)
	_, time := parseTime(text)
	return err == nil || time
}

// parseNetwork parses an address, a slash and a length, with no bits set after the length.
func parseNetwork(text string) (Network, bool) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil || prefix != prefix.Masked() {
		return Network{}, false
	}
	if a := prefix.Addr(); a.Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(a.Unmap(), prefix.Bits()-96)
	}
	return Network{prefix}, true
}

// field returns the field that pieces name. start is their offset.
func (p *parser) field(pieces []piece, start int) (Field, error) {
	var names []string
	open := true // a name may begin here
	for _, at := range pieces {
		if at.quoted {
			if !open {
				return "", p.fail(at.start, at.end, "a dot before a quoted part of a field's name")
			}
			names, open = append(names, at.text), false
			continue
		}
		for i, part := range strings.Split(at.text, ".") {
			switch {
			case i > 0 && open:
				return "", p.fail(start, at.end, "one dot between two names of a field")
			case i > 0:
				open = true
			}
			if part == "" {
				continue
			}
			if !open {
				return "", p.fail(at.start, at.end, "a dot after a quoted part of a field's name")
			}
			if !plainName(part, len(names) == 0) {
				return "", p.fail(start, at.end, notAName(part))
			}
			names, open = append(names, part), false
		}
	}
	switch {
	case len(pieces) == 0:
		return "", p.fail(start, p.i, "the name of a field before the colon")
	case open:
		return "", p.fail(start, pieces[len(pieces)-1].end, "a name after the last dot of a field")
	}
	if len(pieces) == 1 && !pieces[0].quoted && len(names) == 1 {
		if isKeyword(names[0]) {
			return "", p.fail(start, pieces[0].end, "a field; put a name that is a keyword in double quotes")
		}
		return Field(names[0]), nil
	}
	return Path(names...), nil
}

// notAName says what is expected instead of an invalid name.
func notAName(name string) string {
	if strings.Contains(name, "*") {
		return "the whole name of a field: there are no wildcards in names"
	}
	return "a field before the colon or operator: its name begins with a letter or _ and has letters, digits, _, $, " +
		"- and dots; put other names in double quotes, and values with a colon too"
}

// value returns the condition of pieces, of which there is at least one. f is empty if there is no field.
func (p *parser) value(pieces []piece, f Field) (Condition, error) {
	first := pieces[0]
	switch {
	case len(pieces) > 1 && !pieces[1].quoted:
		return nil, p.fail(pieces[1].start, pieces[1].end, "white space after the quoted value")
	case len(pieces) > 1:
		return nil, p.fail(pieces[1].start, pieces[1].end, "white space before a quoted value, or quotes around all")
	case first.quoted:
		return Value{first.text}, nil
	}
	m, at, expected := word(first.text, f != "")
	if expected != "" {
		return nil, p.fail(first.start+at, first.end, expected)
	}
	return m, nil
}

// refused lists characters that have a meaning in other languages, and what to write instead.
var refused = []struct{ text, instead string }{
	{"&&", "`and`"},
	{"|", "`or` between two terms, or double quotes around the value"},
	{"!", "`not` before a term, or double quotes around the value"},
	{",", "`or` between two values, or double quotes around the value"},
	{";", "`and` between two terms, or double quotes around the value"},
	{"'", "double quotes"}, {"`", "double quotes"},
	{"“", "straight double quotes"}, {"”", "straight double quotes"}, {"„", "straight double quotes"},
	{"‘", "straight double quotes"}, {"’", "straight double quotes"},
	{"[", "a range such as `field >= 1 field < 5`, or double quotes around the value"},
	{"]", "a range such as `field >= 1 field < 5`, or double quotes around the value"},
	{"{", "double quotes around the value"}, {"}", "double quotes around the value"},
	{"?", "`*` for any characters, or double quotes around the value"},
}

// word returns the condition of an unquoted word. If it is not one, expected is not empty, and at is the offset.
func word(text string, hasField bool) (m Condition, at int, expected string) {
	if expected = shape(text, hasField); expected != "" {
		return nil, 0, expected
	}
	if text == "&" {
		return nil, 0, "`and`"
	}
	var parts []string
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
			b.WriteByte(text[i])
			continue
		case '*':
			if len(parts) == 0 || b.Len() > 0 {
				parts = append(parts, b.String())
				b.Reset()
			}
			continue
		case ':':
			if _, network := parseNetwork(text); !network && !mayHaveColons(text) {
				return nil, i, "double quotes around a value with a colon"
			}
		}
		for _, r := range refused {
			if strings.HasPrefix(text[i:], r.text) {
				return nil, i, r.instead
			}
		}
		b.WriteByte(text[i])
	}
	switch {
	case len(parts) == 1 && parts[0] == "" && b.Len() == 0:
		return Exists{}, 0, ""
	case parts != nil:
		return Pattern{append(parts, b.String())}, 0, ""
	case strings.IndexByte(text, '\\') >= 0:
		return Value{b.String()}, 0, ""
	}
	if n, ok := parseNetwork(text); ok {
		return n, 0, ""
	}
	relative := foldNow(text)
	if _, ok := parseRelative(relative); ok && hasField {
		return During{Time{relative}}, 0, ""
	}
	return Value{text}, 0, ""
}

// foldNow returns a text with "now" at its start in lower case, if nothing or the rest of a time follows.
func foldNow(text string) string {
	const now = "now"
	if len(text) < len(now) || !strings.EqualFold(text[:len(now)], now) {
		return text
	}
	if rest := text[len(now):]; rest == "" || strings.IndexByte("+-/", rest[0]) >= 0 {
		return now + rest
	}
	return text
}

// shape returns what is expected instead of a word that looks like something else, and "" if the word is fine.
func shape(text string, hasField bool) string {
	relative := foldNow(text)
	_, isRelative := parseRelative(relative)
	_, isNetwork := parseNetwork(text)
	address, length, slash := strings.Cut(text, "/")
	_, err := netip.ParseAddr(address)
	likeIPv4 := strings.Contains(address, ".") && strings.Trim(address, "0123456789.") == ""
	switch {
	case hasField && strings.EqualFold(text, "not"):
		return "`not` before the field, or double quotes around the word"
	case isKeyword(text):
		return "a value; put the word itself in double quotes"
	case text[0] == '+':
		return "no plus, since all terms must match anyway; put a value that begins with + in double quotes"
	case text[0] == '-' && !isNumber(text):
		return "the minus before the field, or double quotes around the value"
	case hasField && strings.HasPrefix(text, "//"):
		return "double quotes around all of a URL"
	case slash && (err == nil || likeIPv4) && length != "" && digits(length, 0) == len(length) && !isNetwork:
		return "a network such as 203.0.113.0/24, with no bits set after its prefix length, or double quotes around the value"
	case len(relative) <= 3 || relative[:3] != "now" || strings.IndexByte("+-/", relative[3]) < 0:
	case isRelative && !hasField:
		return "a field for a time, as in `time >= now-1d`, or double quotes around the word"
	case !isRelative:
		return "a time such as now-1d, now-15m or now/d, with one of the units s, m, h, d, w; or double quotes " +
			"around the word"
	}
	return ""
}
