// Package gzipmember makes and reads gzip members (RFC 1952), of which WAL objects, segments and downloads consist.
//
// What a member holds stands in pieces. A piece is deflate data (RFC 1951) that refers to nothing before it, ends at a
// byte boundary, and has no block that is marked as the last. So pieces of any members, copied as they lie, make a new
// member: Head, the pieces one behind the other, and a tail (AppendTail) with the Sum of what they hold, which follows
// from the Sum of each. A piece holds whole lines, so any run of pieces makes a gzip file of one member.
//
// What weir must know beside the lines (indexes, filters) stands in "asides": empty members whose extra field (RFC
// 1952, 2.3.1.1) carries the data. zcat and every other reader of gzip skip them, so an object reads as just its lines.
package gzipmember

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// Head begins a member: no name, no time, an unknown system.
const Head = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

// lastBlock is an empty block of deflate data that is marked as the last.
const lastBlock = "\x03\x00"

// Sizes in bytes of what stands around the pieces of a member.
const (
	HeadSize = len(Head)
	TailSize = len(lastBlock) + 4 + 4 // CRC32 and ISIZE
)

// ErrCorrupt is returned (wrapped) for bytes that no writer of this package can have written.
var ErrCorrupt = errors.New("corrupt")

// AppendTail appends what ends a member whose pieces have the given Sum.
func AppendTail(dst []byte, s Sum) []byte {
	dst = append(dst, lastBlock...)
	dst = binary.LittleEndian.AppendUint32(dst, s.CRC)
	return binary.LittleEndian.AppendUint32(dst, uint32(s.Size))
}

// Level trades time for size.
type Level int

const (
	Fast  Level = iota // for bytes that are read once or soon written again
	Small              // for bytes that are kept
)

// storedBelow is the size in bytes under which Fast does not compress: the compressor's start costs more than the
// few bytes are worth.
const storedBelow = 2048

// smallLevel is where, on OCSF events, a higher level costs more time than it saves bytes.
const smallLevel = 5

// Writer compresses into a piece. It is not safe for concurrent use.
type Writer struct {
	level Level
	z     *flate.Writer
	sum   Sum
}

var writers = [...]sync.Pool{
	Fast:  {New: func() any { return newWriter(Fast, flate.BestSpeed) }},
	Small: {New: func() any { return newWriter(Small, smallLevel) }},
}

func newWriter(l Level, level int) *Writer {
	z, err := flate.NewWriter(io.Discard, level)
	if err != nil {
		panic(err) // the levels are constants
	}
	return &Writer{level: l, z: z}
}

// NewWriter begins a piece on w. The caller calls Close, which ends the piece and gives the Writer up.
func NewWriter(w io.Writer, l Level) *Writer {
	m := writers[l].Get().(*Writer)
	m.z.Reset(w)
	m.sum = Sum{}
	return m
}

func (m *Writer) Write(p []byte) (int, error) {
	n, err := m.z.Write(p)
	m.sum.CRC = crc32.Update(m.sum.CRC, crc32.IEEETable, p[:n])
	m.sum.Size += int64(n)
	return n, err
}

// Close ends the piece, and returns the Sum of what it holds. The Writer must not be used any more.
func (m *Writer) Close() (Sum, error) {
	sum, err := m.sum, m.z.Flush()
	m.z.Reset(io.Discard)
	writers[m.level].Put(m)
	return sum, err
}

// Compress appends a piece that holds data to dst.
func Compress(dst, data []byte, l Level) ([]byte, Sum) {
	if l == Fast && len(data) < storedBelow {
		return appendStored(dst, data), SumOf(data)
	}
	buf := bytes.NewBuffer(dst)
	w := NewWriter(buf, l)
	w.Write(data) // a bytes.Buffer takes everything
	sum, _ := w.Close()
	return buf.Bytes(), sum
}

// appendStored appends a piece of one stored block (RFC 1951, 3.2.4).
func appendStored(dst, data []byte) []byte {
	dst = append(dst, 0)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(data)))
	dst = binary.LittleEndian.AppendUint16(dst, ^uint16(len(data)))
	return append(dst, data...)
}

// Append appends a member of one piece, which holds data, to dst.
func Append(dst, data []byte, l Level) []byte {
	dst, sum := Compress(append(dst, Head...), data, l)
	return AppendTail(dst, sum)
}

// Piece returns what stands between the head and the tail of a member that Append made of size bytes, and the Sum of
// what it holds as the tail has it.
func Piece(member []byte, size int64) (piece []byte, s Sum, err error) {
	end := len(member) - TailSize
	if end < HeadSize || string(member[:HeadSize]) != Head || string(member[end:end+len(lastBlock)]) != lastBlock {
		return nil, Sum{}, fmt.Errorf("gzip member: %w head or tail", ErrCorrupt)
	}
	s = Sum{CRC: binary.LittleEndian.Uint32(member[len(member)-8:]), Size: size}
	if binary.LittleEndian.Uint32(member[len(member)-4:]) != uint32(size) {
		return nil, Sum{}, fmt.Errorf("gzip member: %w, it does not hold the %d bytes that its index says", ErrCorrupt,
			size)
	}
	return member[HeadSize:end], s, nil
}

// Decode appends what a member that Append made of size bytes holds to dst.
func Decode(dst, member []byte, size int64) ([]byte, error) {
	piece, want, err := Piece(member, size)
	if err != nil {
		return dst, err
	}
	data, err := Decompress(dst, piece, size)
	if err == nil && SumOf(data[len(dst):]) != want {
		return dst, fmt.Errorf("gzip member: %w, its checksum does not match", ErrCorrupt)
	}
	return data, err
}

type reader struct {
	data []byte // the piece, and a last block behind it
	src  bytes.Reader
	z    io.ReadCloser // implements flate.Resetter
}

var readers = sync.Pool{New: func() any { return &reader{z: flate.NewReader(bytes.NewReader(nil))} }}

// Decompress appends what a piece holds to dst, which is size bytes if the caller's index is right: a piece that holds
// more or less is corrupt, and no more than size+1 bytes are ever produced. Bytes behind which no other piece could
// stand are no piece.
func Decompress(dst, piece []byte, size int64) ([]byte, error) {
	r := readers.Get().(*reader)
	defer readers.Put(r)
	r.data = append(append(r.data[:0], piece...), lastBlock...)
	r.src.Reset(r.data)
	if err := r.z.(flate.Resetter).Reset(&r.src, nil); err != nil {
		return dst, fmt.Errorf("deflate data: %w", err)
	}
	buf := bytes.NewBuffer(dst)
	buf.Grow(int(min(size, 64<<20)) + bytes.MinRead)
	n, err := buf.ReadFrom(io.LimitReader(r.z, size+1))
	switch {
	case err != nil:
		return dst, fmt.Errorf("deflate data: %w: %w", ErrCorrupt, err)
	case n != size:
		return dst, fmt.Errorf("deflate data: %w, it does not hold the %d bytes that its index says", ErrCorrupt, size)
	case r.src.Len() > 0:
		return dst, fmt.Errorf("deflate data: %w, it ends before its last byte", ErrCorrupt)
	}
	return buf.Bytes(), nil
}
