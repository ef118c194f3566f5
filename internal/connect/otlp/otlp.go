// Package otlp makes events of log records of OpenTelemetry (https://opentelemetry.io/docs/specs/otlp), in protobuf
// and in JSON. It reads protobuf itself, field by field, so that the cost of a request follows from its size alone.
// MongoDB Atlas sends its events in this way too.
package otlp

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"

	"github.com/weirlog/weir/internal/connect"
)

// Format is the name of this format in events of the base class.
const Format = "OpenTelemetry"

// Mapping makes events of log records, each with its resource and its scope:
//
//	{"resource":{…},"scope":{…},"logRecord":{…}}
//
// in OTLP's JSON. It is for one delivery, and may not be used concurrently.
type Mapping struct {
	connect.Delivery
	made, attributes, resource, scope, body []byte
}

// record has the fields of a log record that are read.
type record struct {
	time, observed               int64 // nanoseconds since the epoch, 0 if there is none
	severity                     int64
	severityText, name           string
	trace, span                  string
	body, attributes             []byte // in OTLP's JSON
	resource                     []byte
	scopeName, scopeVersion      string
	scopeAttributes              []byte
	flags, droppedAttributes     int64
	service, serviceVersion, uid string // from the attributes
	atlasEvent                   string
}

// Map returns the event that a log record becomes, valid until the next call. A body that is OCSF, as an object or as
// text, is the event. An event that Atlas sends becomes one of OCSF's Entity Management. Anything else becomes an event
// of the base class that has all of the record in unmapped.
func (m *Mapping) Map(raw []byte) ([]byte, error) {
	r, err := m.read(raw)
	if err != nil {
		return nil, err
	}
	text, isText := connect.Text(m.body)
	whole := m.body
	if isText {
		whole = []byte(text)
	}
	if ms, ok := connect.OCSF(whole); ok {
		m.made = m.Distinct(connect.WithUID(m.made[:0], whole, r.uid))
		return m.made, m.CheckTime(ms)
	}
	if r.service == atlasService && r.atlasEvent != "" {
		return m.atlas(r, []byte(text))
	}
	ms, err := m.identify(&r)
	if err != nil {
		return nil, err
	}
	b := connect.Base{Time: ms, Activity: "Log", Severity: severityOf(r.severity), SeverityText: r.severityText,
		Message: text, Product: r.service, ProductVersion: r.serviceVersion, UID: r.uid, Code: r.name, Correlation: r.trace}
	if b.Product == "" {
		b.Product = Format
	}
	if r.name != "" {
		b.Activity = r.name
	}
	if b.Message == "" {
		b.Message = r.name
	}
	m.made = b.Append(m.made[:0], func(dst []byte) []byte {
		return append(m.appendAll(append(connect.Name(dst, "unmapped"), '{'), r), '}')
	})
	m.made = m.Distinct(m.made)
	return m.made, nil
}

// Keep returns an event that keeps bytes that could not be read.
func (m *Mapping) Keep(raw []byte, why string) []byte {
	m.made = m.Delivery.Keep(m.made[:0], raw, Format, why)
	return m.made
}

// identify returns when something happened, or was observed, in milliseconds since the epoch. It gives a uid to a
// record that has neither a time nor a uid.
func (m *Mapping) identify(r *record) (ms int64, err error) {
	if ms = cmp.Or(r.time, r.observed) / 1_000_000; ms != 0 {
		return ms, m.CheckTime(ms)
	}
	if r.uid != "" {
		return m.Time([]byte(r.uid)), nil
	}
	ms, r.uid = m.Anew()
	return ms, nil
}

// severityOf returns OCSF's severity: OpenTelemetry has four numbers for each of trace, debug, info, warn, error,
// fatal.
func severityOf(number int64) int {
	switch {
	case number >= 21:
		return 6 // fatal
	case number >= 17:
		return 4 // high
	case number >= 13:
		return 3 // medium
	}
	return 1 // informational
}

// appendAll appends all of the record as the member otel. Where a text or a number has its place in the event too, it
// stands here all the same.
func (m *Mapping) appendAll(dst []byte, r record) []byte {
	dst = append(connect.Name(dst, "otel"), '{')
	value := func(name string, v []byte) {
		if len(v) > 0 && string(v) != "{}" {
			dst = append(connect.Name(dst, name), v...)
		}
	}
	text := func(name, v string) {
		if v != "" {
			dst = connect.String(connect.Name(dst, name), v)
		}
	}
	number := func(name string, v int64) {
		if v != 0 {
			dst = strconv.AppendInt(connect.Name(dst, name), v, 10)
		}
	}
	value("body", m.body)
	value("attributes", m.attributes)
	value("resource", m.resource)
	if r.scopeName != "" || r.scopeVersion != "" || len(m.scope) > len("{}") {
		dst = append(connect.Name(dst, "scope"), '{')
		text("name", r.scopeName)
		text("version", r.scopeVersion)
		value("attributes", m.scope)
		dst = append(dst, '}')
	}
	number("time_unix_nano", r.time)
	number("observed_time_unix_nano", r.observed)
	number("severity_number", r.severity)
	text("severity_text", r.severityText)
	text("event_name", r.name)
	text("trace_id", r.trace)
	text("span_id", r.span)
	number("flags", r.flags)
	number("dropped_attributes_count", r.droppedAttributes)
	return append(dst, '}')
}

// read reads a record, and makes plain JSON of its values.
func (m *Mapping) read(raw []byte) (r record, err error) {
	err = connect.Members(raw, func(name string, value []byte) error {
		switch name {
		case "resource":
			return connect.Members(value, func(name string, value []byte) error {
				if name == "attributes" {
					r.resource = value
				}
				return nil
			})
		case "scope":
			return connect.Members(value, r.readScope)
		}
		return connect.Members(value, r.readRecord)
	})
	if err != nil {
		return r, err
	}
	m.body = m.body[:0]
	if r.body != nil {
		if m.body, err = appendPlain(m.body[:0], r.body); err != nil {
			return r, fmt.Errorf("body: %w", err)
		}
	}
	for _, list := range []struct {
		name string
		from []byte
		to   *[]byte
	}{{"attributes", r.attributes, &m.attributes}, {"attributes of the resource", r.resource, &m.resource},
		{"attributes of the scope", r.scopeAttributes, &m.scope}} {
		*list.to = (*list.to)[:0]
		if list.from == nil || string(list.from) == "null" {
			continue
		}
		if *list.to, err = appendAttributes(*list.to, list.from); err != nil {
			return r, fmt.Errorf("%s: %w", list.name, err)
		}
	}
	r.readAttributes(m.resource, map[string]*string{"service.name": &r.service, "service.version": &r.serviceVersion})
	r.readAttributes(m.attributes, map[string]*string{"log.record.uid": &r.uid, "mongodb.event.id": &r.atlasEvent})
	return r, nil
}

// readAttributes sets texts to attributes of an object.
func (r *record) readAttributes(object []byte, texts map[string]*string) {
	if len(object) == 0 {
		return
	}
	_ = connect.Members(object, func(name string, value []byte) error { // It was made here.
		if to, ok := texts[name]; ok {
			*to, _ = connect.Text(value)
		}
		return nil
	})
	if len(r.uid) > maxUID {
		r.uid = ""
	}
}

// maxUID bounds a uid that a record brings, in bytes.
const maxUID = 512

func (r *record) readScope(name string, value []byte) error {
	switch name {
	case "name":
		r.scopeName, _ = connect.Text(value)
	case "version":
		r.scopeVersion, _ = connect.Text(value)
	case "attributes":
		r.scopeAttributes = value
	}
	return nil
}

func (r *record) readRecord(name string, value []byte) error {
	if string(value) == "null" {
		return nil
	}
	texts := map[string]*string{"severityText": &r.severityText, "eventName": &r.name, "traceId": &r.trace,
		"spanId": &r.span}
	numbers := map[string]*int64{"timeUnixNano": &r.time, "observedTimeUnixNano": &r.observed, "flags": &r.flags,
		"droppedAttributesCount": &r.droppedAttributes, "severityNumber": &r.severity}
	ok := true
	switch {
	case name == "body":
		r.body = value
	case name == "attributes":
		r.attributes = value
	case texts[name] != nil:
		*texts[name], ok = connect.Text(value)
	case name == "severityNumber" && value[0] == '"':
		text, _ := connect.Text(value)
		r.severity = severityNumbers[text] // 0 for a name that is not known
	case numbers[name] != nil:
		*numbers[name], ok = connect.Whole(value)
	}
	if !ok {
		return errors.New(name + " does not have the form of OTLP's JSON")
	}
	return nil
}

// severityNumbers are the names that the protocol has for its numbers. Some senders, Atlas among them, write those.
var severityNumbers = func() map[string]int64 {
	all := map[string]int64{}
	for i, name := range []string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"} {
		for n := range int64(4) {
			suffix := ""
			if n > 0 {
				suffix = strconv.FormatInt(n+1, 10)
			}
			all["SEVERITY_NUMBER_"+name+suffix] = int64(i)*4 + n + 1
			all[name+suffix] = int64(i)*4 + n + 1
		}
	}
	return all
}()
