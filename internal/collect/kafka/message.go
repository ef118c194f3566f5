package kafka

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weirlog/weir/internal/collect"
	"github.com/weirlog/weir/internal/connect"
	"github.com/weirlog/weir/internal/connect/confluent"
)

// Bounds on the parts of a message, beside its value, that are shown.
const (
	maxHeaderCount = 50
	maxHeaders     = 16 << 10 // bytes, of names and values together
	maxText        = 512      // bytes of a value that become the message of an event
)

type header struct {
	name  string
	value []byte
}

// extra is a message without its value.
type extra struct {
	key     []byte
	headers []header
	count   int // of all headers
}

// uid returns a unique id of a message. raw is all of the message but its offset and time.
func (p *partition) uid(offset int64, raw []byte) string {
	sum := sha256.Sum256(raw)
	return connect.UID("kafka", p.source.cluster, p.topic, strconv.Itoa(int(p.number)), strconv.FormatInt(offset, 10),
		fmt.Sprintf("%x", sum[:8]))
}

// Name implements collect.Queue.
func (p *partition) Name() string {
	switch p.source.settings.Mapping {
	case OCSF:
		return "an event of OCSF"
	case Confluent:
		return confluent.Format
	case JSON:
		return "an object in JSON"
	}
	return "a message of Kafka"
}

// Map implements collect.Queue.
func (p *partition) Map(dst []byte, m *collect.Message, received time.Time) ([]byte, error) {
	d := connect.Delivery{Received: received}
	if m.Value == nil && p.source.settings.Mapping != Raw {
		return dst, errors.New("it has no value")
	}
	switch p.source.settings.Mapping {
	case OCSF:
		ms, ok := connect.OCSF(m.Value)
		if !ok {
			return dst, errors.New("it is not a JSON object with class_uid and time")
		}
		if err := d.CheckTime(ms); err != nil {
			return dst, err
		}
		return connect.WithUID(dst, m.Value, m.UID), nil
	case Confluent:
		made, ms, err := confluent.Map(dst, m.Value, m.Time)
		if err == nil {
			err = d.CheckTime(ms)
		}
		return made, err
	case JSON:
		return p.mapJSON(dst, m, &d)
	}
	return p.mapRaw(dst, m, &d)
}

// mapJSON makes an event of the base class. Its unmapped has the object, and the offset, key and headers of the message
// (see Describe).
func (p *partition) mapJSON(dst []byte, m *collect.Message, d *connect.Delivery) ([]byte, error) {
	at := m.Time
	err := connect.Members(m.Value, func(string, []byte) error { return nil })
	if field := p.source.settings.TimeField; field != "" && err == nil {
		at, err = timeIn(m.Value, strings.Split(field, "."))
	}
	if err == nil {
		err = d.CheckTime(at)
	}
	if err != nil {
		return dst, err
	}
	b := connect.Base{Time: at, Activity: "Message", Message: "A message of " + p.topic, Product: "Kafka", UID: m.UID}
	return b.Append(dst, func(dst []byte) []byte {
		dst = append(connect.Name(dst, "unmapped"), '{')
		dst = append(connect.Name(dst, "json"), m.Value...)
		return append(p.Describe(dst, m), '}')
	}), nil
}

// mapRaw makes an event of the base class with the bytes as they are.
func (p *partition) mapRaw(dst []byte, m *collect.Message, d *connect.Delivery) ([]byte, error) {
	if err := d.CheckTime(m.Time); err != nil {
		return dst, err
	}
	b := connect.Base{Time: m.Time, Activity: "Message", Message: "A message of " + p.topic, Product: "Kafka", UID: m.UID}
	if utf8.Valid(m.Value) && len(m.Value) > 0 {
		b.Message = strings.ToValidUTF8(string(m.Value[:min(len(m.Value), maxText)]), "")
	}
	return b.Append(dst, func(dst []byte) []byte {
		if m.Value != nil {
			dst = text(dst, "raw_data", m.Value)
		}
		dst = append(connect.Name(dst, "unmapped"), '{')
		return append(p.Describe(dst, m), '}')
	}), nil
}

// text appends a member that is bytes: as they are, or in base64 if they are not UTF-8, which a member beside it says.
func text(dst []byte, name string, value []byte) []byte {
	if utf8.Valid(value) {
		return connect.String(connect.Name(dst, name), string(value))
	}
	dst = connect.String(connect.Name(dst, name), base64.StdEncoding.EncodeToString(value))
	return connect.String(connect.Name(dst, name+"_encoding"), "base64")
}

// Describe implements collect.Queue.
func (p *partition) Describe(dst []byte, m *collect.Message) []byte {
	dst = append(connect.Name(dst, "kafka"), '{')
	dst = connect.String(connect.Name(dst, "topic"), p.topic)
	dst = fmt.Appendf(connect.Name(dst, "partition"), "%d", p.number)
	dst = fmt.Appendf(connect.Name(dst, "offset"), "%d", m.Offset)
	dst = fmt.Appendf(connect.Name(dst, "timestamp"), "%d", m.Time)
	also, ok := m.Also.(*extra)
	if !ok {
		return append(dst, '}')
	}
	if also.key != nil {
		dst = text(dst, "key", also.key)
	}
	if len(also.headers) > 0 {
		dst = append(connect.Name(dst, "headers"), '[')
		for i, h := range also.headers {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = connect.String(connect.Name(append(dst, '{'), "name"), h.name)
			dst = append(text(dst, "value", h.value), '}')
		}
		dst = append(dst, ']')
	}
	if left := also.count - len(also.headers); left > 0 {
		dst = fmt.Appendf(connect.Name(dst, "headers_left_out"), "%d", left)
	}
	return append(dst, '}')
}

// timeIn returns the time that an object has in a field, by the names on the way to it.
func timeIn(object []byte, path []string) (ms int64, err error) {
	var found []byte
	if err := connect.Members(object, func(name string, value []byte) error {
		if name == path[0] {
			found = value
		}
		return nil
	}); err != nil {
		return 0, err
	}
	switch {
	case found == nil:
		return 0, fmt.Errorf("it has no %.100s", path[0])
	case len(path) > 1:
		return timeIn(found, path[1:])
	}
	if text, ok := connect.Text(found); ok {
		if at, err := time.Parse(time.RFC3339, text); err == nil {
			return at.UnixMilli(), nil
		}
	}
	if ms, err = connect.Instant(found); err != nil {
		return 0, fmt.Errorf("its %.100s is neither a time in the form of RFC 3339 nor a number of seconds since the epoch",
			path[0])
	}
	return ms, nil
}
