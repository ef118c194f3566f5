package query

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Parse parses a query. The grammar is:
//
//	or      = and { "or" and }
//	and     = not { [ "and" ] not }
//	not     = "not" not | "-" primary | primary
//	primary = "(" or ")" | [ field ":" ] value | field ( ">" | ">=" | "<" | "<=" ) ( number | time )
//	          | field ":" "(" list ")"
//
// A list has values joined by and, or and not, all of the same field; in a list the operators cannot be omitted.
// Keywords may be in any case. An empty query matches everything. An error is an *Error.
func Parse(text string) (*Query, error) {
	p := &parser{text: text}
	n, err := p.query()
	if err != nil {
		return nil, err
	}
	q := &Query{n}
	if normal := len(q.String()); normal > MaxBytes {
		return nil, &Error{1, fmt.Sprintf("%d bytes in normal form", normal), atMostBytes}
	}
	return q, nil
}

var atMostBytes = fmt.Sprintf("at most %d bytes", MaxBytes)

// parser parses a text from i on.
type parser struct {
	text  string
	i     int
	last  int // start of the last run
	depth int
	terms int
}

// fail returns an error about a range of the text.
func (p *parser) fail(start, end int, expected string) *Error {
	return &Error{column(p.text, start), found(p.text[start:end]), expected}
}

// failHere returns an error about the text at i, up to the next white space.
func (p *parser) failHere(expected string) *Error {
	end := p.i
	for end < len(p.text) {
		r, size := utf8.DecodeRuneInString(p.text[end:])
		if unicode.IsSpace(r) {
			break
		}
		end += size
	}
	return p.fail(p.i, end, expected)
}

// space skips white space, and tells whether there was any.
func (p *parser) space() bool {
	start := p.i
	for p.i < len(p.text) {
		r, size := utf8.DecodeRuneInString(p.text[p.i:])
		if !unicode.IsSpace(r) {
			break
		}
		p.i += size
	}
	return p.i > start
}

// peek returns the byte at i, or 0 at the end of the text.
func (p *parser) peek() byte {
	if p.i < len(p.text) {
		return p.text[p.i]
	}
	return 0
}

// next skips one byte if it is c.
func (p *parser) next(c byte) bool {
	if p.i < len(p.text) && p.text[p.i] == c {
		p.i++
		return true
	}
	return false
}

// keyword tells whether a keyword is at i, in any case.
func (p *parser) keyword(word string) bool {
	end := p.i + len(word)
	if end > len(p.text) || !strings.EqualFold(p.text[p.i:end], word) {
		return false
	}
	r, size := utf8.DecodeRuneInString(p.text[end:])
	return size == 0 || unicode.IsSpace(r) || strings.ContainsRune(`()"`, r)
}

func (p *parser) skipKeyword(word string) bool {
	if !p.keyword(word) {
		return false
	}
	p.i += len(word)
	return true
}

func (p *parser) query() (Node, error) {
	if len(p.text) > MaxBytes {
		return nil, &Error{1, fmt.Sprintf("%d bytes", len(p.text)), atMostBytes}
	}
	if i := invalidUTF8(p.text); i >= 0 {
		return nil, &Error{column(p.text, i), fmt.Sprintf("the byte 0x%02x", p.text[i]), "UTF-8"}
	}
	if p.space(); p.i == len(p.text) {
		return All{}, nil
	}
	n, err := p.or(p.term)
	if err != nil {
		return nil, err
	}
	if p.i < len(p.text) {
		return nil, p.failHere("an opening parenthesis before it")
	}
	return n, nil
}

// invalidUTF8 returns the offset of the first byte that is not UTF-8, or -1.
func invalidUTF8(text string) int {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// or parses operands up to a closing parenthesis or the end. operand parses one.
func (p *parser) or(operand func() (Node, error)) (Node, error) {
	var nodes Or
	for {
		n, err := p.and(operand)
		if err != nil {
			return nil, err
		}
		nodes = flat(nodes, n)
		if !p.skipKeyword("or") {
			break
		}
	}
	if len(nodes) == 1 {
		return nodes[0], nil
	}
	return nodes, nil
}

func (p *parser) and(operand func() (Node, error)) (Node, error) {
	var nodes And
	for {
		n, err := p.not(operand)
		if err != nil {
			return nil, err
		}
		nodes = flat(nodes, n)
		p.space()
		if p.i == len(p.text) || p.peek() == ')' || p.keyword("or") {
			break
		}
		p.skipKeyword("and")
	}
	if len(nodes) == 1 {
		return nodes[0], nil
	}
	return nodes, nil
}

// flat appends a node. If the node is of the same kind, it appends the nodes of that.
func flat[T And | Or](nodes T, n Node) T {
	if inner, ok := any(n).(T); ok {
		return append(nodes, inner...)
	}
	return append(nodes, n)
}

func (p *parser) not(operand func() (Node, error)) (Node, error) {
	p.space()
	if !p.keyword("not") {
		return operand()
	}
	if err := p.deeper(); err != nil {
		return nil, err
	}
	p.skipKeyword("not")
	n, err := p.not(operand)
	p.depth--
	if err != nil {
		return nil, err
	}
	return Not{n}, nil
}

func (p *parser) deeper() error {
	if p.depth++; p.depth > MaxDepth {
		return p.failHere(fmt.Sprintf("at most %d nested parentheses and nots", MaxDepth))
	}
	return nil
}

// group parses an expression in parentheses, if there is one at i. operand parses one operand.
func (p *parser) group(operand func() (Node, error)) (n Node, ok bool, err error) {
	start := p.i
	if p.peek() != '(' {
		return nil, false, nil
	}
	if err := p.deeper(); err != nil {
		return nil, true, err
	}
	p.i++
	if n, err = p.or(operand); err == nil && !p.next(')') {
		err = p.fail(start, len(p.text), "a closing parenthesis for this one")
	}
	p.depth--
	return n, true, err
}

const aTerm = "a term such as `word`, `\"some words\"`, `field:value` or `field > 5`"

// notATerm returns an error if no term can begin at i.
func (p *parser) notATerm(expected string) error {
	switch c := p.peek(); {
	case p.i == len(p.text):
		return p.failHere(expected)
	case c == ')':
		return p.fail(p.i, p.i+1, expected+" before the closing parenthesis")
	case p.keyword("and") || p.keyword("or"):
		return p.failHere(expected + "; put the word itself in double quotes")
	case c == ':' && !p.address():
		return p.fail(p.i, p.i+1, "the name of a field before the colon")
	case c == '<' || c == '>':
		return p.failHere("the name of a field before the operator")
	case c == '=':
		return p.failHere(insteadOfEquals)
	}
	return nil
}

// term parses a primary, or a minus and a primary.
func (p *parser) term() (Node, error) {
	if n, ok, err := p.group(p.term); ok {
		return n, err
	}
	if err := p.notATerm(aTerm); err != nil {
		return nil, err
	}
	if p.peek() == '-' {
		return p.minus()
	}
	start := p.i
	pieces, err := p.run()
	if err != nil {
		return nil, err
	}
	if m, ok := withColons(pieces); ok {
		return p.made("", m)
	}
	before, after, colon := cut(pieces)
	if colon {
		f, err := p.field(before, start)
		if err != nil {
			return nil, err
		}
		return p.values(f, after)
	}
	end := p.i
	p.space()
	switch c := p.peek(); {
	case c == ':':
		f, err := p.field(pieces, start)
		if err != nil {
			return nil, err
		}
		p.i++
		return p.values(f, nil)
	case c == '<' || c == '>':
		f, err := p.field(pieces, start)
		if err != nil {
			return nil, err
		}
		return p.comparison(f)
	case c == '=' || p.i+1 < len(p.text) && p.text[p.i:p.i+2] == "!=":
		return nil, p.failHere(insteadOfEquals)
	}
	p.i = end
	m, err := p.value(pieces, "")
	if err != nil {
		return nil, err
	}
	return p.made("", m)
}

const insteadOfEquals = "`field:value` for equals, `not field:value` for differs, or double quotes around the value"

func (p *parser) minus() (Node, error) {
	if err := p.deeper(); err != nil {
		return nil, err
	}
	p.i++
	if r, size := utf8.DecodeRuneInString(p.text[p.i:]); size == 0 || unicode.IsSpace(r) || r == '-' || r == ')' {
		return nil, p.fail(p.i-1, p.i+size, "a term directly after the minus; put a value that begins with - in "+
			"double quotes")
	}
	n, err := p.term()
	p.depth--
	if err != nil {
		return nil, err
	}
	return Not{n}, nil
}

// made returns a term that ends at i. If something follows directly, it returns an error.
func (p *parser) made(f Field, m Condition) (Node, error) {
	if p.terms++; p.terms > MaxTerms {
		return nil, p.fail(p.last, p.i, fmt.Sprintf("at most %d terms", MaxTerms))
	}
	switch r, size := utf8.DecodeRuneInString(p.text[p.i:]); {
	case size == 0 || unicode.IsSpace(r) || r == ')':
	case r == '=':
		return nil, p.failHere(insteadOfEquals)
	default:
		return nil, p.failHere("white space before this")
	}
	if _, ok := m.(Exists); ok && f == "" {
		return All{}, nil
	}
	if number := numberOf(m); f == "time" && number != "" && tooEarly(number) {
		return nil, p.fail(p.last, p.i, aTime)
	}
	return Term{f, m}, nil
}

const aTime = "a time, such as 2026-11-01, 2026-11-01T10:30 or now-1d, or milliseconds since the epoch from 2008 on, " +
	"such as 1793529000000"

// numberOf returns the number that a condition has instead of a time, or an empty text.
func numberOf(m Condition) string {
	switch m := m.(type) {
	case Comparison:
		return m.Number
	case Value:
		if isNumber(m.Text) {
			return m.Text
		}
	}
	return ""
}

// firstTime is the first time that an event may have: 2008-01-01, in milliseconds since the epoch.
var firstTime, _ = parseDecimal("1199145600000")

// tooEarly tells whether a number of milliseconds since the epoch is before the first time that an event may have. It
// is a year, or seconds, and would match all events or none.
func tooEarly(number string) bool {
	n, ok := parseDecimal(number)
	return ok && n.compare(firstTime) < 0
}

const aValue = "a value after the colon, such as `word`, `\"some words\"` or `*`"

// values parses the values after a field's colon. pieces are the ones that were read already.
func (p *parser) values(f Field, pieces []piece) (Node, error) {
	if len(pieces) == 0 {
		p.space()
		if p.peek() == '(' {
			p.depth-- // a list is no deeper than its field
			n, _, err := p.group(func() (Node, error) { return p.listed(f) })
			p.depth++
			return n, err
		}
		if err := p.noValue(aValue); err != nil {
			return nil, err
		}
		var err error
		if pieces, err = p.run(); err != nil {
			return nil, err
		}
	}
	m, err := p.value(pieces, f)
	if err != nil {
		return nil, err
	}
	return p.made(f, m)
}

// address tells whether an address that begins with colons may be at i.
func (p *parser) address() bool { return strings.HasPrefix(p.text[p.i:], "::") }

// noValue returns an error if no value can begin at i.
func (p *parser) noValue(expected string) error {
	switch c := p.peek(); {
	case c == '<' || c == '>':
		return p.failHere("the operator without a colon, as in `field > 5`")
	case p.keyword("not"):
		return p.failHere("`not` before the field, or double quotes around the word")
	case c == ':' && !p.address():
		return p.failHere("one colon, and " + expected)
	}
	return p.notATerm(expected)
}

// listed parses an element of a list.
func (p *parser) listed(f Field) (Node, error) {
	if n, ok, err := p.group(func() (Node, error) { return p.listed(f) }); ok {
		return n, err
	}
	if err := p.noValue("a value"); err != nil {
		return nil, err
	}
	pieces, err := p.run()
	if err != nil {
		return nil, err
	}
	m, err := p.value(pieces, f)
	if err != nil {
		return nil, err
	}
	n, err := p.made(f, m)
	if err != nil {
		return nil, err
	}
	p.space()
	if p.i < len(p.text) && p.peek() != ')' && !p.keyword("and") && !p.keyword("or") {
		return nil, p.failHere("`or`, `and` or a closing parenthesis after a value of a list; put a value of several " +
			"words in double quotes")
	}
	return n, nil
}

const aNumberOrTime = "a number or a time, such as 5, 2026-11-01, 2026-11-01T10:30 or now-1d"

// comparison parses an operator and the value after it.
func (p *parser) comparison(f Field) (Node, error) {
	op := Op(p.text[p.i : p.i+1])
	if p.i++; p.next('=') {
		op += "="
	}
	if p.peek() == '>' {
		p.i -= len(op)
		return nil, p.failHere(insteadOfEquals)
	}
	p.space()
	start := p.i
	if strings.IndexByte("()<>=:", p.peek()) >= 0 || p.keyword("and") || p.keyword("or") || p.keyword("not") {
		return nil, p.failHere(aNumberOrTime)
	}
	pieces, err := p.run()
	if err != nil {
		return nil, err
	}
	if len(pieces) != 1 {
		return nil, p.fail(start, p.i, aNumberOrTime)
	}
	c := Comparison{Op: op}
	text := pieces[0].text
	if relative := foldNow(text); isNumber(text) {
		c.Number = text
	} else if _, ok := parseRelative(relative); ok {
		c.Time = Time{relative}
	} else if _, ok := parseTime(text); ok {
		c.Time = Time{text}
	} else {
		return nil, p.fail(start, p.i, aNumberOrTime)
	}
	return p.made(f, c)
}
