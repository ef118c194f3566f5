// Package segment makes and reads segments: immutable runs of a log's entries, as bytes. It knows no bucket, no
// manifest and no signature. Package tlog stores segments, and records which of them form a log.
//
// The layout of a segment, whose lines zcat shows:
//
//	blocks     whole entries, compressed; together they are one gzip member, and each is a piece of it
//	"WB" aside the index: the blocks, and the parts behind it, each with its length and SHA-256
//	parts      an aside each: "WF" (filters of the entries' keys), "WG" (hashes of the groups of 256 entries)
//	"WT" aside the trailer, of fixed size: first entry, length of the index, length of the parts
//
// A manifest has the SHA-256 of the index, so all that is read of a segment can be verified against the manifest.
//
// Each kind of part is a [Kind]. It builds the part of a segment that is made from entries, and merges the parts of
// segments that are merged. Objects beside a segment, which the manifest names, are made in the same way.
package segment

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/weirlog/weir/internal/gzipmember"
	"github.com/weirlog/weir/internal/proof"
)

// ErrCorrupt is returned (wrapped) for bytes that are not a segment, or a part of one.
var ErrCorrupt = gzipmember.ErrCorrupt

// ID names a kind of part. For a part inside a segment it has two bytes: the subfield of its aside.
type ID string

const (
	Filters ID = "WF" // a filter of the keys of each block
	Groups  ID = "WG" // the hash of each group of 256 entries that ends in the segment

	index   ID = "WB"
	trailer ID = "WT"
)

func (id ID) aside() gzipmember.ID { return gzipmember.ID{id[0], id[1]} }

// Span is a range of bytes of a segment.
type Span struct {
	Offset int64
	Length int64
}

// End is the offset of the first byte behind the span.
func (s Span) End() int64 { return s.Offset + s.Length }

// Info describes a segment in a manifest.
type Info struct {
	First   int64 `json:"first"`   // index of its first entry
	Count   int64 `json:"count"`   // number of entries
	Raw     int64 `json:"raw"`     // size of its lines in bytes
	Blocks  int64 `json:"blocks"`  // size in bytes of the gzip member that holds its blocks
	Index   int64 `json:"index"`   // size in bytes of the index behind them
	Parts   int64 `json:"parts"`   // size in bytes of the parts behind the index
	MinTime int64 `json:"minTime"` // of its events, milliseconds since the epoch, both included
	MaxTime int64 `json:"maxTime"`

	Sum proof.Hash `json:"sum"` // SHA-256 of the index
}

// End is the index of the entry that follows the segment.
func (s *Info) End() int64 { return s.First + s.Count }

// Size is the size of the segment in bytes.
func (s *Info) Size() int64 { return s.TrailerSpan().End() }

// HeadSpan is the head of the gzip member that holds the blocks.
func (s *Info) HeadSpan() Span { return Span{0, int64(gzipmember.HeadSize)} }

// TailSpan is the tail of that member.
func (s *Info) TailSpan() Span {
	return Span{s.Blocks - int64(gzipmember.TailSize), int64(gzipmember.TailSize)}
}

// IndexSpan is the range of the index.
func (s *Info) IndexSpan() Span { return Span{s.Blocks, s.Index} }

// TrailerSpan is the range of the trailer.
func (s *Info) TrailerSpan() Span { return Span{s.Blocks + s.Index + s.Parts, TrailerSize} }

// trailerFields is the number of fields of a trailer.
const trailerFields = 3

// TrailerSize is the size of a segment's trailer in bytes.
var TrailerSize = int64(gzipmember.AsideSize(trailerFields * 8))

// Trailer returns the trailer in its stored form.
func (s *Info) Trailer() []byte {
	var data []byte
	for _, n := range [trailerFields]int64{s.First, s.Index, s.Parts} {
		data = binary.BigEndian.AppendUint64(data, uint64(n))
	}
	return gzipmember.AppendAside(nil, trailer.aside(), data)
}

// DecodeTrailer decodes a trailer, the last bytes of a segment of size bytes. It sets the first entry and the lengths.
func DecodeTrailer(tail []byte, size int64) (s Info, err error) {
	data, err := gzipmember.Aside(tail, trailer.aside())
	if err != nil || len(data) != trailerFields*8 {
		return s, fmt.Errorf("trailer: %w", errors.Join(ErrCorrupt, err))
	}
	s.Blocks = size - TrailerSize
	for i, to := range [trailerFields]*int64{&s.First, &s.Index, &s.Parts} {
		*to = int64(binary.BigEndian.Uint64(data[8*i:]))
		if *to < 0 || i > 0 && *to > s.Blocks {
			return Info{}, fmt.Errorf("trailer: it names parts that do not fit: %w", ErrCorrupt)
		}
		if i > 0 {
			s.Blocks -= *to
		}
	}
	return s, nil
}
