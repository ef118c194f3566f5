package connect_test

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/connect"
	"github.com/weirlog/weir/internal/connect/cloudevents"
	"github.com/weirlog/weir/internal/connect/otlp"
	"github.com/weirlog/weir/internal/connect/splunk"
	"github.com/weirlog/weir/internal/event"
)

// Each format is given what an envelope carries, and what makes the envelope another. What arrives in several
// envelopes is several events, even if it is equal. When the delivery comes again, they are the same events.
func TestWhatComesInSeveralEnvelopesIsSeveralEvents(t *testing.T) {
	const ocsf = `{"class_uid":3002,"time":1786331570000}`
	lined := strings.ReplaceAll(ocsf, ",", ",\n ")
	text := func(s string) string { return `"` + strings.NewReplacer(`"`, `\"`, "\n", `\n`).Replace(s) + `"` }
	object := func(s string) string { return s }
	otel := func(resource, of string) func(string, int) string {
		return func(body string, n int) string {
			return fmt.Sprintf(`{"resource":{%s},"scope":{},"logRecord":{"timeUnixNano":"1786331570000000000",`+
				`"body":{"stringValue":%s}%s}}`, strings.ReplaceAll(resource, "N", strconv.Itoa(n)), body,
				strings.ReplaceAll(of, "N", strconv.Itoa(n)))
		}
	}
	hec := func(body string, n int) string { return fmt.Sprintf(`{"host":"h%d","event":%s}`, n, body) }
	equal := func(body string, _ int) string { return hec(body, 0) }
	from := connect.Delivery{Log: "a", Received: time.UnixMilli(1_786_331_580_000)}
	type mapping interface{ Map([]byte) ([]byte, error) }
	newHEC := func() mapping { return &splunk.Mapping{Delivery: from} }
	newOTLP := func() mapping { return &otlp.Mapping{Delivery: from} }
	newCloudEvents := func() mapping { return &cloudevents.Mapping{Delivery: from} }
	newLines := func() mapping { return &splunk.Lines{Mapping: splunk.Mapping{Delivery: from}} }
	for name, c := range map[string]struct {
		mapping func() mapping
		wrap    func(body string, n int) string
		as      func(string) string
		bodies  []string
	}{
		"HEC, an object":       {newHEC, hec, object, []string{ocsf, ocsf, lined, ocsf}},
		"HEC, a text":          {newHEC, hec, text, []string{ocsf, " " + ocsf + "\n", lined}},
		"HEC, equal envelopes": {newHEC, equal, object, []string{ocsf, ocsf}},
		"HEC, lines":           {newLines, line, object, []string{ocsf, ocsf, ocsf + " "}},
		"OTLP":                 {newOTLP, otel("", `,"flags":N`), text, []string{ocsf, ocsf, lined, ocsf}},
		"OTLP, unknown member": {newOTLP, otel("", `,"x":N`), text, []string{ocsf, ocsf}},
		"OTLP, no OCSF":        {newOTLP, otel("", `,"x":N`), text, []string{"a", "a", "b"}},
		"OTLP, resource":       {newOTLP, otel(`"droppedAttributesCount":N`, ""), text, []string{"a", "a", "b"}},
		"CloudEvents":          {newCloudEvents, cloudEvent, object, []string{ocsf, ocsf}},
	} {
		recorded := func() (keys []event.Key) {
			var p event.Parser
			var b event.Batch
			m := c.mapping()
			for i, body := range c.bodies {
				raw := c.wrap(c.as(body), i)
				made, err := m.Map([]byte(raw))
				if err != nil {
					t.Fatalf("%s: %s: %v", name, raw, err)
				}
				if err := p.AddEvent(&b, made, event.Origin{By: "x", Received: from.Received}); err != nil {
					t.Fatalf("%s: %s: %v", name, made, err)
				}
				keys = append(keys, b.Entries[i].Key)
			}
			return keys
		}
		first, again := recorded(), recorded()
		if !reflect.DeepEqual(first, again) {
			t.Errorf("%s: other events when they come again", name)
		}
		slices.SortFunc(first, event.Key.Compare)
		if n := len(slices.Compact(first)); n != len(c.bodies) {
			t.Errorf("%s: %d events are recorded of %d", name, n, len(c.bodies))
		}
	}
}

func line(body string, _ int) string { return body }

func cloudEvent(data string, n int) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"s","type":"t","data":%s}`, n, data)
}

// An event with an identity that comes in another envelope is recorded beside the first, as a conflict, if the envelope
// is recorded, and is the same event if it is not.
func TestAnotherEnvelopeIsAnotherEventUnlessItIsOCSF(t *testing.T) {
	const otel = `{"resource":{},"scope":{},"logRecord":{"timeUnixNano":"1786331570000000000","body":{"stringValue":%s},` +
		`"observedTimeUnixNano":"178633157%d000000000","attributes":[{"key":"log.record.uid","value":{"stringValue":"u"}}]}}`
	const cloud = `{"specversion":"1.0","id":"1","source":"s","type":"t","time":"2026-08-10T03:00:00Z","data":%s,"x":%d}`
	const ocsf = `{"class_uid":3002,"time":1786331570000}`
	from := connect.Delivery{Log: "a", Received: time.UnixMilli(1_786_331_580_000)}
	key := func(raw string) event.Key {
		var m interface{ Map([]byte) ([]byte, error) } = &otlp.Mapping{Delivery: from}
		if strings.Contains(raw, "specversion") {
			m = &cloudevents.Mapping{Delivery: from}
		}
		made, err := m.Map([]byte(raw))
		var p event.Parser
		var b event.Batch
		if err == nil {
			err = p.AddEvent(&b, made, event.Origin{By: "x", Received: from.Received})
		}
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		return b.Entries[0].Key
	}
	for _, c := range []struct {
		envelope, body string
		same           bool
	}{{otel, `"hello"`, false}, {otel, strconv.Quote(ocsf), true}, {cloud, `"hello"`, false}, {cloud, ocsf, true}} {
		one, again, other := key(fmt.Sprintf(c.envelope, c.body, 1)), key(fmt.Sprintf(c.envelope, c.body, 1)),
			key(fmt.Sprintf(c.envelope, c.body, 2))
		if one != again || one.ID() != other.ID() || (one == other) != c.same {
			t.Errorf("%s, %s: %x, again %x, in another envelope %x", c.envelope, c.body, one, again, other)
		}
	}
}
