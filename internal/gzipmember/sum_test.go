package gzipmember

import (
	"testing"

	"pgregory.net/rapid"
)

// The combined sum of two byte strings is the sum of their concatenation.
func TestSumsAreCombined(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []byte
		var sum Sum
		for _, data := range rapid.SliceOf(rapid.SliceOf(rapid.Byte())).Draw(t, "data") {
			all, sum = append(all, data...), sum.Then(SumOf(data))
		}
		if sum != SumOf(all) {
			t.Fatalf("%+v, want %+v", sum, SumOf(all))
		}
	})
}

// Sums can be combined in any grouping, even for more bytes than fit in a test.
func TestSumsOfLongContent(t *testing.T) {
	if got := multiply(squares[31], squares[31]); got != x {
		t.Errorf("x to the power of 2³² is %08x", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		var sums [3]Sum
		for i := range sums {
			sums[i] = Sum{rapid.Uint32().Draw(t, "crc"), rapid.Int64Range(0, 1<<50).Draw(t, "size")}
		}
		a, b, c := sums[0], sums[1], sums[2]
		if left, right := a.Then(b).Then(c), a.Then(b.Then(c)); left != right {
			t.Fatalf("%+v and %+v", left, right)
		}
	})
}
