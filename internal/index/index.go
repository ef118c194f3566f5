// Package index implements the index of a segment: an object beside it that tells, without reading the lines, which
// entries match a query, when they were, and how often their values occur. The package does no I/O: an Index asks its
// caller for the ranges of the object that it needs.
//
// The content of an index depends only on the lines of each block. So merging indexes reads no lines, and gives the
// same bytes as building the index of the merged segment.
//
// # Content
//
// Each path of a block's events (arrays are transparent, as in a query) is a column. A column has, for each entry, the
// list of the values at this path. All lists of a column are in one dictionary for the whole segment, with the number
// of entries that have them. A block has the places of its lists in the dictionary, and a code for each entry. Most
// columns of a block are functions of one of a few others (such as the address and the operation of the user), and are
// stored as functions.
//
// If a column has too many values in a block, they are hidden: they are only in the block's filter, word by word, and
// the column has a summary of them. So "no" is exact, and otherwise the answer for such entries is "perhaps", and the
// lines decide. The same holds for values at paths that are too deep, or too many for a block to name. Whole numbers,
// such as durations, are packed instead, so that they can be compared; only their frequencies are unknown.
//
// The time of each entry is exact. Aliases are computed from their sources and take no space.
//
// A segment with less than 256 KiB of lines, or with more than 65,536 paths, has no index: Build and Merge return nil.
//
// # The object
//
// It begins with the head (see HeadLength), which has the places of all other parts. These are in pages, each with a
// SHA-256: the filters, stripe by stripe; the times, block by block; the dictionaries, column by column; and the
// blocks' records, column by column. So a question about one field reads the head, one dictionary, and the records of
// one column and of its bases. docs/format.md has the details.
package index

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/weirlog/weir/internal/gzipmember"
	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/segment"
)

// ID is the id of this kind of object. It must change with the format, and with the results of package query for the
// words of a text, for case, and for the equality of numbers and addresses. Then all segments get new indexes.
const ID segment.ID = "index"

// ErrCorrupt is returned (wrapped) for bytes that are not an index.
var ErrCorrupt = segment.ErrCorrupt

const (
	leastRaw    = 256 << 10 // bytes of lines of the smallest segment that has an index
	mostColumns = 1 << 16
)

// Kind makes the index of a segment. If a segment has none, the content is nil.
type Kind struct {
	Least int64 // bytes of lines of the smallest segment that has an index (default 256 KiB); less is for tests
}

// HeadLength calls the function HeadLength: see segment.Headed.
func (Kind) HeadLength(content []byte) (int64, error) { return HeadLength(content) }

// Wants tells whether a segment gets an index, if it does not have too many paths.
func (k Kind) Wants(s segment.Info) bool { return s.Raw >= cmp.Or(k.Least, leastRaw) }

// ID returns ID.
func (Kind) ID() segment.ID { return ID }

// Note makes the notes of a block.
func (Kind) Note(c segment.Content) any { return noteOf(c) }

// Build returns the index of a segment, or nil if the segment gets none.
func (k Kind) Build(blocks []segment.Made) ([]byte, error) { return k.Merge(nil, blocks) }

// Merge returns the index of a segment that is made of others, or nil if the segment gets none.
func (k Kind) Merge(sources []*segment.Source, blocks []segment.Made) ([]byte, error) {
	raw := int64(0)
	for _, b := range blocks {
		raw += b.Raw
	}
	if raw < cmp.Or(k.Least, leastRaw) {
		return nil, nil
	}
	notes := make([]*note, len(blocks))
	known := map[*segment.Source][]*note{}
	for i, b := range blocks {
		if b.Source == nil {
			notes[i] = b.Note.(*note)
			continue
		}
		from, ok := known[b.Source]
		if !ok {
			var err error
			if from, err = decodeNotes(b.Source.Parts[ID]); err != nil {
				return nil, fmt.Errorf("entries from %d on: %w", b.Source.First, err)
			}
			known[b.Source] = from
		}
		if b.Number >= len(from) || from[b.Number].count != b.Count {
			return nil, fmt.Errorf("entries from %d on: the index is of other blocks: %w", b.Source.First, ErrCorrupt)
		}
		notes[i] = from[b.Number]
	}
	return encode(notes), nil
}

const (
	magic      = "weirindx" // the first bytes of an index
	headStart  = len(magic) + 4
	pageBytes  = 16 << 10 // a page ends with the section that makes it this large
	flagUnread = 1
	flagPlain  = 2
	flagLost   = 4 // there are unnamed values
)

// HeadLength returns the length of the head of an index, given at least its first 12 bytes.
func HeadLength(content []byte) (int64, error) {
	if len(content) < headStart || string(content[:len(magic)]) != magic {
		return 0, fmt.Errorf("index: it does not begin as one: %w", ErrCorrupt)
	}
	return int64(binary.LittleEndian.Uint32(content[len(magic):])), nil
}

// encode returns the index of blocks, or nil if they have too many paths.
func encode(notes []*note) []byte {
	columns := unite(notes)
	tooLarge := func(n *note) bool { return n.count > mostEntries }
	if len(columns) > mostColumns || slices.ContainsFunc(notes, tooLarge) {
		return nil
	}
	var filter, times, lists, records regionWriter
	for s := range stripes {
		for _, n := range notes {
			filter.data = append(filter.data, n.stripe(s)...)
		}
		filter.end()
	}
	for _, n := range notes {
		times.data = append(times.data, n.times...)
		times.end()
	}
	for i := range columns {
		lists.data = columns[i].appendLists(lists.data)
		lists.end()
		records.data = columns[i].appendRecords(records.data, notes)
		records.end()
	}
	head := append(make([]byte, 0, 1<<14), magic+"\x00\x00\x00\x00"...)
	head = appendBlocks(head, notes)
	head = binary.AppendUvarint(head, uint64(len(columns)))
	last := ""
	for i := range columns {
		head = columns[i].append(head, last)
		last = string(columns[i].path)
	}
	for _, r := range []*regionWriter{&filter, &times, &lists, &records} {
		head = r.append(head)
	}
	binary.LittleEndian.PutUint32(head[len(magic):], uint32(len(head)))
	return slices.Concat(head, filter.data, times.data, lists.data, records.data)
}

// stripe returns a stripe of the block's filter.
func (n *note) stripe(number int) []byte {
	if n.unread {
		return []byte{0}
	}
	start := uint32(0)
	if number > 0 {
		start = n.ends[number-1]
	}
	return n.filter[start:n.ends[number]]
}

func appendBlocks(head []byte, notes []*note) []byte {
	head = binary.AppendUvarint(head, uint64(len(notes)))
	last := int64(0)
	for _, n := range notes {
		head = binary.AppendUvarint(head, uint64(n.count))
		head = binary.AppendVarint(head, n.least-last)
		head = binary.AppendUvarint(head, uint64(n.largest-n.least))
		flags := byte(0)
		if n.unread {
			flags |= flagUnread
		}
		if n.plain {
			flags |= flagPlain
		}
		if n.unnamed != (summary{}) {
			head = n.unnamed.append(append(head, flags|flagLost))
		} else {
			head = append(head, flags)
		}
		last = n.least
	}
	return head
}

// united is a column of a segment.
type united struct {
	path    query.Field
	parts   []partOf
	lists   []string          // in order
	counts  map[string]uint64 // of the lists
	places  map[string]uint32
	present uint64
	hidden  uint64 // number of entries whose values are hidden
	packed  uint64 // number of these whose values are packed numbers
	shown   summary
	lost    summary // of hidden values
	numbers []uint32
	ids     [][]uint32 // by block: the segment's columns for the columns of the block
}

// partOf is the column of a block.
type partOf struct{ block, column int }

// unite returns the columns of the blocks, in the order of their paths.
func unite(notes []*note) []united {
	byPath := map[query.Field]*united{}
	for b, n := range notes {
		for c := range n.columns {
			path := n.columns[c].path
			u := byPath[path]
			if u == nil {
				u = &united{path: path, counts: map[string]uint64{}}
				byPath[path] = u
			}
			u.parts = append(u.parts, partOf{b, c})
		}
	}
	columns := make([]united, 0, len(byPath))
	for _, path := range slices.Sorted(maps.Keys(byPath)) {
		columns = append(columns, *byPath[path])
	}
	ids := make([][]uint32, len(notes))
	for b, n := range notes {
		ids[b] = make([]uint32, len(n.columns))
	}
	for i := range columns {
		for _, p := range columns[i].parts {
			ids[p.block][p.column] = uint32(i)
		}
		columns[i].ids = ids
		columns[i].sumUp(notes)
	}
	return columns
}

// sumUp makes the dictionary.
func (u *united) sumUp(notes []*note) {
	for _, p := range u.parts {
		c := &notes[p.block].columns[p.column]
		u.present += uint64(c.present)
		u.lost.include(c.hidden)
		for i, l := range c.lists {
			u.counts[string(l)] += uint64(c.counts[i])
			if len(l) == 0 {
				u.hidden += uint64(c.counts[i])
			}
		}
		if len(c.lists) == 0 {
			u.hidden += uint64(c.present)
		}
		if c.packs {
			u.packed += uint64(c.present)
		}
	}
	u.lists = slices.Sorted(maps.Keys(u.counts))
	u.places = make(map[string]uint32, len(u.lists))
	var d decoder
	var fold []byte
	for i, l := range u.lists {
		u.places[l] = uint32(i)
		if values, ok := d.decode(listed(l)); ok && l != "" {
			u.shown.add(values, &fold)
		}
	}
}

// append appends the column's part of the head. last is the path of the previous column.
func (u *united) append(head []byte, last string) []byte {
	shared := sharedPrefix(last, string(u.path))
	head = gzipmember.AppendString(binary.AppendUvarint(head, uint64(shared)), string(u.path[shared:]))
	for _, n := range []uint64{uint64(len(u.lists)), u.present, u.hidden} {
		head = binary.AppendUvarint(head, n)
	}
	if head = u.shown.append(head); u.hidden > 0 {
		head = u.lost.append(binary.AppendUvarint(head, u.packed))
	}
	return head
}

func sharedPrefix(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// appendLists appends the column's dictionary.
func (u *united) appendLists(dst []byte) []byte {
	last := ""
	for _, l := range u.lists {
		shared := sharedPrefix(last, l)
		dst = gzipmember.AppendString(binary.AppendUvarint(dst, uint64(shared)), l[shared:])
		last = l
	}
	for _, l := range u.lists {
		dst = binary.AppendUvarint(dst, u.counts[l])
	}
	return dst
}

// appendRecords appends the column's records, one for each block that has it.
func (u *united) appendRecords(dst []byte, notes []*note) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(u.parts)))
	var records []byte
	next := 0
	for _, p := range u.parts {
		start := len(records)
		records = u.appendRecord(records, &notes[p.block].columns[p.column], u.ids[p.block])
		dst = binary.AppendUvarint(dst, uint64(p.block-next))
		dst = binary.AppendUvarint(dst, uint64(len(records)-start))
		next = p.block + 1
	}
	return append(dst, records...)
}

func (u *united) appendRecord(dst []byte, c *noteColumn, ids []uint32) []byte {
	flags := byte(c.presence.kind) | byte(c.values.kind)<<2
	if c.hidden != (summary{}) {
		flags |= recordHides
	}
	if c.packs {
		flags |= recordPacks
	}
	dst = binary.AppendUvarint(append(dst, flags), uint64(len(c.lists)))
	for _, s := range []source{c.presence, c.values} {
		if s.kind == function || s.kind == same {
			dst = binary.AppendUvarint(dst, uint64(ids[s.base]))
		}
	}
	if c.hidden != (summary{}) {
		dst = c.hidden.append(dst)
	}
	u.numbers = u.numbers[:0]
	for _, l := range c.lists {
		u.numbers = append(u.numbers, u.places[string(l)])
	}
	return append(appendIncreasing(dst, u.numbers, len(u.lists)), c.data...)
}

// Flags of a record. Below them are two bits each for the sources of presence and of values.
const (
	recordHides = 1 << 4 // there is a summary of hidden values
	recordPacks = 1 << 5 // these are packed numbers
)

// regionWriter appends sections. Their lengths, and the digest of each page, go into the head.
type regionWriter struct {
	data  []byte
	ends  []int
	sums  []byte
	start int // of the page
}
