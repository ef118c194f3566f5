package syslog

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weirlog/weir/internal/connect"
	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/query"
)

// Lengths of RFC 5424's fields, in characters.
const (
	maxApp = 48
	maxID  = 32
)

// facility is "log audit".
const facility = 13

// severities is syslog's severity by OCSF's severity_id: unknown, informational, low, medium, high, critical, fatal.
var severities = [...]int{6, 6, 5, 4, 3, 2, 1}

// encoder makes messages. It is used by one goroutine at a time.
type encoder struct {
	host   string
	number int
	most   int // bytes of a message
	cef    bool
	fields *query.Extract
	buf    []byte
	text   []byte
}

// The fields that are read of an event, as places in fields.
const (
	severityField = iota
	classField
	whoField
	fromField
	portField
	whatField
	targetField
	outcomeField
	messageField
	versionField
)

var fields = []query.Field{"severity_id", "class_uid", "who", "src_endpoint.ip", "src_endpoint.port", "what", "target",
	"outcome", "message", "metadata.product.version"}

func newEncoder(s *Settings) encoder {
	return encoder{host: word(s.Host, maxHostname), number: s.Number, most: s.Most, cef: s.Format == CEF,
		fields: query.NewExtract(fields...)}
}

// value returns the first value of a field of the event that was read last.
func (n *encoder) value(field int) string {
	if values := n.fields.Values(field); len(values) > 0 {
		return values[0].Text
	}
	return ""
}

func (n *encoder) severity() int {
	id, _ := strconv.Atoi(n.value(severityField))
	return min(max(id, 0), len(severities)-1)
}

// message returns an event as a message, valid until the next call:
//
//	<110>1 2025-11-24T10:00:01.002Z weir orders - 3004 [weir@32473 id="6a793f48c0eb9e7a17712f00/7"] {"time":…}
//
// The text has no byte-order mark, which parsers of JSON and CEF stumble over.
func (n *encoder) message(e *deliver.Event) []byte {
	readable := n.fields.Read(e.Line) == nil
	severity, class := severities[0], ""
	if readable {
		severity, class = severities[n.severity()], n.value(classField)
	}
	n.buf = fmt.Appendf(n.buf[:0], "<%d>1 ", facility*8+severity)
	n.buf = time.UnixMilli(e.Time).UTC().AppendFormat(n.buf, "2006-01-02T15:04:05.000Z")
	n.buf = fmt.Appendf(n.buf, " %s %s - %s [weir@%d id=\"%s\"] ", n.host, orNil(word(e.Name, maxApp)),
		orNil(word(class, maxID)), n.number, parameter(e.ID()))
	room := n.most - len(n.buf)
	switch {
	case n.cef && readable:
		n.text = n.appendCEF(n.text[:0], e, room)
		return append(n.buf, n.text...)
	case len(e.Line) <= room:
		return append(n.buf, e.Line...)
	}
	return append(n.buf, n.reference(e, room)...)
}

// reference returns the text that is sent for an event that is too long: its id, its digest, and its beginning.
func (n *encoder) reference(e *deliver.Event, room int) []byte {
	sum := sha256.Sum256(e.Line)
	n.text = append(n.text[:0], `{"weir":{"cut":true`...)
	n.text = connect.String(connect.Name(n.text, "id"), e.ID())
	n.text = fmt.Appendf(n.text, `,"bytes":%d,"sha256":"%s"},"time":%d,"begins":`, len(e.Line), hex.EncodeToString(sum[:]),
		e.Time)
	fixed := len(n.text)
	for left := room - fixed - len(`""}`); left > 0; left = left * 3 / 4 {
		n.text = connect.String(n.text[:fixed], cut(string(e.Line[:min(left, len(e.Line))])))
		if len(n.text) < room {
			return append(n.text, '}')
		}
	}
	return append(n.text[:fixed], `""}`...)
}

// cut takes an incomplete character from the end of a text.
func cut(text string) string {
	for n := 0; n < utf8.UTFMax && len(text) > 0; n++ {
		if r, size := utf8.DecodeLastRuneInString(text); r != utf8.RuneError || size > 1 {
			return text
		}
		text = text[:len(text)-1]
	}
	return text
}

// word returns a text as a field of the header takes it: visible ASCII characters, at most so many.
func word(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, text)
	return text[:min(len(text), most)]
}

// orNil returns a word, or "-" (NILVALUE) for an empty one.
func orNil(word string) string {
	if word == "" {
		return "-"
	}
	return word
}

// parameter returns a text as the value of a parameter of structured data.
func parameter(text string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`).Replace(strings.ToValidUTF8(text, "\uFFFD"))
}
