package connect

import (
	"errors"
	"math/big"
	"regexp"
)

// numeral is the form of the numbers that are read: that of JSON, and, since some senders write them, numbers that
// begin with zeros or lack digits on one side of their point. big.Rat would take fractions and hexadecimal numbers too.
// The exponent is short, so that the value of a number is bounded before it is computed.
var numeral = regexp.MustCompile(`^-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$`)

// maxNumeral bounds a number that is read, in bytes.
const maxNumeral = 40

// number returns the exact value of a number.
func number(text string) (*big.Rat, bool) {
	if len(text) > maxNumeral || !numeral.MatchString(text) {
		return nil, false
	}
	return new(big.Rat).SetString(text)
}

// Whole returns the integer that a value is, as a number or a text, in any form that the JSON of protobuf has for it:
// 1500, 1500.0 and 1.5e3 are equal. It returns false for anything else.
func Whole(value []byte) (int64, bool) {
	if text, ok := Text(value); ok {
		value = []byte(text)
	}
	if n, ok := Integer(value); ok {
		return n, true
	}
	n, ok := number(string(value))
	if !ok || !n.IsInt() || !n.Num().IsInt64() {
		return 0, false
	}
	return n.Num().Int64(), true
}

// Instant returns a time in milliseconds since the epoch. It reads seconds since the epoch, as a number or a text, with
// a fraction and an exponent or not. A number that is too large for seconds is one of milliseconds, microseconds or
// nanoseconds, which some senders write.
func Instant(value []byte) (ms int64, err error) {
	text, ok := Text(value)
	if !ok {
		text = string(value)
	}
	at, ok := number(text)
	if !ok || text[0] == '-' {
		return 0, errInstant
	}
	of := func(unit int64) *big.Rat { return big.NewRat(unit, 1) }
	at.Mul(at, of(1000))
	for i := 0; i < 3 && at.Cmp(of(1e14)) >= 0; i++ {
		at.Quo(at, of(1000))
	}
	whole := new(big.Int).Quo(at.Num(), at.Denom())
	if !whole.IsInt64() {
		return 0, errInstant
	}
	return whole.Int64(), nil
}

var errInstant = errors.New("its time is not a number of seconds since the epoch")
