package connect

import (
	"errors"
	"math/big"
)

// Instant returns a time in milliseconds since the epoch. It reads seconds since the epoch, as a number or a text, with
// a fraction or not. A number that is too large for seconds is one of milliseconds, microseconds or nanoseconds, which
// some senders write.
func Instant(value []byte) (ms int64, err error) {
	text, ok := Text(value)
	if !ok {
		text = string(value)
	}
	wrong := errors.New("its time is not a number of seconds since the epoch")
	if len(text) > 40 {
		return 0, wrong
	}
	for _, c := range text { // Rat takes fractions, hexadecimal numbers and exponents of any size too.
		if (c < '0' || c > '9') && c != '.' {
			return 0, wrong
		}
	}
	at, ok := new(big.Rat).SetString(text)
	if !ok {
		return 0, wrong
	}
	of := func(unit int64) *big.Rat { return big.NewRat(unit, 1) }
	at.Mul(at, of(1000))
	for i := 0; i < 3 && at.Cmp(of(1e14)) >= 0; i++ {
		at.Quo(at, of(1000))
	}
	whole := new(big.Int).Quo(at.Num(), at.Denom())
	if !whole.IsInt64() {
		return 0, wrong
	}
	return whole.Int64(), nil
}
