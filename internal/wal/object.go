package wal

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/gzipmember"
	"github.com/weirlog/weir/internal/seal"
)

// The layout of a WAL object. zcat shows its lines.
//
//	sections   for each: a member with the lines, whose one piece a download copies; an aside "WE" with the fields
//	           of each entry
//	"WS" aside the sections: log, place, number of entries, range of times, digests
//	"WT" aside of fixed size: the length of the "WS" aside, 8 bytes big-endian; the seal of that aside
//
// The seal covers the key of the object and the index, and the index covers the sections by their digests. So a reader
// of some sections of an object believes only sections that a node has written.
var (
	idEntries  = gzipmember.ID{'W', 'E'}
	idSections = gzipmember.ID{'W', 'S'}
	idTrailer  = gzipmember.ID{'W', 'T'}
)

var trailerSize = gzipmember.AsideSize(8 + seal.Size)

// Section describes a run of events of one log in a WAL object.
type Section struct {
	Log              string
	Offset           int64 // of the member that holds the lines
	Length           int64 // of that member
	EntriesLength    int64 // of the aside that follows the member
	RawLength        int64 // of the lines
	Count            int   // of the lines
	MinTime, MaxTime int64 // of the events, milliseconds since the epoch
	Processors       []string

	sums *sums // shared by all copies of a Section
}

// Place is the location of a section.
type Place struct {
	Object string // key of the object
	Section
}

// sums are the SHA-256 of the stored bytes of a section's member and aside.
type sums struct{ lines, entries [sha256.Size]byte }

// encode encodes a batch as a section. The section's Offset is relative to the returned bytes.
func encode(b event.Batch) (Section, []byte) {
	s := Section{Log: b.Log, RawLength: int64(len(b.Lines)), Count: len(b.Entries), MinTime: math.MaxInt64,
		MaxTime: math.MinInt64}
	data := gzipmember.Append(nil, b.Lines, gzipmember.Fast)
	s.Length = int64(len(data))
	meta, names := encodeEntries(b.Entries)
	s.Processors = names
	for _, e := range b.Entries {
		s.MinTime, s.MaxTime = min(s.MinTime, e.Time), max(s.MaxTime, e.Time)
	}
	data = gzipmember.AppendAside(data, idEntries, meta)
	s.EntriesLength = int64(len(data)) - s.Length
	s.sums = &sums{sha256.Sum256(data[:s.Length]), sha256.Sum256(data[s.Length:])}
	return s, data
}

// encodeEntries returns the data of an entries aside, and the names of all processors in it:
//
//	number of names, the names
//	for each entry: difference of its time from the previous one, key, number of processors, the number of each name
func encodeEntries(entries []event.Entry) (data []byte, names []string) {
	number := map[string]int{}
	for _, e := range entries {
		for _, p := range e.Processors {
			if _, ok := number[p]; !ok {
				number[p] = len(names)
				names = append(names, p)
			}
		}
	}
	data = make([]byte, 0, 64+24*len(entries))
	data = binary.AppendUvarint(data, uint64(len(names)))
	for _, name := range names {
		data = gzipmember.AppendString(data, name)
	}
	last := int64(0)
	for _, e := range entries {
		data = binary.AppendVarint(data, e.Time-last)
		data = append(data, e.Key[:]...)
		data = binary.AppendUvarint(data, uint64(len(e.Processors)))
		for _, p := range e.Processors {
			data = binary.AppendUvarint(data, uint64(number[p]))
		}
		last = e.Time
	}
	return data, names
}

func decodeEntries(aside []byte, count int) ([]event.Entry, error) {
	data, err := gzipmember.Aside(aside, idEntries)
	if err != nil {
		return nil, err
	}
	d := gzipmember.NewDecoder(data)
	names := make([]string, d.Count(1))
	for i := range names {
		names[i] = d.String()
	}
	// Slices of one name are shared by the entries with one processor, which are nearly all.
	const minEntry = 1 + len(event.Key{}) + 1
	if count > len(data)/minEntry {
		return nil, fmt.Errorf("%d entries: %w", count, gzipmember.ErrCorrupt)
	}
	entries := make([]event.Entry, count)
	last := int64(0)
	for i := range entries {
		e := &entries[i]
		last += d.Int()
		e.Time = last
		copy(e.Key[:], d.Bytes(len(e.Key)))
		n := d.Count(1)
		if n == 1 && len(names) > 0 {
			k := d.Uint(uint64(len(names) - 1))
			e.Processors = names[k : k+1 : k+1]
			continue
		}
		for range n {
			if len(names) == 0 {
				return nil, fmt.Errorf("processor of entry %d: %w", i, gzipmember.ErrCorrupt)
			}
			e.Processors = append(e.Processors, names[d.Uint(uint64(len(names)-1))])
		}
	}
	return entries, d.Err()
}

// encodeIndex returns the aside that describes the sections of an object.
func encodeIndex(sections []Section) []byte {
	var data []byte
	data = binary.AppendUvarint(data, uint64(len(sections)))
	for _, s := range sections {
		data = gzipmember.AppendString(data, s.Log)
		for _, n := range []int64{s.Offset, s.Length, s.EntriesLength, s.RawLength, int64(s.Count)} {
			data = binary.AppendUvarint(data, uint64(n))
		}
		data = binary.AppendVarint(data, s.MinTime)
		data = binary.AppendVarint(data, s.MaxTime)
		data = binary.AppendUvarint(data, uint64(len(s.Processors)))
		for _, p := range s.Processors {
			data = gzipmember.AppendString(data, p)
		}
		data = append(append(data, s.sums.lines[:]...), s.sums.entries[:]...)
	}
	return gzipmember.AppendAside(nil, idSections, data)
}

// encodeTrailer returns the trailer of the object at a key.
func encodeTrailer(key string, index []byte, k seal.Key) []byte {
	data := binary.BigEndian.AppendUint64(nil, uint64(len(index)))
	return gzipmember.AppendAside(nil, idTrailer, append(data, k.Sum(key, index)...))
}

// checkIndex returns seal.ErrForged unless a node wrote the index for the object at key. index includes the trailer.
func checkIndex(key string, index []byte, k seal.Key) error {
	split := len(index) - trailerSize
	trailer, err := gzipmember.Aside(index[split:], idTrailer)
	if err != nil {
		return err
	}
	return k.Check(key, index[:split], trailer[8:])
}

// indexLength returns the length of the index, trailer included, at the end of an object. tail is the last bytes of the
// object.
func indexLength(tail []byte, size int64) (int64, error) {
	if len(tail) < trailerSize {
		return 0, fmt.Errorf("trailer: %w, the object has %d bytes", gzipmember.ErrCorrupt, size)
	}
	trailer, err := gzipmember.Aside(tail[len(tail)-trailerSize:], idTrailer)
	if err != nil {
		return 0, err
	}
	if len(trailer) != 8+seal.Size {
		return 0, fmt.Errorf("trailer: %w", gzipmember.ErrCorrupt)
	}
	n := int64(binary.BigEndian.Uint64(trailer[:8]))
	if n < 0 || n > size-int64(trailerSize) {
		return 0, fmt.Errorf("trailer: %w, an index of %d bytes in an object of %d", gzipmember.ErrCorrupt, n, size)
	}
	return n + int64(trailerSize), nil
}

// decodeIndex returns the sections that the index of an object of size bytes describes.
func decodeIndex(index []byte, size int64) ([]Section, error) {
	data, err := gzipmember.Aside(index[:len(index)-trailerSize], idSections)
	if err != nil {
		return nil, err
	}
	d := gzipmember.NewDecoder(data)
	sections := make([]Section, d.Count(9+2*sha256.Size))
	end := uint64(size)
	for i := range sections {
		s := &sections[i]
		s.Log = d.String()
		s.Offset, s.Length, s.EntriesLength = int64(d.Uint(end)), int64(d.Uint(end)), int64(d.Uint(end))
		s.RawLength, s.Count = int64(d.Uint(math.MaxInt32)), int(d.Uint(math.MaxInt32))
		s.MinTime, s.MaxTime = d.Int(), d.Int()
		s.Processors = make([]string, d.Count(1))
		for j := range s.Processors {
			s.Processors[j] = d.String()
		}
		s.sums = new(sums)
		copy(s.sums.lines[:], d.Bytes(sha256.Size))
		copy(s.sums.entries[:], d.Bytes(sha256.Size))
		if s.Offset+s.Length+s.EntriesLength > size {
			return nil, fmt.Errorf("section %d: %w, it ends after the object", i, gzipmember.ErrCorrupt)
		}
	}
	return sections, d.Err()
}
