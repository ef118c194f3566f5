package index

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/segment"
)

// Bounds of the listed values of a column in a block. Beyond these its values are hidden: they are only in the filter.
const (
	maxLists  = 256  // different lists of values
	maxListed = 256  // bytes of a list
	freeBytes = 1024 // of the texts of all lists,
	eachBytes = 2    // plus these for each entry that has a value
	fewLists  = 16   // if there are more lists than this, each must have two entries on average
)

// maxBases bounds the columns of a block that others may be functions of.
const maxBases = 16

// note is a block's part of an index. It depends only on the block's lines.
type note struct {
	count   int   // number of entries
	least   int64 // of the times
	largest int64
	unread  bool // whether a line is not an event; then nothing else is known
	plain   bool // whether the path time is always the entry's time, and not a column
	unnamed summary
	times   []byte
	filter  []byte
	ends    [stripes]uint32
	columns []noteColumn // in the order of their paths
}

// noteColumn is a path in a block.
type noteColumn struct {
	path   query.Field
	lists  []listed // in order; nil if they are hidden
	counts []uint32 // numbers of entries that have each list
	layout
	data []byte // encoded as layout says
}

// layout says where it is stored which entries of a block have a value at a path, and which one. The code of an entry
// is 0 if it has no value, and otherwise the index of its list, plus 1.
type layout struct {
	present  int     // number of entries that have a value
	lists    int     // number of different lists of values; 0 if they are hidden
	hidden   summary // of the values that are not listed
	presence source  // of which entries have a value
	values   source  // of the lists of these entries
	packs    bool    // whether the hidden values are numbers that are stored after the values
}

// source says where something is stored.
type source struct {
	kind sourceKind
	base int // column of the block or of the index
}

type sourceKind uint8

const (
	constant sourceKind = iota // nowhere: all entries have a value; there is one list, or the values are hidden
	own                        // here: a bit for each entry; the index of the list of each entry that has one
	function                   // as a function of a base's codes: a bit for each code; the index of a list
	same                       // in the base, which has the same
)

var gathers = sync.Pool{New: func() any { return new(gather) }}

// noteOf makes the notes of a block.
func noteOf(c segment.Content) *note {
	g := gathers.Get().(*gather)
	defer func() {
		g.release()
		gathers.Put(g)
	}()
	n := &note{count: c.Block.Count, least: c.Block.MinTime, largest: c.Block.MaxTime}
	if n.count == 0 || !g.gatherLines(c.Lines, n.count) {
		n.unread = true
		return n
	}
	n.plain, n.unnamed = g.plain, g.unnamed
	n.least, n.largest = slices.Min(g.times), slices.Max(g.times)
	n.times = appendTimes(nil, g.times, n.least)
	slices.SortFunc(g.columns, func(a, b *column) int { return strings.Compare(string(a.path), string(b.path)) })
	n.columns = make([]noteColumn, len(g.columns))
	for i, c := range g.columns {
		n.columns[i] = c.finish(g)
	}
	arrange(n.columns, g.columns)
	n.filter, n.ends = filterOf(g.tokens)
	return n
}

// finish makes the lists of a column's values, unless they are hidden, and replaces the codes by the indexes of the
// lists.
func (c *column) finish(g *gather) noteColumn {
	n := noteColumn{path: c.path}
	g.counts = append(g.counts[:0], make([]uint32, len(c.raws)+1)...)
	counts := g.counts
	for _, code := range c.codes {
		counts[min(int(code), len(c.raws))]++
	}
	n.present = len(c.codes) - int(counts[0])
	if !c.hidden {
		if c.list(g, counts[1:], &n); n.lists == nil {
			c.hideAll(g)
		}
	}
	if c.numeric {
		if _, bits := c.numberRange(); bits > maxPacked {
			c.hideNumbers(g)
		} else {
			c.summary.addValue(query.Scalar{Kind: query.Number}, []byte("0123456789"))
		}
	}
	n.layout.lists, n.hidden, n.packs = len(n.lists), c.summary, c.numeric
	return n
}

// list lists the column's values, unless there are too many. counts has the number of entries for each raw.
func (c *column) list(g *gather, counts []uint32, n *noteColumn) {
	l := &g.lister
	l.start(len(c.raws))
	for i, r := range c.raws {
		start := len(l.blob)
		l.blob = appendValue(l.blob, g.scalar(g.lines[r.start:r.end]))
		l.encoded[i] = l.blob[start:]
	}
	for i := range c.raws {
		if counts[i] > 0 {
			l.places = append(l.places, listPlace{c.listOf(i, l.encoded), i})
		}
	}
	slices.SortFunc(l.places, func(a, b listPlace) int { return bytes.Compare(a.list, b.list) })
	lists, bytesOf, size := 0, 0, 0
	for i, p := range l.places {
		if i == 0 || !bytes.Equal(p.list, l.places[i-1].list) {
			lists, bytesOf, size = lists+1, bytesOf+len(p.list), size+p.list.textBytes()
		}
		l.codes[p.raw+1] = uint16(lists)
	}
	if lists > maxLists || size > freeBytes+eachBytes*n.present || lists > max(fewLists, n.present/2) {
		return
	}
	n.lists, n.counts = make([]listed, 0, lists), make([]uint32, lists)
	kept := make([]byte, 0, bytesOf)
	for _, p := range l.places {
		code := int(l.codes[p.raw+1])
		if n.counts[code-1] += counts[p.raw]; code > len(n.lists) {
			start := len(kept)
			kept = append(kept, p.list...)
			n.lists = append(n.lists, kept[start:len(kept):len(kept)])
		}
		if len(p.list) == 0 {
			for at := p.raw + 1; at > 0; at = int(c.raws[at-1].before) {
				g.hide(g.scalar(g.lines[c.raws[at-1].start:c.raws[at-1].end]), &c.summary)
			}
		}
	}
	for i, code := range c.codes {
		c.codes[i] = l.codes[code]
	}
}

// lister is the reusable state of list.
type lister struct {
	blob    []byte
	encoded []listed // the last value of each raw
	places  []listPlace
	codes   []uint16 // by raw, from 1 on
}

// listPlace is a list of values, and a raw that has it.
type listPlace struct {
	list listed
	raw  int
}

func (l *lister) start(raws int) {
	const mostKept = 1 << 16
	if cap(l.blob) > mostKept {
		l.blob = nil
	}
	if l.encoded == nil {
		l.encoded, l.codes = make([]listed, maxRaw), make([]uint16, maxRaw+1)
	}
	l.blob, l.places = l.blob[:0], l.places[:0]
	l.encoded, l.codes = l.encoded[:raws], l.codes[:raws+1]
}

// listOf returns the list of the values of a raw. If it is too long, the list is empty. encoded has the last value of
// each raw.
func (c *column) listOf(raw int, encoded []listed) listed {
	if c.raws[raw].before == 0 {
		if len(encoded[raw]) > maxListed {
			return nil
		}
		return encoded[raw]
	}
	var values [][]byte
	size := 0
	for at := raw + 1; at > 0; at = int(c.raws[at-1].before) {
		if size += len(encoded[at-1]); size > maxListed {
			return nil
		}
		values = append(values, encoded[at-1])
	}
	slices.Reverse(values)
	if l := appendListed(nil, values); len(l) <= maxListed {
		return l
	}
	return nil
}

// arrange decides how the codes of each column are stored, and encodes them. A column that is a function of another one
// with more lists is stored as that function. Many columns of events are.
func arrange(columns []noteColumn, gathered []*column) {
	order := make([]int, len(columns))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return len(columns[b].lists) - len(columns[a].lists) })
	a := arranger{columns: columns, presences: map[string]int{}}
	for _, c := range gathered {
		a.codes = append(a.codes, c.codes)
	}
	for _, at := range order {
		n := &columns[at]
		n.data = a.presence(n, at)
		if len(n.lists) > 1 {
			n.data = a.values(n, at)
		} else if n.packs {
			n.data = gathered[at].appendPacked(n.data)
		}
	}
}

type arranger struct {
	columns   []noteColumn
	codes     [][]uint16 // of each column
	bases     []int      // columns with most lists first
	presences map[string]int
	mapping   []uint16
}

// presence encodes which entries have a value.
func (a *arranger) presence(n *noteColumn, at int) []byte {
	count := len(a.codes[at])
	if n.present == count {
		return nil
	}
	for _, base := range slices.Backward(a.bases) {
		if size := len(a.columns[base].lists) + 1; size < count && a.maps(base, at, 1) {
			n.presence = source{function, base}
			return a.mapped(nil, 1)
		}
	}
	var w bitWriter
	for _, code := range a.codes[at] {
		w.write(uint64(min(code, 1)), 1)
	}
	data := w.bytes()
	if other, ok := a.presences[string(data)]; ok {
		n.presence = source{same, other}
		return nil
	}
	a.presences[string(data)] = at
	n.presence = source{kind: own}
	return data
}

// values encodes the lists of the entries that have a value.
func (a *arranger) values(n *noteColumn, at int) []byte {
	bits := width(len(n.lists))
	for _, base := range slices.Backward(a.bases) {
		if size := len(a.columns[base].lists) + 1; size < n.present && a.maps(base, at, math.MaxUint16) {
			n.values = source{function, base}
			for i, code := range a.mapping {
				a.mapping[i] = max(code, 1) - 1
			}
			return a.mapped(n.data, bits)
		}
	}
	n.values = source{kind: own}
	if len(a.bases) < maxBases {
		a.bases = append(a.bases, at)
	}
	w := bitWriter{data: n.data}
	for _, code := range a.codes[at] {
		if code > 0 {
			w.write(uint64(code-1), bits)
		}
	}
	return w.bytes()
}

// maps tells whether the codes of a column, limited to most, are a function of the codes of a base, and stores the
// function in mapping. With most = 1 the codes say which entries have a value. Otherwise only entries that have a value
// count.
func (a *arranger) maps(base, at int, most uint16) bool {
	const unset = math.MaxUint16
	a.mapping = a.mapping[:0]
	for range len(a.columns[base].lists) + 1 {
		a.mapping = append(a.mapping, unset)
	}
	mapping, from := a.mapping, a.codes[base]
	for i, code := range a.codes[at] {
		if code == 0 && most > 1 {
			continue
		}
		code = min(code, most)
		if to := &mapping[from[i]]; *to == unset {
			*to = code
		} else if *to != code {
			return false
		}
	}
	for i, to := range mapping {
		if to == unset {
			mapping[i] = 0
		}
	}
	return true
}

// mapped appends the function in mapping.
func (a *arranger) mapped(dst []byte, bits uint) []byte {
	w := bitWriter{data: dst}
	for _, to := range a.mapping {
		w.write(uint64(to), bits)
	}
	return w.bytes()
}
