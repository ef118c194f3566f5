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

// Limits bound what one intake takes. If RequestBytes or Events is 0, there is no such limit.
type Limits struct {
	EventBytes   int   // size of an event as it was sent (default 1 MiB); see event.Limits
	RequestBytes int64 // size of the whole body, after decompression
	Events       int   // number of events, good and bad
}

// Conformance says what becomes of events that do not conform to their OCSF class.
type Conformance uint8

// The values of a Conformance.
const (
	Unchecked Conformance = iota
	Warn
	Require
)

// Source says where events come from, and what becomes of them.
type Source struct {
	Log          string // id of the log that takes them
	event.Origin        // its By is whose share of the memory they take
	Operational  bool   // the log is an operational one
	Conformance  Conformance
	Partial      bool    // good events are recorded although others are refused
	Mapping      Mapping // of what arrives; if nil, events arrive
}

// Mapping makes an event, in JSON, of what arrives in a format that has others. What it returns is valid until its next
// call, and does not depend on when it is called, or else what is sent again is another event.
type Mapping interface {
	// Map returns the event that something becomes, of at most 12 times the size and 4 KiB, or says why it cannot be
	// read. Until the intake is closed it may remember 64 bytes.
	Map(raw []byte) ([]byte, error)
	// Keep returns an event that keeps what cannot be read as it is, with the reason.
	Keep(raw []byte, why string) []byte
}

// Intake takes the events of one request, or of one part of another source, from bytes to a durable batch. What it
// holds is reserved before it is held, as the bytes arrive. It may not be used concurrently.
type Intake struct {
	recorder *Recorder
	source   Source
	limits   Limits
	hold     *Reservation
	parser   *event.Parser
	batches  []event.Batch
	added    int // bytes that a line may have beyond what was sent
	prepaid  int // events whose entries are reserved
	events   int // good or bad
	refused  int
	reasons  []Remark
	warnings []Remark
	unread   int // events that a mapping could not read
	first    int // number of the first one that was refused, counted from 1
}

// Memory that is reserved beside the lines, in bytes.
const (
	entryMemory    = 256 // of an event: its entry, and what tells whether it is known
	entriesAtOnce  = 64
	packedFactor   = 2 // of the lines: what they are packed to for the write-ahead log, and its part of the object
	largeEvent     = 64 << 10
	scanFactor     = 16 // of the size of a large event: its names
	maxAddedMember = 288
	mapFactor      = 20 // of what is mapped: the event that it becomes, and what is held on the way
	mapMemory      = 4 << 10
	twinMemory     = 64 // what a mapping remembers of an event, to tell it from those that are equal
)

var parsers = sync.Pool{New: func() any { return new(event.Parser) }}

// Intake returns an intake of a source's events, which get a salt. The caller calls Close.
func (r *Recorder) Intake(s Source, l Limits) *Intake {
	s.Salt = r.salts.of(s.Log, s.Received)
	in := &Intake{recorder: r, source: s, limits: l, hold: r.Reserve(s.By), parser: parsers.Get().(*event.Parser),
		added: maxAddedMember + 6*(len(s.By)+len(s.Workspace)+len(s.Project))}
	in.parser.Operational = s.Operational
	in.parser.MaxBytes = l.EventBytes
	return in
}

// Close gives back what the intake holds.
func (in *Intake) Close() {
	parsers.Put(in.parser)
	for _, b := range in.batches {
		putBuffer(b.Lines)
	}
	in.batches = nil
	in.hold.Release()
}

// ReadLines reads events from lines of NDJSON in UTF-8; a byte-order mark is skipped. The error of the whole body is
// a *TooLarge, an *Unreadable or ErrOverloaded; an event that is refused alone is counted, and Record tells of it.
func (in *Intake) ReadLines(src io.Reader) error {
	w := in.window(src)
	defer w.close()
	return in.read("line", &lines{window: w, most: in.eventBytes()})
}

// ReadElements reads events from a JSON array, or one JSON object. The error is one of those of ReadLines or a
// *Malformed.
func (in *Intake) ReadElements(src io.Reader) error {
	w := in.window(src)
	defer w.close()
	return in.read("element", &elements{window: w, most: in.eventBytes()})
}

// ReadObjects reads JSON objects that follow one another, with or without white space between them. The error is one of
// those of ReadLines or a *Malformed.
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

// skip counts an event that was not read, and notes why.
func (in *Intake) skip(what string, n int, err error) error {
	if err := in.count(); err != nil {
		return err
	}
	return in.refuse(what, n, err)
}

// Add takes one event. An event that is refused is counted, and Record tells of it.
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

// addMapped takes what a mapping makes an event of. What it cannot read, or makes an event of that would be refused, is
// kept as it is.
func (in *Intake) addMapped(what string, n int, raw []byte) error {
	if len(raw) > in.eventBytes() {
		return in.refuse(what, n, tooLong(len(raw), in.eventBytes()))
	}
	most := mapFactor*len(raw) + mapMemory
	if err := in.hold.Grow(int64(most + twinMemory)); err != nil {
		return err
	}
	defer in.hold.shrink(int64(most))
	in.parser.MaxBytes = most // What was sent has been checked.
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

// checkLast checks the event that was taken last against its OCSF class.
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

// parse appends an event to a batch.
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

// refuse notes why an event is refused.
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

// conform checks a line against its OCSF class, if the source wants that.
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

// decodedMemory returns how much memory a line takes at most that is decoded into maps and slices, in bytes.
func decodedMemory(line []byte) int64 {
	const object, value = 400, 100
	objects := bytes.Count(line, []byte("{"))
	values := bytes.Count(line, []byte(",")) + bytes.Count(line, []byte("["))
	return int64(2*len(line) + object*objects + value*values)
}

// room makes the last batch have room for n more bytes. A batch that is full is left as it is, so nothing is copied.
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

// buffers are pools of the sizes of lines that an intake goes through.
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

// Record makes the events durable that were taken. It is called once: after it the intake does not have them any
// more. If some are refused and the source is not partial, none is recorded and the error is a *Refused.
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
