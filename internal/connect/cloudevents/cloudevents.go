// Package cloudevents makes events of CloudEvents 1.0 in JSON (https://github.com/cloudevents/spec).
package cloudevents

import (
	"errors"
	"fmt"
	"time"

	"github.com/weirlog/weir/internal/connect"
)

// Format is the name of this format in events of the base class.
const Format = "CloudEvents"

// Mapping makes events of CloudEvents. It is for one delivery, and may not be used concurrently.
type Mapping struct {
	connect.Delivery
	made []byte
}

// attributes are the attributes of an event that the mapping reads.
type attributes struct {
	specVersion, id, source, kind, subject, time string
	data                                         []byte
}

// Map returns the event that one CloudEvents event becomes, valid until the next call. Its uid is source and id, since
// these tell CloudEvents apart. Data that is OCSF is the event, as it is; anything else becomes an event of the base
// class that has all of the CloudEvents event in unmapped.
func (m *Mapping) Map(raw []byte) ([]byte, error) {
	a, err := read(raw)
	if err != nil {
		return nil, err
	}
	uid := connect.UID(a.source, a.id)
	if ms, ok := connect.OCSF(a.data); ok {
		if err := m.CheckTime(ms); err != nil {
			return nil, err
		}
		m.made = connect.WithUID(m.made[:0], a.data, uid)
		return m.made, nil
	}
	ms, err := m.timeOf(a)
	if err != nil {
		return nil, err
	}
	b := connect.Base{Time: ms, Activity: a.kind, Message: a.kind, Product: a.source, UID: uid, Code: a.kind,
		OriginalTime: a.time}
	if a.subject != "" {
		b.Message += " " + a.subject
	}
	m.made = b.AppendWith(m.made[:0], "cloudevents", raw)
	return m.made, nil
}

// Keep returns an event that keeps bytes that could not be read.
func (m *Mapping) Keep(raw []byte, why string) []byte {
	m.made = m.Delivery.Keep(m.made[:0], raw, Format, why)
	return m.made
}

func read(raw []byte) (a attributes, err error) {
	texts := map[string]*string{"specversion": &a.specVersion, "id": &a.id, "source": &a.source, "type": &a.kind,
		"subject": &a.subject, "time": &a.time}
	err = connect.Members(raw, func(name string, value []byte) error {
		if name == "data" {
			a.data = value
			return nil
		}
		to, ok := texts[name]
		if !ok || string(value) == "null" {
			return nil
		}
		if *to, ok = connect.Text(value); !ok {
			return fmt.Errorf("its attribute %s is not a string", name)
		}
		return nil
	})
	switch {
	case err != nil:
	case a.id == "" || a.source == "" || a.kind == "":
		err = errors.New("one of the attributes id, source and type is missing or empty")
	case a.specVersion != "1.0":
		err = errors.New("its specversion is not 1.0")
	}
	return a, err
}

// timeOf returns when something happened. CloudEvents may leave that out.
func (m *Mapping) timeOf(a attributes) (int64, error) {
	if a.time == "" {
		return m.Time([]byte(a.source), []byte(a.id)), nil
	}
	at, err := time.Parse(time.RFC3339, a.time)
	if err != nil {
		return 0, errors.New("its time is not in the form of RFC 3339")
	}
	return at.UnixMilli(), m.CheckTime(at.UnixMilli())
}
