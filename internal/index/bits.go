package index

import (
	"encoding/binary"
	"iter"
	"math/bits"
)

// Bits is a set of entries of a block, by their numbers. Numbers beyond its end are not in it.
type Bits []uint64

func newBits(entries int) Bits { return make(Bits, (entries+63)/64) }

// every returns the set of all entries of a block that has this number of entries.
func every(entries int) Bits {
	b := newBits(entries)
	for i := range b {
		b[i] = ^uint64(0)
	}
	b.trim(entries)
	return b
}

// trim removes numbers that are not entries of a block with this number of entries.
func (b Bits) trim(entries int) {
	if rest := entries % 64; rest > 0 {
		b[len(b)-1] &= 1<<rest - 1
	}
}

// Has tells whether an entry is in the set.
func (b Bits) Has(entry int) bool { return entry/64 < len(b) && b[entry/64]&(1<<(entry%64)) != 0 }

// Count returns the number of entries in the set.
func (b Bits) Count() (n int) {
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

// All yields the entries in the set, in order.
func (b Bits) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, w := range b {
			for ; w != 0; w &= w - 1 {
				if !yield(i*64 + bits.TrailingZeros64(w)) {
					return
				}
			}
		}
	}
}

func (b Bits) set(entry int) { b[entry/64] |= 1 << (entry % 64) }

func (b Bits) empty() bool {
	for _, w := range b {
		if w != 0 {
			return false
		}
	}
	return true
}

// bitWriter appends bits, from the lowest of each byte. The zero value is an empty writer.
type bitWriter struct {
	data []byte
	word uint64
	used uint // number of bits in word, below 8 between calls
}

// write appends the lowest bits of a value, 56 at most.
func (w *bitWriter) write(value uint64, width uint) {
	w.word |= value << w.used
	for w.used += width; w.used >= 8; w.used -= 8 {
		w.data = append(w.data, byte(w.word))
		w.word >>= 8
	}
}

// writeLong appends the lowest bits of a value, 64 at most.
func (w *bitWriter) writeLong(value uint64, width uint) {
	if width > 32 {
		w.write(value&(1<<32-1), 32)
		value, width = value>>32, width-32
	}
	w.write(value, width)
}

// rice appends a value in Rice coding: the value without its lowest bits in unary, then the lowest bits. parameter is
// the number of lowest bits.
func (w *bitWriter) rice(value uint64, parameter uint) {
	high := value >> parameter
	for ; high >= 32; high -= 32 {
		w.write(1<<32-1, 32)
	}
	w.write(1<<high-1, uint(high)+1)
	w.writeLong(value&(1<<parameter-1), parameter)
}

// bytes returns the written bytes. The last one is filled with zeros.
func (w *bitWriter) bytes() []byte {
	if w.used > 0 {
		w.data = append(w.data, byte(w.word))
		w.word, w.used = 0, 0
	}
	return w.data
}

// bitReader reads bits. After the end it reads zeros, and sets bad.
type bitReader struct {
	data []byte
	at   int // in bits
	bad  bool
}

func (r *bitReader) left() int { return len(r.data)*8 - r.at }

// peek returns the next bits: at least 57, unless fewer are left.
func (r *bitReader) peek() uint64 {
	i := r.at >> 3
	if len(r.data)-i >= 8 {
		return binary.LittleEndian.Uint64(r.data[i:]) >> (r.at & 7)
	}
	return r.peekLast(i)
}

func (r *bitReader) peekLast(i int) (word uint64) {
	if i >= len(r.data) {
		return 0
	}
	for n, c := range r.data[i:] {
		word |= uint64(c) << (8 * n)
	}
	return word >> (r.at & 7)
}

// read reads a value of 56 bits at most.
func (r *bitReader) read(width uint) uint64 {
	value := r.peek() & (1<<width - 1)
	if r.at += int(width); r.at > len(r.data)*8 {
		r.fail()
		return 0
	}
	return value
}

func (r *bitReader) readLong(width uint) (value uint64) {
	if width > 32 {
		low := r.read(32)
		return low | r.read(width-32)<<32
	}
	return r.read(width)
}

func (r *bitReader) rice(parameter uint) uint64 {
	high := uint64(0)
	for {
		ones := bits.TrailingZeros64(^r.peek())
		if ones < 56 {
			high += uint64(ones)
			r.at += ones + 1
			break
		}
		high += 56
		if r.at += 56; r.left() <= 0 {
			break
		}
	}
	if r.left() < 0 {
		r.fail()
		return 0
	}
	return high<<parameter | r.readLong(parameter)
}

func (r *bitReader) fail() { r.bad, r.at = true, len(r.data)*8 }

// rest returns the bytes after those of which bits were read.
func (r *bitReader) rest() []byte { return r.data[(r.at+7)/8:] }

// packedSize returns the number of bytes of count values of a width.
func packedSize(count int, width uint) int { return (count*int(width) + 7) / 8 }

// width returns the number of bits that values below n need.
func width(n int) uint { return uint(bits.Len(uint(max(0, n-1)))) }

// appendIncreasing appends increasing numbers below most.
func appendIncreasing(dst []byte, numbers []uint32, most int) []byte {
	if len(numbers) == most {
		return dst
	}
	w, next := bitWriter{data: dst}, uint32(0)
	parameter := increasingParameter(len(numbers), most)
	for _, n := range numbers {
		w.rice(uint64(n-next), parameter)
		next = n + 1
	}
	return w.bytes()
}

func increasingParameter(count, most int) uint {
	return uint(max(1, bits.Len(uint(most/max(1, count))))) - 1
}

// increasing reads the result of appendIncreasing. rest is the data after it. If the numbers are not below most, ok is
// false.
func increasing(dst []uint32, data []byte, count, most int) (numbers []uint32, rest []byte, ok bool) {
	if count > most {
		return dst, nil, false
	}
	if count == most {
		for i := range uint32(count) {
			dst = append(dst, i)
		}
		return dst, data, true
	}
	r, next := bitReader{data: data}, uint64(0)
	parameter := increasingParameter(count, most)
	for range count {
		n := next + r.rice(parameter)
		if r.bad || n >= uint64(most) {
			return dst, nil, false
		}
		dst = append(dst, uint32(n))
		next = n + 1
	}
	return dst, r.rest(), true
}
