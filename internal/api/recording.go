package api

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"strings"

	"github.com/weirlog/weir/internal/connect"
	"github.com/weirlog/weir/internal/connect/cloudevents"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/record"
)

// recorded is the reply to a recording. The last three attributes are only set if the query asks for them.
type recorded struct {
	Recorded         int               `json:"recorded"`
	Duplicates       int               `json:"duplicates"`
	Conflicts        int               `json:"conflicts,omitempty"` // of those recorded
	Rejected         *int              `json:"rejected,omitempty"`
	Unread           int               `json:"unread,omitempty"` // recorded unchanged, since they could not be parsed
	BadRequestDetail *badRequestDetail `json:"badRequestDetail,omitempty"`
	Warnings         []field           `json:"warnings,omitempty"`
}

// recordings are the operations that record events.
type recordings struct {
	recorder *record.Recorder
	metrics  *metrics
	options  Options
	first    *connect.First
}

// record returns the handler that records events in a workspace's log of a kind.
func (h recordings) record(kind logKind) func(*call) (any, error) {
	return func(c *call) (any, error) {
		read, mapping, err := h.recordable(c, kind)
		if err != nil {
			return nil, err
		}
		in := h.intake(c, kind, mapping)
		defer in.Close()
		body, ok := in.Unpack(strings.Join(c.r.Header.Values("Content-Encoding"), ","), c.r.Body)
		if !ok {
			return nil, unsupportedType("The Content-Encoding may be identity, gzip or zstd.")
		}
		defer body.Close()
		if err := read(in, body); err != nil {
			return nil, recordingProblem(err)
		}
		result, err := in.Record(c.context())
		if refused := new(record.Refused); errors.As(err, &refused) {
			h.metrics.refused.Add(float64(refused.Refused))
		}
		if err != nil {
			return nil, recordingProblem(err)
		}
		return h.reply(result, c.flag("partial")), nil
	}
}

// recordable returns how to read the body and how to map its events. If the request cannot be recorded, it returns an
// error.
func (h recordings) recordable(c *call, kind logKind) (func(*record.Intake, io.Reader) error, record.Mapping, error) {
	media, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	switch {
	case err == nil && media == "application/x-ndjson":
		return (*record.Intake).ReadLines, nil, nil
	case err == nil && media == "application/json":
		return (*record.Intake).ReadElements, nil, nil
	case err == nil && (media == "application/cloudevents+json" || media == "application/cloudevents-batch+json"):
		return (*record.Intake).ReadElements, &cloudevents.Mapping{Delivery: h.delivery(c, kind)}, nil
	}
	return nil, nil, unsupportedType("Send events as application/x-ndjson, as application/json (an object or an array), " +
		"or as application/cloudevents+json or application/cloudevents-batch+json.")
}

// delivery returns the properties of a request that mappings use.
func (h recordings) delivery(c *call, kind logKind) connect.Delivery {
	return connect.Delivery{Log: kind.of(c.scope.workspace), Received: c.now, First: h.first}
}

func (h recordings) intake(c *call, kind logKind, mapping record.Mapping) *record.Intake {
	return h.intakeOf(c, kind, c.flag("partial"), mapping)
}

func (h recordings) intakeOf(c *call, kind logKind, partial bool, mapping record.Mapping) *record.Intake {
	t := c.scope
	source := record.Source{Log: kind.of(t.workspace), Operational: kind.operational, Partial: partial,
		Mapping: mapping, Org: t.project.Org,
		Origin: event.Origin{By: c.caller.ID, Workspace: t.workspace.Name, Project: t.project.ID, Received: c.now}}
	switch {
	case kind.operational:
	case t.workspace.RequireOCSF:
		source.Conformance = record.Require
	case c.query.Get("conformance") == "warn":
		source.Conformance = record.Warn
	}
	o := h.options
	return h.recorder.Intake(source,
		record.Limits{EventBytes: o.MaxEventBytes, RequestBytes: o.MaxRequestBytes, Events: o.MaxRequestEvents})
}

// recordingProblem returns the reply for an error of an intake.
func recordingProblem(err error) error {
	var large *record.TooLarge
	var broken *record.Unreadable
	var malformed *record.Malformed
	var refused *record.Refused
	switch {
	case errors.As(err, &large):
		return tooLarge("A request may have at most %d %s.", large.Most, large.What)
	case errors.As(err, &broken):
		return unreadable(broken.Err)
	case errors.As(err, &malformed):
		return notJSON(malformed.Error())
	case errors.As(err, &refused):
		return invalid(fmt.Sprintf("%d of %d events are refused, so none was recorded.", refused.Refused,
			refused.Events),
			remarks(refused.Reasons)...)
	case errors.Is(err, record.ErrNoEvents):
		return invalid("There are no events in the body.")
	}
	return err
}

func (h recordings) reply(r record.Result, partial bool) recorded {
	h.metrics.recorded.Add(float64(r.Recorded))
	h.metrics.duplicates.Add(float64(r.Duplicates))
	h.metrics.conflicts.Add(float64(r.Conflicts))
	h.metrics.refused.Add(float64(r.Refused))
	h.metrics.unread.Add(float64(r.Unread))
	reply := recorded{Recorded: r.Recorded, Duplicates: r.Duplicates, Conflicts: r.Conflicts, Unread: r.Unread,
		Warnings: bounded(remarks(r.Warnings))}
	if partial {
		reply.Rejected = &r.Refused
		if r.Refused > 0 {
			reply.BadRequestDetail = &badRequestDetail{bounded(remarks(r.Reasons))}
		}
	}
	return reply
}

func remarks(all []record.Remark) []field {
	fields := make([]field, len(all))
	for i, r := range all {
		fields[i] = field{r.Event, r.Text}
	}
	return fields
}

// unreadable tells the client why its body could not be read, without details of the connection.
func unreadable(err error) *problem {
	var network net.Error
	switch broken := errors.As(err, &network); {
	case broken && network.Timeout():
		return invalid("The body did not arrive in time.")
	case broken || errors.Is(err, io.ErrUnexpectedEOF):
		return invalid("The body was cut short.")
	}
	return invalid("The body could not be read: " + err.Error())
}
