// Package gzipmember writes and reads gzip members (RFC 1952), of which WAL objects, segments and downloads consist.
//
// The content of a member is divided into pieces. A piece is deflate data (RFC 1951) that refers to nothing before it,
// ends at a byte boundary, and has no block that is marked as the last. So pieces of any members can be copied
// unchanged into a new member: Head, the pieces one after another, and a tail (AppendTail) with the Sum of their
// content, which is computed from the Sum of each. A piece holds whole lines, so any sequence of pieces makes a gzip
// file of one member.
//
// Other data of weir (indexes, filters) is in "asides": empty members with the data in their extra field (RFC 1952,
// 2.3.1.1). zcat and all other gzip readers skip them, so they read an object as its lines only.
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

// Head is the header of a member, without a name and a time, and with an unknown system.
const Head = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

// lastBlock is an empty deflate block that is marked as the last.
const lastBlock = "\x03\x00"

// Sizes of the parts around the pieces of a member, in bytes.
const (
	HeadSize = len(Head)
	TailSize = len(lastBlock) + 4 + 4 // CRC32 and ISIZE
)

// ErrCorrupt is returned (wrapped) for bytes that this package cannot have written.
var ErrCorrupt = errors.New("corrupt")

// AppendTail appends the end of a member whose content has the given Sum.
func AppendTail(dst []byte, s Sum) []byte {
	dst = append(dst, lastBlock...)
	dst = binary.LittleEndian.AppendUint32(dst, s.CRC)
	return binary.LittleEndian.AppendUint32(dst, uint32(s.Size))
}

// Level is a compression level.
type Level int

const (
	Fast  Level = iota // for bytes that are read once or rewritten soon
	Small              // for bytes that are kept
)

// storedBelow is the size in bytes below which Fast does not compress, since starting the compressor costs more than it
// saves.
const storedBelow = 2048

// smallLevel is the level above which, for OCSF events, more time saves few bytes.
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

// NewWriter begins a piece on w. The caller must call Close, which ends the piece and releases the Writer.
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

// Close ends the piece, and returns the Sum of its content. The Writer must not be used afterwards.
func (m *Writer) Close() (Sum, error) {
	sum, err := m.sum, m.z.Flush()
	m.z.Reset(io.Discard)
	writers[m.level].Put(m)
	return sum, err
}

// Compress appends a piece with this content to dst.
func Compress(dst, data []byte, l Level) ([]byte, Sum) {
	if l == Fast && len(data) < storedBelow {
		return appendStored(dst, data), SumOf(data)
	}
	buf := bytes.NewBuffer(dst)
	w := NewWriter(buf, l)
	w.Write(data) // a bytes.Buffer returns no errors
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

// Append appends a member of one piece with this content to dst.
func Append(dst, data []byte, l Level) []byte {
	dst, sum := Compress(append(dst, Head...), data, l)
	return AppendTail(dst, sum)
}

// Piece returns the piece of a member that Append made of size bytes, and the Sum of its content from the tail.
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

// Decode appends the content of a member that Append made of size bytes to dst.
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
	data []byte // the piece, and lastBlock after it
	src  bytes.Reader
	z    io.ReadCloser // implements flate.Resetter
}

var readers = sync.Pool{New: func() any { return &reader{z: flate.NewReader(bytes.NewReader(nil))} }}

// Decompress appends the content of a piece to dst. size is its length by the caller's index; if the content is longer
// or shorter, the piece is corrupt, and never more than size+1 bytes are unpacked. Deflate data that another piece
// could not follow is corrupt too.
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
