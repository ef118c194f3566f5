package gzipmember

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// ID is the subfield ID of an aside's extra field (SI1, SI2 of RFC 1952).
type ID [2]byte

// maxExtra is the size of the longest extra field that is written, in bytes. RFC 1952 allows 65,535, but some readers,
// such as DuckDB's, refuse more than 32,768.
const maxExtra = 16 << 10

const (
	asideHead  = 10 + 2 + 4            // header, XLEN, subfield header
	asideTail  = 2 + 8                 // an empty deflate stream, CRC32 and ISIZE of no bytes
	asideMax   = maxExtra - 4          // data bytes of one member
	asideFrame = asideHead + asideTail // bytes that a member adds to its data
	sumSize    = 4                     // CRC-32C of the data, before it
)

// The start and the end of an aside's members: a header with FEXTRA, and an empty deflate stream with its checksum and
// length.
var (
	asideStart = []byte{0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff}
	asideEnd   = []byte{3, 0, 0, 0, 0, 0, 0, 0, 0, 0}
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AsideSize returns the number of bytes that AppendAside appends for n bytes of data.
func AsideSize(n int) int {
	n += sumSize
	return n + (n+asideMax-1)/asideMax*asideFrame
}

// AppendAside appends data as an aside: a checksum and the data, in as many empty members as they need.
func AppendAside(dst []byte, id ID, data []byte) []byte {
	payload := binary.LittleEndian.AppendUint32(make([]byte, 0, sumSize+len(data)), crc32.Checksum(data, castagnoli))
	payload = append(payload, data...)
	for len(payload) > 0 {
		n := min(len(payload), asideMax)
		dst = append(dst, asideStart...)
		dst = binary.LittleEndian.AppendUint16(dst, uint16(4+n))
		dst = append(dst, id[0], id[1])
		dst = binary.LittleEndian.AppendUint16(dst, uint16(n))
		dst = append(dst, payload[:n]...)
		dst = append(dst, asideEnd...)
		payload = payload[n:]
	}
	return dst
}

// Aside returns the data of an aside. src must be the whole aside, and nothing else.
func Aside(src []byte, id ID) ([]byte, error) {
	var payload []byte
	for len(src) > 0 {
		if len(src) < asideFrame || !bytes.HasPrefix(src, asideStart) || src[12] != id[0] || src[13] != id[1] {
			return nil, fmt.Errorf("aside %s: %w header", id, ErrCorrupt)
		}
		n := int(binary.LittleEndian.Uint16(src[14:]))
		if int(binary.LittleEndian.Uint16(src[10:])) != n+4 || len(src) < n+asideFrame ||
			!bytes.Equal(src[asideHead+n:n+asideFrame], asideEnd) {
			return nil, fmt.Errorf("aside %s: %w length", id, ErrCorrupt)
		}
		part := src[asideHead : asideHead+n]
		src = src[n+asideFrame:]
		if payload == nil && len(src) == 0 {
			payload = part // the usual case needs no copy
		} else {
			payload = append(payload, part...)
		}
	}
	if len(payload) < sumSize || crc32.Checksum(payload[sumSize:], castagnoli) != binary.LittleEndian.Uint32(payload) {
		return nil, fmt.Errorf("aside %s: %w, its checksum does not match", id, ErrCorrupt)
	}
	return payload[sumSize:], nil
}

func (id ID) String() string { return string(id[:]) }

// Decoder decodes numbers and strings from an aside. After the first error it returns zero values; see Err.
type Decoder struct {
	data []byte
	err  error
}

// NewDecoder returns a Decoder of data.
func NewDecoder(data []byte) *Decoder { return &Decoder{data: data} }

func (d *Decoder) fail() {
	d.data, d.err = nil, fmt.Errorf("index: %w", ErrCorrupt)
}

// Uint decodes an unsigned varint. More than limit is an error.
func (d *Decoder) Uint(limit uint64) uint64 {
	v, n := binary.Uvarint(d.data)
	if n <= 0 || v > limit {
		d.fail()
		return 0
	}
	d.data = d.data[n:]
	return v
}

// Int decodes a signed varint.
func (d *Decoder) Int() int64 {
	v, n := binary.Varint(d.data)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.data = d.data[n:]
	return v
}

// Count decodes the number of items that follow, given the least size of an item in bytes. So a corrupt count never
// makes the caller allocate much more memory than the aside has.
func (d *Decoder) Count(size int) int { return int(d.Uint(uint64(len(d.data) / size))) }

// Bytes returns the next n bytes. They share memory with the aside.
func (d *Decoder) Bytes(n int) []byte {
	if n < 0 || n > len(d.data) {
		d.fail()
		return nil
	}
	b := d.data[:n:n]
	d.data = d.data[n:]
	return b
}

// String decodes a length and a string of that length.
func (d *Decoder) String() string { return string(d.Bytes(d.Count(1))) }

// Err returns the first error. Unread bytes are an error too.
func (d *Decoder) Err() error {
	if d.err == nil && len(d.data) > 0 {
		d.fail()
	}
	return d.err
}

// AppendString appends s in the form of Decoder.String.
func AppendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// Rest returns the unread bytes and counts them as read. After an error it returns nil.
func (d *Decoder) Rest() []byte {
	if d.err != nil {
		return nil
	}
	rest := d.data[:len(d.data):len(d.data)]
	d.data = d.data[len(d.data):]
	return rest
}
