package index

import (
	"bytes"
	"hash/maphash"
	"math"
	"strconv"

	"github.com/weirlog/weir/internal/query"
)

// This file parses the lines of a block in one pass, and records the values of each entry at each path. It is written
// by hand since it is the hot path of building. It assumes that a line is JSON, which recording has checked. On other
// lines it only guarantees to return. A function that parses something takes the offset where it begins and returns the
// offset after it, or -1 if the line is not JSON.

// Bounds of the named paths of a block. Beyond these paths are unnamed: their values are only in the filter.
const (
	maxPaths    = 512  // columns
	maxChildren = 128  // names of members of the objects at one path
	maxPath     = 512  // bytes of a path in normal form
	maxNodes    = 4096 // paths, including those that have only objects or arrays
	maxRaw      = 768  // lists of values of a column, before equal ones are found
	maxDepth    = 10_000
)

// gather collects the values of a block. It is reused for other blocks.
type gather struct {
	seed  maphash.Seed
	lines []byte
	depth int
	entry int // number of the current entry
	count int // number of the block's entries

	root    node
	beyond  node // all unnamed paths
	nodes   int
	columns []*column
	spare   []*column // columns of earlier blocks, for reuse
	unnamed summary   // of the unnamed values
	tokens  []token
	times   []int64
	stamp   stamp // of the current entry's time
	plain   bool  // whether time is always a single number in the usual form, and not a column

	fold, text []byte // buffers
	counts     []uint32
	lister     lister
}

// stamp is the place of the last member "time" of an event, and the number of members with this name.
type stamp struct{ start, end, count int }

// node is a path.
type node struct {
	name     string
	quoted   string // name as it was written in the first line that has it
	path     query.Field
	isTime   bool // whether it is the event's time
	children []*node
	next     int     // index of the child that is tried first
	column   *column // nil until there is a value
	full     bool    // whether it gets no column, since there are too many
	unnamed  bool    // whether it and the paths below it are unnamed
}

// column has the values at a path.
type column struct {
	path   query.Field
	codes  []uint16 // of each entry: 0 if it has no value, and otherwise an index in raws, plus 1
	raws   []raw
	table  []uint16 // hash table of raws, as indexes plus 1
	latest uint16   // the last code that was assigned; 0 if there is none
	hidden bool     // whether there are too many values: codes are 0 or 1, and the values are not listed

	numeric bool     // whether it is hidden and each entry with a value has one whole number
	numbers []uint64 // by entry, if it is numeric

	summary summary // of the values that are not listed
}

// raw is a list of values as they are written in lines: one value, or another list and one more value.
type raw struct {
	before     uint16 // index in raws, plus 1; 0 if there is none
	start, end uint32
	hash       uint32
}

// gatherLines parses the lines of a block. It returns false if one of them is not an event.
func (g *gather) gatherLines(lines []byte, count int) bool {
	g.start(lines, count, true)
	ok := g.read()
	if ok && !g.plain {
		g.start(lines, count, false)
		ok = g.read()
	}
	return ok
}

func (g *gather) start(lines []byte, count int, plain bool) {
	*g = gather{seed: g.seed, lines: lines, count: count, spare: append(g.spare, g.columns...), columns: g.columns[:0],
		tokens: g.tokens[:0], times: g.times[:0], plain: plain, beyond: node{unnamed: true},
		fold: g.fold, text: g.text, counts: g.counts, lister: g.lister}
	if g.seed == (maphash.Seed{}) {
		g.seed = maphash.MakeSeed()
	}
}

// release drops the lines, and memory that an unusually large block has used.
func (g *gather) release() {
	const mostSpare, mostKept = 64, 1 << 16
	g.lines, g.root = nil, node{}
	g.spare = append(g.spare, g.columns...)
	if g.columns = g.columns[:0]; len(g.spare) > mostSpare {
		clear(g.spare[mostSpare:])
		g.spare = g.spare[:mostSpare]
	}
	for _, b := range []*[]byte{&g.fold, &g.text} {
		if cap(*b) > mostKept {
			*b = nil
		}
	}
	if cap(g.tokens) > mostKept {
		g.tokens = nil
	}
}

func (g *gather) read() bool {
	for start := 0; start < len(g.lines); g.entry++ {
		if g.entry == g.count {
			return false
		}
		g.stamp = stamp{}
		i := g.space(start)
		if i == len(g.lines) || g.lines[i] != '{' {
			return false
		}
		if i, _ = g.object(i, &g.root); i < 0 {
			return false
		}
		if i = g.space(i); i == len(g.lines) || g.lines[i] != '\n' {
			return false
		}
		start = i + 1
		if !g.time() {
			return false
		}
	}
	return g.entry == g.count
}

// time records the time of the current entry.
func (g *gather) time() bool {
	text := g.lines[g.stamp.start:g.stamp.end]
	ms, err := strconv.ParseInt(textOf(text), 10, 64)
	g.times = append(g.times, ms)
	if g.plain {
		g.text = strconv.AppendInt(g.text[:0], ms, 10)
		g.plain = g.stamp.count == 1 && bytes.Equal(g.text, text)
	}
	return err == nil
}

// space skips white space. A line has no line break.
func (g *gather) space(i int) int {
	for i < len(g.lines) && (g.lines[i] == ' ' || g.lines[i] == '\t' || g.lines[i] == '\r') {
		i++
	}
	return i
}

// value parses a value at a path. noted tells whether some value was recorded, which shows that the path exists.
func (g *gather) value(i int, n *node) (next int, noted bool) {
	if i >= len(g.lines) {
		return -1, false
	}
	switch c := g.lines[i]; c {
	case '"':
		if end, ok := n.column.again(g, i); ok {
			return end, true
		}
		end, _ := query.StringEnd(g.lines, i)
		if end > 0 {
			g.note(i, end, n)
		}
		return end, true
	case '{', '[':
		if g.depth++; g.depth > maxDepth {
			return -1, false
		}
		if c == '[' {
			next, noted = g.array(i, n)
		} else if next, noted = g.object(i, n); next > 0 && !noted {
			g.note(i, i+1, n)
			noted = true
		}
		g.depth--
		return next, noted
	case 'n':
		return g.literal(i, "null"), false
	case 't', 'f':
		text := "true"
		if c == 'f' {
			text = "false"
		}
		if next = g.literal(i, text); next > 0 {
			g.note(i, next, n)
		}
		return next, true
	}
	for next = i; next < len(g.lines) && isNumeric(g.lines[next]); next++ {
	}
	if next == i {
		return -1, false
	}
	g.note(i, next, n)
	return next, true
}

func isNumeric(c byte) bool { return c-'0' < 10 || c == '-' || c == '+' || c == '.' || c|0x20 == 'e' }

func (g *gather) literal(i int, text string) int {
	if !bytes.HasPrefix(g.lines[i:], []byte(text)) {
		return -1
	}
	return i + len(text)
}

func (g *gather) array(i int, n *node) (next int, noted bool) {
	if i = g.space(i + 1); i < len(g.lines) && g.lines[i] == ']' {
		return i + 1, false
	}
	for {
		next, some := g.value(i, n)
		if noted = noted || some; next < 0 {
			return -1, noted
		}
		var closed bool
		if i, closed = g.comma(next, ']'); closed {
			return i, noted
		}
	}
}

// comma parses the text after a member or an element. closed is true if no other follows, or if the line is not JSON.
func (g *gather) comma(i int, closing byte) (next int, closed bool) {
	i = g.space(i)
	switch {
	case i < len(g.lines) && g.lines[i] == ',':
		return g.space(i + 1), false
	case i < len(g.lines) && g.lines[i] == closing:
		return i + 1, true
	}
	return -1, true
}

func (g *gather) object(i int, n *node) (next int, noted bool) {
	if i = g.space(i + 1); i < len(g.lines) && g.lines[i] == '}' {
		return i + 1, false
	}
	for i < len(g.lines) && g.lines[i] == '"' {
		end, member := g.name(i, n)
		if end < 0 {
			return -1, noted
		}
		if i = g.space(end); i == len(g.lines) || g.lines[i] != ':' {
			return -1, noted
		}
		start := g.space(i + 1)
		next, some := -1, false
		if n == &g.root && member.isTime {
			next, some = g.stampAt(start, member), true
		} else {
			next, some = g.value(start, member)
		}
		if noted = noted || some; next < 0 {
			return -1, noted
		}
		var closed bool
		if i, closed = g.comma(next, '}'); closed {
			return i, noted
		}
	}
	return -1, noted
}

// stampAt parses the value of the event's member time.
func (g *gather) stampAt(i int, n *node) (next int) {
	for next = i; g.plain && next < len(g.lines) && isNumeric(g.lines[next]); next++ {
	}
	if next == i { // a column, or something that turns out not to be plain
		next, _ = g.value(i, n)
	}
	g.stamp = stamp{i, next, g.stamp.count + 1}
	return next
}

// name parses the name of a member of an object at a path, and returns the path of the member.
func (g *gather) name(i int, n *node) (end int, member *node) {
	if n.next < len(n.children) {
		// Usually it is the one that followed last time.
		child := n.children[n.next]
		if end := i + len(child.quoted); end <= len(g.lines) && textOf(g.lines[i:end]) == child.quoted {
			n.next++
			return end, child
		}
	}
	end, escaped := query.StringEnd(g.lines, i)
	if end < 0 {
		return end, nil
	}
	if !escaped {
		return end, g.member(n, g.lines[i+1:end-1], g.lines[i:end])
	}
	g.text = query.AppendDecoded(g.text[:0], g.lines[i:end])
	return end, g.member(n, g.text, g.lines[i:end])
}

// member returns the path of a member of the object at n. quoted is the name as it is written in the line.
func (g *gather) member(n *node, name, quoted []byte) *node {
	if n.unnamed {
		return n
	}
	for i, child := range n.children {
		if child.name == textOf(name) {
			n.next = i + 1
			return child
		}
	}
	isTime := n == &g.root && string(name) == string(timeField)
	if (len(n.children) >= maxChildren || g.nodes >= maxNodes) && !isTime {
		return &g.beyond
	}
	g.nodes++
	child := &node{name: string(name), quoted: string(quoted), isTime: isTime}
	if n == &g.root {
		child.path = query.Path(child.name)
	} else {
		child.path = query.Path(append(n.path.Names(), child.name)...)
	}
	child.unnamed = len(child.path) > maxPath
	n.children = append(n.children, child)
	n.next = len(n.children)
	return child
}

// note records a value of the current entry.
func (g *gather) note(start, end int, n *node) {
	if n.column == nil && !n.unnamed && !n.full {
		if n.full = len(g.columns) == maxPaths; !n.full {
			n.column = g.addColumn(n.path)
		}
	}
	if n.column == nil {
		g.hide(g.scalar(g.lines[start:end]), &g.unnamed)
		return
	}
	n.column.note(g, uint32(start), uint32(end))
}

// hide records a value that is not listed.
func (g *gather) hide(v query.Scalar, s *summary) {
	g.fold = query.AppendFold(g.fold[:0], v.Text)
	var of summary
	of.addValue(v, g.fold)
	if len(v.Text) == 0 {
		of.traits |= blanks // other values in the same list may not be blank, but they are not checked
	}
	s.include(of)
	g.tokens = appendTokens(g.tokens, v, g.fold, of.traits&addresses != 0)
}

// scalar returns a value as it is written in a line. It is valid until the next call.
func (g *gather) scalar(text []byte) query.Scalar {
	switch text[0] {
	case '"':
		if bytes.IndexByte(text, '\\') < 0 {
			return query.Scalar{Kind: query.String, Text: textOf(text[1 : len(text)-1])}
		}
		g.text = query.AppendDecoded(g.text[:0], text)
		return query.Scalar{Kind: query.String, Text: textOf(g.text)}
	case 't', 'f':
		return query.Scalar{Kind: query.Bool, Text: textOf(text)}
	case '{':
		return query.Scalar{Kind: present}
	}
	return query.Scalar{Kind: query.Number, Text: textOf(text)}
}

func (g *gather) addColumn(path query.Field) *column {
	c := &column{}
	if n := len(g.spare); n > 0 {
		c, g.spare = g.spare[n-1], g.spare[:n-1]
	}
	codes := c.codes[:0]
	if cap(codes) < g.count {
		codes = make([]uint16, 0, g.count+g.count/8)
	}
	codes = codes[:g.count]
	clear(codes)
	*c = column{path: path, codes: codes, raws: c.raws[:0], table: c.table[:0], numbers: c.numbers[:0]}
	c.grow(16)
	g.columns = append(g.columns, c)
	return c
}

// note records a value of the current entry.
func (c *column) note(g *gather, start, end uint32) {
	before := c.codes[g.entry]
	if c.numeric {
		if n, ok := wholeIn(g.lines[start:end]); ok && before == 0 {
			c.codes[g.entry], c.numbers[g.entry] = 1, n
			return
		}
		c.hideNumbers(g)
	}
	if c.hidden {
		c.codes[g.entry] = 1
		g.hide(g.scalar(g.lines[start:end]), &c.summary)
		return
	}
	text := g.lines[start:end]
	hash := uint32(maphash.Bytes(g.seed, text)) ^ uint32(before)*0x9e3779b1
	mask := uint32(len(c.table) - 1)
	at := hash & mask
	for ; c.table[at] != 0; at = (at + 1) & mask {
		r := &c.raws[c.table[at]-1]
		if r.hash == hash && r.before == before && bytes.Equal(g.lines[r.start:r.end], text) {
			c.latest = c.table[at]
			c.codes[g.entry] = c.latest
			return
		}
	}
	if len(c.raws) == maxRaw {
		c.hideAll(g)
		c.note(g, start, end)
		return
	}
	c.raws = append(c.raws, raw{before, start, end, hash})
	c.latest = uint16(len(c.raws))
	c.table[at], c.codes[g.entry] = c.latest, c.latest
	if 2*len(c.raws) > len(c.table) {
		c.grow(2 * len(c.table))
	}
}

// again records the string at an offset if it is the same as the last one. Otherwise ok is false.
func (c *column) again(g *gather, start int) (end int, ok bool) {
	if c == nil || c.latest == 0 || c.hidden {
		return start, false
	}
	r := &c.raws[c.latest-1]
	end = start + int(r.end-r.start)
	if r.before != c.codes[g.entry] || end > len(g.lines) ||
		textOf(g.lines[r.start:r.end]) != textOf(g.lines[start:end]) {
		return start, false
	}
	c.codes[g.entry] = c.latest
	return end, true
}

// grow sets the size of the hash table, a power of two.
func (c *column) grow(size int) {
	if cap(c.table) < size {
		c.table = make([]uint16, size)
	}
	c.table = c.table[:size]
	clear(c.table)
	for i := range c.raws {
		at := c.raws[i].hash & uint32(size-1)
		for ; c.table[at] != 0; at = (at + 1) & uint32(size-1) {
		}
		c.table[at] = uint16(i + 1)
	}
}

// hideAll makes the values of the column hidden.
func (c *column) hideAll(g *gather) {
	c.hidden, c.numeric = true, true
	for _, r := range c.raws {
		_, ok := wholeIn(g.lines[r.start:r.end])
		c.numeric = c.numeric && ok && r.before == 0
	}
	if c.numeric {
		c.numbers = append(c.numbers[:0], make([]uint64, len(c.codes))...)
	} else {
		for _, r := range c.raws {
			g.hide(g.scalar(g.lines[r.start:r.end]), &c.summary)
		}
	}
	for i, code := range c.codes {
		if code > 0 && c.numeric {
			r := c.raws[code-1]
			c.numbers[i], _ = wholeIn(g.lines[r.start:r.end])
		}
		c.codes[i] = min(code, 1)
	}
}

// hideNumbers makes packed numbers normal hidden values.
func (c *column) hideNumbers(g *gather) {
	c.numeric = false
	for i, code := range c.codes {
		if code > 0 {
			g.hide(query.Scalar{Kind: query.Number, Text: strconv.FormatUint(c.numbers[i], 10)}, &c.summary)
		}
	}
}

// wholeIn returns the number at a place in a line, if it can be packed.
func wholeIn(text []byte) (n uint64, ok bool) {
	n, ok = whole(textOf(text))
	return n, ok && n <= math.MaxInt64>>1
}
