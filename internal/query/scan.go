package query

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// This file parses the line of an event in one pass. It is written by hand since it is the hot path of a search without
// an index. It assumes that the line is JSON, which recording has checked. On other lines it only guarantees to return.
// A function that parses something takes the offset where it begins and returns the offset after it, or -1 if the line
// is not JSON or the query is decided.

const (
	maxDepth = 10_000  // of nesting, the limit of recording
	maxKept  = 1 << 16 // size in bytes of the largest buffer that is kept for the next event
)

// scan is the state of parsing one event.
type scan struct {
	m      *Matcher // nil if only values are extracted
	fields *fieldNode
	every  []int

	b       []byte
	escapes bool   // whether there may be some
	folded  []byte // the line in lower case, if it was asked for and the line has only ASCII without escapes
	depth   int
	failed  bool
	known   []truth // of each test
	decided truth   // of the query
	values  []sourceValue
	columns []columnValue
	seen    [aliases]uint32 // bits of the sources that have values

	name, text, fold, lower []byte // buffers
	scalars                 []Scalar
	decoded                 []byte // strings of scalars
}

// columnValue is the place of an extracted value.
type columnValue struct {
	column     int
	start, end int
}

// sourceValue is the place of a value of an alias's source.
type sourceValue struct {
	source     sourcePlace
	start, end int
}

func (s *scan) start(line []byte, fold bool) {
	s.b, s.depth, s.failed, s.decided, s.folded = line, 0, false, open, nil
	s.values, s.columns, s.seen = s.values[:0], s.columns[:0], [aliases]uint32{}
	s.scalars, s.decoded = s.scalars[:0], s.decoded[:0]
	if !fold {
		s.escapes = bytes.IndexByte(line, '\\') >= 0
		return
	}
	var ok bool
	if s.lower, ok = appendLower(s.lower[:0], line); ok {
		s.folded, s.escapes = s.lower, false
	} else {
		s.escapes = true
	}
}

// release drops the line, and buffers that an unusually large event has used.
func (s *scan) release() {
	s.b, s.folded = nil, nil
	clear(s.scalars)
	for _, b := range []*[]byte{&s.name, &s.text, &s.fold, &s.lower, &s.decoded} {
		if cap(*b) > maxKept {
			*b = nil
		}
	}
	if cap(s.values) > maxKept/32 || cap(s.scalars) > maxKept/32 {
		s.values, s.scalars = nil, nil
	}
	if cap(s.columns) > maxKept/32 {
		s.columns = nil
	}
}

// appendLower appends a line in lower case. ok is false if the line has a backslash or is not ASCII.
func appendLower(dst, line []byte) ([]byte, bool) {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	if cap(dst) < len(line) {
		dst = make([]byte, 0, len(line)+len(line)/4)
	}
	dst = dst[:len(line)]
	var bad uint64 // a top bit is set for each byte that is a backslash or not ASCII
	i := 0
	for ; len(line)-i >= 8; i += 8 {
		w := binary.LittleEndian.Uint64(line[i:])
		backslash := w ^ ones*'\\'
		bad |= w | (backslash-ones)&^backslash
		upper := (w + ones*(0x80-'A')) &^ (w + ones*(0x80-'Z'-1)) & tops
		binary.LittleEndian.PutUint64(dst[i:], w|upper>>2)
	}
	if bad&tops != 0 {
		return dst, false
	}
	for ; i < len(line); i++ {
		c := line[i]
		if c == '\\' || c >= utf8.RuneSelf {
			return dst, false
		}
		if c-'A' < 26 {
			c |= 0x20
		}
		dst[i] = c
	}
	return dst, true
}

// event reads the line.
func (s *scan) event() {
	i := s.space(0)
	if i == len(s.b) || s.b[i] != '{' {
		s.failed = true
		return
	}
	if end := s.object(i, s.fields); end < 0 || s.space(end) < len(s.b) {
		s.failed = true
	}
}

func (s *scan) space(i int) int {
	for i < len(s.b) && (s.b[i] == ' ' || s.b[i] == '\t' || s.b[i] == '\n' || s.b[i] == '\r') {
		i++
	}
	return i
}

// value parses a value of a field. f is nil if no test needs the field.
func (s *scan) value(i int, f *fieldNode) int {
	if i == len(s.b) {
		return -1
	}
	ignored := f == nil && len(s.every) == 0
	switch c := s.b[i]; c {
	case '"':
		end, escaped := StringEnd(s.b, i)
		if end > 0 && !ignored {
			s.testText(i, end, escaped, f)
		}
		return end
	case '{', '[':
		if ignored {
			return s.skip(i)
		}
		if s.depth++; s.depth > maxDepth {
			return -1
		}
		if c == '[' {
			i = s.array(i, f)
		} else {
			s.present(f)
			i = s.object(i, f)
		}
		s.depth--
		return i
	case 'n':
		return s.literal(i, "null")
	case 't', 'f':
		text := "true"
		if c == 'f' {
			text = "false"
		}
		end := s.literal(i, text)
		if end > 0 && !ignored {
			s.testBool(i, end, f)
		}
		return end
	}
	return s.number(i, f, ignored)
}

func (s *scan) literal(i int, text string) int {
	if !bytes.HasPrefix(s.b[i:], []byte(text)) {
		return -1
	}
	return i + len(text)
}

func (s *scan) number(i int, f *fieldNode, ignored bool) int {
	start := i
	for i < len(s.b) && (s.b[i]-'0' < 10 || s.b[i] == '-' || s.b[i] == '+' || s.b[i] == '.' || s.b[i]|0x20 == 'e') {
		i++
	}
	if i == start {
		return -1
	}
	if !ignored {
		s.testNumber(start, i, f)
	}
	return i
}

func (s *scan) object(i int, f *fieldNode) int {
	if i = s.space(i + 1); i < len(s.b) && s.b[i] == '}' {
		return i + 1
	}
	for i < len(s.b) && s.b[i] == '"' {
		end, escaped := StringEnd(s.b, i)
		if end < 0 {
			return -1
		}
		var member *fieldNode
		if f != nil && len(f.members) > 0 {
			name := s.b[i+1 : end-1]
			if escaped {
				s.name = AppendDecoded(s.name[:0], s.b[i:end])
				name = s.name
			}
			member = f.member(name)
		}
		if i = s.space(end); i == len(s.b) || s.b[i] != ':' {
			return -1
		}
		if i = s.value(s.space(i+1), member); i < 0 || s.decided != open {
			return -1
		}
		var closed bool
		if i, closed = s.comma(i, '}'); closed {
			return i
		}
	}
	return -1
}

func (s *scan) array(i int, f *fieldNode) int {
	if i = s.space(i + 1); i < len(s.b) && s.b[i] == ']' {
		return i + 1
	}
	for {
		if i = s.value(i, f); i < 0 || s.decided != open {
			return -1
		}
		var closed bool
		if i, closed = s.comma(i, ']'); closed {
			return i
		}
	}
}

// comma parses the text after a member or an element. closed is true if no other follows, or if the line is not JSON.
func (s *scan) comma(i int, closing byte) (next int, closed bool) {
	i = s.space(i)
	switch {
	case i < len(s.b) && s.b[i] == ',':
		return s.space(i + 1), false
	case i < len(s.b) && s.b[i] == closing:
		return i + 1, true
	}
	return -1, true
}

// StringEnd returns the offset after the JSON string whose opening quote is at start in b, and tells whether it has
// escapes. end is negative if the string is not closed.
func StringEnd(b []byte, start int) (end int, escaped bool) {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for i := start + 1; i < len(b); {
		// Eight bytes at a time. In special the top bit of each quote and backslash is set; a borrow may set it in
		// bytes above such a one too, but only the lowest counts.
		for len(b)-i >= 8 {
			w := binary.LittleEndian.Uint64(b[i:])
			quote, backslash := w^ones*'"', w^ones*'\\'
			special := ((quote-ones)&^quote | (backslash-ones)&^backslash) & tops
			if special != 0 {
				i += bits.TrailingZeros64(special) / 8
				break
			}
			i += 8
		}
		if i == len(b) {
			break
		}
		switch b[i] {
		case '"':
			return i + 1, escaped
		case '\\':
			i, escaped = i+2, true
		default: // only in the last seven bytes
			i++
		}
	}
	return -1, false
}

// skip parses an object or array from which no value is needed.
func (s *scan) skip(i int) int {
	for depth := 0; i < len(s.b); i++ {
		switch s.b[i] {
		case '"':
			end, _ := StringEnd(s.b, i)
			if end < 0 {
				return -1
			}
			i = end - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// present records that a field exists.
func (s *scan) present(f *fieldNode) {
	if f == nil {
		return
	}
	for _, n := range f.exists {
		if s.known[n] == open {
			s.know(n, yes)
		}
	}
}

// noteSources records the value of sources of aliases.
func (s *scan) noteSources(start, end int, f *fieldNode) {
	if f == nil {
		return
	}
	for _, source := range f.sources {
		s.values = append(s.values, sourceValue{source, start, end})
		s.seen[source.alias] |= 1 << source.n
	}
}

// noteColumns records a value of an extracted field.
func (s *scan) noteColumns(start, end int, f *fieldNode) {
	if f == nil {
		return
	}
	for _, column := range f.columns {
		s.columns = append(s.columns, columnValue{column, start, end})
	}
}

// testsOf returns the tests of a field's values: its own, and those of every value. f is nil if no test names the
// field.
func (s *scan) testsOf(f *fieldNode) [2][]int {
	if f == nil {
		return [2][]int{nil, s.every}
	}
	return [2][]int{f.tests, s.every}
}

// testText runs the tests of a string.
func (s *scan) testText(start, end int, escaped bool, f *fieldNode) {
	s.present(f)
	s.noteColumns(start, end, f)
	if end-start > len(`""`) {
		s.noteSources(start, end, f)
	}
	if f != nil && len(f.tests)+len(s.every) == 0 {
		return
	}
	text, folded := s.b[start+1:end-1], []byte(nil)
	if escaped {
		s.text = AppendDecoded(s.text[:0], s.b[start:end])
		text = s.text
	}
	switch {
	case s.folded != nil:
		folded = s.folded[start+1 : end-1]
	case s.m.folds:
		s.fold = AppendFold(s.fold[:0], text)
		folded = s.fold
	}
	for _, tests := range s.testsOf(f) {
		for _, n := range tests {
			if s.known[n] == open && s.m.tests[n].text(textOf(text), folded) {
				s.know(n, yes)
			}
		}
	}
}

// testNumber runs the tests of a number.
func (s *scan) testNumber(start, end int, f *fieldNode) {
	number := numeral{text: textOf(s.b[start:end])}
	s.present(f)
	s.noteColumns(start, end, f)
	s.noteSources(start, end, f)
	for _, tests := range s.testsOf(f) {
		for _, n := range tests {
			if s.known[n] == open && s.m.tests[n].number(&number, &s.fold) {
				s.know(n, yes)
			}
		}
	}
}

// testBool runs the tests of a boolean.
func (s *scan) testBool(start, end int, f *fieldNode) {
	text := textOf(s.b[start:end])
	s.present(f)
	s.noteColumns(start, end, f)
	s.noteSources(start, end, f)
	for _, tests := range s.testsOf(f) {
		for _, n := range tests {
			if s.known[n] == open && s.m.tests[n].boolean(text) {
				s.know(n, yes)
			}
		}
	}
}

// aliasValues returns the values of an alias in the event that was parsed. They are valid until the next event.
func (s *scan) aliasValues(alias int) []Scalar {
	return aliasValues(alias, func(n int) []Scalar { return s.valuesOf(sourcePlace{alias, n}) }, s.hasActor)
}

// valuesOf returns the values of a source.
func (s *scan) valuesOf(source sourcePlace) []Scalar {
	if s.seen[source.alias]&(1<<source.n) == 0 {
		return nil
	}
	first := len(s.scalars)
	for _, v := range s.values {
		if v.source == source {
			s.scalars = append(s.scalars, s.scalar(v.start, v.end))
		}
	}
	return s.scalars[first:len(s.scalars):len(s.scalars)]
}

func (s *scan) hasActor() bool {
	for n, source := range aliasSources[who] {
		if source.path[0] == "actor" && s.seen[who]&(1<<n) != 0 {
			return true
		}
	}
	return false
}

func (s *scan) scalar(start, end int) Scalar {
	text := s.b[start:end]
	switch text[0] {
	case '"':
		if s.escapes && bytes.IndexByte(text, '\\') >= 0 {
			first := len(s.decoded)
			s.decoded = AppendDecoded(s.decoded, text)
			return Scalar{String, textOf(s.decoded[first:])}
		}
		return Scalar{String, textOf(text[1 : len(text)-1])}
	case 't', 'f':
		return Scalar{Bool, textOf(text)}
	}
	return Scalar{Number, textOf(text)}
}

// AppendDecoded appends the content of a JSON string, which is given with its quotes. A lone surrogate becomes U+FFFD.
func AppendDecoded(dst, quoted []byte) []byte {
	dst, _ = jsontext.AppendUnquote(dst, quoted) // recording has checked that it is a string
	return dst
}
