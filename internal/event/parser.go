package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Bounds on one event.
const (
	DefaultMaxBytes = 1 << 20
	MaxDepth        = 64
	maxUID          = 512 // bytes
	maxAhead        = 10 * time.Minute
)

var earliest = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

const streamProcessor = "Stream Processor"

// Origin is what weir knows of an event, and writes where its producer left it out.
type Origin struct {
	Workspace string    // metadata.log_name
	Project   string    // metadata.tenant_uid
	Received  time.Time // metadata.logged_time
}

// Fields is what weir reads of an event.
type Fields struct {
	Time       int64    // milliseconds since the epoch
	UID        []byte   // valid until the Parser's next call
	Processors []string // stream processors that it concerns; valid until the Parser's next call
}

// Concerns tells whether the event concerns a stream processor.
func (f Fields) Concerns(processor string) bool {
	for _, p := range f.Processors {
		if p == processor {
			return true
		}
	}
	return false
}

// Parser reads events. It may be used again and again, not concurrently. The zero value is ready.
type Parser struct {
	MaxBytes int // of an event; 0: DefaultMaxBytes

	scanner    scanner
	processors []string
	names      map[string]string // so that a name that returns is not allocated again
	uid        [2 * sha256.Size / 2]byte
}

// Append checks raw, one event with white space around it allowed, and appends the line that weir records to dst: the
// producer's bytes, what was missing in metadata, and '\n'. Line breaks between tokens, which a line cannot hold, are
// removed together with the other insignificant white space. The error is an *Error.
func (p *Parser) Append(dst, raw []byte, o Origin) ([]byte, Fields, error) {
	raw = bytes.Trim(raw, " \t\r\n")
	limit := p.MaxBytes
	if limit == 0 {
		limit = DefaultMaxBytes
	}
	if len(raw) > limit {
		return dst, Fields{}, &Error{Reason: fmt.Sprintf("%d bytes: an event may have at most %d", len(raw), limit)}
	}
	if err := p.scan(raw); err != nil {
		return dst, Fields{}, err
	}
	if p.scanner.newline {
		var line bytes.Buffer
		if err := json.Compact(&line, raw); err != nil {
			return dst, Fields{}, &Error{Reason: "not JSON: " + err.Error()}
		}
		raw = line.Bytes()
		if err := p.scan(raw); err != nil {
			return dst, Fields{}, err
		}
	}
	f, err := p.fields()
	if err != nil {
		return dst, Fields{}, err
	}
	if err := p.checkSent(f, o); err != nil {
		return dst, Fields{}, err
	}
	if !p.scanner.found.uidSeen {
		sum := sha256.Sum256(raw)
		f.UID = p.uid[:hex.Encode(p.uid[:], sum[:16])]
	}
	return p.fill(dst, raw, f, o), f, nil
}

// Scan reads the fields of a line as recorded.
func (p *Parser) Scan(line []byte) (Fields, error) {
	if err := p.scan(line); err != nil {
		return Fields{}, err
	}
	return p.fields()
}

func (p *Parser) scan(raw []byte) error {
	p.scanner.maxDepth = MaxDepth
	return p.scanner.scan(raw)
}

func (p *Parser) refuse(reason string, args ...any) error {
	return &Error{Reason: fmt.Sprintf(reason, args...)}
}

func (p *Parser) fields() (Fields, error) {
	found := &p.scanner.found
	switch {
	case !found.timeSeen && found.mongod:
		return Fields{}, p.refuse("time is missing; this looks like mongod's own audit schema (ts.$date), not OCSF")
	case !found.timeSeen:
		return Fields{}, p.refuse("time is missing")
	case found.time == nil:
		return Fields{}, p.refuse("time must be an integer, in milliseconds since the epoch")
	}
	t, err := strconv.ParseInt(string(found.time), 10, 64)
	if err != nil {
		return Fields{}, p.refuse("time must be an integer, in milliseconds since the epoch, not %.40s", found.time)
	}
	return Fields{Time: t, UID: found.uid, Processors: p.concerned()}, nil
}

// concerned returns the stream processors of the event: those that it says are its entity or resources, else the name
// among its parameters.
func (p *Parser) concerned() []string {
	found := &p.scanner.found
	p.processors = p.processors[:0]
	if string(found.entType) == streamProcessor && found.entityName != nil {
		p.concern(found.entityName)
	}
	for _, name := range found.resources {
		p.concern(name)
	}
	if len(p.processors) == 0 && found.paramName != nil {
		p.concern(found.paramName)
	}
	return p.processors
}

func (p *Parser) concern(name []byte) {
	for _, known := range p.processors {
		if known == string(name) {
			return
		}
	}
	known, ok := p.names[string(name)]
	if !ok {
		if p.names == nil || len(p.names) >= 1024 {
			p.names = map[string]string{}
		}
		known = string(name)
		p.names[known] = known
	}
	p.processors = append(p.processors, known)
}

// checkSent checks what is asked of an event that arrives, beyond what is asked of one that was recorded.
func (p *Parser) checkSent(f Fields, o Origin) error {
	found := &p.scanner.found
	switch {
	case f.Time < earliest && f.Time > earliest/1000:
		return p.refuse("time %d is before the year 2000; it is in milliseconds since the epoch, not in seconds", f.Time)
	case f.Time < earliest:
		return p.refuse("time %d is before the year 2000; it is in milliseconds since the epoch", f.Time)
	case f.Time > o.Received.Add(maxAhead).UnixMilli():
		return p.refuse("time %d is more than 10 minutes in the future; it is in milliseconds since the epoch, and the time here is %d", f.Time, o.Received.UnixMilli())
	}
	if found.classSeen {
		if _, err := strconv.ParseInt(string(found.class), 10, 64); err != nil {
			return p.refuse("class_uid must be an integer")
		}
	}
	if found.metadataSeen && found.metadataOpen == 0 {
		return p.refuse("metadata must be an object")
	}
	if found.uidSeen && len(found.uid) == 0 {
		return p.refuse("metadata.uid must be a string that is not empty; without one, weir makes one")
	}
	if len(found.uid) > maxUID {
		return p.refuse("metadata.uid has %d bytes: at most %d are allowed", len(found.uid), maxUID)
	}
	return nil
}

// fill appends the line: raw with what is missing in metadata put at its end.
func (p *Parser) fill(dst, raw []byte, f Fields, o Origin) []byte {
	found := &p.scanner.found
	at, comma := found.metadataEnd, !found.metadataEmpty
	if !found.metadataSeen {
		at, comma = found.end, !found.empty
	}
	dst = append(dst, raw[:at]...)
	member := func(name string) {
		if comma {
			dst = append(dst, ',')
		}
		comma = true
		dst = append(append(append(dst, '"'), name...), '"', ':')
	}
	if !found.metadataSeen {
		member("metadata")
		dst = append(dst, '{')
		comma = false
	}
	if !found.uidSeen {
		member("uid")
		dst = appendQuoted(dst, string(f.UID))
	}
	if !found.logName {
		member("log_name")
		dst = appendQuoted(dst, o.Workspace)
	}
	if !found.tenantUID {
		member("tenant_uid")
		dst = appendQuoted(dst, o.Project)
	}
	if !found.loggedTime {
		member("logged_time")
		dst = strconv.AppendInt(dst, o.Received.UnixMilli(), 10)
	}
	if !found.metadataSeen {
		dst = append(dst, '}')
	}
	return append(append(dst, raw[at:]...), '\n')
}

func appendQuoted(dst []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always can be
	}
	return append(dst, quoted...)
}

// MayConcern is false only if the event on a line certainly does not concern a stream processor, and much faster than
// reading the event: without a backslash there are no escapes, so the name would stand there as it is.
func MayConcern(line []byte, processor string) bool {
	return bytes.Contains(line, []byte(processor)) || bytes.IndexByte(line, '\\') >= 0
}
