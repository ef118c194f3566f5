package index

import (
	"context"
	"fmt"
)

// decodeNotes decodes the notes of each block from an index. They share memory with content.
func decodeNotes(content []byte) ([]*note, error) {
	length, err := HeadLength(content)
	if err != nil {
		return nil, err
	}
	if length > int64(len(content)) {
		return nil, fmt.Errorf("index: it ends within its head: %w", ErrCorrupt)
	}
	x, err := Open(content[:length])
	if err != nil {
		return nil, err
	}
	if x.records.end() != int64(len(content)) {
		return nil, fmt.Errorf("index: it has %d bytes, not %d: %w", len(content), x.records.end(), ErrCorrupt)
	}
	r := x.reader(context.Background(), func(_ context.Context, offset, length int64) ([]byte, error) {
		return content[offset : offset+length : offset+length], nil
	})
	notes := make([]*note, len(x.blocks))
	times, err := x.times.read(r.ctx, r.fetch, 0, len(notes))
	if err != nil {
		return nil, err
	}
	for i, b := range x.blocks {
		notes[i] = &note{count: b.count, least: b.least, largest: b.largest, unread: b.unread, plain: b.plain,
			unnamed: b.unnamed, times: times[i]}
	}
	if err := r.noteFilters(notes); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	if err := r.noteColumns(notes); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	return notes, nil
}

func (r *reader) noteFilters(notes []*note) error {
	sections, err := r.filter.read(r.ctx, r.fetch, 0, stripes)
	if err != nil {
		return err
	}
	for s, data := range sections {
		for _, n := range notes {
			stripe, rest, ok := cutStripe(data)
			if !ok {
				return errFilter
			}
			n.filter = append(n.filter, stripe...)
			n.ends[s], data = uint32(len(n.filter)), rest
		}
		if len(data) > 0 {
			return errFilter
		}
	}
	return nil
}

var errFilter = fmt.Errorf("a filter: %w", ErrCorrupt)

func (r *reader) noteColumns(notes []*note) error {
	sections, err := r.lists.read(r.ctx, r.fetch, 0, len(r.columns))
	if err != nil {
		return err
	}
	dictionaries := make([]*dictionary, len(r.columns))
	for i, data := range sections {
		if dictionaries[i], err = r.decodeLists(i, data); err != nil {
			return err
		}
	}
	ofBlocks := make([][]int, len(notes)) // the columns of each block
	if sections, err = r.Index.records.read(r.ctx, r.fetch, 0, len(r.columns)); err != nil {
		return err
	}
	for i, data := range sections {
		if r.records[i], err = r.recordsOf(data); err != nil {
			return err
		}
		for _, block := range r.records[i].blocks {
			ofBlocks[block] = append(ofBlocks[block], i)
		}
	}
	v := r.view()
	for block, n := range notes {
		v.open(block)
		places := make(map[int]int, len(ofBlocks[block]))
		for place, column := range ofBlocks[block] {
			places[column] = place
		}
		for _, column := range ofBlocks[block] {
			c, err := v.note(column, dictionaries[column], places)
			if err != nil {
				return err
			}
			n.columns = append(n.columns, c)
		}
	}
	return nil
}

// note returns the notes of a column of the block. places maps columns of the segment to those of the block.
func (v *view) note(column int, d *dictionary, places map[int]int) (n noteColumn, err error) {
	c, err := v.column(column)
	if err != nil {
		return n, err
	}
	codes, err := v.codesOf(c)
	if err != nil {
		return n, err
	}
	n = noteColumn{path: v.Index.columns[column].path, layout: c.layout, data: c.data,
		counts: make([]uint32, c.layout.lists)}
	for _, code := range codes {
		if code == 0 {
			continue
		}
		if n.present++; c.layout.lists > 0 {
			n.counts[code-1]++
		}
	}
	for _, number := range c.numbers {
		n.lists = append(n.lists, d.list(int(number)))
	}
	for _, s := range []*source{&n.presence, &n.values} {
		if s.kind == function || s.kind == same {
			place, ok := places[s.base]
			if !ok {
				return n, errRecords
			}
			s.base = place
		}
	}
	return n, nil
}
