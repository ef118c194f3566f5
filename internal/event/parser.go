package event

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	defaultMaxBytes = 1 << 20
	defaultMaxDepth = 64
	hardMaxDepth    = 10_000  // for any limits: it bounds the scanner's stack, and is jsontext's bound too
	maxUID          = 512     // bytes, decoded
	maxAdded        = 1 << 10 // bytes that weir may add to an event

	streamProcessor = "Stream Processor"
)

// Earliest is the earliest time that an event may have: 2008-01-01T00:00:00Z, in milliseconds since the epoch. A
// download by Atlas's API cannot begin earlier, so every recorded event can be downloaded.
const Earliest = 1_199_145_600_000

// MaxAhead is how far the time of an event that arrives may be ahead of the clock of the node.
const MaxAhead = 10 * time.Minute

// Parser reads events. The zero value is ready to use. A Parser may be reused, but not used concurrently. A reused
// Parser allocates nothing per event.
type Parser struct {
	Limits           // of Append
	Operational bool // lines are of an operational log: t.$date may replace time, and no OCSF rule applies

	// State of the event being read:
	values     [places]span
	factsName  int      // offset of the name of facts
	claims     int      // number of nested claims
	names      [][]byte // names of the objects that are open
	decoded    []byte   // strings that had escapes, decoded
	processors []string
	uid        [32]byte // uid that weir derives
	compact    []byte
	timed      []byte // the line with its time added
	lineBreaks bool   // there are line breaks between tokens
	unique     bool
	maxDepth   int
	read       []byte              // the event that values refers to
	parts      [maxCuts + 1][]byte // see sent
	err        Error

	known map[string][]string // slices with one processor each, so that a processor that recurs is not allocated again
}

// Append checks raw, one event with optional white space around it, and appends the line that weir records to dst: the
// producer's bytes, with missing members added at the end of metadata, weir's facts at the end of unmapped, and '\n'. A
// member that the producer sent under the name of the facts becomes a claim in them (see Facts). If there are line
// breaks between tokens, Append removes all insignificant white space, since a line cannot hold them. A missing uid is
// derived from the producer's bytes, so a retry gets the same one. An error is an *Error; dst is then returned
// unchanged.
func (p *Parser) Append(dst, raw []byte, origin Origin) ([]byte, Fields, error) {
	event, before := trim(raw)
	if p.Operational {
		event = p.withTime(event)
	}
	f, err := p.check(event, origin)
	if err != nil {
		if err.Offset > 0 {
			err.Offset += before
		}
		return dst, Fields{}, err
	}
	if p.lineBreaks {
		p.compact = AppendCompact(p.compact[:0], event)
		event = p.compact
		p.scan(event, p.maxDepth) // cannot fail; it notes the new offsets
		f = p.fields(event, f.Time)
	}
	if f.UID == nil {
		h := sha256.Sum256(event)
		f.UID = hex.AppendEncode(p.uid[:0], h[:16])
	}
	return p.fill(dst, event, f.UID, origin), f, nil
}

// Scan reads the fields of a recorded line, with optional white space around it. It requires less than Append: it has
// no limits, and names may repeat (the last one counts), so that recorded lines stay readable. An error is an *Error.
func (p *Parser) Scan(line []byte) (Fields, error) {
	line, _ = trim(line)
	p.unique = false
	if !p.scan(line, hardMaxDepth) {
		return Fields{}, p.refusal()
	}
	at := p.values[eventTime]
	if at.missing() {
		return Fields{}, &Error{Reason: "time is missing"}
	}
	t, err := strconv.ParseInt(string(at.of(line)), 10, 64)
	if err != nil {
		return Fields{}, &Error{Offset: at.start, Reason: "time is not an integer of 64 bits"}
	}
	f := p.fields(line, t)
	if len(f.UID) == 0 {
		return Fields{}, &Error{Reason: "metadata.uid is missing, or not a string"}
	}
	return f, nil
}

// refusal returns the scanner's error.
func (p *Parser) refusal() *Error {
	e := p.err
	return &e
}

// check checks the requirements on an event that arrives.
func (p *Parser) check(event []byte, origin Origin) (Fields, *Error) {
	most := cmp.Or(p.Limits.MaxBytes, defaultMaxBytes)
	if len(event) > most+maxAdded {
		p.fail(0, tooLong, len(event), most)
		return Fields{}, p.refusal()
	}
	p.unique = true
	if !p.scan(event, min(cmp.Or(p.Limits.MaxDepth, defaultMaxDepth), hardMaxDepth)) {
		return Fields{}, p.refusal()
	}
	if sent := len(event) - p.added(); sent > most {
		p.fail(0, tooLong, sent, most)
		return Fields{}, p.refusal()
	}
	t, ok := p.checkTime(event, origin.Received)
	if !ok {
		return Fields{}, p.refusal()
	}
	f := p.fields(event, t)
	meta, uid, class := p.values[metadata], p.values[metadataUID], p.values[classUID]
	rest := p.values[unmapped]
	switch {
	case !p.Operational && !class.missing() && !isInteger(class.of(event)):
		p.fail(class.start, "class_uid must be an integer")
	case !meta.missing() && event[meta.start] != '{':
		p.fail(meta.start, "metadata must be an object")
	case !rest.missing() && event[rest.start] != '{':
		p.fail(rest.start, "unmapped must be an object")
	case !uid.missing() && len(f.UID) == 0:
		p.fail(uid.start, "metadata.uid must be a non-empty string; if it is left out, it is derived from "+
			"the event")
	case len(f.UID) > maxUID:
		p.fail(uid.start, "metadata.uid has %d bytes, at most %d are allowed", len(f.UID), maxUID)
	default:
		return f, nil
	}
	return Fields{}, p.refusal()
}

const tooLong = "the event has %d bytes, at most %d are allowed"

// withTime adds time to a line that has t.$date instead, as mongod and Extended JSON write it: an ISO 8601 string, a
// number of milliseconds since the epoch, or {"$numberLong": such a number}. It returns any other line unchanged.
func (p *Parser) withTime(line []byte) []byte {
	p.unique = false
	if !p.scan(line, min(cmp.Or(p.Limits.MaxDepth, defaultMaxDepth), hardMaxDepth)) || !p.values[eventTime].missing() {
		return line
	}
	ms, ok := p.date(line)
	if !ok {
		return line
	}
	p.timed = append(append(p.timed[:0], line[:len(line)-1]...), `,"time":`...)
	p.timed = append(strconv.AppendInt(p.timed, ms, 10), '}')
	return p.timed
}

// date returns t.$date in milliseconds since the epoch, and false if it is missing or cannot be read.
func (p *Parser) date(line []byte) (int64, bool) {
	for _, layout := range [...]string{time.RFC3339, "2006-01-02T15:04:05Z0700"} { // reads fractions of a second too
		if at, err := time.Parse(layout, string(p.string(line, tDate))); err == nil {
			return at.UnixMilli(), true
		}
	}
	text := p.values[tDate].of(line)
	if long := p.values[tLong]; !long.missing() {
		text = bytes.Trim(long.of(line), `"`)
	}
	ms, err := strconv.ParseInt(string(text), 10, 64)
	return ms, err == nil
}

// checkTime returns the event's time, or false after a call of fail.
func (p *Parser) checkTime(event []byte, received time.Time) (int64, bool) {
	at := p.values[eventTime]
	text := at.of(event)
	switch {
	case at.missing() && p.Operational:
		p.fail(0, "time is missing: a line must have it, as an integer in milliseconds since the epoch, or "+
			"t.$date, as mongod writes it")
		return 0, false
	case at.missing() && !p.values[tsDate].missing():
		p.fail(0, "time is missing, and there is ts.$date: this is mongod's own audit schema, not OCSF; "+
			"set auditLog.schema to OCSF, or convert it")
		return 0, false
	case at.missing():
		p.fail(0, "time is missing: an event must have it, as an integer in milliseconds since the epoch")
		return 0, false
	case !isInteger(text):
		p.fail(at.start, "time must be an integer without fraction or exponent, in milliseconds since the "+
			"epoch, not %.40s", text)
		return 0, false
	}
	t, err := strconv.ParseInt(string(text), 10, 64)
	latest := received.Add(MaxAhead).UnixMilli()
	unit := ""
	switch in := func(t int64) bool { return t >= Earliest && t <= latest }; {
	case err != nil && !errors.Is(err, strconv.ErrRange):
		p.fail(at.start, "time must be an integer")
		return 0, false
	case in(t):
		return t, true
	case t < Earliest && t > Earliest/1000-1 && in(t*1000):
		unit = "seconds"
	case in(t / 1000):
		unit = "microseconds"
	case in(t / 1_000_000):
		unit = "nanoseconds"
	}
	switch {
	case unit != "":
		p.fail(at.start, "time is in milliseconds since the epoch, but %s looks like %s", text, unit)
	case t < Earliest:
		p.fail(at.start, "time %.40s is before the year 2008; time is in milliseconds since the epoch", text)
	default:
		p.fail(at.start, "time %.40s is more than 10 minutes in the future: the node's clock says %d, in milliseconds "+
			"since the epoch",
			text, received.UnixMilli())
	}
	return 0, false
}

// fields returns the fields of the scanned event. The uid is nil if it is missing or not a string.
func (p *Parser) fields(event []byte, time int64) Fields {
	f := Fields{Time: time, UID: p.string(event, metadataUID)}
	if string(p.string(event, entityType)) == streamProcessor {
		p.concern(p.string(event, entityName))
	}
	for _, at := range [...]place{paramName, rootName, attrName} {
		if len(p.processors) == 0 {
			p.concern(p.string(event, at))
		}
	}
	if len(p.processors) > 1 {
		slices.Sort(p.processors)
		p.processors = slices.Compact(p.processors)
	}
	f.Processors = p.processors
	return f
}

// endResource notes the resource that was read if it is a stream processor.
func (p *Parser) endResource(event []byte) {
	if string(p.string(event, resourceType)) == streamProcessor {
		p.concern(p.string(event, resourceName))
	}
	p.values[resourceName], p.values[resourceType] = span{}, span{}
}

// string returns the decoded string at a place; nil if there is none.
func (p *Parser) string(event []byte, at place) []byte {
	v := p.values[at]
	if v.missing() || event[v.start] != '"' {
		return nil
	}
	return p.decode(v.of(event))
}

// concern notes that the event concerns a stream processor. An empty name is ignored.
func (p *Parser) concern(name []byte) {
	if len(name) == 0 {
		return
	}
	known, ok := p.known[string(name)]
	if !ok {
		const maxKnown, maxKnownBytes = 1024, 128 // bounds what unusual events make the parser keep
		known = []string{string(name)}
		if p.known == nil || len(p.known) >= maxKnown {
			p.known = make(map[string][]string)
		}
		if len(name) <= maxKnownBytes {
			p.known[known[0]] = known
		}
	}
	p.processors = append(p.processors, known[0])
}

// appendQuoted appends a JSON string. It replaces bytes that are not UTF-8 by U+FFFD.
func appendQuoted(dst []byte, s string) []byte {
	quoted, err := jsontext.AppendQuote(dst, s)
	if err != nil {
		return appendQuoted(dst, strings.ToValidUTF8(s, "\ufffd"))
	}
	return quoted
}

// AppendCompact appends valid JSON without its insignificant white space. dst may be the beginning of b.
func AppendCompact(dst, b []byte) []byte {
	quoted := false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			dst = append(dst, c)
			i++
		case c == '"':
			quoted = !quoted
		case c <= ' ' && !quoted:
			continue
		}
		dst = append(dst, b[i])
	}
	return dst
}

func isInteger(number []byte) bool {
	start := 0
	if number[0] == '-' {
		start = 1
	}
	return digits(number, start) == len(number)
}

// trim returns b without the white space around it, and the number of bytes before it.
func trim(b []byte) ([]byte, int) {
	const space = " \t\r\n"
	if n := len(b); n > 0 && b[0] > ' ' && b[n-1] > ' ' {
		return b, 0
	}
	rest := bytes.TrimLeft(b, space)
	return bytes.TrimRight(rest, space), len(b) - len(rest)
}
