package gzipmember

import "hash/crc32"

// Sum is the checksum and length in a member's tail. The zero Sum is that of no bytes.
type Sum struct {
	CRC  uint32 // CRC-32 (IEEE)
	Size int64  // in bytes; a tail has the lowest 32 bits of it
}

// SumOf returns the Sum of data.
func SumOf(data []byte) Sum { return Sum{CRC: crc32.ChecksumIEEE(data), Size: int64(len(data))} }

// Then returns the Sum of the bytes of s followed by the bytes of next.
//
// A CRC-32 is a remainder of polynomials over GF(2). Appending n bytes multiplies the polynomial of the earlier bytes
// by x to the power of 8·n, and adds the remainder of the new bytes. The initial and final inversions cancel out.
func (s Sum) Then(next Sum) Sum {
	return Sum{CRC: multiply(power(next.Size), s.CRC) ^ next.CRC, Size: s.Size + next.Size}
}

// Polynomials of degree below 32 are stored as in a CRC-32: the highest bit is the coefficient of 1, the lowest that of
// x³¹.
const (
	one = uint32(1) << 31
	x   = uint32(1) << 30
)

// multiply returns a·b modulo the polynomial of CRC-32.
func multiply(a, b uint32) (product uint32) {
	for range 32 { // without branches, which a processor could not predict here
		product ^= b & -(a >> 31)
		a, b = a<<1, b>>1^crc32.IEEE&-(b&1) // b·x
	}
	return product
}

// squares are x, x², x⁴, … up to x to the power of 2³¹. The next one is x again.
var squares = func() (s [32]uint32) {
	s[0] = x
	for i := 1; i < len(s); i++ {
		s[i] = multiply(s[i-1], s[i-1])
	}
	return s
}()

// power returns x to the power of 8·n.
func power(n int64) uint32 {
	p := one
	for i := 3; n > 0; n, i = n>>1, i+1 {
		if n&1 != 0 {
			p = multiply(squares[i%len(squares)], p)
		}
	}
	return p
}
