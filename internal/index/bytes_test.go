package index

import (
	"math"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/query"
)

func TestBitsAreReadAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type value struct {
			n     uint64
			width uint
			rice  bool
		}
		var values []value
		var w bitWriter
		for range rapid.IntRange(0, 50).Draw(t, "values") {
			v := value{rapid.Uint64().Draw(t, "value"), rapid.UintRange(0, 64).Draw(t, "width"), rapid.Bool().Draw(t, "rice")}
			if v.rice {
				v.n >>= 1
				v.width = max(v.width, 57) // so that few values are larger
				w.rice(v.n, v.width)
			} else {
				v.n &= 1<<v.width - 1
				w.writeLong(v.n, v.width)
			}
			values = append(values, v)
		}
		r := bitReader{data: w.bytes()}
		for _, v := range values {
			got := uint64(0)
			if v.rice {
				got = r.rice(v.width)
			} else {
				got = r.readLong(v.width)
			}
			if got != v.n || r.bad {
				t.Fatalf("%d, want %d of %v", got, v.n, values)
			}
		}
		if len(r.rest()) > 0 {
			t.Fatalf("%d bytes are left", len(r.rest()))
		}
		if r.readLong(9); !r.bad {
			t.Fatal("bits behind the end were read")
		}
	})
}

func TestUnpackReadsWhatWasPacked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.UintRange(0, 9).Draw(t, "bits")
		numbers := rapid.SliceOfN(rapid.Uint16Range(0, 1<<bits-1), 0, 300).Draw(t, "numbers")
		var w bitWriter
		for _, n := range numbers {
			w.write(uint64(n), bits)
		}
		data := w.bytes()
		if len(data) != packedSize(len(numbers), bits) {
			t.Fatalf("%d bytes", len(data))
		}
		got := make([]uint16, len(numbers))
		for i := range got {
			got[i] = math.MaxUint16
		}
		if unpack(got, data, bits); !slices.Equal(got, numbers) {
			t.Fatalf("%v, want %v", got, numbers)
		}
	})
}

func TestIncreasingNumbersAreReadAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(0, 3000).Draw(t, "most")
		var numbers []uint32
		if most > 0 {
			some := rapid.Uint32Range(0, uint32(most-1))
			numbers = rapid.SliceOfNDistinct(some, 0, min(most, 300), rapid.ID).Draw(t, "numbers")
		}
		slices.Sort(numbers)
		data := append(appendIncreasing(nil, numbers, most), "rest"...)
		got, rest, ok := increasing(nil, data, len(numbers), most)
		if !ok || !slices.Equal(got, numbers) || string(rest) != "rest" {
			t.Fatalf("%v %q %t, want %v below %d", got, rest, ok, numbers, most)
		}
		if _, _, ok := increasing(nil, data[:len(data)-len("rest")], len(numbers)+1, len(numbers)); ok {
			t.Fatal("more numbers than there are were read")
		}
	})
}

// drawScalar draws a value, often one that has a special form in a dictionary.
func drawScalar(t *rapid.T) query.Scalar {
	switch rapid.IntRange(0, 6).Draw(t, "kind") {
	case 0:
		return query.Scalar{Kind: query.Number, Text: rapid.SampledFrom(figures).Draw(t, "number")}
	case 1:
		return query.Scalar{Kind: query.Number, Text: strconv.FormatUint(rapid.Uint64().Draw(t, "number"), 10)}
	case 2:
		return query.Scalar{Kind: query.Bool, Text: rapid.SampledFrom([]string{"true", "false"}).Draw(t, "bool")}
	case 3:
		return query.Scalar{Kind: present}
	case 4:
		text := rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{11,12}|`+
			`[0-9a-fA]{14,40}|[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}`).Draw(t, "id")
		return query.Scalar{Kind: query.String, Text: text}
	}
	return query.Scalar{Kind: query.String, Text: rapid.SampledFrom(words).Draw(t, "text")}
}

// A decoded list has the values that were encoded, so different values have different bytes.
func TestListsHoldTheirValues(t *testing.T) {
	var d decoder
	rapid.Check(t, func(t *rapid.T) {
		var values []query.Scalar
		var encoded [][]byte
		for range rapid.IntRange(1, 4).Draw(t, "values") {
			v := drawScalar(t)
			values, encoded = append(values, v), append(encoded, appendValue(nil, v))
		}
		l := listed(appendListed(nil, encoded))
		got, ok := d.decode(l)
		if !ok || !slices.Equal(got, values) {
			t.Fatalf("%v %t, want %v", got, ok, values)
		}
		if l.textBytes() < len(l) {
			t.Fatalf("%v has %d bytes, less than the list", values, l.textBytes())
		}
	})
}

func TestTimesAreReadAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		near := rapid.Int64Range(firstTime-1000, firstTime+1000)
		some := rapid.OneOf(near, near, near, rapid.Int64Range(0, 1<<50), rapid.Int64())
		if rapid.Bool().Draw(t, "near") {
			some = near
		}
		times := rapid.SliceOfN(some, 1, 100).Draw(t, "times")
		if rapid.Bool().Draw(t, "in order") {
			slices.Sort(times)
		}
		least := slices.Min(times)
		data := appendTimes(nil, times, least)
		got, ok := decodeTimes(data, len(times), least)
		if !ok || !slices.Equal(got, times) {
			t.Fatalf("%v %t, want %v", got, ok, times)
		}
		if _, ok := decodeTimes(data[:len(data)-1], len(times), least); ok && len(times) > 8 {
			t.Fatal("times of which a byte is missing were read")
		}
	})
}

func TestTimesOfAnImpossibleWidthAreRefused(t *testing.T) {
	data := append([]byte{41}, make([]byte, 63)...)
	if times, ok := decodeTimes(data, 4, 0); ok {
		t.Error(times)
	}
}

func TestRegularTimesTakeLittle(t *testing.T) {
	var times []int64
	for i := range int64(700) {
		times = append(times, firstTime+i*2592)
	}
	if data := appendTimes(nil, times, firstTime); len(data) > 110 {
		t.Errorf("%d bytes", len(data))
	}
}

// A filter has each of its tokens, and about one of 4,096 others.
func TestFilterHasItsTokensAndFewOthers(t *testing.T) {
	var first, second []token
	for i := range 3000 {
		n := tokenOf(strconv.AppendInt(nil, int64(i), 10))
		first, second = append(first, n), append(second, tokenOf([]byte("x"+strconv.Itoa(i))))
	}
	a, aEnds := filterOf(slices.Clone(first))
	b, bEnds := filterOf(slices.Concat(second, second[:100]))
	stripe := func(data []byte, ends [stripes]uint32, i int) []byte {
		start := uint32(0)
		if i > 0 {
			start = ends[i-1]
		}
		return data[start:ends[i]]
	}
	wrong, tried := 0, 0
	for i, n := range first {
		s := n.stripe()
		data := slices.Concat(stripe(a, aEnds, s), stripe(b, bEnds, s))
		found, rest, ok := lookUp(data, n)
		if !found || !ok {
			t.Fatalf("token %d is missing", i)
		}
		if cut, behind, ok := cutStripe(data); !ok || len(cut) != len(data)-len(rest) || len(behind) != len(rest) {
			t.Fatalf("stripe %d is cut behind byte %d, not %d", s, len(cut), len(data)-len(rest))
		}
		other, rest, ok := lookUp(rest, n)
		if !ok || len(rest) > 0 {
			t.Fatalf("%d bytes are left of stripe %d", len(rest), s)
		}
		if tried++; other {
			wrong++
		}
	}
	if wrong > tried/500 {
		t.Errorf("%d of %d tokens were found where they are not", wrong, tried)
	}
	if size := len(a); size > 3000*14/8+2*stripes {
		t.Errorf("%d bytes for 3,000 tokens", size)
	}
}

// naiveMatches has a verdict for each entry.
type naiveMatches []verdict

func (n naiveMatches) matches() Matches {
	yes2, perhaps2 := newBits(len(n)), newBits(len(n))
	for i, v := range n {
		switch v {
		case yes:
			yes2.set(i)
		case perhaps:
			perhaps2.set(i)
		}
	}
	return matchesOf(yes2, perhaps2, len(n))
}

func TestAndOrNotGoEntryByEntry(t *testing.T) {
	verdicts := rapid.SampledFrom([]verdict{no, perhaps, yes})
	rapid.Check(t, func(t *rapid.T) {
		entries := rapid.IntRange(1, 200).Draw(t, "entries")
		draw := func() (n naiveMatches) {
			all := verdicts
			if rapid.Bool().Draw(t, "uniform") {
				all = rapid.Just(verdicts.Draw(t, "verdict"))
			}
			for range entries {
				n = append(n, all.Draw(t, "verdict"))
			}
			return n
		}
		a, b := draw(), draw()
		and, or, not := make(naiveMatches, entries), make(naiveMatches, entries), make(naiveMatches, entries)
		for i := range a {
			and[i], or[i], not[i] = min(a[i], b[i]), max(a[i], b[i]), yes-a[i]
		}
		for name, test := range map[string]struct {
			got  Matches
			want naiveMatches
		}{
			"and": {a.matches().and(b.matches(), entries), and},
			"or":  {a.matches().or(b.matches(), entries), or},
			"not": {a.matches().not(entries), not},
		} {
			want := test.want.matches()
			if test.got.Every != want.Every || !slices.Equal(test.got.Yes, want.Yes) ||
				!slices.Equal(test.got.Perhaps, want.Perhaps) {
				t.Fatalf("%s of %v and %v: %v, want %v", name, a, b, test.got, want)
			}
		}
	})
}

// A test of times gives the same result as the term gives for the time as a number.
func TestTimesPassAsNumbers(t *testing.T) {
	moments := rapid.OneOf(rapid.Int64Range(firstTime-3, firstTime+3), rapid.Int64Range(-3, 3), rapid.Int64(),
		rapid.SampledFrom([]int64{math.MinInt64, math.MinInt64 + 1, math.MaxInt64 - 1, math.MaxInt64, 100, 200, 3002}))
	passed := 0
	rapid.Check(t, func(t *rapid.T) {
		term := drawTerm(t)
		if term.Field != "" {
			term.Field = timeField
		}
		times := rapid.SliceOfN(moments, 1, 20).Draw(t, "times")
		test, naive := newNumberTest(term), query.NewTest(term)
		got := test.test(times)
		for i, ms := range times {
			want := naive.Passes(query.Scalar{Kind: query.Number, Text: strconv.FormatInt(ms, 10)})
			if got.Has(i) != want {
				t.Fatalf("%v: %d passes: %t, want %t", term, ms, got.Has(i), want)
			}
			if want {
				passed++
			}
		}
	})
	if passed == 0 {
		t.Error("no time passed")
	}
}
