package index

import (
	"context"
	"encoding/binary"
	"fmt"
)

// reader reads the parts of an index that a question needs, each once.
type reader struct {
	*Index
	ctx     context.Context
	fetch   Fetch
	records map[int]*records // of columns
	pages   map[*region]page // the last page of each region that was read
}

// page is sections that were read together.
type page struct {
	first    int
	sections [][]byte
}

func (x *Index) reader(ctx context.Context, fetch Fetch) *reader {
	return &reader{Index: x, ctx: ctx, fetch: fetch, records: map[int]*records{},
		pages: map[*region]page{}}
}

// section returns a section of a region. The sections of its page are kept until another page is read.
func (r *reader) section(from *region, number int) ([]byte, error) {
	last, ok := r.pages[from]
	if !ok || number < last.first || number >= last.first+len(last.sections) {
		first, end := from.pageOf(number)
		sections, err := from.read(r.ctx, r.fetch, first, end)
		if err != nil {
			return nil, err
		}
		last = page{first, sections}
		r.pages[from] = last
	}
	return last.sections[number-last.first], nil
}

// readDictionaries reads the dictionaries of some columns together, if they are small.
func (r *reader) readDictionaries(of func(*columnInfo) bool) error {
	const most = 1 << 20
	first, end := -1, 0
	for i := range r.columns {
		if of(&r.columns[i]) {
			if end = i + 1; first < 0 {
				first = i
			}
		}
	}
	if first < 0 || r.lists.ends[end-1]-r.lists.start(first) > most {
		return nil
	}
	sections, err := r.lists.read(r.ctx, r.fetch, first, end)
	if err != nil {
		return fmt.Errorf("dictionaries: %w", err)
	}
	r.pages[&r.lists] = page{first, sections}
	return nil
}

// record returns the record of a column in a block, or nil if there is none.
func (r *reader) record(column, block int) ([]byte, error) {
	records, ok := r.records[column]
	if !ok {
		data, err := r.section(&r.Index.records, column)
		if err != nil {
			return nil, err
		}
		if records, err = r.recordsOf(data); err != nil {
			return nil, err
		}
		r.records[column] = records
	}
	return records.of(block), nil
}

// view is a block with the columns that were read of it, each once.
type view struct {
	*reader
	block   int
	columns map[int]*viewed
	spare   []*viewed
	depth   int // of nested functions
	table   [codesOfBase]uint16
	packed  []uint16
}

// viewed is a column of a block.
type viewed struct {
	record
	codes  []uint16 // of each entry, once they are needed
	packed packed   // the numbers of the entries that have a value, if they are packed
}

func (r *reader) view() *view { return &view{reader: r, block: -1, columns: map[int]*viewed{}} }

// open goes to another block.
func (v *view) open(block int) {
	v.block = block
	for _, c := range v.columns {
		if c != nil {
			v.spare = append(v.spare, c)
		}
	}
	clear(v.columns)
}

func (v *view) count() int { return v.blocks[v.block].count }

// column returns a column of the block, or nil if the block does not have it.
func (v *view) column(number int) (*viewed, error) {
	if c, ok := v.columns[number]; ok {
		return c, nil
	}
	data, err := v.record(number, v.block)
	if err != nil {
		return nil, err
	}
	if data == nil {
		v.columns[number] = nil
		return nil, nil
	}
	c := &viewed{}
	if n := len(v.spare); n > 0 {
		c, v.spare = v.spare[n-1], v.spare[:n-1]
	}
	c.codes = c.codes[:0]
	if c.record, err = v.decodeRecord(number, v.block, data, c.numbers); err != nil {
		return nil, fmt.Errorf("column %.100s: %w", v.Index.columns[number].path, err)
	}
	v.columns[number] = c
	return c, nil
}

// maxFunctions bounds the nesting of functions, so that a column cannot be a function of itself.
const maxFunctions = maxBases + 2

// codesOf returns the codes of the entries: 0 for an entry without a value, and otherwise the index of its list in the
// record's numbers, plus 1. If the values are hidden, the code is 1.
func (v *view) codesOf(c *viewed) ([]uint16, error) {
	if len(c.codes) > 0 || v.count() == 0 {
		return c.codes, nil
	}
	if v.depth++; v.depth > maxFunctions {
		return nil, errRecords
	}
	defer func() { v.depth-- }()
	codes := c.codes
	if cap(codes) < v.count() {
		codes = make([]uint16, v.count())
	}
	codes = codes[:v.count()]
	data, err := v.presence(c, codes)
	if err != nil {
		return nil, err
	}
	if data, err = v.values(c, codes, data); err != nil {
		return nil, err
	}
	if len(data) > 0 {
		return nil, errRecords
	}
	c.codes = codes
	return codes, nil
}

// presence sets the codes of entries with a value to 1, and the others to 0. It returns the data after the presence.
func (v *view) presence(c *viewed, codes []uint16) (rest []byte, err error) {
	switch c.presence.kind {
	case constant:
		for i := range codes {
			codes[i] = 1
		}
		return c.data, nil
	case own:
		size := packedSize(len(codes), 1)
		if size > len(c.data) {
			return nil, errRecords
		}
		unpack(codes, c.data[:size], 1)
		return c.data[size:], nil
	case same:
		base, err := v.base(c.presence.base)
		if err != nil {
			return nil, err
		}
		for i, code := range base.codes {
			codes[i] = min(code, 1)
		}
		return c.data, nil
	}
	base, mapping, rest, err := v.mapping(c.presence.base, c.data, 1)
	if err != nil {
		return nil, err
	}
	for i, code := range base.codes {
		codes[i] = mapping[code%codesOfBase]
	}
	return rest, nil
}

// base returns a column, with its codes.
func (v *view) base(number int) (*viewed, error) {
	base, err := v.column(number)
	if err != nil {
		return nil, err
	}
	if base == nil {
		return nil, errRecords
	}
	_, err = v.codesOf(base)
	return base, err
}

// codesOfBase is more than the number of codes of a column: a power of two, so that a table needs no bounds check.
const codesOfBase = 512

// mapping returns a base, a function of its codes, and the data after the function.
func (v *view) mapping(number int, data []byte, bits uint) (base *viewed, m *[codesOfBase]uint16, rest []byte,
	err error) {
	if base, err = v.base(number); err != nil {
		return nil, nil, nil, err
	}
	size := packedSize(base.layout.lists+1, bits)
	if base.layout.lists == 0 || size > len(data) {
		return nil, nil, nil, errRecords
	}
	unpack(v.table[:base.layout.lists+1], data[:size], bits)
	return base, &v.table, data[size:], nil
}

// values sets the codes of entries with a value, which are 1 before, and returns the data after the values.
func (v *view) values(c *viewed, codes []uint16, data []byte) (rest []byte, err error) {
	bits := width(c.layout.lists)
	switch c.values.kind {
	case constant:
		if c.layout.lists > 1 {
			return nil, errRecords
		}
		if c.packs {
			return c.readPacked(codes, data)
		}
		return data, nil
	case function:
		base, mapping, rest, err := v.mapping(c.values.base, data, bits)
		if err != nil {
			return nil, err
		}
		if !allBelow(mapping[:base.layout.lists+1], c.layout.lists) {
			return nil, errRecords
		}
		for i, code := range base.codes {
			codes[i] *= 1 + mapping[code%codesOfBase]
		}
		return rest, nil
	}
	count := len(codes)
	if c.presence.kind != constant {
		count = 0
		for _, code := range codes {
			count += int(code)
		}
	}
	size := packedSize(count, bits)
	if size > len(data) {
		return nil, errRecords
	}
	if cap(v.packed) < count {
		v.packed = make([]uint16, count)
	}
	packed := v.packed[:count]
	unpack(packed, data[:size], bits)
	if !allBelow(packed, c.layout.lists) {
		return nil, errRecords
	}
	if count == len(codes) {
		for i, code := range packed {
			codes[i] = code + 1
		}
		return data[size:], nil
	}
	next := 0
	for i, code := range codes {
		if code > 0 {
			codes[i] = packed[next] + 1
			next++
		}
	}
	return data[size:], nil
}

// readPacked reads the packed numbers of the entries with code 1, and returns the data after them.
func (c *viewed) readPacked(codes []uint16, data []byte) (rest []byte, err error) {
	count := 0
	for _, code := range codes {
		count += int(code)
	}
	ok := false
	if c.packed, rest, ok = readPacked(data, count); !ok {
		return nil, errRecords
	}
	return rest, nil
}

func allBelow(codes []uint16, most int) bool {
	largest := uint16(0)
	for _, code := range codes {
		largest = max(largest, code)
	}
	return int(largest) < most
}

// unpack reads numbers of a width of at most 9 bits. data must be long enough.
func unpack(dst []uint16, data []byte, bits uint) {
	if bits == 0 {
		clear(dst)
		return
	}
	mask, at, perWord := uint64(1)<<bits-1, 0, 56/int(bits)
	for len(dst) >= perWord && at>>3+8 <= len(data) {
		word := binary.LittleEndian.Uint64(data[at>>3:]) >> (at & 7)
		some := dst[:perWord]
		for i := range some {
			some[i] = uint16(word & mask)
			word >>= bits
		}
		dst, at = dst[perWord:], at+perWord*int(bits)
	}
	r := bitReader{data: data, at: at}
	for i := range dst {
		dst[i] = uint16(r.read(bits))
	}
}
