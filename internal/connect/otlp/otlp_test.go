package otlp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/connect"
	"github.com/weirlog/weir/internal/event"
)

var received = time.UnixMilli(1_786_331_580_000)

const most = 1 << 20

// anyValue draws a value, and what it is as plain JSON decodes it.
func drawValue(t *rapid.T, depth int) (*common.AnyValue, any) {
	kinds := []string{"text", "bool", "int", "double", "bytes", "none"}
	if depth > 0 {
		kinds = append(kinds, "list", "map")
	}
	switch rapid.SampledFrom(kinds).Draw(t, "kind") {
	case "text":
		s := strings.ToValidUTF8(rapid.String().Draw(t, "text"), "\uFFFD")
		return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}, s
	case "bool":
		b := rapid.Bool().Draw(t, "bool")
		return &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: b}}, b
	case "int":
		n := rapid.Int64().Draw(t, "int")
		return &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: n}}, json.Number(fmt.Sprint(n))
	case "double":
		d := rapid.SampledFrom([]float64{0.5, -1e300, math.NaN(), math.Inf(1)}).Draw(t, "double")
		v := &common.AnyValue{Value: &common.AnyValue_DoubleValue{DoubleValue: d}}
		switch {
		case math.IsNaN(d):
			return v, "NaN"
		case math.IsInf(d, 1):
			return v, "Infinity"
		}
		return v, d
	case "bytes":
		b := rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		text, _ := json.Marshal(b)
		return &common.AnyValue{Value: &common.AnyValue_BytesValue{BytesValue: b}}, strings.Trim(string(text), `"`)
	case "list":
		list, plain := &common.ArrayValue{}, []any{}
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			v, p := drawValue(t, depth-1)
			list.Values, plain = append(list.Values, v), append(plain, p)
		}
		return &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: list}}, plain
	case "map":
		list, plain := drawAttributes(t, depth-1)
		return &common.AnyValue{Value: &common.AnyValue_KvlistValue{KvlistValue: &common.KeyValueList{Values: list}}}, plain
	}
	return &common.AnyValue{}, nil
}

func drawAttributes(t *rapid.T, depth int) (list []*common.KeyValue, plain map[string]any) {
	plain = map[string]any{}
	for i := range rapid.IntRange(0, 3).Draw(t, "size") {
		key := fmt.Sprint("k", i, strings.ToValidUTF8(rapid.String().Draw(t, "key"), "\uFFFD"))
		v, p := drawValue(t, depth)
		list = append(list, &common.KeyValue{Key: key, Value: v})
		plain[key] = p
	}
	return list, plain
}

// same compares what was decoded with what it should be: numbers by their text or value.
func same(got, want any) bool {
	switch w := want.(type) {
	case float64:
		n, ok := got.(json.Number)
		f, err := n.Float64()
		return ok && err == nil && f == w
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || len(g) != len(w) {
			return ok && len(w) == len(g) || got == nil && len(w) == 0
		}
		for name := range w {
			if !same(g[name], w[name]) {
				return false
			}
		}
		return true
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for i := range w {
			if !same(g[i], w[i]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(got, want)
}

// mapAll maps the records of a request with one of the readers.
func mapAll(body []byte, read func([]byte, int, func([]byte, int) error) error) (made []string, err error) {
	m := Mapping{Delivery: connect.Delivery{Log: "a", Received: received}}
	err = read(body, most, func(raw []byte, size int) error {
		if raw == nil {
			made = append(made, fmt.Sprint("too long: ", size))
			return nil
		}
		e, err := m.Map(raw)
		if len(e) > 8*len(raw)+4096 {
			return fmt.Errorf("%d bytes become %d", len(raw), len(e))
		}
		if err != nil {
			e = m.Keep(raw, err.Error())
		}
		made = append(made, string(e))
		return nil
	})
	return made, err
}

// The bytes that the protocol's own encoder makes become an event that has all that was encoded, and the same from
// protobuf and from JSON.
func TestRecordsOfOthersEncodersAreReadWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body, wantBody := drawValue(t, 3)
		attributes, wantAttributes := drawAttributes(t, 3)
		of, wantResource := drawAttributes(t, 1)
		r := &logs.LogRecord{TimeUnixNano: 1786331578123456789, SeverityNumber: logs.SeverityNumber_SEVERITY_NUMBER_ERROR,
			SeverityText: "error", Body: body, Attributes: attributes, EventName: "fell", Flags: 1,
			TraceId: []byte("0123456789abcdef"), SpanId: []byte("01234567")}
		data := &logs.LogsData{ResourceLogs: []*logs.ResourceLogs{{Resource: &resource.Resource{Attributes: of},
			ScopeLogs: []*logs.ScopeLogs{{Scope: &common.InstrumentationScope{Name: "s", Version: "1"},
				LogRecords: []*logs.LogRecord{r, r}}, {LogRecords: []*logs.LogRecord{r}}}}}}
		packed, err := proto.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		made, err := mapAll(packed, Protobuf)
		if err != nil || len(made) != 3 {
			t.Fatalf("%d records: %v", len(made), err)
		}
		var e struct {
			Time     json.Number
			Unmapped struct {
				Otel struct {
					Body       any
					Attributes any
					Resource   any
					Trace      string `json:"trace_id"`
				}
			}
		}
		d := json.NewDecoder(strings.NewReader(made[0]))
		d.UseNumber()
		if err := d.Decode(&e); err != nil {
			t.Fatalf("%s: %v", made[0], err)
		}
		got := e.Unmapped.Otel
		if !same(got.Body, wantBody) && !(wantBody != nil && fmt.Sprint(wantBody) == "map[]") ||
			!same(got.Attributes, any(wantAttributes)) || !same(got.Resource, any(wantResource)) ||
			got.Trace != "30313233343536373839616263646566" || e.Time != "1786331578123" {
			t.Fatalf("%s\n%v %v %v", made[0], wantBody, wantAttributes, wantResource)
		}
		// protojson writes trace ids in base64, which OTLP's JSON does not.
		r.TraceId, r.SpanId = nil, nil
		text, err := protojson.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		if packed, err = proto.Marshal(data); err != nil {
			t.Fatal(err)
		}
		fromProtobuf, err := mapAll(packed, Protobuf)
		if err != nil {
			t.Fatal(err)
		}
		fromJSON, err := mapAll(text, JSON)
		if err != nil || !reflect.DeepEqual(stripped(fromJSON), stripped(fromProtobuf)) {
			t.Fatalf("%v\n%s\n%s", err, fromJSON, fromProtobuf)
		}
	})
}

// What a later version of the protocol adds, anywhere, changes nothing: a record becomes the same event, in JSON and in
// protobuf.
func TestUnknownFieldsAreIgnoredAnywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body, _ := drawValue(t, 3)
		attributes, _ := drawAttributes(t, 3)
		of, _ := drawAttributes(t, 1)
		ofScope, _ := drawAttributes(t, 1)
		data := &logs.LogsData{ResourceLogs: []*logs.ResourceLogs{{Resource: &resource.Resource{Attributes: of},
			ScopeLogs: []*logs.ScopeLogs{{Scope: &common.InstrumentationScope{Name: "s", Attributes: ofScope},
				LogRecords: []*logs.LogRecord{{TimeUnixNano: 1786331578123456789, Body: body, Attributes: attributes}}}}}}}
		text, err := protojson.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		var tree any
		if err := d.Decode(&tree); err != nil {
			t.Fatal(err)
		}
		addMembers(t, tree)
		longer, err := json.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		packed, err := proto.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		addFields(t, data.ProtoReflect())
		longerPacked, err := proto.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		want, err := mapAll(packed, Protobuf)
		if err != nil || len(want) != 1 || strings.Contains(want[0], `"activity_name":"Unread"`) {
			t.Fatalf("%s %v", want, err)
		}
		for _, c := range []struct {
			body []byte
			read func([]byte, int, func([]byte, int) error) error
		}{{text, JSON}, {longer, JSON}, {longerPacked, Protobuf}} {
			got, err := mapAll(c.body, c.read)
			if err != nil || !reflect.DeepEqual(stripped(got), stripped(want)) {
				t.Fatalf("%q: %v\n%s\n%s", c.body, err, got, want)
			}
		}
	})
}

// addMembers adds members to the objects of a request in JSON, and members that are null to some: these are not set.
func addMembers(t *rapid.T, tree any) {
	switch node := tree.(type) {
	case map[string]any:
		for _, value := range node {
			addMembers(t, value)
		}
		if rapid.Bool().Draw(t, "add") {
			values := []any{nil, true, 7, "x", []any{1, nil}, map[string]any{"stringValue": "y"}}
			for _, name := range []string{"a", "later_value", "zValue"} { // before, between and behind those that are known
				node[name] = rapid.SampledFrom(values).Draw(t, "more")
			}
		}
		for _, name := range []string{"stringValue", "arrayValue", "values", "key", "value", "attributes"} {
			if _, ok := node[name]; !ok && rapid.Bool().Draw(t, "null") {
				node[name] = nil
			}
		}
	case []any:
		for _, value := range node {
			addMembers(t, value)
		}
	}
}

// addFields adds fields with numbers that are not known to messages of a request.
func addFields(t *rapid.T, m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Kind() != protoreflect.MessageKind:
		case f.IsList():
			for i := range v.List().Len() {
				addFields(t, v.List().Get(i).Message())
			}
		default:
			addFields(t, v.Message())
		}
		return true
	})
	if rapid.Bool().Draw(t, "add") {
		more := protowire.AppendVarint(protowire.AppendTag(nil, 101, protowire.VarintType), 7)
		more = protowire.AppendBytes(protowire.AppendTag(more, 102, protowire.BytesType), []byte("x"))
		more = protowire.AppendFixed32(protowire.AppendTag(more, 103, protowire.Fixed32Type), 7)
		m.SetUnknown(protowire.AppendFixed64(protowire.AppendTag(more, 104, protowire.Fixed64Type), 7))
	}
}

// stripped returns events without what two right encoders write differently: the text of a floating-point number, and
// the uid of what is equal in all its bytes, which follows from them.
func stripped(all []string) (decoded []any) {
	for _, text := range all {
		var v any
		_ = json.Unmarshal([]byte(text), &v)
		delete(v.(map[string]any)["metadata"].(map[string]any), "uid")
		decoded = append(decoded, v)
	}
	return decoded
}

const atlasPush = `{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name",` +
	`"value":{"stringValue":"mongodb-atlas-events"}}]},` +
	`"scopeLogs":[{"logRecords":[{"timeUnixNano":"1786331578000000000","severityNumber":"SEVERITY_NUMBER_INFO","body":` +
	`{"stringValue":"{\"_id\":\"6a793f48c0eb9e7a17712c01\",\"eventType\":\"STREAM_PROCESSOR_STOPPED\",` +
	`\"createdDate\":1786331577000,` +
	`\"projectId\":\"6a793f48c0eb9e7a17712c9a\",\"eventPayload\":\"{\\\"processorName\\\":\\\"orders\\\",` +
	`\\\"instanceName\\\":` +
	`\\\"prod\\\",\\\"username\\\":\\\"jane@example.com\\\",\\\"remoteAddress\\\":\\\"203.0.113.7\\\"}\",` +
	`\"source\":\"x\"}"},` +
	`"attributes":[{"key":"mongodb.event.id","value":{"stringValue":"6a793f48c0eb9e7a17712c01"}},` +
	`{"key":"mongodb.event.type","value":{"stringValue":"STREAM_PROCESSOR_STOPPED"}}]}]}]}]}`

func TestEventsOfAtlasBecomeOCSF(t *testing.T) {
	made, err := mapAll([]byte(atlasPush), JSON)
	if err != nil || len(made) != 1 {
		t.Fatal(made, err)
	}
	var p event.Parser
	line, f, err := p.Append(nil, []byte(made[0]), event.Origin{By: "x", Received: received})
	if err != nil {
		t.Fatalf("%s: %v", made[0], err)
	}
	if f.Time != 1786331577000 || string(f.UID) != "6a793f48c0eb9e7a17712c01" || !f.Concerns("orders") {
		t.Errorf("%+v", f)
	}
	if warnings, err := event.Conform(line); err != nil || len(warnings) > 0 {
		t.Errorf("%s: %v %v", line, warnings, err)
	}
	for _, part := range []string{`"type_uid":300411`, `"name":"jane@example.com"`, `"ip":"203.0.113.7"`,
		`"payload":{"processorName":"orders"`, `"entity":{"name":"orders","type":"Stream Processor"`} {
		if !strings.Contains(string(line), part) {
			t.Errorf("%s is not in %s", part, line)
		}
	}
	// An event of another shape is kept, and says so.
	other, err := mapAll([]byte(strings.Replace(atlasPush, "createdDate", "created", 1)), JSON)
	if err != nil || !strings.Contains(other[0], `"activity_name":"Unread"`) {
		t.Error(other, err)
	}
}

func TestBodyThatIsOCSFStays(t *testing.T) {
	const ocsf = `{"class_uid":3002,"time":1786331578000,"metadata":{"uid":"u"},"n":1.50}`
	quoted, _ := json.Marshal(ocsf)
	for form, body := range map[string]string{
		"text": `{"stringValue":` + string(quoted) + `}`,
		"values": `{"kvlistValue":{"values":[{"key":"class_uid","value":{"intValue":"3002"}},{"key":"time","value":` +
			`{"intValue":1786331578000}},{"value":{"kvlistValue":{"values":[{"key":"uid","value":{"stringValue":"u"}}]}},` +
			`"key":"metadata"},{"key":"n","value":{"doubleValue":1.50}}]}}`,
	} {
		made, err := mapAll([]byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":`+body+`}]}]}]}`), JSON)
		if err != nil || len(made) != 1 || made[0] != ocsf {
			t.Errorf("%s: %s %v", form, made, err)
		}
	}
}

// A text that is not UTF-8 makes no other text: its record is kept with the bytes that came.
func TestTextsThatAreNotUTF8AreKept(t *testing.T) {
	const wrong = "\xff a \"J\xfcrgen\"\xe2\x82"
	const escaped = "\xff a \\\"J\xfcrgen\\\"\xe2\x82"
	message := func(number protowire.Number, content []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), content)
	}
	text := message(1, []byte(wrong)) // an AnyValue, and a KeyValue without a value
	good := message(5, message(1, []byte("good")))
	for what, record := range map[string][]byte{"body": message(5, text), "name": message(12, []byte(wrong)),
		"key": message(6, text), "attribute": message(6, message(2, text))} {
		body := message(1, message(2, append(message(2, record), message(2, good)...)))
		made, err := mapAll(body, Protobuf)
		if err != nil || len(made) != 2 || !strings.Contains(made[1], `"message":"good"`) {
			t.Fatalf("%s: %s %v", what, made, err)
		}
		var kept struct {
			Activity string `json:"activity_name"`
			Raw      []byte `json:"raw_data"`
		}
		err = json.Unmarshal([]byte(made[0]), &kept)
		if err != nil || kept.Activity != "Unread" || !strings.Contains(string(kept.Raw), `"`+escaped+`"`) {
			t.Errorf("%s: %s, of %q: %v", what, made[0], kept.Raw, err)
		}
	}
}

// JSON of others: numbers as texts or not, names of severities, members in any order, unknown ones.
func TestJSONOfOthersIsRead(t *testing.T) {
	made, err := mapAll([]byte(`{"x":1,"resourceLogs":[{"schemaUrl":"u","scopeLogs":[{"logRecords":[`+
		`{"observedTimeUnixNano":1786331578000000000,"severityNumber":"WARN","body":{"stringValue":"a"},"y":[]},`+
		`{"timeUnixNano":"0","observedTimeUnixNano":"1786331578000000000","body":null,"attributes":null}],"scope":`+
		`{"name":"late"}}],"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"svc"}}]}}]}`), JSON)
	if err != nil || len(made) != 2 || !strings.Contains(made[0], `"product":{"name":"svc"}`) ||
		!strings.Contains(made[0], `"severity_id":3`) || !strings.Contains(made[0], `"scope":{"name":"late"}`) ||
		strings.Contains(made[1], "Unread") {
		t.Errorf("%s %v", made, err)
	}
}

// The JSON of protobuf has several forms of an integer.
func TestIntegersInAnyFormAreRead(t *testing.T) {
	for _, at := range []string{`1786331578000000000`, `"1786331578000000000"`, `1.786331578E18`, `"1.786331578e+18"`,
		`1786331578000000000.0`} {
		made, err := mapAll([]byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":`+at+
			`,"body":{"intValue":15e2}}]}]}]}`), JSON)
		if err != nil || len(made) != 1 || !strings.Contains(made[0], `"time":1786331578000,`) ||
			!strings.Contains(made[0], `"body":1500,`) {
			t.Errorf("%s: %s %v", at, made, err)
		}
	}
	for _, at := range []string{`1.5`, `1e99`, `1e1000`, `""`, `"x"`, `true`, `{}`} {
		made, err := mapAll([]byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":`+at+`}]}]}]}`), JSON)
		if err != nil || len(made) != 1 || !strings.Contains(made[0], "Unread") {
			t.Errorf("%s: %s %v", at, made, err)
		}
	}
}

// A request that is made to cost much costs no more than one of its size, and never a deep stack.
func TestHostileProtobufIsBounded(t *testing.T) {
	message := func(number protowire.Number, content []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), content)
	}
	request := func(record []byte) []byte { return message(1, message(2, message(2, record))) }
	deep := []byte{}
	for range 5000 { // arrays of arrays
		deep = message(5, message(1, deep))
	}
	if _, err := mapAll(request(message(5, deep)), Protobuf); !errors.Is(err, ErrProtobuf) {
		t.Errorf("nested: %v", err)
	}
	many := message(6, message(6, []byte(strings.Repeat("\x0a\x00", 400_000)))) // empty keys and values
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	made, err := mapAll(request(many), Protobuf)
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 256<<20 {
		t.Errorf("%d bytes are allocated for %d", used, len(many))
	}
	if err != nil || len(made) != 1 {
		t.Errorf("many: %d %v", len(made), err)
	}
	// A resource, a scope and a record that grow most, each in another message: no part is kept once it is too long.
	grow := func(field protowire.Number, n int) []byte {
		return message(field, message(2, message(6, []byte(strings.Repeat("\x0a\x00", n)))))
	}
	const n = most/2 - 16
	var three []byte
	for _, sizes := range [][3]int{{n, 1, 1}, {1, n, 1}, {1, 1, n}} {
		scope := append(message(1, grow(3, sizes[1])), message(2, grow(6, sizes[2]))...)
		three = append(three, message(1, append(message(1, grow(1, sizes[0])), message(2, scope)...))...)
	}
	runtime.ReadMemStats(&before)
	made, err = mapAll(three, Protobuf)
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > ProtobufFactor*most {
		t.Errorf("%d bytes are allocated for parts that grow", used)
	}
	if err != nil || len(made) != 3 || !strings.HasPrefix(made[0], "too long") {
		t.Errorf("parts that grow: %.100q %v", made, err)
	}
	large := request(message(3, make([]byte, most+1)))
	if made, err := mapAll(large, Protobuf); err != nil || len(made) != 1 || !strings.HasPrefix(made[0], "too long") {
		t.Errorf("large: %.100s %v", made, err)
	}
	for _, wrong := range []string{"\x0a", "\x0a\x05ab", strings.Repeat("\xff", 11), "\x0b", "\x08\x01"} {
		if _, err := mapAll([]byte(wrong), Protobuf); !errors.Is(err, ErrProtobuf) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

// Whatever bytes arrive, each record becomes an event that is taken, or that keeps it.
func FuzzProtobuf(f *testing.F) {
	r := &logs.LogRecord{TimeUnixNano: 1786331578123456789, Body: &common.AnyValue{Value: &common.AnyValue_StringValue{
		StringValue: "x"}}, Attributes: []*common.KeyValue{{Key: "a", Value: &common.AnyValue{}}}}
	packed, err := proto.Marshal(&logs.LogsData{ResourceLogs: []*logs.ResourceLogs{{ScopeLogs: []*logs.ScopeLogs{{
		LogRecords: []*logs.LogRecord{r, r}}}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Fuzz(func(t *testing.T, body []byte) { checkTaken(t, body, Protobuf) })
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(atlasPush))
	f.Add([]byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"kvlistValue":{"values":[{"key":"a"}]}}}]}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) { checkTaken(t, body, JSON) })
}

func checkTaken(t *testing.T, body []byte, read func([]byte, int, func([]byte, int) error) error) {
	if len(body) > 1<<16 {
		return
	}
	m := Mapping{Delivery: connect.Delivery{Log: "a", Received: received}}
	p := event.Parser{Limits: event.Limits{MaxBytes: 8 << 20}}
	err := read(body, most, func(raw []byte, _ int) error {
		made, err := m.Map(raw)
		if len(made) > 8*len(raw)+4096 {
			t.Fatalf("%d bytes become %d: %s", len(raw), len(made), raw)
		}
		if err == nil {
			if _, _, err = p.Append(nil, made, event.Origin{Received: received}); err == nil {
				return nil
			}
		}
		if _, _, err := p.Append(nil, m.Keep(raw, err.Error()), event.Origin{Received: received}); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		return nil
	})
	if err != nil && !errors.Is(err, ErrProtobuf) && !errors.Is(err, ErrJSON) {
		t.Fatal(err)
	}
}
