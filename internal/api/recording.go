package api

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/record"
)

// recorded is the reply to a recording. The last three stand there only where the query asks for them.
type recorded struct {
	Recorded         int               `json:"recorded"`
	Duplicates       int               `json:"duplicates"`
	Rejected         *int              `json:"rejected,omitempty"`
	BadRequestDetail *badRequestDetail `json:"badRequestDetail,omitempty"`
	Warnings         []field           `json:"warnings,omitempty"`
}

// recordings are the operations that take events.
type recordings struct {
	recorder *record.Recorder
	metrics  *metrics
	options  Options
}

// record returns the handler of a recording in a workspace's log of a kind.
func (h recordings) record(kind logKind) func(*call) (any, error) {
	return func(c *call) (any, error) {
		read, err := recordable(c)
		if err != nil {
			return nil, err
		}
		body, release, err := h.readBody(c)
		defer release()
		if err != nil {
			return nil, err
		}
		reserved, err := h.recorder.Reserve(int64(len(body))) // for the lines, which are about as long
		if err != nil {
			return nil, err
		}
		defer reserved()
		in := h.newIntake(c, kind)
		defer in.close()
		if err := read(in, body); err != nil {
			return nil, err
		}
		if in.events == 0 {
			return nil, invalid("There are no events in the body.")
		}
		return in.record()
	}
}

// recordable returns how to read the body, or why it is not worth reading.
func recordable(c *call) (func(*intake, []byte) error, error) {
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	switch {
	case err == nil && kind == "application/x-ndjson":
		return (*intake).readLines, nil
	case err == nil && kind == "application/json":
		return (*intake).readElements, nil
	}
	return nil, unsupportedType("Send events as application/x-ndjson, or as application/json (an object or an array).")
}

// intake reads the events of one request.
type intake struct {
	recordings
	call      *call
	parser    *event.Parser
	origin    event.Origin
	lines     *[]byte // kept for later requests
	batch     event.Batch
	events    int // good or bad
	bad       int
	fields    []field // the first bad ones
	warnings  []field
	conform   bool // warn of events that do not conform to OCSF
	mustOCSF  bool // refuse them
	isPartial bool
}

var (
	parsers     = sync.Pool{New: func() any { return new(event.Parser) }}
	lineBuffers = sync.Pool{New: func() any { return new([]byte) }}
)

func (h recordings) newIntake(c *call, kind logKind) *intake {
	t := c.scope
	in := &intake{recordings: h, call: c, parser: parsers.Get().(*event.Parser), lines: lineBuffers.Get().(*[]byte),
		origin:    event.Origin{Workspace: t.workspace.Name, Project: t.project.ID, Received: c.now},
		conform:   c.query.Get("conformance") == "warn" && !kind.operational,
		mustOCSF:  t.workspace.RequireOCSF && !kind.operational,
		isPartial: c.flag("partial"),
	}
	in.parser.Operational = kind.operational
	in.parser.MaxBytes = h.options.MaxEventBytes
	in.batch = event.Batch{Log: kind.of(t.workspace), Lines: (*in.lines)[:0]}
	return in
}

// maxPooled bounds the buffers that are kept for later requests, in bytes.
const maxPooled = 8 << 20

func (in *intake) close() {
	parsers.Put(in.parser)
	*in.lines = in.batch.Lines
	if cap(*in.lines) <= maxPooled {
		lineBuffers.Put(in.lines)
	}
}

func (in *intake) readLines(body []byte) error {
	for n, line := range event.Lines(body) {
		if err := in.add("line", n, line); err != nil {
			return err
		}
	}
	return nil
}

func (in *intake) readElements(body []byte) error {
	elements, err := event.Elements(body)
	if err != nil {
		return &problem{status: 400, code: "INVALID_JSON", parameters: []any{}, detail: err.Error()}
	}
	for n, element := range elements {
		if err := in.add("element", n, element); err != nil {
			return err
		}
	}
	return nil
}

// add takes one event. It returns an error only if the whole request is refused at once.
func (in *intake) add(what string, n int, raw []byte) error {
	if in.events++; in.options.MaxRequestEvents > 0 && in.events > in.options.MaxRequestEvents {
		return tooLarge("A request may have at most %d events.", in.options.MaxRequestEvents)
	}
	err := in.parser.AddEvent(&in.batch, raw, in.origin)
	if err == nil {
		if err = in.checkOCSF(what, n, in.batch.Line(len(in.batch.Entries)-1)); err != nil {
			in.batch.Drop()
		}
	}
	if err != nil {
		in.refuse(what, n, err)
	}
	return nil
}

func (in *intake) refuse(what string, n int, err error) {
	in.bad++
	if len(in.fields) < maxFields {
		in.fields = append(in.fields, field{fmt.Sprintf("%s %d", what, n), err.Error()})
	}
}

// checkOCSF checks a line against its OCSF class, if the workspace or the query wants that.
func (in *intake) checkOCSF(what string, n int, line []byte) error {
	if !in.mustOCSF && !in.conform {
		return nil
	}
	warnings, err := event.Conform(line)
	if err != nil || len(warnings) == 0 {
		return err
	}
	if in.mustOCSF {
		return fmt.Errorf("this workspace takes only events that conform to OCSF 1.8.0: %s", warnings[0])
	}
	for _, w := range warnings {
		if len(in.warnings) < maxFields {
			in.warnings = append(in.warnings, field{fmt.Sprintf("%s %d", what, n), w})
		}
	}
	return nil
}

// record makes the events durable.
func (in *intake) record() (any, error) {
	c, m := in.call, in.metrics
	if in.bad > 0 && !in.isPartial {
		m.refused.Add(float64(in.bad))
		return nil, invalid(fmt.Sprintf("%d of %d events are refused, so none was recorded.", in.bad, in.events), in.fields...)
	}
	result, err := in.recorder.Record(c.context(), in.batch)
	if err != nil {
		return nil, err
	}
	m.recorded.Add(float64(result.Recorded))
	m.duplicates.Add(float64(result.Duplicates))
	m.refused.Add(float64(in.bad))
	reply := recorded{Recorded: result.Recorded, Duplicates: result.Duplicates, Warnings: bounded(in.warnings)}
	if in.isPartial {
		reply.Rejected = &in.bad
		if in.bad > 0 {
			reply.BadRequestDetail = &badRequestDetail{bounded(in.fields)}
		}
	}
	return reply, nil
}

var bodies = sync.Pool{New: func() any { return new([]byte) }}

// bodyStep is how much memory is reserved at a time while a body arrives.
const bodyStep = 256 << 10

// readBody reads a body, unpacked, within its limits of size, memory and time. The caller calls release when it is done
// with it, whatever the error.
func (h recordings) readBody(c *call) (body []byte, release func(), err error) {
	o := h.options
	var reserved []func()
	buf := bodies.Get().(*[]byte)
	release = func() {
		for _, r := range reserved {
			r()
		}
		if cap(*buf) <= maxPooled {
			bodies.Put(buf)
		}
	}
	src, err := unpack(c.r)
	if err != nil {
		return nil, release, err
	}
	defer src.Close()
	*buf = (*buf)[:0]
	for room := 0; ; {
		if room == 0 {
			r, err := h.recorder.Reserve(bodyStep)
			if err != nil {
				return nil, release, err
			}
			reserved = append(reserved, r)
			room = bodyStep
		}
		if cap(*buf)-len(*buf) < min(room, 32<<10) {
			*buf = append(make([]byte, 0, 2*cap(*buf)+64<<10), *buf...)
		}
		n, err := src.Read((*buf)[len(*buf):min(cap(*buf), len(*buf)+room)])
		*buf = (*buf)[:len(*buf)+n]
		room -= n
		if o.MaxRequestBytes > 0 && int64(len(*buf)) > o.MaxRequestBytes {
			return nil, release, tooLarge("A request may have at most %d bytes, after decompression.", o.MaxRequestBytes)
		}
		if errors.Is(err, io.EOF) {
			return *buf, release, nil
		}
		if err != nil {
			return nil, release, unreadable(err)
		}
	}
}

// unreadable tells the client why its body could not be read, without telling it of the connection.
func unreadable(err error) *problem {
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF) {
		return invalid("The body was cut short, or did not arrive in time.")
	}
	return invalid("The body could not be read: " + err.Error())
}

// unpack returns the body's reader according to Content-Encoding.
func unpack(r *http.Request) (io.ReadCloser, error) {
	switch strings.ToLower(strings.Join(r.Header.Values("Content-Encoding"), ",")) { // RFC 9110, 8.4.1
	case "", "identity":
		return r.Body, nil
	case "gzip":
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, invalid("The body is not gzip: " + err.Error())
		}
		return z, nil
	case "zstd":
		z, err := zstd.NewReader(r.Body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
		if err != nil {
			return nil, invalid("The body is not zstd: " + err.Error())
		}
		return z.IOReadCloser(), nil
	}
	return nil, unsupportedType("The Content-Encoding may be identity, gzip or zstd.")
}
