// Package splunk makes events of what senders to Splunk's HTTP Event Collector (HEC) send: objects with the member
// event, or lines of any text.
package splunk

import (
	"errors"
	"unicode/utf8"

	"github.com/weirlog/weir/internal/connect"
)

// Format is what events of the base class name as their source's format.
const Format = "Splunk HEC"

// Mapping makes events of objects as HEC takes them:
//
//	{"time":1795158062.345,"host":"h","source":"s","sourcetype":"t","index":"i","event":"text, or any JSON","fields":{}}
//
// It is for one delivery, and may not be used concurrently.
type Mapping struct {
	connect.Delivery
	made []byte
}

// Map returns the event that an object becomes, valid until the next call. An event that is OCSF, as an object or as
// text, is the event. Anything else becomes an event of the base class that has the object in unmapped.
func (m *Mapping) Map(raw []byte) ([]byte, error) {
	var event, at []byte
	var kind string
	err := connect.Members(raw, func(name string, value []byte) error {
		switch name {
		case "event":
			event = value
		case "time":
			at = value
		case "sourcetype":
			kind, _ = connect.Text(value)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	text, isText := connect.Text(event)
	switch {
	case event == nil || string(event) == "null":
		return nil, errors.New("its member event is missing")
	case isText && text == "":
		return nil, errors.New("its member event is blank")
	}
	whole := event
	if isText {
		whole = []byte(text)
	}
	if ms, ok := connect.OCSF(whole); ok {
		m.made = m.Distinct(connect.WithUID(m.made[:0], whole, ""))
		return m.made, m.CheckTime(ms)
	}
	b := connect.Base{Activity: "Log", Message: text, Product: Format, Code: kind}
	if at == nil || string(at) == "null" {
		b.Time, b.UID = m.Anew()
	} else {
		if b.Time, err = connect.Instant(at); err == nil {
			err = m.CheckTime(b.Time)
		}
	}
	m.made = m.Distinct(b.AppendWith(m.made[:0], "hec", raw))
	return m.made, err
}

// Keep returns an event that keeps what could not be read.
func (m *Mapping) Keep(raw []byte, why string) []byte {
	m.made = m.Delivery.Keep(m.made[:0], raw, Format, why)
	return m.made
}

// Lines makes events of lines of text, with what the request says of all of them.
type Lines struct {
	Mapping
	Host, Source, SourceType, Index string
	object                          []byte
}

// Map returns the event that a line becomes, valid until the next call: the one of an object with the line as its
// event. A line that is OCSF is the event.
func (l *Lines) Map(line []byte) ([]byte, error) {
	if !utf8.Valid(line) {
		return nil, errors.New("it is not UTF-8")
	}
	l.object = append(l.object[:0], '{')
	for _, m := range [][2]string{{"host", l.Host}, {"source", l.Source}, {"sourcetype", l.SourceType}, {"index", l.Index},
		{"event", string(line)}} {
		if m[1] != "" {
			l.object = connect.String(connect.Name(l.object, m[0]), m[1])
		}
	}
	l.object = append(l.object, '}')
	return l.Mapping.Map(l.object)
}
