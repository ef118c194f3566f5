// Package splunk makes events of requests to Splunk's HTTP Event Collector (HEC): objects with the member event, or
// lines of any text.
package splunk

import (
	"bytes"
	"errors"
	"unicode/utf8"

	"github.com/weirlog/weir/internal/connect"
)

// Format is the name of this format in events of the base class.
const Format = "Splunk HEC"

// Mapping makes events of objects as HEC takes them:
//
//	{"time":1795158062.345,"host":"h","source":"s","sourcetype":"t","index":"i","event":"text, or any JSON","fields":{}}
//
// It is for one delivery, and may not be used concurrently.
type Mapping struct {
	connect.Delivery
	Defaults Metadata
	made     []byte
	whole    []byte // an object with the defaults that it lacked
}

// Metadata are the defaults that a request gives for all its events. An object that has a member of the same name keeps
// it. An empty field is no default.
type Metadata struct{ Time, Host, Source, SourceType, Index string }

// Map returns the event that an object becomes, valid until the next call. An event that is OCSF, as an object or as
// text, is the event. Anything else becomes an event of the base class that has the object in unmapped.
func (m *Mapping) Map(raw []byte) ([]byte, error) {
	o, err := m.read(raw)
	if err != nil {
		return nil, err
	}
	text, isText := connect.Text(o.event)
	switch {
	case isNull(o.event):
		return nil, errors.New("its member event is missing")
	case isText && text == "":
		return nil, errors.New("its member event is blank")
	}
	whole := o.event
	if isText {
		whole = []byte(text)
	}
	if ms, ok := connect.OCSF(whole); ok {
		m.made = m.Distinct(connect.WithUID(m.made[:0], whole, ""))
		return m.made, m.CheckTime(ms)
	}
	b := connect.Base{Activity: "Log", Message: text, Product: Format, Code: o.kind}
	if isNull(o.time) {
		b.Time, b.UID = m.Anew()
	} else if b.Time, err = connect.Instant(o.time); err == nil {
		err = m.CheckTime(b.Time)
	}
	m.made = m.Distinct(b.AppendWith(m.made[:0], "hec", o.all))
	return m.made, err
}

// object has the members of an object that are read.
type object struct {
	event, time []byte
	kind        string
	all         []byte // the object with the defaults that it lacks
}

func isNull(value []byte) bool { return value == nil || string(value) == "null" }

func (m *Mapping) read(raw []byte) (o object, err error) {
	has := map[string][]byte{}
	if err := connect.Members(raw, func(name string, value []byte) error { has[name] = value; return nil }); err != nil {
		return o, err
	}
	o.event, o.time, o.all = has["event"], has["time"], raw
	o.kind, _ = connect.Text(has["sourcetype"])
	end := bytes.LastIndexByte(raw, '}')
	m.whole = append(m.whole[:0], raw[:end]...)
	for _, d := range []struct{ name, text string }{{"time", m.Defaults.Time}, {"host", m.Defaults.Host},
		{"source", m.Defaults.Source}, {"sourcetype", m.Defaults.SourceType}, {"index", m.Defaults.Index}} {
		if _, ok := has[d.name]; !ok && d.text != "" {
			m.whole = connect.String(connect.Name(m.whole, d.name), d.text)
			o.all = nil
		}
	}
	if o.all == nil {
		m.whole = append(m.whole, '}')
		o.all = m.whole
	}
	if o.time == nil && m.Defaults.Time != "" {
		o.time = connect.String(nil, m.Defaults.Time)
	}
	if o.kind == "" {
		o.kind = m.Defaults.SourceType
	}
	return o, nil
}

// Keep returns an event that keeps bytes that could not be read.
func (m *Mapping) Keep(raw []byte, why string) []byte {
	m.made = m.Delivery.Keep(m.made[:0], raw, Format, why)
	return m.made
}

// Lines makes events of lines of text, with the defaults of Metadata.
type Lines struct {
	Mapping
	object []byte
}

// Map returns the event that a line becomes, valid until the next call: the one of an object with the line as its
// event. A line that is OCSF is the event.
func (l *Lines) Map(line []byte) ([]byte, error) {
	if !utf8.Valid(line) {
		return nil, errors.New("it is not UTF-8")
	}
	l.object = append(connect.String(connect.Name(append(l.object[:0], '{'), "event"), string(line)), '}')
	return l.Mapping.Map(l.object)
}
