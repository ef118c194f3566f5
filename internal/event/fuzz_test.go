package event

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

// valid is the reference definition of what the scanner accepts.
func valid(event []byte) bool {
	return jsontext.Value(event).Kind() == '{' && jsontext.Value(event).IsValid()
}

// accepted tells whether the scanner accepts an event, with only the hard limit on nesting.
func accepted(event []byte) bool {
	p := Parser{unique: true}
	event, _ = trim(event)
	return p.scan(event, hardMaxDepth)
}

func addSeeds(f *testing.F) {
	for _, line := range sampleLines() {
		f.Add(line)
	}
	for _, s := range []string{
		`{"time":1763970000000,"a":[1,-0.5e+3,0E0,true,false,null,"\ud83d\ude00\u00e9\"\\\/",{"b":{}}],"metadata":{}}`,
		"{\r\n \"time\" : 1763970000000\t}\n",
		`{"a":"\ufffd�","\uD83D\uDE00":"😀","b":"é"}`, `{"a":"\ud83d"}`, `{"a":"\ude00\ud83d"}`, `{"a":"\ud83dx"}`,
		`{"a":1,"b":2,"\u0061":3}`, `{"a":-}`, `{"a":01}`, `{"a":1.}`, `{"a":1e}`, `{"a":.5}`, `{"a":[1,]}`, `{,}`,
		`{"":"","":""}`,
		`{"time":1763970000000,"metadata":{"uid":"x"},"unmapped":{"param":{"name":"p"}}}`,
		`{"time":1763970000000,"resources":[{"name":"a","type":"Stream Processor"},{"name":"b","type":"Stream Processor"}]}`,
		`{"time":1763970000000,"unmapped":{"weir":{"taken":1,"by":"x","claimed":{"by":1}},"a":1},"metadata":{}}`,
		`{"unmapped":{ "weir" : 1 , "a" : 2 } ,"time":1763970000000}`, `{"time":1763970000000,"unmapped":{"a":1 ,"weir":[]}}`,
		`{"time":1763970000000,"unmapped":{}}`, `{"time":1763970000000,"unmapped":{ },"metadata":{ }}`,
		`{"time":1763970000000,"unmapped":{"w\u0065ir":{}}}`,
		"{\"a\":\"\xff\"}", "{\"a\":\"1234567\xc3\xa9\"}", "{\"a\":\"1234567\xed\xa0\x80\"}", "{\"a\":\"\x7f\x1f\"}",
	} {
		f.Add([]byte(s))
	}
}

// The scanner accepts exactly the objects that jsontext accepts.
func FuzzValid(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, event []byte) {
		if got, want := accepted(event), valid(event); got != want {
			t.Errorf("%q: accepted %t, jsontext %t", event, got, want)
		}
	})
}

func TestNestingIsBoundedAsInJSONText(t *testing.T) {
	for _, levels := range []int{hardMaxDepth, hardMaxDepth + 1} {
		event := []byte(strings.Repeat(`{"a":`, levels-1) + "{}" + strings.Repeat("}", levels-1))
		if got, want := accepted(event), valid(event); got != want {
			t.Errorf("%d levels: accepted %t, jsontext %t", levels, got, want)
		}
	}
}

// Two scanners are most likely to differ on valid events with one byte changed, removed or inserted.
func TestDamagedEventsAsInJSONText(t *testing.T) {
	const bytesOfJSON = "{}[]\",:\\u09.eE+-tfn \n\x00\x1f\x7f\x80\xc3\xa9\xed\xff"
	lines := sampleLines()
	rapid.Check(t, func(t *rapid.T) {
		event := bytes.Clone(rapid.SampledFrom(lines).Draw(t, "event"))
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			i := rapid.IntRange(0, len(event)-1).Draw(t, "at")
			c := bytesOfJSON[rapid.IntRange(0, len(bytesOfJSON)-1).Draw(t, "byte")]
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				event[i] = c
			case 1:
				event = slices.Delete(event, i, i+1)
			case 2:
				event = slices.Insert(event, i, c)
			}
		}
		if got, want := accepted(event), valid(event); got != want {
			t.Fatalf("%q: accepted %t, jsontext %t", event, got, want)
		}
	})
}

// Append makes one valid line that reads as the event did, and has the bytes that were sent, the missing members, and
// the facts. Appended again, it is the same event.
func FuzzAppend(f *testing.F) {
	addSeeds(f)
	f.Add([]byte(`{"t":{"$date":"2025-11-24T10:26:40.123+00:00"},"attr":{"spName":"p"}}`))
	f.Add([]byte(`{"t":{"$date":{"$numberLong":"1763980000000"}},"processor":"p"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		checkAppend(t, raw, false)
		checkAppend(t, raw, true)
	})
}

func checkAppend(t *testing.T, raw []byte, operational bool) {
	p, q := Parser{Operational: operational}, Parser{Operational: operational}
	line, fields, err := p.Append(nil, raw, origin)
	if err != nil {
		if len(line) > 0 {
			t.Fatalf("%q was appended, and %v", line, err)
		}
		return
	}
	if bytes.IndexByte(line, '\n') != len(line)-1 || bytes.IndexByte(line, '\r') >= 0 || !valid(line) {
		t.Fatalf("%q is not one valid line", line)
	}
	var sent, recorded Batch
	if err := p.AddEvent(&sent, raw, origin); err != nil {
		t.Fatal(err)
	}
	elsewhere := Origin{Workspace: "w", Received: origin.Received.Add(time.Second)}
	if err := p.AddEvent(&recorded, line, elsewhere); err != nil {
		t.Fatal(err)
	}
	read, err := Read("", line, 1)
	if err != nil || read.Entries[0].Key != sent.Entries[0].Key || recorded.Entries[0].Key != sent.Entries[0].Key {
		t.Fatalf("%q has the key %x, as a line %x, sent again %x; %v", raw, sent.Entries[0].Key, read.Entries[0].Key,
			recorded.Entries[0].Key, err)
	}
	for what, read := range map[string]func() (Fields, error){
		"scanned":        func() (Fields, error) { return q.Scan(line) },
		"appended again": func() (Fields, error) { _, f, err := q.Append(nil, line, elsewhere); return f, err },
	} {
		got, err := read()
		if err != nil || got.Time != fields.Time || !bytes.Equal(got.UID, fields.UID) ||
			!slices.Equal(got.Processors, fields.Processors) {
			t.Fatalf("%q %s: %+v, %v, want %+v", line, what, got, err, fields)
		}
	}
	if _, err := q.Scan(line); err != nil {
		t.Fatal(err)
	}
	if facts, ok := q.Facts(); !ok || facts != (Facts{origin.Received, origin.By}) {
		t.Fatalf("%q has the facts %+v, %t", line, facts, ok)
	}
	for _, name := range fields.Processors {
		if !MayConcern(line, name) {
			t.Fatalf("%q concerns %q, and may not", line, name)
		}
	}
	if got, want := decoded(t, line), filled(decoded(t, raw), fields); !operational && !reflect.DeepEqual(got, want) {
		t.Fatalf("%q became %q, not %v", raw, line, want)
	}
	if sent, _ := trim(raw); !bytes.Contains(raw, []byte("unmapped")) && !bytes.ContainsRune(raw, '\\') &&
		!bytes.Equal(withoutAdded([]byte(withoutFacts(line)), sent), oneLine(sent)) {
		t.Fatalf("%q became %q", sent, line)
	}
}

func decoded(t *testing.T, line []byte) (event map[string]any) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if err := d.Decode(&event); err != nil {
		t.Fatal(err)
	}
	return event
}

// filled is the reference definition of what Append makes of an event of origin.
func filled(event map[string]any, f Fields) map[string]any {
	object := func(name string) map[string]any {
		o, _ := event[name].(map[string]any)
		if o == nil {
			o = map[string]any{}
			event[name] = o
		}
		return o
	}
	number := json.Number(strconv.FormatInt(origin.Received.UnixMilli(), 10))
	metadata := object("metadata")
	facts := map[string]any{"by": origin.By, "salt": origin.Salt}
	if _, ok := metadata["logged_time"]; ok {
		facts["taken"] = number
	}
	for name, value := range map[string]any{"uid": string(f.UID), "log_name": origin.Workspace,
		"tenant_uid": origin.Project, "logged_time": number} {
		if _, ok := metadata[name]; !ok {
			metadata[name] = value
		}
	}
	unmapped := object("unmapped")
	if claimed, ok := unmapped["weir"]; ok {
		facts["claimed"] = claimed
	}
	unmapped["weir"] = facts
	return event
}

// withoutAdded returns the part of the line that was sent: the longest prefix that the line shares with sent, and the
// rest of sent from the end of the line.
func withoutAdded(line, sent []byte) []byte {
	sent, line = oneLine(sent), bytes.TrimSuffix(line, []byte("\n"))
	n := 0
	for n < len(sent) && n < len(line) && sent[n] == line[n] {
		n++
	}
	return append(bytes.Clone(line[:n]), line[len(line)-(len(sent)-n):]...)
}

func oneLine(event []byte) []byte {
	if !bytes.ContainsAny(event, "\r\n") {
		return event
	}
	var b bytes.Buffer
	if json.Compact(&b, event) != nil {
		return nil
	}
	return b.Bytes()
}

// Scan reads of any line what a general decoder reads, or refuses the line.
func FuzzScan(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, line []byte) {
		fields, err := new(Parser).Scan(line)
		if err != nil || !valid(line) {
			return
		}
		var event map[string]any
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber()
		if err := d.Decode(&event); err != nil {
			t.Fatal(err)
		}
		metadata, _ := event["metadata"].(map[string]any)
		if time, ok := integer(event["time"]); !ok || time != fields.Time || metadata["uid"] != string(fields.UID) {
			t.Errorf("%q: %+v", line, fields)
		}
		want := processorsOf(event)
		if len(want) == 0 && len(fields.Processors) == 1 && namesProcessor(event, fields.Processors[0]) {
			return
		}
		if !slices.Equal(fields.Processors, want) {
			t.Errorf("%q: processors %q, want %q", line, fields.Processors, want)
		}
	})
}

// namesProcessor tells whether a member of a line of an operational log names a stream processor.
func namesProcessor(event map[string]any, name string) bool {
	attr, _ := event["attr"].(map[string]any)
	for _, key := range []string{"processor", "processorName", "spName", "streamProcessorName"} {
		if event[key] == name || attr[key] == name {
			return true
		}
	}
	return false
}

// processorsOf is the reference definition of Fields.Processors.
func processorsOf(event map[string]any) (names []string) {
	resources, _ := event["resources"].([]any)
	for _, r := range append(resources, event["entity"]) {
		if r, _ := r.(map[string]any); r["type"] == streamProcessor {
			if name, _ := r["name"].(string); name != "" {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		unmapped, _ := event["unmapped"].(map[string]any)
		param, _ := unmapped["param"].(map[string]any)
		if name, _ := param["name"].(string); name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Objects whose names are similar, so that the quick test for new names often cannot decide.
func TestNamesAsInJSONText(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		event := []byte{'{'}
		for i := range r.IntN(50) {
			if i > 0 {
				event = append(event, ',')
			}
			name := make([]byte, 1+r.IntN(3))
			for j := range name {
				name[j] = 'a' + byte(r.IntN(12))
			}
			event = append(append(append(event, '"'), name...), `":{"a":0}`...)
		}
		event = append(event, '}')
		if got, want := accepted(event), valid(event); got != want {
			t.Fatalf("%s: accepted %t, jsontext %t", event, got, want)
		}
	}
}
