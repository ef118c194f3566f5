package index

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/weirlog/weir/internal/query"
)

// needs says which values may pass a term, and which tokens the filter has for them.
type needs struct {
	exists  bool
	other   bool     // only a number, an address or a time can pass, not a text
	parts   [][]byte // a value that passes as a text has all of these folded texts
	words   []token  // a value that passes as a text has all of these tokens; nil if they are unknown
	number  *token   // of a number that passes
	numbers bool     // any number may pass
	addr    *token   // of an address that passes
	network bool     // any address may pass
	time    bool     // any time may pass, as a number or a text
}

func newNeeds(t query.Term) (n needs) {
	switch m := t.Match.(type) {
	case query.Exists:
		n.exists = true
	case query.Pattern:
		for _, part := range m.Parts {
			n.parts = append(n.parts, []byte(query.Fold(part)))
		}
	case query.Network:
		n.other, n.network = true, true
	case query.Comparison:
		n.other, n.numbers, n.time = true, m.Number != "", m.Number == ""
	case query.Value:
		n.value(m, t.Field != "")
	}
	return n
}

func (n *needs) value(v query.Value, hasField bool) {
	folded := query.Fold(v.Text)
	for word := range func(yield func(string) bool) { query.Words(folded, yield) } {
		n.parts, n.words = append(n.parts, []byte(word)), append(n.words, token(xxhash.Sum64String(word)))
	}
	if n.words == nil {
		n.parts, n.words = [][]byte{[]byte(folded)}, []token{token(xxhash.Sum64String(wholeToken + folded))}
	}
	if number, ok := v.Number(); ok {
		t := tokenOf(query.AppendNumber([]byte(numberToken), number))
		n.number = &t
	}
	if a, ok := v.Addr(); ok {
		t := tokenOf(query.AppendAddr([]byte(addrToken), a.String()))
		n.addr = &t
	}
	_, _, isTime := v.Time()
	n.time = hasField && isTime
}

// rulesOut tells whether no value with this summary can pass.
func (n *needs) rulesOut(s *summary) bool {
	switch {
	case s.traits == 0:
		return true
	case n.exists,
		n.time && s.traits&(numbers|moments) != 0,
		(n.numbers || n.number != nil) && s.traits&numbers != 0,
		(n.network || n.addr != nil) && s.traits&addresses != 0:
		return false
	case n.other || s.traits&(texts|numbers|bools) == 0:
		return true
	}
	return slices.ContainsFunc(n.parts, func(part []byte) bool { return !s.has(part) })
}

// lookUps are results of the blocks' filters, by token.
type lookUps map[token]Bits

// lookUp tells whether a block may have a token.
func (r *reader) lookUp(known lookUps, t token, block int) (bool, error) {
	found, ok := known[t]
	if !ok {
		data, err := r.section(&r.filter, t.stripe())
		if err != nil {
			return false, fmt.Errorf("filter: %w", err)
		}
		found = newBits(len(r.blocks))
		for i := range r.blocks {
			has, rest, ok := lookUp(data, t)
			if !ok {
				return false, errFilter
			}
			if data = rest; has {
				found.set(i)
			}
		}
		known[t] = found
	}
	return found.Has(block), nil
}

// hidden returns the verdict on hidden values of a block with a summary.
func (n *needs) hidden(v *view, s *summary, known lookUps) (verdict, error) {
	if n.rulesOut(s) {
		return no, nil
	}
	if n.exists || n.words == nil || n.time && s.traits&(numbers|moments) != 0 {
		return perhaps, nil
	}
	for _, alone := range []*token{n.number, n.addr} {
		if alone == nil {
			continue
		}
		if has, err := v.lookUp(known, *alone, v.block); has || err != nil {
			return perhaps, err
		}
	}
	for _, word := range n.words {
		if has, err := v.lookUp(known, word, v.block); !has || err != nil {
			return no, err
		}
	}
	return perhaps, nil
}

// verdict tells whether a list of values passes.
type verdict uint8

const (
	no      verdict = 0
	perhaps verdict = 1 // one bit each, for pick
	yes     verdict = 2
)

func verdictOf(passes bool) verdict {
	if passes {
		return yes
	}
	return no
}

// columnTest is a test of the values of a column.
type columnTest struct {
	column int
	passed []bool // lists of the dictionary that pass; nil if none does
	hides  bool   // whether a hidden value may pass, as far as the head tells

	numbers *numberTest // for packed numbers; nil if they are tested like other hidden values
}

// newColumnTest tests the lists in the dictionary of a column. If shows is false, none of them passes; if hides is
// false, no hidden value passes.
func (r *reader) newColumnTest(column int, shows, hides bool, do func([]query.Scalar) bool) (t columnTest, err error) {
	c := &r.columns[column]
	t = columnTest{column: column, hides: hides && c.hidden > 0}
	if !shows || c.lists == 0 {
		return t, nil
	}
	data, err := r.section(&r.lists, column)
	if err != nil {
		return t, fmt.Errorf("dictionary: %w", err)
	}
	if c.lists > len(data)/2 {
		return t, errDictionary
	}
	passed, some := make([]bool, c.lists), false
	var d decoder
	_, err = eachList(data, c.lists, func(i int, l listed) error {
		values, ok := d.decode(l)
		if !ok {
			return errDictionary
		}
		passed[i] = len(l) > 0 && do(values)
		some = some || passed[i]
		return nil
	})
	if some {
		t.passed = passed
	}
	return t, err
}

// nothing tells whether no entry of any block passes.
func (t *columnTest) nothing() bool { return t.passed == nil && !t.hides }

// run returns which entries of the block pass, and whether the block surely has the column. hidden is called with a
// summary of the block's hidden values.
func (t *columnTest) run(v *view, hidden func(*summary) (verdict, error)) (m Matches, named bool, err error) {
	if t.nothing() && v.blocks[v.block].unnamed.traits == 0 {
		return Matches{}, false, nil
	}
	if t.passed == nil && t.hides && !t.mayPack(v.Index) {
		// Only a hidden value can pass. If the filter of the block rules that out, its record need not be read.
		if to, err := hidden(&anything); to == no || err != nil {
			return Matches{}, false, err
		}
	}
	c, err := v.column(t.column)
	if c == nil || err != nil {
		return Matches{}, false, err
	}
	if c.packs && t.numbers != nil {
		m, err = v.numberMatches(c, t.numbers)
		return m, true, err
	}
	var table [codesOfBase]verdict
	for i, number := range c.numbers {
		table[i+1] = verdictOf(t.passed != nil && t.passed[number])
	}
	if t.hides && c.hidden.traits != 0 { // the list for hidden values is the first of a dictionary
		if table[1], err = hidden(&c.hidden); err != nil {
			return Matches{}, false, err
		}
	}
	codes := table[1:max(2, len(c.numbers)+1)]
	most, least := slices.Max(codes), slices.Min(codes)
	switch {
	case most == no:
		return Matches{}, true, nil
	case least == yes && c.presence.kind == constant:
		return Matches{Every: true}, true, nil
	}
	m, err = v.pick(c, &table)
	return m, true, err
}

// mayPack tells whether a packed number may pass. Packed numbers are not in the filter.
func (t *columnTest) mayPack(x *Index) bool {
	return x.columns[t.column].packed > 0 && (t.numbers == nil || t.numbers.from <= t.numbers.to)
}

// pick returns the entries whose code passes by the table.
func (v *view) pick(c *viewed, table *[codesOfBase]verdict) (Matches, error) {
	if len(c.codes) == 0 && c.presence.kind == constant && c.values.kind == function {
		// The result is a function of the base's codes too, so the column's own codes are not needed.
		base, mapping, rest, err := v.mapping(c.values.base, c.data, width(c.layout.lists))
		if err != nil {
			return Matches{}, err
		}
		if len(rest) > 0 || !allBelow(mapping[:base.layout.lists+1], c.layout.lists) {
			return Matches{}, errRecords
		}
		var of [codesOfBase]verdict
		for i, code := range mapping[:base.layout.lists+1] {
			of[i] = table[code+1]
		}
		return pick(base.codes, &of), nil
	}
	codes, err := v.codesOf(c)
	return pick(codes, table), err
}

func pick(codes []uint16, table *[codesOfBase]verdict) Matches {
	certain, possible := newBits(len(codes)), newBits(len(codes))
	count, anyPossible := 0, uint64(0)
	for i := range certain {
		some, y, p := codes[i*64:min(i*64+64, len(codes))], uint64(0), uint64(0)
		for j, code := range some {
			to := uint64(table[code%codesOfBase])
			y |= to >> 1 << j
			p |= to & 1 << j
		}
		certain[i], possible[i] = y, p
		count += bits.OnesCount64(y)
		anyPossible |= p
	}
	if count == len(codes) {
		return Matches{Every: true}
	}
	m := Matches{}
	if count > 0 {
		m.Yes = certain
	}
	if anyPossible != 0 {
		m.Perhaps = possible
	}
	return m
}

// below returns the common prefix of the paths below a path.
func below(path query.Field) string {
	return strings.TrimSuffix(string(query.Path(append(path.Names(), "x")...)), "x")
}
