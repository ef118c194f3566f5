// Package gzipmember makes and reads gzip members (RFC 1952), of which WAL objects and segments consist.
//
// A member holds whole lines, so any run of members is a gzip file. What weir must know beside the lines (indexes,
// filters) stands in "asides": empty members whose extra field (RFC 1952, 2.3.1.1) carries the data. zcat and every
// other reader of gzip skip them, so an object reads as just its lines.
package gzipmember

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// Empty is a gzip file of zero bytes.
var Empty = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0}

// ErrCorrupt is returned (wrapped) for bytes that no writer of this package can have written.
var ErrCorrupt = errors.New("corrupt")

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

// Writer compresses into members. It is not safe for concurrent use.
type Writer struct {
	level Level
	gz    *gzip.Writer
}

var writers = [...]sync.Pool{
	Fast:  {New: func() any { return newWriter(Fast, gzip.BestSpeed) }},
	Small: {New: func() any { return newWriter(Small, smallLevel) }},
}

func newWriter(l Level, level int) *Writer {
	gz, err := gzip.NewWriterLevel(io.Discard, level)
	if err != nil {
		panic(err) // the levels are constants
	}
	return &Writer{level: l, gz: gz}
}

// NewWriter begins a member on w. The caller calls Close, which ends the member and gives the Writer up.
func NewWriter(w io.Writer, l Level) *Writer {
	m := writers[l].Get().(*Writer)
	m.gz.Reset(w)
	return m
}

func (m *Writer) Write(p []byte) (int, error) { return m.gz.Write(p) }

// Close ends the member. The Writer must not be used any more.
func (m *Writer) Close() error {
	err := m.gz.Close()
	m.gz.Reset(io.Discard)
	writers[m.level].Put(m)
	return err
}

// Append appends a member that holds data to dst.
func Append(dst, data []byte, l Level) []byte {
	if l == Fast && len(data) < storedBelow {
		return appendStored(dst, data)
	}
	buf := bytes.NewBuffer(dst)
	w := NewWriter(buf, l)
	w.Write(data) // a bytes.Buffer takes everything
	w.Close()
	return buf.Bytes()
}

// appendStored appends a member with one stored block (RFC 1951, 3.2.4).
func appendStored(dst, data []byte) []byte {
	dst = append(dst, 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(data)))
	dst = binary.LittleEndian.AppendUint16(dst, ^uint16(len(data)))
	dst = append(dst, data...)
	dst = binary.LittleEndian.AppendUint32(dst, crc32.ChecksumIEEE(data))
	return binary.LittleEndian.AppendUint32(dst, uint32(len(data)))
}

type reader struct {
	src bytes.Reader
	gz  gzip.Reader
}

var readers = sync.Pool{New: func() any { return new(reader) }}

// Decode appends what the members in data hold to dst, which is size bytes if the caller's index is right: a member
// that holds more or less is corrupt, and no more than size+1 bytes are ever produced.
func Decode(dst, data []byte, size int64) ([]byte, error) {
	r := readers.Get().(*reader)
	defer readers.Put(r)
	r.src.Reset(data)
	if err := r.gz.Reset(&r.src); err != nil {
		return dst, fmt.Errorf("gzip member: %w: %w", ErrCorrupt, err)
	}
	buf := bytes.NewBuffer(dst)
	buf.Grow(int(min(size, 64<<20)) + bytes.MinRead)
	n, err := buf.ReadFrom(io.LimitReader(&r.gz, size+1))
	if err == nil && n != size {
		err = fmt.Errorf("it does not hold the %d bytes that its index says", size)
	}
	if err != nil {
		return dst, fmt.Errorf("gzip member: %w: %w", ErrCorrupt, err)
	}
	return buf.Bytes(), nil
}
