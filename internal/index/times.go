package index

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// The times of a block's entries are encoded as follows: the Rice parameter (a byte); the first time minus the block's
// least time (uvarint); the least difference between successive times (uvarint); and then the differences minus the
// least one, in Rice coding. If the high bit of the first byte is set, some differences are negative, and all are
// zig-zag encoded.

const signedTimes = 0x80

// timeEscape is the unary part that marks a large difference, which follows in 64 bits.
const timeEscape = 32

// appendTimes appends the times of a block. least is the least of them.
func appendTimes(dst []byte, times []int64, least int64) []byte {
	signed := false
	for i := 1; i < len(times); i++ {
		signed = signed || times[i] < times[i-1]
	}
	sum, small := uint64(0), uint64(math.MaxUint64)
	for i := 1; i < len(times); i++ {
		small = min(small, difference(times[i-1], times[i], signed))
	}
	if len(times) == 1 {
		small = 0
	}
	for i := 1; i < len(times); i++ {
		sum += min(difference(times[i-1], times[i], signed)-small, 1<<40)
	}
	parameter := uint(max(1, bits.Len64(sum/uint64(len(times))))) - 1
	flag := byte(0)
	if signed {
		flag = signedTimes
	}
	dst = binary.AppendUvarint(append(dst, byte(parameter)|flag), uint64(times[0]-least))
	w := bitWriter{data: binary.AppendUvarint(dst, small)}
	for i := 1; i < len(times); i++ {
		d := difference(times[i-1], times[i], signed) - small
		if d>>parameter < timeEscape {
			w.rice(d, parameter)
			continue
		}
		w.rice(timeEscape<<parameter, parameter)
		w.writeLong(d, 64)
	}
	return w.bytes()
}

func difference(from, to int64, signed bool) uint64 {
	d := to - from
	if signed {
		return uint64(d)<<1 ^ uint64(d>>63)
	}
	return uint64(d)
}

// decodeTimes decodes the times of a block with count entries.
func decodeTimes(data []byte, count int, least int64) (times []int64, ok bool) {
	if len(data) == 0 || count > len(data)*8 {
		return nil, false
	}
	parameter, signed := uint(data[0]&^signedTimes), data[0]&signedTimes != 0
	first, n := binary.Uvarint(data[1:])
	if n <= 0 || parameter > 40 {
		return nil, false
	}
	data = data[1+n:]
	small, n := binary.Uvarint(data)
	if n <= 0 {
		return nil, false
	}
	r := bitReader{data: data[n:]}
	times = make([]int64, count)
	at := least + int64(first)
	for i := range times {
		if i > 0 {
			d := r.rice(parameter)
			if d>>parameter == timeEscape {
				d = r.readLong(64)
			}
			if d += small; signed {
				d = d>>1 ^ -(d & 1)
			}
			at += int64(d)
		}
		times[i] = at
	}
	return times, !r.bad && len(r.rest()) == 0
}
