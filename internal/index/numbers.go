package index

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"sort"
	"strconv"

	"github.com/weirlog/weir/internal/query"
)

// span is a range of numbers, both ends included. It is empty if its end is less than its start.
type span struct{ from, to int64 }

func (s span) has(n int64) bool { return s.from <= n && n <= s.to }

// numberTest says which whole numbers pass a term. The time of an event is such a number, in milliseconds.
type numberTest struct {
	span
	each *query.Test // if not nil, each number in the span must be tested with it
}

func newNumberTest(t query.Term) numberTest {
	nothing := numberTest{span: span{0, -1}}
	switch m := t.Match.(type) {
	case query.Exists:
		return numberTest{span: span{math.MinInt64, math.MaxInt64}}
	case query.Pattern:
		for _, part := range m.Parts {
			for _, c := range []byte(part) {
				if c != '-' && c-'0' > 9 {
					return nothing
				}
			}
		}
		return numberTest{span{math.MinInt64, math.MaxInt64}, query.NewTest(t)}
	case query.Comparison:
		first, none := firstNumber(query.Term{Field: t.Field, Match: m}, m.Op == query.Less || m.Op == query.LessOrEqual)
		if m.Op == query.Less || m.Op == query.LessOrEqual { // all numbers up to first
			if none {
				return numberTest{span: span{math.MinInt64, math.MaxInt64}}
			}
			if first == math.MinInt64 {
				return nothing
			}
			return numberTest{span: span{math.MinInt64, first - 1}}
		}
		if none {
			return nothing
		}
		return numberTest{span: span{first, math.MaxInt64}}
	case query.Value:
		return numbersOf(t, m)
	}
	return nothing
}

// numbersOf returns the numbers that a value matches: those in its interval, or the one that is equal.
func numbersOf(t query.Term, v query.Value) numberTest {
	from, to := query.Comparison{Op: query.GreaterOrEqual}, query.Comparison{Op: query.Greater}
	if _, _, isTime := v.Time(); isTime && t.Field != "" {
		from.Time, to.Time = query.Time(v), query.Time(v)
	} else if number, ok := v.Number(); ok {
		from.Number, to.Number = number, number
	} else {
		return numberTest{span: span{0, -1}}
	}
	first, none := firstNumber(query.Term{Field: t.Field, Match: from}, false)
	behind, endless := firstNumber(query.Term{Field: t.Field, Match: to}, false)
	switch {
	case none || !endless && behind == math.MinInt64:
		return numberTest{span: span{0, -1}}
	case endless:
		return numberTest{span: span{first, math.MaxInt64}}
	}
	return numberTest{span: span{first, behind - 1}}
}

// firstNumber returns the first number that passes a comparison or, if fails is set, that does not pass. All larger
// numbers must give the same result. If there is no such number, none is true.
func firstNumber(t query.Term, fails bool) (first int64, none bool) {
	test := query.NewTest(t)
	does := func(n int64) bool {
		return test.Passes(query.Scalar{Kind: query.Number, Text: strconv.FormatInt(n, 10)}) != fails
	}
	if !does(math.MaxInt64) {
		return 0, true
	}
	if does(0) {
		if does(math.MinInt64) {
			return math.MinInt64, false
		}
		n := sort.Search(math.MaxInt64, func(i int) bool { return !does(-int64(i) - 1) }) // all from -n on do
		return -int64(n), false
	}
	return int64(sort.Search(math.MaxInt64, func(i int) bool { return does(int64(i)) })), false
}

// passes tells whether a number passes. text is a buffer.
func (t *numberTest) passes(n int64, text *[]byte) bool {
	if !t.has(n) || t.each == nil {
		return t.has(n)
	}
	*text = strconv.AppendInt((*text)[:0], n, 10)
	return t.each.Passes(query.Scalar{Kind: query.Number, Text: textOf(*text)})
}

// test returns which entries have a number that passes.
func (t *numberTest) test(numbers []int64) Bits {
	passed := newBits(len(numbers))
	var text []byte
	for i, n := range numbers {
		if t.passes(n, &text) {
			passed.set(i)
		}
	}
	return passed
}

// The numbers of a column with too many different values are packed, if each entry with a value has one number, and
// these are in a range of few bits. They are stored as the least number (uvarint), a byte with the width, and for each
// entry with a value the difference to the least number. They are not in the filter.

// maxPacked is the largest width, in bits.
const maxPacked = 24

// appendPacked appends the numbers of a column.
func (c *column) appendPacked(dst []byte) []byte {
	least, bits := c.numberRange()
	w := bitWriter{data: append(binary.AppendUvarint(dst, least), byte(bits))}
	for i, code := range c.codes {
		if code > 0 {
			w.write(c.numbers[i]-least, bits)
		}
	}
	return w.bytes()
}

// numberRange returns the least number of a column, and the width of the differences to it.
func (c *column) numberRange() (least uint64, width uint) {
	least, largest := uint64(math.MaxUint64), uint64(0)
	for i, code := range c.codes {
		if code > 0 {
			least, largest = min(least, c.numbers[i]), max(largest, c.numbers[i])
		}
	}
	return least, uint(bits.Len64(largest - least))
}

// packed has the numbers of a column in a block.
type packed struct {
	least uint64
	bits  uint
	data  []byte
}

// readPacked reads the numbers of count entries, and returns the data after them.
func readPacked(data []byte, count int) (p packed, rest []byte, ok bool) {
	least, n := binary.Uvarint(data)
	if n <= 0 || n == len(data) || data[n] > maxPacked || least > math.MaxInt64>>1 {
		return p, nil, false
	}
	p = packed{least: least, bits: uint(data[n])}
	data = data[n+1:]
	size := packedSize(count, p.bits)
	if size > len(data) {
		return p, nil, false
	}
	p.data = data[:size]
	return p, data[size:], true
}

// numberMatches returns which entries of the block pass, for a column whose numbers are packed.
func (v *view) numberMatches(c *viewed, t *numberTest) (Matches, error) {
	codes, err := v.codesOf(c)
	if err != nil {
		return Matches{}, err
	}
	low, high := int64(c.packed.least), int64(c.packed.least)+1<<c.packed.bits-1
	if t.from > high || t.to < low {
		return Matches{}, nil
	}
	passed := newBits(len(codes))
	r := bitReader{data: c.packed.data}
	var text []byte
	for i, code := range codes {
		if code > 0 && t.passes(low+int64(r.read(c.packed.bits)), &text) {
			passed.set(i)
		}
	}
	return matchesOf(passed, nil, len(codes)), nil
}

// Times calls do with the times of the entries of each of the blocks, in milliseconds since the epoch. The blocks must
// be in order. If nothing is known of a block, times is nil.
func (x *Index) Times(ctx context.Context, blocks []int, fetch Fetch, do func(block int, times []int64) error) error {
	r := x.reader(ctx, fetch)
	for _, block := range blocks {
		var times []int64
		if !x.blocks[block].unread {
			var err error
			if times, err = r.blockTimes(block); err != nil {
				return err
			}
		}
		if err := do(block, times); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) blockTimes(block int) ([]int64, error) {
	data, err := r.section(&r.times, block)
	if err != nil {
		return nil, fmt.Errorf("times: %w", err)
	}
	times, ok := decodeTimes(data, r.blocks[block].count, r.blocks[block].least)
	if !ok {
		return nil, fmt.Errorf("times of block %d: %w", block, ErrCorrupt)
	}
	return times, nil
}
