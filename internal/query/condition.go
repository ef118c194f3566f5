package query

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
)

// test is a compiled term.
type test struct {
	alias  int // -1 if there is none
	exists bool

	// Of a value or a pattern, folded:
	isValue bool
	whole   []byte
	words   [][]byte
	next    []int // see hasWords
	parts   [][]byte

	decimal  *decimal // of a value and of a comparison
	addr     netip.Addr
	network  netip.Prefix
	op       Op
	interval *interval
	from, to decimal // of the interval, in milliseconds

	// If a value of a line passes, the folded line contains one of the needles. If nil, nothing is known.
	needles [][]byte
}

func newTest(t Term) test {
	compiled := test{alias: slices.Index(aliasNames[:], string(t.Field))}
	switch m := t.Match.(type) {
	case Exists:
		compiled.exists = true
	case Value:
		compiled.setValue(m, t.Field != "")
	case Pattern:
		for _, part := range m.Parts {
			compiled.parts = append(compiled.parts, []byte(Fold(part)))
		}
		compiled.needles = [][]byte{longest(compiled.parts)}
	case Network:
		compiled.network = m.Prefix
	case Comparison:
		compiled.op = m.Op
		if d, ok := parseDecimal(m.Number); ok {
			compiled.decimal = &d
		} else {
			compiled.setTime(m.Time.Text)
		}
	}
	switch names := t.Field.Names(); {
	case compiled.alias == outcome || compiled.alias == class:
		compiled.needles = nil // their values need not be in the line as text
	case compiled.needles == nil && names != nil:
		compiled.needles = [][]byte{[]byte(`"` + Fold(names[len(names)-1]) + `"`)}
	}
	return compiled
}

func (t *test) setValue(v Value, hasField bool) {
	t.isValue, t.whole = true, []byte(Fold(v.Text))
	for _, word := range wordsOf(string(t.whole)) {
		t.words = append(t.words, []byte(word))
	}
	t.prepareWords()
	if d, ok := parseDecimal(v.Text); ok {
		t.decimal = &d
	}
	if a, ok := v.Addr(); ok {
		t.addr = a
	}
	if hasField {
		t.setTime(v.Text)
	}
	switch {
	case t.decimal != nil || t.interval != nil || t.addr.Is6():
	case t.addr.IsValid():
		t.needles = [][]byte{[]byte(t.addr.String()), []byte("ffff:")} // an IPv6 address may contain an IPv4 address
	case len(t.words) > 0:
		t.needles = [][]byte{longest(t.words)}
	default:
		t.needles = [][]byte{t.whole}
	}
}

func (t *test) setTime(text string) {
	if s, ok := parseTime(text); ok {
		t.interval, t.from, t.to = &s, s.from.milliseconds(), s.to.milliseconds()
	}
}

func longest(texts [][]byte) (long []byte) {
	for _, text := range texts {
		if long == nil || len(text) > len(long) {
			long = text
		}
	}
	return long
}

// readsText tells whether the test needs folded texts.
func (t *test) readsText() bool { return t.isValue || t.parts != nil }

// text tells whether a string passes. folded is used only if readsText.
func (t *test) text(text string, folded []byte) bool {
	switch {
	case t.isValue && (bytes.Equal(folded, t.whole) || t.hasWords(folded)),
		t.parts != nil && t.hasPattern(folded):
		return true
	case t.interval != nil:
		if at, ok := parseRFC3339(text); ok && holds(t.op, at.compare(t.interval.from), at.compare(t.interval.to)) {
			return true
		}
	}
	if t.addr.IsValid() || t.network.IsValid() {
		a, ok := parseAddr(text)
		return ok && (a == t.addr || t.network.Contains(a.WithZone("")))
	}
	return false
}

// numeral is a number of an event, which is parsed when a test first needs it.
type numeral struct {
	text    string
	read    bool
	decimal decimal
	ok      bool
}

func (n *numeral) value() (decimal, bool) {
	if !n.read {
		n.decimal, n.ok = parseDecimal(n.text)
		n.read = true
	}
	return n.decimal, n.ok
}

// number tells whether a number passes. fold is a buffer.
func (t *test) number(n *numeral, fold *[]byte) bool {
	if t.parts != nil {
		*fold = AppendFold((*fold)[:0], n.text)
		return glob(*fold, t.parts)
	}
	if t.decimal == nil && t.interval == nil {
		return false
	}
	d, ok := n.value()
	switch {
	case !ok:
		return false
	case t.decimal != nil && t.op == "":
		if d.compare(*t.decimal) == 0 {
			return true
		}
	case t.decimal != nil:
		return compares(t.op, d.compare(*t.decimal))
	}
	return t.interval != nil && holds(t.op, d.compare(t.from), d.compare(t.to))
}

// compares tells whether an operator holds for operands that compare as c.
func compares(op Op, c int) bool {
	return c == 0 && len(op) == 2 || c > 0 && op[0] == '>' || c < 0 && op[0] == '<'
}

// boolean tells whether true or false passes.
func (t *test) boolean(text string) bool {
	return t.isValue && string(t.whole) == text || t.parts != nil && glob([]byte(text), t.parts)
}

// prepareWords computes next by the algorithm of Knuth, Morris and Pratt. If n words have matched and the next one does
// not, the last next[n-1] of these may be the beginning of another match.
func (t *test) prepareWords() {
	t.next = make([]int, len(t.words))
	for i, n := 1, 0; i < len(t.words); i++ {
		for n > 0 && !bytes.Equal(t.words[i], t.words[n]) {
			n = t.next[n-1]
		}
		if bytes.Equal(t.words[i], t.words[n]) {
			n++
		}
		t.next[i] = n
	}
}

// hasWords tells whether a text contains the words, one directly after the other.
func (t *test) hasWords(folded []byte) bool {
	if len(t.words) == 0 || !bytes.Contains(folded, t.words[0]) {
		return false
	}
	text, n := textOf(folded), 0
	for start, end := nextWord(text, 0); start < end; start, end = nextWord(text, end) {
		for n > 0 && text[start:end] != textOf(t.words[n]) {
			n = t.next[n-1]
		}
		if text[start:end] == textOf(t.words[n]) {
			if n++; n == len(t.words) {
				return true
			}
		}
	}
	return false
}

// hasPattern tells whether a text, or one of its words, matches the pattern.
func (t *test) hasPattern(folded []byte) bool {
	if glob(folded, t.parts) {
		return true
	}
	for _, part := range t.parts {
		if !bytes.Contains(folded, part) {
			return false
		}
	}
	text := textOf(folded)
	for start, end := nextWord(text, 0); start < end; start, end = nextWord(text, end) {
		if glob(folded[start:end], t.parts) {
			return true
		}
	}
	return false
}

// glob tells whether a text consists of the parts, with any characters between them. There are at least two parts.
func glob(text []byte, parts [][]byte) bool {
	first, last := parts[0], parts[len(parts)-1]
	if len(text) < len(first)+len(last) || !bytes.HasPrefix(text, first) || !bytes.HasSuffix(text, last) {
		return false
	}
	text = text[len(first) : len(text)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		i := bytes.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return true
}

// parseAddr parses an address. It checks the form of the text first, since an error of netip takes longer.
func parseAddr(text string) (netip.Addr, bool) {
	dots, colons := 0, 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '.':
			dots++
		case c == ':':
			colons++
		case c == '%' && colons >= 2:
			i = len(text) // a zone may have any characters
		case c-'0' >= 10 && c|0x20-'a' >= 6:
			return netip.Addr{}, false
		}
	}
	if dots != 3 && colons < 2 || strings.HasPrefix(text, ".") {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(text)
	return a.Unmap(), err == nil
}
