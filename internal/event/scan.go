package event

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Error says why an event is refused, in words for who sent it.
type Error struct {
	Offset int // byte in the event at which it was found; 0: it concerns the whole
	Reason string
}

func (e *Error) Error() string {
	if e.Offset == 0 {
		return e.Reason
	}
	return fmt.Sprintf("%s (at byte %d)", e.Reason, e.Offset)
}

// scanner checks one JSON text (RFC 8259: valid UTF-8, no name twice in an object, bounded nesting) in one pass, and
// picks out what weir reads of an event. It is written by hand since it is the hot path of recording: it is several times
// faster than a general tokenizer that checks the same, with which the tests compare it.
type scanner struct {
	data     []byte
	pos      int
	maxDepth int
	depth    int
	newline  bool     // there is a line break between tokens
	keys     [][]byte // names of all open objects, one object behind the other
	many     []map[string]struct{}

	found found
}

// found is what the scanner picked out. The slices alias the data unless they held escapes.
type found struct {
	time, class           []byte // number text; nil: absent
	timeSeen, classSeen   bool
	mongod                bool // there is ts.$date
	metadataSeen          bool
	metadataOpen          int // position behind '{' of metadata; 0 if it is no object
	metadataEnd           int // of its '}'
	metadataEmpty         bool
	uid                   []byte
	uidSeen               bool
	logName, tenantUID    bool
	loggedTime            bool
	end                   int // of the event's own '}'
	empty                 bool
	entityName, entType   []byte
	resources             [][]byte // names of those that are stream processors
	resourceName, resType []byte   // of the resource being read
	paramName             []byte
}

// place is where in the event the scanner is, as far as that matters.
type place uint8

const (
	elsewhere place = iota
	top
	inMetadata
	inEntity
	inResources // the array
	inResource  // an element
	inUnmapped
	inParam
	inTS
)

func (s *scanner) fail(format string, args ...any) error {
	return &Error{Offset: s.pos, Reason: fmt.Sprintf(format, args...)}
}

// scan reads one object that fills all of data.
func (s *scanner) scan(data []byte) error {
	keys := s.keys[:0]
	resources := s.found.resources[:0]
	*s = scanner{data: data, maxDepth: s.maxDepth, keys: keys}
	s.found.resources = resources
	s.space()
	if s.peek() != '{' {
		return s.fail("an event is a JSON object")
	}
	if _, err := s.value(top); err != nil {
		return err
	}
	s.space()
	if s.pos < len(s.data) {
		return s.fail("there is something behind the event's end")
	}
	return nil
}

func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t':
		case '\n', '\r':
			s.newline = true
		default:
			return
		}
		s.pos++
	}
}

// value reads any value. For strings and numbers it returns the text, decoded; of strings only where at matters.
func (s *scanner) value(at place) ([]byte, error) {
	switch c := s.peek(); {
	case c == '"':
		return s.str()
	case c == '{':
		return nil, s.object(at)
	case c == '[':
		return nil, s.array(at)
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	case c == 't':
		return nil, s.literal("true")
	case c == 'f':
		return nil, s.literal("false")
	case c == 'n':
		return nil, s.literal("null")
	case s.pos >= len(s.data):
		return nil, s.fail("the event ends early")
	}
	return nil, s.fail("not JSON: a value cannot begin with %q", s.data[s.pos])
}

func (s *scanner) literal(word string) error {
	if !bytes.HasPrefix(s.data[s.pos:], []byte(word)) {
		return s.fail("not JSON: expected %s", word)
	}
	s.pos += len(word)
	return nil
}

func (s *scanner) enter() error {
	if s.depth++; s.depth > s.maxDepth {
		return s.fail("nested deeper than %d levels", s.maxDepth)
	}
	s.pos++
	s.space()
	return nil
}

func (s *scanner) object(at place) error {
	if err := s.enter(); err != nil {
		return err
	}
	base := len(s.keys)
	if at == inMetadata {
		s.found.metadataOpen = s.pos
	}
	empty := s.peek() == '}'
	for more := !empty; more; {
		if s.peek() != '"' {
			return s.fail("not JSON: expected a name in quotes")
		}
		key, err := s.str()
		if err != nil {
			return err
		}
		if err := s.once(base, key); err != nil {
			return err
		}
		s.space()
		if s.peek() != ':' {
			return s.fail("not JSON: expected ':' behind the name %q", key)
		}
		s.pos++
		s.space()
		if err := s.member(at, key); err != nil {
			return err
		}
		if more, err = s.next('}'); err != nil {
			return err
		}
	}
	switch at {
	case top:
		s.found.end, s.found.empty = s.pos, empty
	case inMetadata:
		s.found.metadataEnd, s.found.metadataEmpty = s.pos, empty
	}
	s.pos++
	s.depth--
	s.keys = s.keys[:base]
	if len(s.many) > s.depth {
		s.many[s.depth] = nil
	}
	return nil
}

func (s *scanner) array(at place) error {
	if err := s.enter(); err != nil {
		return err
	}
	element := elsewhere
	if at == inResources {
		element = inResource
	}
	for more := s.peek() != ']'; more; {
		s.found.resourceName, s.found.resType = nil, nil
		if _, err := s.value(element); err != nil {
			return err
		}
		if element == inResource && string(s.found.resType) == streamProcessor && s.found.resourceName != nil {
			s.found.resources = append(s.found.resources, s.found.resourceName)
		}
		var err error
		if more, err = s.next(']'); err != nil {
			return err
		}
	}
	s.pos++
	s.depth--
	return nil
}

// next goes to the next element, or to the end; it tells whether there is one.
func (s *scanner) next(end byte) (bool, error) {
	s.space()
	switch s.peek() {
	case end:
		return false, nil
	case ',':
		s.pos++
		s.space()
		return true, nil
	}
	if s.pos >= len(s.data) {
		return false, s.fail("the event ends early")
	}
	return false, s.fail("not JSON: expected ',' or '%c'", end)
}

// manyKeys is the number of names in an object past which a map looks for doubles.
const manyKeys = 24

// once checks that key is new in the object whose names begin at base.
func (s *scanner) once(base int, key []byte) error {
	names := s.keys[base:]
	s.keys = append(s.keys, key)
	if len(names) < manyKeys {
		for _, k := range names {
			if len(k) == len(key) && string(k) == string(key) {
				return s.fail("the name %q stands twice in one object", key)
			}
		}
		return nil
	}
	for len(s.many) < s.depth {
		s.many = append(s.many, nil)
	}
	seen := s.many[s.depth-1]
	if seen == nil {
		seen = make(map[string]struct{}, 4*manyKeys)
		for _, k := range names {
			seen[string(k)] = struct{}{}
		}
		s.many[s.depth-1] = seen
	}
	if _, ok := seen[string(key)]; ok {
		return s.fail("the name %q stands twice in one object", key)
	}
	seen[string(key)] = struct{}{}
	return nil
}

// member reads the value of the name key.
func (s *scanner) member(at place, key []byte) error {
	if at == elsewhere {
		_, err := s.value(elsewhere)
		return err
	}
	c := s.peek()
	inside := s.inside(at, key, c)
	text, err := s.value(inside)
	if err != nil {
		return err
	}
	isString, isNumber := c == '"', c == '-' || c >= '0' && c <= '9'
	f := &s.found
	switch at {
	case top:
		switch string(key) {
		case "time":
			f.timeSeen = true
			if isNumber {
				f.time = text
			}
		case "class_uid":
			f.classSeen = true
			if isNumber {
				f.class = text
			}
		case "metadata":
			f.metadataSeen = true
		}
	case inMetadata:
		switch string(key) {
		case "uid":
			f.uidSeen = true
			if isString {
				f.uid = text
			}
		case "log_name":
			f.logName = true
		case "tenant_uid":
			f.tenantUID = true
		case "logged_time":
			f.loggedTime = true
		}
	case inEntity:
		take(key, text, isString, &f.entityName, &f.entType)
	case inResource:
		take(key, text, isString, &f.resourceName, &f.resType)
	case inParam:
		take(key, text, isString, &f.paramName, new([]byte))
	case inTS:
		f.mongod = f.mongod || string(key) == "$date"
	}
	return nil
}

func take(key, text []byte, isString bool, name, kind *[]byte) {
	if !isString {
		return
	}
	switch string(key) {
	case "name":
		*name = text
	case "type":
		*kind = text
	}
}

// inside returns where the value of key, which begins with c, is.
func (s *scanner) inside(at place, key []byte, c byte) place {
	switch {
	case at == top && c == '{':
		switch string(key) {
		case "metadata":
			return inMetadata
		case "entity":
			return inEntity
		case "unmapped":
			return inUnmapped
		case "ts":
			return inTS
		}
	case at == top && c == '[' && string(key) == "resources":
		return inResources
	case at == inUnmapped && c == '{' && string(key) == "param":
		return inParam
	}
	return elsewhere
}

func (s *scanner) number() ([]byte, error) {
	start := s.pos
	if s.peek() == '-' {
		s.pos++
	}
	switch c := s.peek(); {
	case c == '0':
		s.pos++
	case c >= '1' && c <= '9':
		s.digits()
	default:
		return nil, s.fail("not JSON: a number without digits")
	}
	if s.peek() == '.' {
		s.pos++
		if !s.digits() {
			return nil, s.fail("not JSON: a number without digits behind its point")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if !s.digits() {
			return nil, s.fail("not JSON: a number without digits in its exponent")
		}
	}
	return s.data[start:s.pos], nil
}

func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.data) && s.data[s.pos]-'0' < 10 {
		s.pos++
	}
	return s.pos > start
}

// str reads a string and returns it decoded: a part of the data if it has no escapes.
func (s *scanner) str() ([]byte, error) {
	start := s.pos + 1
	escapes := false
	for i := start; i < len(s.data); {
		switch c := s.data[i]; {
		case c == '"':
			s.pos = i + 1
			if escapes {
				return s.unescape(start, i)
			}
			return s.data[start:i:i], nil
		case c == '\\':
			escapes = true
			i += 2 // what stands there is checked by unescape
		case c < ' ':
			s.pos = i
			return nil, s.fail("not JSON: a control character in a string")
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(s.data[i:])
			if r == utf8.RuneError && n == 1 {
				s.pos = i
				return nil, s.fail("not UTF-8")
			}
			i += n
		}
	}
	s.pos = len(s.data)
	return nil, s.fail("the event ends in a string")
}

func (s *scanner) unescape(start, end int) ([]byte, error) {
	text := s.data[start:end]
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		if text[i] != '\\' {
			out = append(out, text[i])
			i++
			continue
		}
		if plain := bytes.IndexByte([]byte(`"\/bfnrt`), text[i+1]); plain >= 0 {
			out = append(out, "\"\\/\b\f\n\r\t"[plain])
			i += 2
			continue
		}
		r, n := hexRune(text[i:])
		if utf16.IsSurrogate(r) {
			low, m := hexRune(text[i+n:])
			r = utf16.DecodeRune(r, low)
			n += m
		}
		if n == 0 || r == utf8.RuneError && !isReplacement(text[i:i+n]) {
			s.pos = start + i
			return nil, s.fail("not JSON: a wrong escape in a string")
		}
		out = utf8.AppendRune(out, r)
		i += n
	}
	return out, nil
}

// isReplacement tells whether an escape is U+FFFD itself, in any mixture of cases.
func isReplacement(escape []byte) bool {
	return len(escape) == 6 && bytes.EqualFold(escape[2:], []byte("fffd"))
}

// hexRune reads \uXXXX and returns its value and length; 0 if there is none.
func hexRune(text []byte) (rune, int) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return utf8.RuneError, 0
	}
	v, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return utf8.RuneError, 0
	}
	return rune(v), 6
}
