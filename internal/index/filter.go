package index

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/weirlog/weir/internal/query"
)

// A filter tells of a token that the block does not have it, or that it perhaps has it; the latter is wrong for one of
// 4,096 tokens. It is a Golomb-coded set, divided into stripes by the tokens' hashes. Stripe 0 of all blocks comes
// first, then stripe 1, and so on, so that a question about one token reads one stripe of each block.

const (
	stripes     = 64
	filterWidth = 12 // one of 2^filterWidth tokens is wrongly found
)

// Prefixes of the hashed bytes of tokens that are not words. A word contains none of these bytes.
const (
	wholeToken  = "\x00" // a folded text without words
	addrToken   = "\x01" // an address
	numberToken = "\x02" // a number
)

// token is the hash (XXH64) of a token.
type token uint64

func tokenOf(text []byte) token { return token(xxhash.Sum64(text)) }

func (t token) stripe() int { return int(t >> 58) }

// place returns the position of a token in a stripe with count tokens.
func (t token) place(count int) uint64 {
	high, _ := bits.Mul64(uint64(t)<<6, uint64(count)<<filterWidth)
	return high
}

// appendTokens appends the tokens of a value. If a query.Value that is not a time matches v, its words, its address or
// its number are among these tokens. folded is the folded text of the value, and isAddr tells whether it is an address.
func appendTokens(dst []token, v query.Scalar, folded []byte, isAddr bool) []token {
	var buffer [128]byte
	switch v.Kind {
	case present:
		return dst
	case query.Number:
		return append(dst, tokenOf(query.AppendNumber(append(buffer[:0], numberToken...), v.Text)))
	case query.Bool:
		return append(dst, tokenOf(folded))
	}
	first := len(dst)
	for word := range func(yield func(string) bool) { query.Words(textOf(folded), yield) } {
		dst = append(dst, token(xxhash.Sum64String(word)))
	}
	if len(dst) == first {
		dst = append(dst, tokenOf(append(append(buffer[:0], wholeToken...), folded...)))
	}
	if isAddr {
		dst = append(dst, tokenOf(query.AppendAddr(append(buffer[:0], addrToken...), v.Text)))
	}
	return dst
}

// filterOf returns the stripes of a block's filter, one after the other, and the end of each. It sorts tokens.
func filterOf(tokens []token) (data []byte, ends [stripes]uint32) {
	slices.Sort(tokens)
	tokens = slices.Compact(tokens)
	for i := range stripes {
		n, _ := slices.BinarySearchFunc(tokens, i+1, func(t token, stripe int) int { return t.stripe() - stripe })
		data = appendStripe(data, tokens[:n])
		tokens, ends[i] = tokens[n:], uint32(len(data))
	}
	return data, ends
}

func appendStripe(dst []byte, tokens []token) []byte {
	w, last := bitWriter{data: binary.AppendUvarint(dst, uint64(len(tokens)))}, uint64(0)
	for _, t := range tokens {
		place := t.place(len(tokens))
		w.rice(place-last, filterWidth)
		last = place
	}
	return w.bytes()
}

// cutStripe returns a stripe of a block, and the data after it. If there is no whole stripe, ok is false.
func cutStripe(data []byte) (stripe, rest []byte, ok bool) {
	r, count, ok := readStripe(data)
	for range count {
		r.rice(filterWidth)
	}
	if !ok || r.bad {
		return nil, nil, false
	}
	rest = r.rest()
	return data[:len(data)-len(rest)], rest, true
}

func readStripe(data []byte) (r bitReader, count int, ok bool) {
	n, size := binary.Uvarint(data)
	if size <= 0 || n > uint64(len(data)) { // a token takes more than a byte
		return r, 0, false
	}
	return bitReader{data: data[size:]}, int(n), true
}

// lookUp tells whether a stripe of a block may have a token, and returns the data after the stripe. If there is no
// whole stripe, ok is false.
func lookUp(data []byte, t token) (found bool, rest []byte, ok bool) {
	r, count, ok := readStripe(data)
	place, at := t.place(count), uint64(0)
	for range count {
		at += r.rice(filterWidth)
		found = found || at == place
	}
	return found, r.rest(), ok && !r.bad
}
