package event

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// This file checks JSON in one pass and notes the spans of the values that weir reads. It is written by hand because it
// is the hot path of recording (compare BenchmarkAppend with BenchmarkTokenizer). The package jsontext defines what it
// accepts; FuzzValid compares the two. A function that reads a token takes the offset where it begins, and returns the
// offset behind it, or -1 after a call of fail.

// scan checks that b is one object, and sets p.values. If p.unique is set, it checks that names do not repeat.
func (p *Parser) scan(b []byte, maxDepth int) bool {
	p.names, p.decoded, p.processors = p.names[:0], p.decoded[:0], p.processors[:0]
	p.values, p.lineBreaks, p.maxDepth, p.read = [places]span{}, false, maxDepth, b
	p.factsName, p.claims = 0, 0
	end := -1
	if len(b) == 0 || b[0] != '{' {
		p.fail(0, "an event is a JSON object: it begins with { and ends with }")
	} else if end = p.object(b, 0, 1, root); end >= 0 && end < len(b) {
		end = p.fail(end, "there is data after the event's closing brace")
	}
	if end < 0 {
		p.names, p.read = nil, nil // release the input
	}
	return end >= 0
}

func (p *Parser) fail(i int, reason string, args ...any) int {
	p.err = Error{Offset: i, Reason: fmt.Sprintf(reason, args...)}
	return -1
}

// shortened returns the beginning of a name or value for an error message.
func shortened(text []byte) []byte {
	if len(text) <= maxQuoted {
		return text
	}
	return append(bytes.ToValidUTF8(text[:maxQuoted], nil), "…"...)
}

func (p *Parser) unexpected(b []byte, i int, expected string) int {
	if i >= len(b) {
		return p.fail(i, "the event ends where %s is expected", expected)
	}
	r, _ := utf8.DecodeRune(b[i:])
	return p.fail(i, "not JSON: %q where %s is expected", r, expected)
}

func (p *Parser) space(b []byte, i int) int {
	if i < len(b) && b[i] > ' ' {
		return i
	}
	return p.spaces(b, i)
}

func (p *Parser) spaces(b []byte, i int) int {
	for ; i < len(b); i++ {
		switch b[i] {
		case ' ', '\t':
		case '\n', '\r':
			p.lineBreaks = true
		default:
			return i
		}
	}
	return i
}

func (p *Parser) value(b []byte, i, depth int, at place) int {
	if i < len(b) {
		switch c := b[i]; {
		case c == '"':
			end, _ := p.text(b, i)
			return end
		case c == '{':
			return p.object(b, i, depth+1, at)
		case c == '[':
			return p.array(b, i, depth+1, at)
		case c == '-' || c-'0' < 10:
			return p.number(b, i)
		case c == 't' && bytes.HasPrefix(b[i:], []byte("true")), c == 'n' && bytes.HasPrefix(b[i:], []byte("null")):
			return i + 4
		case c == 'f' && bytes.HasPrefix(b[i:], []byte("false")):
			return i + 5
		}
	}
	return p.unexpected(b, i, "a value")
}

func (p *Parser) object(b []byte, i, depth int, at place) int {
	if depth > p.maxDepth {
		return p.fail(i, "nested deeper than %d levels", p.maxDepth)
	}
	seen := names{first: len(p.names)}
	i = p.space(b, i+1)
	if i < len(b) && b[i] == '}' {
		return i + 1
	}
	for {
		name, start, n, inside := []byte(nil), i, other, depth
		if name, i = p.name(b, i); i < 0 {
			return i
		}
		if p.unique && !seen.add(p, name) {
			return p.fail(start, "the name %q is given twice in one object", shortened(name))
		}
		if at != other {
			n = at.member(name)
		}
		switch n {
		case facts:
			p.factsName = start
		case claims:
			inside = p.claim(depth)
		}
		start = i
		if i = p.value(b, i, inside, n); i < 0 {
			return i
		}
		p.values[n] = span{start, i}
		i = p.space(b, i)
		switch {
		case i < len(b) && b[i] == ',':
			i = p.space(b, i+1)
		case i < len(b) && b[i] == '}':
			clear(p.names[seen.first:]) // release the input
			p.names = p.names[:seen.first]
			return i + 1
		default:
			return p.unexpected(b, i, "a comma or a closing brace")
		}
	}
}

// claim returns the depth at which a claim counts, in an object at depth. Each recording moves the claims one level
// down. The first 16 levels do not count, so that an event that was taken once is taken again.
func (p *Parser) claim(depth int) int {
	const most = 16
	if p.claims == most {
		return depth
	}
	p.claims++
	return depth - 1
}

// name reads a member's name and the colon, up to its value.
func (p *Parser) name(b []byte, i int) ([]byte, int) {
	if i >= len(b) || b[i] != '"' {
		return nil, p.unexpected(b, i, "a name in double quotes")
	}
	end, escaped := p.text(b, i)
	if end < 0 {
		return nil, end
	}
	name := b[i+1 : end-1]
	if escaped {
		name = p.decode(b[i:end])
	}
	i = p.space(b, end)
	if i >= len(b) || b[i] != ':' {
		return nil, p.unexpected(b, i, "a colon")
	}
	return name, p.space(b, i+1)
}

func (p *Parser) array(b []byte, i, depth int, at place) int {
	if depth > p.maxDepth {
		return p.fail(i, "nested deeper than %d levels", p.maxDepth)
	}
	element := other
	if at == resources {
		element = resource
	}
	i = p.space(b, i+1)
	if i < len(b) && b[i] == ']' {
		return i + 1
	}
	for {
		if i = p.value(b, i, depth, element); i < 0 {
			return i
		}
		if element == resource {
			p.endResource(b)
		}
		i = p.space(b, i)
		switch {
		case i < len(b) && b[i] == ',':
			i = p.space(b, i+1)
		case i < len(b) && b[i] == ']':
			return i + 1
		default:
			return p.unexpected(b, i, "a comma or a closing bracket")
		}
	}
}

func (p *Parser) number(b []byte, start int) int {
	i := start
	if b[i] == '-' {
		i++
	}
	first := i
	i = digits(b, i)
	ok := i > first && (b[first] != '0' || i == first+1)
	if ok && i < len(b) && b[i] == '.' {
		first = i + 1
		i = digits(b, first)
		ok = i > first
	}
	if ok && i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		first = i
		i = digits(b, first)
		ok = i > first
	}
	if !ok {
		return p.fail(start, "not JSON: a number is malformed")
	}
	return i
}

func digits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' < 10 {
		i++
	}
	return i
}

// text reads a string, and tells whether it has escapes.
func (p *Parser) text(b []byte, start int) (end int, escaped bool) {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	var all uint64 // all bytes read, combined by or: a top bit is set if one of them is not ASCII
	for i := start + 1; i < len(b); {
		// This loop reads eight bytes at a time. In special, the top bit is set for each byte that is a quote, a
		// backslash or a control character. A borrow may also set it in bytes above such a byte, but only the lowest
		// one is used.
		for len(b)-i >= 8 {
			w := binary.LittleEndian.Uint64(b[i:])
			all |= w
			special := ((w ^ ones*'"') - ones) | ((w ^ ones*'\\') - ones) | (w - ones*' ')
			if special &= tops &^ w; special != 0 {
				i += bits.TrailingZeros64(special) / 8
				break
			}
			i += 8
		}
		if i == len(b) {
			break
		}
		switch c := b[i]; {
		case c == '"':
			if all&tops != 0 && !utf8.Valid(b[start:i]) {
				return p.fail(start, "a string is not valid UTF-8"), false
			}
			return i + 1, escaped
		case c == '\\':
			n := escape(b[i:])
			if n == 0 {
				return p.fail(i, "not JSON: an escape in a string is malformed"), false
			}
			i, escaped = i+n, true
		case c < ' ':
			return p.fail(i, "not JSON: a control character in a string, which must be written as an escape"), false
		default: // only in the last seven bytes
			all |= uint64(c)
			i++
		}
	}
	return p.fail(start, "the event ends within a string"), false
}

// escape returns the length of the escape at the beginning of b, or 0 if it is malformed. Surrogates must come in
// pairs.
func escape(b []byte) int {
	if len(b) >= 2 {
		switch b[1] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			return 2
		}
	}
	r, ok := unicodeEscape(b)
	if !utf16.IsSurrogate(r) {
		if ok {
			return 6
		}
		return 0
	}
	if low, ok := unicodeEscape(b[6:]); ok && utf16.DecodeRune(r, low) != utf8.RuneError {
		return 12
	}
	return 0
}

func unicodeEscape(b []byte) (r rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case c-'0' < 10:
			c -= '0'
		case c|0x20-'a' < 6:
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// decode returns the text of a string token, which includes its quotes. The text is valid until the next scan.
func (p *Parser) decode(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	start := len(p.decoded)
	var err error
	if p.decoded, err = jsontext.AppendUnquote(p.decoded, quoted); err != nil {
		return nil // Unreachable: text has checked it.
	}
	return p.decoded[start:]
}

// fewNames is the number of names in an object up to which they are compared one by one.
const fewNames = 32

// names is the set of names of one object. While they are few they are in p.names from first on; then they are in many.
// The names of the enclosing objects precede first.
type names struct {
	first  int
	sketch uint64 // one bit for each name; a name whose bit is not set is new
	many   map[string]struct{}
}

// add adds a name, and tells whether it is new.
func (o *names) add(p *Parser, name []byte) bool {
	if o.many != nil {
		n := len(o.many)
		o.many[string(name)] = struct{}{}
		return len(o.many) > n
	}
	bit := uint64(1)
	if n := uint(len(name)); n > 0 {
		bit <<= (n + 3*uint(name[0]) + 5*uint(name[n/2]) + 7*uint(name[n-1])) % 64
	}
	if o.sketch&bit != 0 {
		for _, other := range p.names[o.first:] {
			if bytes.Equal(other, name) {
				return false
			}
		}
	}
	o.sketch |= bit
	p.names = append(p.names, name)
	if len(p.names)-o.first > fewNames {
		o.many = make(map[string]struct{}, 2*fewNames)
		for _, other := range p.names[o.first:] {
			o.many[string(other)] = struct{}{}
		}
	}
	return true
}
