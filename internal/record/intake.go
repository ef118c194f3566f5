package record

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/weirlog/weir/internal/event"
)

// Limits bound one intake. A RequestBytes or Events of 0 means no limit.
type Limits struct {
	EventBytes   int   // maximum size of an event as it is sent, in bytes (default 1 MiB); see event.Limits
	RequestBytes int64 // maximum size of the whole body after decompression, in bytes
	Events       int   // maximum number of events, good or bad
}

// Conformance says how events are treated that do not conform to their OCSF class.
type Conformance uint8

// The values of a Conformance.
const (
	Unchecked Conformance = iota
	Warn
	Require
)

// Source says where events come from, and how they are treated.
type Source struct {
	Log          string // id of the log that the events go to
	event.Origin        // By and Project are charged for the memory,
	Org          string // and so is the organization of the project.
	Operational  bool   // the log is an operational log
	Conformance  Conformance
	Partial      bool    // good events are recorded even if others are refused
	Mapping      Mapping // converts what arrives to events; if nil, events arrive
}

// Mapping converts data in another format to events in JSON. A returned slice is valid until the next call. The result
// must not depend on the time of the call; otherwise data that is sent again would become another event.
type Mapping interface {
	// Map returns the event for raw, or an error if it cannot read raw. The event has at most 12 times the size of raw
	// plus 4 KiB. A Mapping may keep 64 bytes for each call until the intake is closed.
	Map(raw []byte) ([]byte, error)
	// Keep returns an event that holds unreadable data unchanged, with the reason.
	Keep(raw []byte, why string) []byte
}

// Intake turns the bytes of one request, or of one part of another source, into a durable batch of events. It reserves
// memory before it uses it, as the bytes arrive. It may not be used concurrently.
type Intake struct {
	recorder *Recorder
	source   Source
	limits   Limits
	hold     *Reservation
	parser   *event.Parser
	batches  []event.Batch
	added    int // maximum number of bytes that weir adds to a line
	prepaid  int // number of events whose entries are reserved
	events   int // number of events, good or bad
	refused  int
	reasons  []Remark
	warnings []Remark
	unread   int // number of events that the mapping could not read
	first    int // number of the first refused event, counted from 1
}

// Memory that is reserved in addition to the lines, in bytes.
const (
	entryMemory    = 256 // of an event: its entry, and the state that tells whether it is known
	entriesAtOnce  = 64
	packedFactor   = 2 // times the lines: their compressed form for the write-ahead log, and its copy in the object
	largeEvent     = 64 << 10
	scanFactor     = 16 // times the size of a large event: its names
	maxAddedMember = 288
	mapFactor      = 20 // times the size of mapped data: the event, and intermediate results
	mapMemory      = 4 << 10
	twinMemory     = 64 // of a mapped event: what the mapping keeps to tell equal events apart
)

var parsers = sync.Pool{New: func() any { return new(event.Parser) }}

// Intake returns an intake for a source. Its events get a salt. The caller calls Close.
func (r *Recorder) Intake(s Source, l Limits) *Intake {
	s.Salt = r.salts.of(s.Log, s.Received)
	in := &Intake{recorder: r, source: s, limits: l, hold: r.Reserve(s.By, s.Project, s.Org),
		parser: parsers.Get().(*event.Parser),
		added:  maxAddedMember + 6*(len(s.By)+len(s.Workspace)+len(s.Project))}
	in.parser.Operational = s.Operational
	in.parser.MaxBytes = l.EventBytes
	return in
}

// Close releases the memory of the intake.
func (in *Intake) Close() {
	parsers.Put(in.parser)
	for _, b := range in.batches {
		putBuffer(b.Lines)
	}
	in.batches = nil
	in.hold.Release()
}

// ReadLines reads events from lines of NDJSON in UTF-8. It skips a byte-order mark. An error concerns the whole body:
// it is a *TooLarge, an *Unreadable or ErrOverloaded. A single event that is refused is counted, and Record reports it.
func (in *Intake) ReadLines(src io.Reader) error {
	w := in.window(src)
	defer w.close()
	return in.read("line", &lines{window: w, most: in.eventBytes()})
}

// ReadElements reads events from a JSON array, or from one JSON object. An error is one of those of ReadLines, or a
// *Malformed.
func (in *Intake) ReadElements(src io.Reader) error {
	w := in.window(src)
	defer w.close()
	return in.read("element", &elements{window: w, most: in.eventBytes()})
}

// ReadObjects reads JSON objects that follow one another, with or without white space between them. An error is one of
// those of ReadLines, or a *Malformed.
func (in *Intake) ReadObjects(src io.Reader) error {
	w := in.window(src)
	defer w.close()
	return in.read("event", &elements{window: w, most: in.eventBytes(), many: true})
}

func (in *Intake) window(src io.Reader) *window {
	return &window{src: src, most: in.eventBytes() + windowSize, limit: in.limits.RequestBytes, hold: in.hold}
}

func (in *Intake) eventBytes() int {
	if in.limits.EventBytes == 0 {
		return 1 << 20
	}
	return in.limits.EventBytes
}

func (in *Intake) read(what string, s splitter) error {
	for {
		n, raw, err := s.next()
		switch {
		case err == nil:
			err = in.add(what, n, raw)
		case errors.Is(err, io.EOF):
			return nil
		case n > 0:
			err = in.skip(what, n, err)
		}
		if err != nil {
			return err
		}
	}
}

// skip counts and refuses an event that was not read.
func (in *Intake) skip(what string, n int, err error) error {
	if err := in.count(); err != nil {
		return err
	}
	return in.refuse(what, n, err)
}

// Add takes one event. If the event is refused, Add counts it and Record reports it.
func (in *Intake) Add(raw []byte) error { return in.add("event", in.events+1, raw) }

func (in *Intake) add(what string, n int, raw []byte) error {
	if err := in.count(); err != nil {
		return err
	}
	if in.source.Mapping != nil {
		return in.addMapped(what, n, raw)
	}
	return in.addEvent(what, n, raw)
}

// addMapped takes the event that the mapping makes of raw. If the mapping cannot read raw, or its event would be
// refused, raw is kept unchanged in an event.
func (in *Intake) addMapped(what string, n int, raw []byte) error {
	if len(raw) > in.eventBytes() {
		return in.refuse(what, n, tooLong(len(raw), in.eventBytes()))
	}
	most := mapFactor*len(raw) + mapMemory
	if err := in.hold.Grow(int64(most + twinMemory)); err != nil {
		return err
	}
	defer in.hold.shrink(int64(most))
	in.parser.MaxBytes = most // the size of raw has been checked
	mapped, err := in.source.Mapping.Map(raw)
	if err == nil {
		if err = in.take(mapped); err == nil {
			return in.checkLast(what, n)
		}
		if refusesMemory(err) {
			return err
		}
	}
	if err := in.remark(&in.warnings, what, n, "is kept as it is, since it could not be read: "+err.Error()); err != nil {
		return err
	}
	in.unread++
	return in.addEvent(what, n, in.source.Mapping.Keep(raw, err.Error()))
}

// take appends an event.
func (in *Intake) take(raw []byte) error {
	if err := in.room(len(raw) + in.added); err != nil {
		return err
	}
	return in.parse(&in.batches[len(in.batches)-1], raw)
}

func (in *Intake) addEvent(what string, n int, raw []byte) error {
	err := in.take(raw)
	switch {
	case err == nil:
		return in.checkLast(what, n)
	case refusesMemory(err):
		return err
	}
	return in.refuse(what, n, err)
}

// checkLast checks the event that was added last against its OCSF class.
func (in *Intake) checkLast(what string, n int) error {
	b := &in.batches[len(in.batches)-1]
	err := in.conform(what, n, b.Line(len(b.Entries)-1))
	if err == nil {
		return nil
	}
	b.Drop()
	if refusesMemory(err) {
		return err
	}
	return in.refuse(what, n, err)
}

// parse checks an event and appends it to a batch.
func (in *Intake) parse(b *event.Batch, raw []byte) error {
	if len(raw) > largeEvent {
		names := int64(scanFactor * len(raw))
		if err := in.hold.Grow(names); err != nil {
			return err
		}
		defer in.hold.shrink(names)
	}
	return in.parser.AddEvent(b, raw, in.source.Origin)
}

// refuse counts a refused event and notes the reason.
func (in *Intake) refuse(what string, n int, err error) error {
	if in.refused++; in.refused == 1 {
		in.first = n
	}
	if len(in.reasons) == maxRemarks {
		return nil
	}
	return in.remark(&in.reasons, what, n, err.Error())
}

// count counts an event and reserves its entry.
func (in *Intake) count() error {
	if in.events++; in.limits.Events > 0 && in.events > in.limits.Events {
		return &TooLarge{What: "events", Most: int64(in.limits.Events)}
	}
	if in.events > in.prepaid {
		in.prepaid += entriesAtOnce
		return in.hold.Grow(entriesAtOnce * entryMemory)
	}
	return nil
}

// conform checks a line against its OCSF class, if the source asks for it.
func (in *Intake) conform(what string, n int, line []byte) error {
	if in.source.Conformance == Unchecked {
		return nil
	}
	decoded := decodedMemory(line)
	if err := in.hold.Grow(decoded); err != nil {
		return err
	}
	defer in.hold.shrink(decoded)
	warnings, err := event.Conform(line)
	if err != nil || len(warnings) == 0 {
		return err
	}
	if in.source.Conformance == Require {
		return fmt.Errorf("this workspace takes only events that conform to OCSF 1.8.0: %s", warnings[0])
	}
	for _, w := range warnings {
		if err := in.remark(&in.warnings, what, n, w); err != nil {
			return err
		}
	}
	return nil
}

// decodedMemory returns an upper bound of the memory of a line decoded into maps and slices, in bytes.
func decodedMemory(line []byte) int64 {
	const object, value = 400, 100
	objects := bytes.Count(line, []byte("{"))
	values := bytes.Count(line, []byte(",")) + bytes.Count(line, []byte("["))
	return int64(2*len(line) + object*objects + value*values)
}

// room ensures that the last batch has room for n more bytes. If it is full, room begins another, so nothing is copied.
func (in *Intake) room(n int) error {
	size, unused := buffers[0].size, 0
	if len(in.batches) > 0 {
		lines := in.batches[len(in.batches)-1].Lines
		if unused = cap(lines) - len(lines); unused >= n {
			return nil
		}
		size = buffers[min(len(in.batches), len(buffers)-1)].size
	}
	size = max(size, n)
	if err := in.hold.Grow(int64(size + packedFactor*(size-unused))); err != nil {
		return err
	}
	in.batches = append(in.batches, event.Batch{Log: in.source.Log, Lines: getBuffer(size)})
	return nil
}

// buffers are pools of buffers for lines. An intake uses their sizes in this order.
var buffers = [...]struct {
	size int
	pool *sync.Pool
}{{16 << 10, new(sync.Pool)}, {256 << 10, new(sync.Pool)}, {4 << 20, new(sync.Pool)}}

func getBuffer(size int) []byte {
	for _, b := range buffers {
		if b.size == size {
			if p, ok := b.pool.Get().(*[]byte); ok {
				return (*p)[:0]
			}
		}
	}
	return make([]byte, 0, size)
}

func putBuffer(lines []byte) {
	for _, b := range buffers {
		if cap(lines) == b.size {
			b.pool.Put(&lines)
		}
	}
}

// Record makes the events durable. It may be called once, and releases the events. If some are refused and the source
// is not partial, no event is recorded and the error is a *Refused.
func (in *Intake) Record(ctx context.Context) (Result, error) {
	switch {
	case in.events == 0:
		return Result{}, ErrNoEvents
	case in.refused > 0 && !in.source.Partial:
		return Result{}, &Refused{in.events, in.refused, in.reasons}
	}
	result, err := in.recorder.record(ctx, in.batches, event.Batch.Remove)
	if err != nil {
		return Result{}, err
	}
	result.Refused, result.Reasons, result.Warnings = in.refused, in.reasons, in.warnings
	result.Unread, result.FirstRefused = in.unread, in.first
	return result, nil
}
