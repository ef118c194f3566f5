package index

import (
	"context"
	"fmt"
	"math"
	"sort"
	"strconv"

	"github.com/weirlog/weir/internal/query"
)

// span is a range of times, in milliseconds since the epoch, both included. It is empty if its end is before its start.
type span struct{ from, to int64 }

func (s span) has(ms int64) bool { return s.from <= ms && ms <= s.to }

// timeTest says which times, as numbers, pass a term.
type timeTest struct {
	span
	each *query.Test // If it is not nil, each time has to be looked at.
}

// newTimeTest returns the test of a term whose field is time, or that has none.
func newTimeTest(t query.Term) timeTest {
	nothing := timeTest{span: span{0, -1}}
	switch m := t.Match.(type) {
	case query.Exists:
		return timeTest{span: span{math.MinInt64, math.MaxInt64}}
	case query.Pattern:
		for _, part := range m.Parts {
			for _, c := range []byte(part) {
				if c != '-' && c-'0' > 9 {
					return nothing
				}
			}
		}
		return timeTest{span{math.MinInt64, math.MaxInt64}, query.NewTest(t)}
	case query.Comparison:
		first, none := firstTime(query.Term{Field: t.Field, Match: m}, m.Op == query.Less || m.Op == query.LessOrEqual)
		if m.Op == query.Less || m.Op == query.LessOrEqual { // all up to first
			if none {
				return timeTest{span: span{math.MinInt64, math.MaxInt64}}
			}
			if first == math.MinInt64 {
				return nothing
			}
			return timeTest{span: span{math.MinInt64, first - 1}}
		}
		if none {
			return nothing
		}
		return timeTest{span: span{first, math.MaxInt64}}
	case query.Value:
		return valueTimes(t, m)
	}
	return nothing
}

// valueTimes returns the times that a value matches: those of its interval, or the one that is the same number.
func valueTimes(t query.Term, v query.Value) timeTest {
	from, to := query.Comparison{Op: query.GreaterOrEqual}, query.Comparison{Op: query.Greater}
	if _, _, isTime := v.Time(); isTime && t.Field != "" {
		from.Time, to.Time = query.Time(v), query.Time(v)
	} else if number, ok := v.Number(); ok {
		from.Number, to.Number = number, number
	} else {
		return timeTest{span: span{0, -1}}
	}
	first, none := firstTime(query.Term{Field: t.Field, Match: from}, false)
	behind, endless := firstTime(query.Term{Field: t.Field, Match: to}, false)
	switch {
	case none || !endless && behind == math.MinInt64:
		return timeTest{span: span{0, -1}}
	case endless:
		return timeTest{span: span{first, math.MaxInt64}}
	}
	return timeTest{span: span{first, behind - 1}}
}

// firstTime returns the first time that passes a comparison or, if fails, that does not. There is none if no time does.
// Behind one that does, all do.
func firstTime(t query.Term, fails bool) (first int64, none bool) {
	test := query.NewTest(t)
	does := func(ms int64) bool {
		return test.Passes(query.Scalar{Kind: query.Number, Text: strconv.FormatInt(ms, 10)}) != fails
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

// test returns which of the times pass.
func (t *timeTest) test(times []int64) Bits {
	yes := newBits(len(times))
	var text []byte
	for i, ms := range times {
		if t.each != nil {
			text = strconv.AppendInt(text[:0], ms, 10)
			if t.each.Passes(query.Scalar{Kind: query.Number, Text: textOf(text)}) {
				yes.set(i)
			}
		} else if t.has(ms) {
			yes.set(i)
		}
	}
	return yes
}

// Times calls do with the times of the entries of each of the blocks, in milliseconds since the epoch. The blocks are in
// order. Of a block of which nothing is known it calls do with nil.
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
