package mongodb

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/event"
)

type format interface {
	Name() string
	Map(dst, line []byte, uid string) ([]byte, error)
}

const (
	anEvent = `{"id":"6a793f48c0eb9e7a17712f00","created":"2026-11-20T07:00:00Z","eventTypeName":` +
		`"STREAM_PROCESSOR_STARTED","groupId":"6a793f48c0eb9e7a17712f01","instanceName":"prod","processorName":"orders",` +
		`"username":"a@example.org","remoteAddress":"203.0.113.7"}`
	anAccess = `{"authResult":false,"authSource":"admin","failureReason":"UserNotFound",` +
		`"groupId":"6a793f48c0eb9e7a17712f01","hostname":"h0.example.mongodb.net","ipAddress":"203.0.113.7",` +
		`"logLine":"{\"t\":{\"$date\":\"2026-11-20T07:00:00.123+00:00\"},\"attr\":{\"mechanism\":\"SCRAM-SHA-256\"}}",` +
		`"timestamp":"Fri Nov 20 07:00:00 GMT 2026","username":"etl"}`
	aLine = `{"atype":"dropCollection","ts":{"$date":"2026-11-20T08:00:00.123+01:00"},"param":{"ns":"db.c"},"result":0}`
)

// Each becomes an event that is taken, conforms to its class and has what is asked for most.
func TestEventsConform(t *testing.T) {
	for _, c := range []struct {
		format     format
		line       string
		time       int64
		has, spare string
	}{
		{Event{}, anEvent, 1795158000000, `"activity_id":10|"uid":"6a793f48c0eb9e7a17712f00"|"name":"a@example.org"|` +
			`"entity":{"name":"orders","type":"Stream Processor"`, ""},
		{Event{}, strings.Replace(anEvent, `"username":"a@example.org"`, `"publicKey":"gswvkocq"`, 1), 1795158000000,
			`"type":"API Key","uid":"gswvkocq"`, ""},
		{Access{}, anAccess, 1795158000123, `"status_id":2|"status_detail":"UserNotFound"|"name":"admin.etl"|` +
			`"auth_protocol":"SCRAM-SHA-256"|"src_endpoint":{"ip":"203.0.113.7"}|"hostname":"h0.example.mongodb.net"`, ""},
		{Access{}, strings.Replace(anAccess, `"authResult":false`, `"authResult":true`, 1), 1795158000123,
			`"status_id":1`, ""},
		{Audit{}, aLine, 1795158000123, `"type_uid":300404|"entity":{"name":"db.c"|"unmapped":` + aLine, ""},
		{Audit{}, `{"time":1795158000000,"class_uid":0,"activity_id":0,"type_uid":0,"category_uid":0,"severity_id":1,` +
			`"metadata":{"version":"1.8.0","product":{"name":"x"}}}`, 1795158000000, `"class_uid":0`, ""},
	} {
		made, err := c.format.Map(nil, []byte(c.line), "twin-2")
		if err != nil {
			t.Errorf("%s: %v", c.line, err)
			continue
		}
		var p event.Parser
		p.MaxBytes = 1 << 20
		line, f, err := p.Append(nil, made, event.Origin{By: "x", Received: time.UnixMilli(1795159000000)})
		if err != nil {
			t.Errorf("%s: %v", made, err)
			continue
		}
		if warnings, err := event.Conform(line); err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v %v", line, warnings, err)
		}
		for _, text := range strings.Split(c.has, "|") {
			if !strings.Contains(string(made), text) || f.Time != c.time {
				t.Errorf("%s lacks %s, or has the time %d", made, text, f.Time)
			}
		}
		if _, isEvent := c.format.(Event); !isEvent && string(f.UID) != "twin-2" {
			t.Errorf("%s has the uid %s", made, f.UID)
		}
	}
}

// A malformed record is an error with a reason that depends on the bytes only.
func TestMalformedRecordsAreErrors(t *testing.T) {
	for _, c := range []struct {
		format format
		line   string
	}{
		{Event{}, `{}`}, {Event{}, `7`}, {Event{}, strings.Replace(anEvent, `"2026-11-20T07:00:00Z"`, `"yesterday"`, 1)},
		{Event{}, `{"id":"a","created":"2026-11-20T07:00:00Z"}`}, {Access{}, `{"timestamp":"2026-11-20T07:00:00Z"}`},
		{Access{}, `{"authResult":true}`}, {Access{}, `[]`}, {Audit{}, `{"atype":"x"}`}, {Audit{}, `x`},
		{Audit{}, `{"atype":"x","ts":{"$date":7}}`},
	} {
		if made, err := c.format.Map(nil, []byte(c.line), ""); err == nil {
			t.Errorf("%s became %s", c.line, made)
		}
	}
}

func FuzzFormats(f *testing.F) {
	for _, line := range []string{anEvent, anAccess, aLine, `{"atype":"logout","ts":{"$date":"2026-11-20T07:00:00Z"},` +
		`"remote":{"ip":"::1"},"intermediates":[{"ip":"10.0.0.1"}],"param":{"initialUsers":[{"user":"a","db":"b"}]}}`} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, format := range []format{Event{}, Access{}, Audit{}} {
			first, err := format.Map(nil, line, "")
			again, errAgain := format.Map(nil, line, "")
			if string(first) != string(again) || (err == nil) != (errAgain == nil) {
				t.Fatalf("%s is %s, then %s", line, first, again)
			}
			const factor, memory = 6, 8 << 10
			if err == nil && (!json.Valid(first) || len(first) > factor*len(line)+memory) {
				t.Fatalf("%d bytes, %s, are %d: %s", len(line), line, len(first), first)
			}
		}
	})
}
