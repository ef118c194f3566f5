package record

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/weirlog/weir/internal/event"
)

// Limits bound what one intake takes. A field that is zero means no limit, but for EventBytes, of which it means 1 MiB.
type Limits struct {
	EventBytes   int
	RequestBytes int64 // of all events, after decompression
	Events       int
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
	Log         string // id of the log that takes them
	Sender      string // whose share of the memory they take, such as a credential
	Origin      event.Origin
	Operational bool // the log is an operational one
	Conformance Conformance
	Partial     bool // good events are recorded although others are refused
}

// Intake takes the events of one request, or of one part of another source, from bytes to a durable batch. What it holds
// is reserved before it is held, as the bytes arrive. It may not be used concurrently.
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
}

// Memory that is reserved beside the lines, in bytes.
const (
	entryMemory    = 256 // of an event: its entry, and what tells whether it is known
	entriesAtOnce  = 64
	largeEvent     = 64 << 10
	scanFactor     = 16 // of the size of a large event: its names
	conformFactor  = 32 // of the size of an event, while it is checked against OCSF
	maxAddedMember = 256
)

var parsers = sync.Pool{New: func() any { return new(event.Parser) }}

// Intake returns an intake of a source's events. The caller calls Close.
func (r *Recorder) Intake(s Source, l Limits) *Intake {
	in := &Intake{recorder: r, source: s, limits: l, hold: r.Reserve(s.Sender), parser: parsers.Get().(*event.Parser),
		added: maxAddedMember + 6*(len(s.Origin.Workspace)+len(s.Origin.Project))}
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

// ReadLines reads events from lines of NDJSON in UTF-8; a byte-order mark is skipped. The error of the whole body is a *TooLarge, an *Unreadable or ErrOverloaded;
// an event that is refused alone is counted, and Record tells of it.
func (in *Intake) ReadLines(src io.Reader) error {
	w := in.window(src)
	defer w.close()
	return in.read("line", &lines{window: w, most: in.eventBytes()})
}

// ReadElements reads events from a JSON array, or one JSON object. The error is one of those of ReadLines or a *Malformed.
func (in *Intake) ReadElements(src io.Reader) error {
	w := in.window(src)
	defer w.close()
	return in.read("element", &elements{window: w, most: in.eventBytes()})
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
	return in.refuse(what, n, err)
}

// Add takes one event. An event that is refused is counted, and Record tells of it.
func (in *Intake) Add(raw []byte) error { return in.add("event", in.events+1, raw) }

func (in *Intake) add(what string, n int, raw []byte) error {
	if err := in.count(); err != nil {
		return err
	}
	if len(raw) > largeEvent {
		if err := in.hold.Grow(int64(scanFactor * len(raw))); err != nil {
			return err
		}
		defer in.hold.shrink(int64(scanFactor * len(raw)))
	}
	if err := in.room(len(raw) + in.added); err != nil {
		return err
	}
	b := &in.batches[len(in.batches)-1]
	if err := in.parser.AddEvent(b, raw, in.source.Origin); err != nil {
		in.remember(what, n, err)
		return nil
	}
	err := in.conform(what, n, b.Line(len(b.Entries)-1))
	if errors.Is(err, ErrOverloaded) {
		return err
	}
	if err != nil {
		b.Drop()
		in.remember(what, n, err)
	}
	return nil
}

func (in *Intake) refuse(what string, n int, err error) error {
	in.remember(what, n, err)
	return in.count()
}

func (in *Intake) remember(what string, n int, err error) {
	in.refused++
	in.reasons = remark(in.reasons, what, n, err.Error())
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
	if err := in.hold.Grow(int64(conformFactor * len(line))); err != nil {
		return err
	}
	defer in.hold.shrink(int64(conformFactor * len(line)))
	warnings, err := event.Conform(line)
	if err != nil || len(warnings) == 0 {
		return err
	}
	if in.source.Conformance == Require {
		return fmt.Errorf("this workspace takes only events that conform to OCSF 1.8.0: %s", warnings[0])
	}
	for _, w := range warnings {
		in.warnings = remark(in.warnings, what, n, w)
	}
	return nil
}

// room makes the last batch have room for n more bytes. A batch that is full is left as it is, so nothing is copied.
func (in *Intake) room(n int) error {
	size := buffers[0].size
	if len(in.batches) > 0 {
		b := &in.batches[len(in.batches)-1]
		if cap(b.Lines)-len(b.Lines) >= n {
			return nil
		}
		size = buffers[min(len(in.batches), len(buffers)-1)].size
	}
	size = max(size, n)
	if err := in.hold.Grow(2 * int64(size)); err != nil { // with what is made of it for the write-ahead log
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

// Record makes the events durable that were taken. If some are refused and the source is not partial, none is recorded and
// the error is a *Refused.
func (in *Intake) Record(ctx context.Context) (Result, error) {
	switch {
	case in.events == 0:
		return Result{}, ErrNoEvents
	case in.refused > 0 && !in.source.Partial:
		return Result{}, &Refused{in.events, in.refused, in.reasons}
	}
	result, err := in.recorder.Record(ctx, in.batches...)
	if err != nil {
		return Result{}, err
	}
	result.Refused, result.Reasons, result.Warnings = in.refused, in.reasons, in.warnings
	return result, nil
}
