package index

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/weirlog/weir/internal/query"
)

// Facet counts the values of a field. An entry with several values counts for each of them.
type Facet struct {
	Values  []Count // in the order of their texts
	Missing int     // number of entries without a value
	Hidden  []Bits  // by block of the scope: entries whose values only their lines can tell; not counted elsewhere
}

// Count is the number of entries that have a value.
type Count struct {
	Value   query.Scalar
	Entries int
}

// Facets returns the facets of the entries that surely match. of are matches that Evaluate has returned, of consecutive
// blocks from block from on. The values of an alias are those that query.Extract returns.
func (x *Index) Facets(ctx context.Context, fields []query.Field, from int, of []Matches, fetch Fetch) ([]Facet,
	error) {
	if from < 0 || from+len(of) > len(x.blocks) {
		return nil, fmt.Errorf("facets of an index: there are no blocks %d to %d", from, from+len(of))
	}
	f := facets{evaluator: evaluator{view: x.reader(ctx, fetch).view(), known: lookUps{}}, from: from, of: of}
	tallies := make([]*tally, len(fields))
	var open []*tally // those for which the heads of the dictionaries are not enough
	for i, field := range fields {
		t := newTally(x, field)
		if tallies[i] = t; f.everything() && t.whole(x) {
			continue
		}
		t.hidden = make([]Bits, len(of))
		open = append(open, t)
	}
	if err := f.count(open); err != nil {
		return nil, fmt.Errorf("facets of an index: %w", err)
	}
	result := make([]Facet, len(fields))
	for i, t := range tallies {
		if err := t.result(f.reader, &result[i]); err != nil {
			return nil, fmt.Errorf("facets of an index: %w", err)
		}
	}
	return result, nil
}

type facets struct {
	evaluator
	from int
	of   []Matches
}

// everything tells whether all entries of the segment match.
func (f *facets) everything() bool {
	return len(f.of) == len(f.blocks) && !slices.ContainsFunc(f.of, func(m Matches) bool { return !m.Every })
}

func (f *facets) count(tallies []*tally) error {
	if len(tallies) == 0 {
		return nil
	}
	for i := range f.of {
		if f.of[i].None() {
			continue
		}
		if f.ctx.Err() != nil {
			return context.Cause(f.ctx)
		}
		f.open(f.from + i)
		yes, _ := f.of[i].sets(f.evaluator.count())
		for _, t := range tallies {
			hidden, err := t.add(&f.evaluator, yes)
			if err != nil {
				return err
			}
			t.hidden[i] = hidden
		}
	}
	return nil
}

// tally counts the values of a field.
type tally struct {
	field   query.Field
	sources []tallySource
	actor   actor
	missing int // number of entries of which no source has a value
	hidden  []Bits
}

// tallySource is a field from which values may come.
type tallySource struct {
	number     int // its index among the sources of an alias; 0 for a path
	column     int // -1 if there is none
	afterActor bool
	counts     []int // numbers of entries by list of the dictionary; nil if there are none yet
	filled     []bool
	dictionary bool // whether the counts of the dictionary are the result
}

func newTally(x *Index, field query.Field) *tally {
	t := &tally{field: field}
	if !field.Alias() {
		t.sources = []tallySource{{column: x.column(field)}}
		return t
	}
	for n, s := range query.AliasSources(field) {
		t.sources = append(t.sources, tallySource{number: n, column: x.column(s.Field), afterActor: s.AfterActor})
	}
	return t
}

// whole tells whether the dictionaries are enough to count all entries of the segment.
func (t *tally) whole(x *Index) bool {
	if t.field == timeField {
		return false
	}
	for i := range x.blocks {
		if x.blocks[i].unread || x.blocks[i].unnamed.traits != 0 {
			return false
		}
	}
	for i := range t.sources {
		s := &t.sources[i]
		if s.column < 0 {
			continue
		}
		c := &x.columns[s.column]
		if c.hidden > 0 || s.afterActor {
			return false
		}
		if !t.field.Alias() {
			t.missing = x.entries - c.present
			s.dictionary = true
			return true
		}
		if c.present < x.entries || c.shown.traits&blanks != 0 {
			return false
		}
		s.dictionary = true // all entries have a value here
		return true
	}
	t.missing = x.entries
	return true
}

// add counts entries of the open block. It returns those whose values only their lines can tell.
func (t *tally) add(e *evaluator, yes Bits) (hidden Bits, err error) {
	if yes.empty() {
		return nil, nil
	}
	b := &e.blocks[e.view.block]
	if b.unread || t.field == timeField && b.plain {
		return yes, nil
	}
	rest := slices.Clone(yes)
	hidden = newBits(b.count)
	for i := range t.sources {
		if rest.empty() {
			break
		}
		if err := t.addSource(e, &t.sources[i], rest, hidden); err != nil {
			return nil, err
		}
	}
	t.missing += rest.Count()
	if hidden.empty() {
		hidden = nil
	}
	return hidden, nil
}

// addSource counts the entries of rest that have a value in a source, and removes them from rest.
func (t *tally) addSource(e *evaluator, s *tallySource, rest, hidden Bits) error {
	b := &e.blocks[e.view.block]
	var c *viewed
	var err error
	if s.column >= 0 {
		if c, err = e.view.column(s.column); err != nil {
			return err
		}
	}
	if c == nil {
		if b.unnamed.traits&(texts|numbers|bools) != 0 {
			move(hidden, rest, rest)
		}
		return nil
	}
	codes, err := e.codesOf(c)
	if err != nil {
		return err
	}
	if err := s.fill(e.reader, t.field.Alias()); err != nil {
		return err
	}
	among := Matches{Every: true}
	if s.afterActor {
		if among, err = t.actor.run(e); err != nil || among.None() {
			return err
		}
	}
	s.addCodes(c, codes, &among, rest, hidden)
	return nil
}

// addCodes counts the entries of rest by their codes. Entries that are only perhaps in among are hidden.
func (s *tallySource) addCodes(c *viewed, codes []uint16, among *Matches, rest, hidden Bits) {
	var table [codesOfBase]verdict // whether a code has a value: surely, or perhaps
	for i, number := range c.numbers {
		table[i+1] = verdictOf(s.filled[number])
	}
	if c.hidden.traits != 0 { // the list for hidden values is the first of a dictionary
		table[1] = perhaps
	}
	var counts [codesOfBase]int
	for i, word := range rest {
		if word == 0 {
			continue
		}
		certain, possible := ^uint64(0), ^uint64(0)
		if !among.Every {
			certain = at(among.Yes, i)
			possible = certain | at(among.Perhaps, i)
		}
		some := codes[i*64 : min(i*64+64, len(codes))]
		for w := word & possible; w != 0; w &= w - 1 {
			bit := w & -w
			code := some[bits.TrailingZeros64(w)] % codesOfBase
			switch table[code] {
			case yes:
				if rest[i] &^= bit; certain&bit != 0 {
					counts[code]++
					continue
				}
				hidden[i] |= bit
			case perhaps:
				rest[i] &^= bit
				hidden[i] |= bit
			}
		}
	}
	for i, number := range c.numbers {
		s.counts[number] += counts[i+1]
	}
}

// move moves the entries of set from one set to another.
func move(to, from, set Bits) {
	for i, w := range set {
		to[i] |= w
		from[i] &^= w
	}
}

// fill reads the dictionary, and finds the lists that have a value that counts. For an alias, empty values do not
// count.
func (s *tallySource) fill(r *reader, alias bool) error {
	if s.counts != nil {
		return nil
	}
	test := func(values []query.Scalar) bool {
		return slices.ContainsFunc(values, func(v query.Scalar) bool { return v.Kind != present })
	}
	if alias {
		test = func(values []query.Scalar) bool { return len(filled(values)) > 0 }
	}
	t, err := r.newColumnTest(s.column, true, false, test)
	if err != nil {
		return err
	}
	s.counts, s.filled = make([]int, r.columns[s.column].lists), t.passed
	if s.filled == nil {
		s.filled = make([]bool, len(s.counts))
	}
	return nil
}

// result fills in the facet.
func (t *tally) result(r *reader, f *Facet) error {
	f.Missing, f.Hidden = t.missing, t.hidden
	c := counter{places: map[query.Scalar]int{}}
	for i := range t.sources {
		if err := t.values(r, &t.sources[i], &c, &f.Missing); err != nil {
			return err
		}
	}
	if without := query.AliasShown(t.field, -1, nil); len(without) > 0 && f.Missing > 0 {
		c.add(without[0], f.Missing)
		f.Missing = 0
	}
	f.Values = c.values
	slices.SortFunc(f.Values, func(a, b Count) int {
		return cmp.Or(strings.Compare(a.Value.Text, b.Value.Text), cmp.Compare(a.Value.Kind, b.Value.Kind))
	})
	return nil
}

// counter counts values.
type counter struct {
	values []Count
	places map[query.Scalar]int // indexes in values
}

// add counts a value. The text of the value may change afterwards.
func (c *counter) add(v query.Scalar, entries int) {
	place, ok := c.places[v]
	if !ok {
		place, v.Text = len(c.values), strings.Clone(v.Text)
		c.places[v], c.values = place, append(c.values, Count{Value: v})
	}
	c.values[place].Entries += entries
}

// values adds the counts of a source.
func (t *tally) values(r *reader, s *tallySource, c *counter, missing *int) error {
	if s.counts == nil && !s.dictionary {
		return nil
	}
	data, err := r.section(&r.lists, s.column)
	if err != nil {
		return err
	}
	if s.dictionary {
		if s.counts, err = r.listCounts(s.column, data); err != nil {
			return err
		}
	}
	var d decoder
	_, err = eachList(data, len(s.counts), func(i int, l listed) error {
		n := s.counts[i]
		if n == 0 {
			return nil
		}
		values, ok := d.decode(l)
		if !ok {
			return errDictionary
		}
		if t.field.Alias() {
			values = query.AliasShown(t.field, s.number, filled(values))
		} else if values = withoutObjects(values); len(values) == 0 {
			*missing += n
		}
		for i, v := range values {
			if !slices.Contains(values[:i], v) {
				c.add(v, n)
			}
		}
		return nil
	})
	return err
}

func withoutObjects(values []query.Scalar) []query.Scalar {
	return slices.DeleteFunc(values, func(v query.Scalar) bool { return v.Kind == present })
}

// listCounts returns the number of entries for each list of a dictionary.
func (x *Index) listCounts(column int, data []byte) ([]int, error) {
	if x.columns[column].lists > len(data)/2 {
		return nil, errDictionary
	}
	counts := make([]int, x.columns[column].lists)
	rest, err := eachList(data, len(counts), func(int, listed) error { return nil })
	if err != nil {
		return nil, err
	}
	for i := range counts {
		n, size := binary.Uvarint(rest)
		if size <= 0 || n > uint64(x.entries) {
			return nil, errDictionary
		}
		counts[i], rest = int(n), rest[size:]
	}
	if len(rest) > 0 {
		return nil, errDictionary
	}
	return counts, nil
}
