package index

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/weirlog/weir/internal/query"
)

// A filter tells of a token that it is not among those of a block, or that perhaps it is, the latter wrongly for one of
// 4,096. It is a Golomb-coded set, cut by the tokens' hashes into stripes, so that one token needs one stripe of each
// block: stripe by stripe they lie one behind the other.

const (
	stripes     = 64
	filterWidth = 12 // A token is missed for another of 2^filterWidth.
)

// What the bytes that are hashed for a token begin with, if it is no word. A word has none of these.
const (
	wholeToken  = "\x00" // a folded text that has no words
	addrToken   = "\x01" // an address
	numberToken = "\x02" // a number
)

// token is the hash (XXH64) of a token.
type token uint64

func tokenOf(text []byte) token { return token(xxhash.Sum64(text)) }

func (t token) stripe() int { return int(t >> 58) }

// place is where a token stands among count of a stripe of a block.
func (t token) place(count int) uint64 {
	high, _ := bits.Mul64(uint64(t)<<6, uint64(count)<<filterWidth)
	return high
}

// appendTokens appends the tokens of a value, such that a Value that matches it has each of its words among them, or
// its address, or its number, unless it is a time. folded is the value's text, folded; isAddr tells whether it is an
// address.
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

// filterOf returns the stripes of a block's filter, one behind the other, and where each ends. It sorts the tokens.
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

// cutStripe returns a stripe of a block, and what stands behind it. It is not ok if there is none.
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

// lookUp tells whether a stripe of a block may have a token, and returns what stands behind the stripe. It is not ok if
// there is none.
func lookUp(data []byte, t token) (found bool, rest []byte, ok bool) {
	r, count, ok := readStripe(data)
	place, at := t.place(count), uint64(0)
	for range count {
		at += r.rice(filterWidth)
		found = found || at == place
	}
	return found, r.rest(), ok && !r.bad
}
