package index

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/weirlog/weir/internal/gzipmember"
	"github.com/weirlog/weir/internal/query"
)

// Index is the head of an index. It never changes, and may be used concurrently.
type Index struct {
	blocks  []blockInfo
	entries int
	columns []columnInfo // in the order of their paths
	hides   bool         // whether something is hidden or unnamed

	filter, times, lists, records region
}

type blockInfo struct {
	count          int
	least, largest int64 // of the times
	unread, plain  bool
	unnamed        summary
}

type columnInfo struct {
	path    query.Field
	lists   int // number of lists in the dictionary
	present int // number of entries that have a value
	hidden  int // number of entries whose values are hidden
	packed  int // number of entries whose values are packed numbers
	shown   summary
	lost    summary // of the hidden values
}

// Open reads the head of an index. If head is not one, it returns ErrCorrupt (wrapped).
func Open(head []byte) (*Index, error) {
	length, err := HeadLength(head)
	if err != nil {
		return nil, err
	}
	if length != int64(len(head)) {
		return nil, fmt.Errorf("index: its head has %d bytes, not %d: %w", length, len(head), ErrCorrupt)
	}
	d := gzipmember.NewDecoder(head[headStart:])
	x := &Index{}
	x.decodeBlocks(d)
	if !x.decodeColumns(d) {
		return nil, fmt.Errorf("index: its columns: %w", ErrCorrupt)
	}
	x.filter = decodeRegion(d, length, stripes)
	x.times = decodeRegion(d, x.filter.end(), len(x.blocks))
	x.lists = decodeRegion(d, x.times.end(), len(x.columns))
	x.records = decodeRegion(d, x.lists.end(), len(x.columns))
	if err := d.Err(); err != nil {
		return nil, err
	}
	for i, c := range x.columns {
		if int64(c.lists) > (x.lists.ends[i]-x.lists.start(i))/2 {
			return nil, errDictionary
		}
	}
	return x, nil
}

const (
	leastBlock  = 4       // bytes in the head
	leastColumn = 6       // bytes in the head
	mostEntries = 1 << 20 // of a block
)

func (x *Index) decodeBlocks(d *gzipmember.Decoder) {
	x.blocks = make([]blockInfo, d.Count(leastBlock))
	last := int64(0)
	for i := range x.blocks {
		b := &x.blocks[i]
		b.count = int(d.Uint(mostEntries))
		b.least = last + d.Int()
		b.largest = b.least + int64(d.Uint(math.MaxUint64))
		flags := d.Bytes(1)
		if flags == nil {
			return
		}
		b.unread, b.plain = flags[0]&flagUnread != 0, flags[0]&flagPlain != 0
		if flags[0]&flagLost != 0 {
			b.unnamed = decodeSummary(d)
		}
		x.hides = x.hides || b.unread || b.unnamed.traits != 0
		x.entries += b.count
		last = b.least
	}
}

func (x *Index) decodeColumns(d *gzipmember.Decoder) bool {
	count := d.Count(leastColumn)
	if count > mostColumns {
		return false
	}
	x.columns = make([]columnInfo, count)
	last := ""
	for i := range x.columns {
		c := &x.columns[i]
		shared := int(d.Uint(uint64(len(last))))
		rest := d.String()
		if shared+len(rest) > maxPath {
			return false
		}
		c.path = query.Field(last[:shared] + rest)
		c.lists, c.present = int(d.Uint(math.MaxInt32)), int(d.Uint(uint64(x.entries)))
		c.hidden = int(d.Uint(uint64(c.present)))
		if c.shown = decodeSummary(d); c.hidden > 0 {
			c.packed = int(d.Uint(uint64(c.hidden)))
			c.lost = decodeSummary(d)
			x.hides = true
		}
		if string(c.path) <= last && i > 0 {
			return false
		}
		last = string(c.path)
	}
	return true
}

// column returns the number of the column of a path, or -1 if there is none.
func (x *Index) column(path query.Field) int {
	i := sort.Search(len(x.columns), func(i int) bool { return x.columns[i].path >= path })
	if i < len(x.columns) && x.columns[i].path == path {
		return i
	}
	return -1
}

// Blocks returns the number of blocks of the segment.
func (x *Index) Blocks() int { return len(x.blocks) }

// Entries returns the number of entries of a block.
func (x *Index) Entries(block int) int { return x.blocks[block].count }

// Size returns approximately how many bytes of memory the index takes.
func (x *Index) Size() int {
	n := 512 + 96*len(x.blocks) + 24*len(x.blocks) // with their times
	for _, c := range x.columns {
		n += 160 + len(c.path)
	}
	for _, r := range []region{x.filter, x.times, x.lists, x.records} {
		n += 8*len(r.pages) + len(r.sums)
	}
	return n
}

// Bounds returns the least and the greatest time of a block's entries, in milliseconds since the epoch.
func (x *Index) Bounds(block int) (least, largest int64) {
	return x.blocks[block].least, x.blocks[block].largest
}

// FieldInfo describes a path. Paths that blocks do not name are missing.
type FieldInfo struct {
	Field   query.Field
	Entries int // number of entries that have a value, which may be an empty object

	// About the listed values:
	Strings, Numbers, Bools bool
	Lists                   int // number of different lists; a list has one or more values

	Hidden int // number of entries whose values are not listed
}

// Fields returns the paths of the segment's events, in order. The path time is missing if each event has it as weir
// records it.
func (x *Index) Fields() []FieldInfo {
	all := make([]FieldInfo, len(x.columns))
	for i, c := range x.columns {
		is := c.shown.traits | c.lost.traits
		all[i] = FieldInfo{Field: c.path, Entries: c.present, Strings: is&texts != 0, Numbers: is&numbers != 0,
			Bools: is&bools != 0, Lists: c.lists, Hidden: c.hidden}
	}
	return all
}

// Unnamed tells whether there are blocks with unnamed paths. These may be missing from Fields.
func (x *Index) Unnamed() bool {
	return slices.ContainsFunc(x.blocks, func(b blockInfo) bool { return b.unread || b.unnamed != (summary{}) })
}

// dictionary has the lists of a column.
type dictionary struct {
	blob   []byte
	ends   []uint32
	counts []uint32 // numbers of entries that have each list
}

func (d *dictionary) list(i int) listed {
	start := uint32(0)
	if i > 0 {
		start = d.ends[i-1]
	}
	return listed(d.blob[start:d.ends[i]:d.ends[i]])
}

// mostListed returns the maximum size in bytes of the lists of a column. It bounds the memory for damaged dictionaries.
func (x *Index) mostListed() int { return len(x.blocks)*freeBytes + x.entries*eachBytes }

// eachList calls do with each list of a dictionary, and returns the data after them. The list is valid until do
// returns.
func eachList(data []byte, count int, do func(i int, l listed) error) (rest []byte, err error) {
	var list [maxListed]byte
	last := 0
	for i := range count {
		shared, n := binary.Uvarint(data)
		if n <= 0 || shared > uint64(last) {
			return nil, errDictionary
		}
		data = data[n:]
		size, n := binary.Uvarint(data)
		if n <= 0 || size > uint64(len(data)-n) || shared+size > maxListed {
			return nil, errDictionary
		}
		copy(list[shared:], data[n:n+int(size)])
		data, last = data[n+int(size):], int(shared+size)
		if err := do(i, list[:last:last]); err != nil {
			return nil, err
		}
	}
	return data, nil
}

var errDictionary = fmt.Errorf("a dictionary: %w", ErrCorrupt)

// decodeLists decodes the dictionary of a column.
func (x *Index) decodeLists(column int, data []byte) (*dictionary, error) {
	count, most := x.columns[column].lists, x.mostListed()
	if count > len(data)/2 {
		return nil, errDictionary
	}
	d := &dictionary{ends: make([]uint32, 0, count), counts: make([]uint32, count)}
	rest, err := eachList(data, count, func(_ int, l listed) error {
		if len(d.blob)+len(l) > most {
			return errDictionary
		}
		d.blob = append(d.blob, l...)
		d.ends = append(d.ends, uint32(len(d.blob)))
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range d.counts {
		n, size := binary.Uvarint(rest)
		if size <= 0 || n > uint64(x.entries) {
			return nil, errDictionary
		}
		d.counts[i], rest = uint32(n), rest[size:]
	}
	if len(rest) > 0 {
		return nil, errDictionary
	}
	return d, nil
}

// records has the records of a column, one for each block that has it.
type records struct {
	blocks []uint32
	data   [][]byte
}

// of returns the record of a block, or nil if there is none.
func (r *records) of(block int) []byte {
	if i, ok := slices.BinarySearch(r.blocks, uint32(block)); ok {
		return r.data[i]
	}
	return nil
}

// recordsOf splits the records of a column.
func (x *Index) recordsOf(data []byte) (*records, error) {
	d := gzipmember.NewDecoder(data)
	r := &records{blocks: make([]uint32, d.Count(2))}
	lengths := make([]int, len(r.blocks))
	next := 0
	for i := range r.blocks {
		if next == len(x.blocks) {
			return nil, errRecords
		}
		next += int(d.Uint(uint64(len(x.blocks) - 1 - next)))
		r.blocks[i], lengths[i] = uint32(next), int(d.Uint(uint64(len(data))))
		next++
	}
	r.data = make([][]byte, len(r.blocks))
	for i, length := range lengths {
		r.data[i] = d.Bytes(length)
	}
	if d.Err() != nil {
		return nil, errRecords
	}
	return r, nil
}

var errRecords = fmt.Errorf("records of a column: %w", ErrCorrupt)

// record describes a column of a block.
type record struct {
	layout
	numbers []uint32 // places of its lists in the dictionary
	data    []byte
}

// decodeRecord decodes a record. numbers is a buffer.
func (x *Index) decodeRecord(column, block int, data []byte, numbers []uint32) (r record, err error) {
	d := gzipmember.NewDecoder(data)
	flags := d.Bytes(1)
	if flags == nil {
		return r, errRecords
	}
	r.presence.kind, r.values.kind = sourceKind(flags[0]&3), sourceKind(flags[0]>>2&3)
	r.packs = flags[0]&recordPacks != 0
	r.layout.lists = int(d.Uint(uint64(min(maxLists, x.columns[column].lists))))
	for _, s := range []*source{&r.presence, &r.values} {
		if s.kind == function || s.kind == same {
			s.base = int(d.Uint(uint64(max(0, len(x.columns)-1))))
		}
	}
	if flags[0]&recordHides != 0 {
		r.hidden = decodeSummary(d)
	}
	rest := d.Rest()
	if rest == nil || r.values.kind == same || flags[0]>>6 != 0 || r.packs && r.layout.lists > 0 {
		return r, errRecords
	}
	var ok bool
	if r.numbers, r.data, ok = increasing(numbers[:0], rest, r.layout.lists, x.columns[column].lists); !ok {
		return r, errRecords
	}
	return r, nil
}
