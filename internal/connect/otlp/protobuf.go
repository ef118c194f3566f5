package otlp

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/weirlog/weir/internal/connect"
)

// ErrProtobuf is returned (wrapped) for bytes that are not a request in protobuf.
var ErrProtobuf = errors.New("the body is not an export request of OTLP in protobuf")

// maxDepth bounds how deep values are nested within each other.
const maxDepth = 64

// field is a field of a message: its number, and its value in the form that its type has.
type field struct {
	number protowire.Number
	kind   protowire.Type
	bytes  []byte // of a message, a text or bytes
	bits   uint64 // of a number
}

// fields calls each with the fields of a message.
func fields(message []byte, each func(field) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return ErrProtobuf
		}
		message = message[n:]
		f := field{number: number, kind: kind}
		switch kind {
		case protowire.VarintType:
			f.bits, n = protowire.ConsumeVarint(message)
		case protowire.Fixed64Type:
			f.bits, n = protowire.ConsumeFixed64(message)
		case protowire.Fixed32Type:
			var bits uint32
			bits, n = protowire.ConsumeFixed32(message)
			f.bits = uint64(bits)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(message)
		default:
			n = -1 // Groups are in no message of OTLP.
		}
		if n < 0 {
			return ErrProtobuf
		}
		message = message[n:]
		if err := each(f); err != nil {
			return err
		}
	}
	return nil
}

// messages calls each with the messages that a message has in a field, and with nothing else.
func messages(message []byte, number protowire.Number, each func([]byte) error) error {
	return fields(message, func(f field) error {
		if f.number != number {
			return nil
		}
		if f.kind != protowire.BytesType {
			return ErrProtobuf
		}
		return each(f.bytes)
	})
}

// last returns the message that counts of a field that a message has once.
func last(message []byte, number protowire.Number) (found []byte, err error) {
	err = messages(message, number, func(m []byte) error { found = m; return nil })
	return found, err
}

// Protobuf calls each with the log records of an export request in protobuf, in the form that Mapping takes, valid
// until each returns. Of a record that has, with its resource and scope, more than most bytes, here or in JSON, it
// gives the size only, as far as it is known. An error is ErrProtobuf (wrapped), or that of each, which ends it. Beside
// the body it holds at most ProtobufFactor times most.
func Protobuf(body []byte, most int, each func(record []byte, size int) error) error {
	b := &buffer{most: most}
	return messages(body, 1, func(resourceLogs []byte) error {
		resource, err := b.first(part{}, `{"resource":`, resourceLogs, resourceFields)
		if err != nil {
			return err
		}
		return messages(resourceLogs, 2, func(scopeLogs []byte) error {
			scope, err := b.first(resource, `,"scope":`, scopeLogs, scopeFields)
			if err != nil {
				return err
			}
			return messages(scopeLogs, 2, func(message []byte) error {
				record, err := b.add(scope, `,"logRecord":`, message, recordFields)
				if err != nil {
					return err
				}
				if record.size > most {
					return each(nil, record.size)
				}
				return each(append(b.json, '}'), record.size)
			})
		})
	})
}

// ProtobufFactor is how much more than most Protobuf may hold. A text becomes six times as long in JSON at most, before
// it is found to be too much; beside it is the buffer from before it grew, and a copy of the text.
const ProtobufFactor = 20

// buffer has the JSON of a record, with its resource and scope before it.
type buffer struct {
	most int
	json []byte
}

// part is where a message ends in a buffer, and the size of all up to there: more than most if it is not in the buffer.
type part struct{ end, size int }

// first adds the message in the first field of a message.
func (b *buffer) first(after part, name string, message []byte, known map[protowire.Number]named) (part, error) {
	m, err := last(message, 1)
	if err != nil {
		return part{}, err
	}
	return b.add(after, name, m, known)
}

// add adds a message after a part, in place of any later part.
func (b *buffer) add(after part, name string, message []byte, known map[protowire.Number]named) (part, error) {
	p := part{size: after.size + len(message)}
	if p.size > b.most {
		return p, nil
	}
	b.json = append(b.json[:after.end], name...)
	var err error
	b.json, err = appendMessage(b.json, message, known, room{maxDepth, b.most + len(`{"resource":,"scope":,"logRecord":`)})
	if errors.Is(err, errGrown) {
		return part{size: len(b.json)}, nil
	}
	p.end = len(b.json)
	return p, err
}

// errGrown is returned for a message that is too long in JSON.
var errGrown = errors.New("too long in JSON")

// room is how deep values may be nested, and how much JSON there may be.
type room struct{ depth, most int }

// check returns an error if there is too much JSON.
func (r room) check(dst []byte) error {
	if len(dst) > r.most {
		return errGrown
	}
	return nil
}

// form is how a field is written in OTLP's JSON.
type form int

const (
	textForm form = iota
	hexForm
	intForm    // a number
	longForm   // a number as a text, since it has 64 bits
	valueForm  // an AnyValue
	valuesForm // one of several KeyValues
)

type named struct {
	name string
	form form
}

var (
	resourceFields = map[protowire.Number]named{1: {"attributes", valuesForm}, 2: {"droppedAttributesCount", intForm}}
	scopeFields    = map[protowire.Number]named{1: {"name", textForm}, 2: {"version", textForm},
		3: {"attributes", valuesForm}, 4: {"droppedAttributesCount", intForm}}
	recordFields = map[protowire.Number]named{1: {"timeUnixNano", longForm}, 11: {"observedTimeUnixNano", longForm},
		2: {"severityNumber", intForm}, 3: {"severityText", textForm}, 5: {"body", valueForm},
		6: {"attributes", valuesForm}, 7: {"droppedAttributesCount", intForm}, 8: {"flags", intForm},
		9: {"traceId", hexForm}, 10: {"spanId", hexForm}, 12: {"eventName", textForm}}
)

// appendMessage appends a message as OTLP's JSON has it. Fields that are not known are left out. The fields of a list
// stand together, whatever is between them.
func appendMessage(dst, message []byte, known map[protowire.Number]named, r room) ([]byte, error) {
	dst = append(dst, '{')
	listed := protowire.Number(0)
	err := fields(message, func(f field) (err error) {
		n, ok := known[f.number]
		if !ok {
			return nil
		}
		if n.form == valuesForm {
			listed = f.number
			return nil
		}
		dst, err = appendField(connect.Name(dst, n.name), f, n.form, r)
		return cmp.Or(err, r.check(dst))
	})
	if err == nil && listed > 0 {
		dst = append(connect.Name(dst, known[listed].name), '[')
		err = messages(message, listed, func(m []byte) (err error) {
			dst, err = appendKeyValue(dst, m, r)
			return cmp.Or(err, r.check(dst))
		})
		dst = append(dst, ']')
	}
	return append(dst, '}'), err
}

func appendField(dst []byte, f field, as form, r room) ([]byte, error) {
	if isNumber := f.kind != protowire.BytesType; isNumber != (as == intForm || as == longForm) {
		return dst, ErrProtobuf
	}
	switch as {
	case textForm:
		return appendText(dst, f.bytes), nil
	case hexForm:
		return connect.String(dst, hex.EncodeToString(f.bytes)), nil
	case intForm:
		return strconv.AppendInt(dst, int64(f.bits), 10), nil
	case longForm:
		return append(strconv.AppendUint(append(dst, '"'), f.bits, 10), '"'), nil
	}
	return appendValue(dst, f.bytes, r)
}

// appendText appends a text. Bytes that are not UTF-8, which none may have, stay: so the record is one that cannot be
// read, and is kept as it is.
func appendText(dst, text []byte) []byte {
	if utf8.Valid(text) {
		return connect.String(dst, string(text))
	}
	dst = append(dst, '"')
	for len(text) > 0 {
		n := 0
		for size := 0; n < len(text); n += size {
			var r rune
			if r, size = utf8.DecodeRune(text[n:]); r == utf8.RuneError && size == 1 {
				break
			}
		}
		begin := len(dst)
		dst = connect.String(dst, string(text[:n]))
		dst = append(dst[:begin], dst[begin+1:len(dst)-1]...) // without quotes
		if n < len(text) {
			dst = append(dst, text[n])
			n++
		}
		text = text[n:]
	}
	return append(dst, '"')
}

func appendKeyValue(dst, message []byte, r room) ([]byte, error) {
	key, err := last(message, 1)
	if err != nil {
		return dst, err
	}
	value, err := last(message, 2)
	if err != nil {
		return dst, err
	}
	if n := len(dst); dst[n-1] != '[' {
		dst = append(dst, ',')
	}
	dst = appendText(append(dst, `{"key":`...), key)
	dst, err = appendValue(append(dst, `,"value":`...), value, r)
	return append(dst, '}'), err
}

// appendValue appends an AnyValue.
func appendValue(dst, message []byte, r room) ([]byte, error) {
	if r.depth == 0 {
		return dst, fmt.Errorf("%w: its values are nested deeper than %d", ErrProtobuf, maxDepth)
	}
	start := len(dst)
	err := fields(message, func(f field) (err error) {
		if int(f.number) >= len(valueKinds) {
			return nil // of a later version of the protocol
		}
		dst, err = appendOneOf(append(dst[:start], '{'), f, r) // The last one counts.
		dst = append(dst, '}')
		return err
	})
	if len(dst) == start {
		dst = append(dst, "{}"...)
	}
	return dst, err
}

// valueKinds are the types of the fields of an AnyValue, by their numbers.
var valueKinds = [...]protowire.Type{1: protowire.BytesType, 2: protowire.VarintType, 3: protowire.VarintType,
	4: protowire.Fixed64Type, 5: protowire.BytesType, 6: protowire.BytesType, 7: protowire.BytesType}

func appendOneOf(dst []byte, f field, r room) ([]byte, error) {
	if f.kind != valueKinds[f.number] {
		return dst, ErrProtobuf
	}
	switch f.number {
	case 1:
		return appendText(connect.Name(dst, "stringValue"), f.bytes), nil
	case 2:
		return strconv.AppendBool(connect.Name(dst, "boolValue"), f.bits != 0), nil
	case 3:
		return append(strconv.AppendInt(append(connect.Name(dst, "intValue"), '"'), int64(f.bits), 10), '"'), nil
	case 4:
		return appendDouble(connect.Name(dst, "doubleValue"), math.Float64frombits(f.bits)), nil
	case 5:
		dst, err := appendList(append(connect.Name(dst, "arrayValue"), `{"values":[`...), f.bytes, r, appendElement)
		return append(dst, "]}"...), err
	case 6:
		dst, err := appendList(append(connect.Name(dst, "kvlistValue"), `{"values":[`...), f.bytes, r, appendKeyValue)
		return append(dst, "]}"...), err
	}
	return connect.String(connect.Name(dst, "bytesValue"), base64.StdEncoding.EncodeToString(f.bytes)), nil
}

func appendElement(dst, message []byte, r room) ([]byte, error) {
	if n := len(dst); dst[n-1] != '[' {
		dst = append(dst, ',')
	}
	return appendValue(dst, message, r)
}

func appendList(dst, message []byte, r room, appendOne func(dst, message []byte, r room) ([]byte, error)) ([]byte,
	error) {
	r.depth--
	err := messages(message, 1, func(m []byte) (err error) {
		dst, err = appendOne(dst, m, r)
		return cmp.Or(err, r.check(dst))
	})
	return dst, err
}

// appendDouble appends a number. NaN and infinities have the names that protobuf's JSON gives them.
func appendDouble(dst []byte, v float64) []byte {
	switch {
	case math.IsNaN(v):
		return append(dst, `"NaN"`...)
	case math.IsInf(v, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(v, -1):
		return append(dst, `"-Infinity"`...)
	}
	return strconv.AppendFloat(dst, v, 'g', -1, 64)
}
