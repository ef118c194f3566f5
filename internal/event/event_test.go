package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

var (
	received = time.UnixMilli(1_763_980_000_000)
	origin   = Origin{Workspace: "demo", Project: "6a793f48c0eb9e7a17712c9a", Received: received}
)

func TestAppend(t *testing.T) {
	const full = `"metadata":{"uid":"u","log_name":"l","tenant_uid":"t","logged_time":1}`
	for _, tt := range []struct{ name, in, want string }{
		{"complete: byte for byte", `{ "time" : 1763970000000, ` + full + ` }`, `{ "time" : 1763970000000, ` + full + ` }`},
		{"white space around", " \t{\"time\":1763970000000," + full + "}\r", `{"time":1763970000000,` + full + `}`},
		{"all of metadata but uid", `{"time":1763970000000,"metadata":{"uid":"u"}}`,
			`{"time":1763970000000,"metadata":{"uid":"u","log_name":"demo","tenant_uid":"6a793f48c0eb9e7a17712c9a","logged_time":1763980000000}}`},
		{"metadata first", `{"metadata":{"uid":"u","log_name":"l"},"time":1763970000000}`,
			`{"metadata":{"uid":"u","log_name":"l","tenant_uid":"6a793f48c0eb9e7a17712c9a","logged_time":1763980000000},"time":1763970000000}`},
		{"empty metadata", `{"time":1763970000000,"metadata":{ }}`,
			`{"time":1763970000000,"metadata":{ "uid":"0c24be0a97cfb85ea2cb92edfbe25c4c","log_name":"demo","tenant_uid":"6a793f48c0eb9e7a17712c9a","logged_time":1763980000000}}`},
		{"no metadata", `{"time":1763970000000}`,
			`{"time":1763970000000,"metadata":{"uid":"b68eb9b8bdc0e58eab4b6b8fb4d0a6b5","log_name":"demo","tenant_uid":"6a793f48c0eb9e7a17712c9a","logged_time":1763980000000}}`},
		{"numbers keep their text", `{"time":1763970000000,"x":1.500e+03,"y":123456789012345678901234567890,` + full + `}`,
			`{"time":1763970000000,"x":1.500e+03,"y":123456789012345678901234567890,` + full + `}`},
		{"line breaks between tokens", "{\n  \"time\": 1763970000000,\n  \"s\": \"a b\", " + full + "}", `{"time":1763970000000,"s":"a b",` + full + `}`},
		{"escaped names count", `{"t\u0069me":1763970000000,"metadata":{"u\u0069d":"\u00fc","log_name":"l","tenant_uid":"t","logged_time":1}}`,
			`{"t\u0069me":1763970000000,"metadata":{"u\u0069d":"\u00fc","log_name":"l","tenant_uid":"t","logged_time":1}}`},
		{"MongoDB's product as a string", `{"time":1763970000000,"metadata":{"uid":"u","log_name":"l","tenant_uid":"t","logged_time":1,"product":"MongoDB Server"},"actor":{}}`,
			`{"time":1763970000000,"metadata":{"uid":"u","log_name":"l","tenant_uid":"t","logged_time":1,"product":"MongoDB Server"},"actor":{}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p Parser
			got, f, err := p.Append([]byte("before\n"), []byte(tt.in), origin)
			if err != nil {
				t.Fatal(err)
			}
			line := strings.TrimPrefix(string(got), "before\n")
			if !strings.Contains(tt.name, "no metadata") && !strings.Contains(tt.name, "empty") && line != tt.want+"\n" {
				t.Errorf("got  %s\nwant %s", line, tt.want)
			}
			if strings.Contains(tt.name, "no metadata") || strings.Contains(tt.name, "empty") {
				if len(f.UID) != 32 || len(line) != len(tt.want)+1 {
					t.Errorf("got  %s\nwant something like %s", line, tt.want)
				}
			}
			again, err := p.Scan([]byte(strings.TrimSuffix(line, "\n")))
			if err != nil || again.Time != 1763970000000 {
				t.Errorf("scanned again: %+v, %v", again, err)
			}
		})
	}
}

func TestAppendRefuses(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 64) + "1" + strings.Repeat("}", 64)
	for _, tt := range []struct{ in, want string }{
		{``, "a JSON object"},
		{`[]`, "a JSON object"},
		{`{"time":1763970000000`, "ends early"},
		{`{"time":1763970000000} {}`, "behind the event's end"},
		{`{}`, "time is missing"},
		{`{"ts":{"$date":"2025-11-24T08:00:00.123+00:00"},"atype":"authenticate"}`, "mongod's own"},
		{`{"time":"1763970000000"}`, "time must be an integer"},
		{`{"time":1763970000000.0}`, "time must be an integer"},
		{`{"time":1.7e12}`, "time must be an integer"},
		{`{"time":99999999999999999999}`, "time must be an integer"},
		{`{"time":1763970000}`, "not in seconds"},
		{`{"time":-5}`, "before the year 2000"},
		{`{"time":1763980600001}`, "in the future"},
		{`{"time":1763970000000,"class_uid":"3002"}`, "class_uid must be an integer"},
		{`{"time":1763970000000,"metadata":[]}`, "metadata must be an object"},
		{`{"time":1763970000000,"metadata":null}`, "metadata must be an object"},
		{`{"time":1763970000000,"metadata":{"uid":7}}`, "metadata.uid must be a string"},
		{`{"time":1763970000000,"metadata":{"uid":""}}`, "metadata.uid must be a string"},
		{`{"time":1763970000000,"metadata":{"uid":"` + strings.Repeat("u", 513) + `"}}`, "at most 512"},
		{`{"time":1763970000000,"time":1763970000000}`, "twice"},
		{`{"time":1763970000000,"a":{"b":1,"\u0062":2}}`, "twice"},
		{`{"time":1763970000000,"a":` + deep + `}`, "nested deeper"},
		{"{\"time\":1763970000000,\"a\":\"\xff\"}", "UTF-8"},
		{"{\"time\":1763970000000,\"a\":\"\x01\"}", "control character"},
		{`{"time":1763970000000,"a":"\ud800"}`, "wrong escape"},
		{`{"time":1763970000000,"a":"\x"}`, "wrong escape"},
		{`{"time":01763970000000}`, "expected ','"},
		{`{"time":1763970000000,"a":"` + strings.Repeat("x", DefaultMaxBytes) + `"}`, "at most 1048576"},
	} {
		var p Parser
		got, _, err := p.Append(nil, []byte(tt.in), origin)
		var refused *Error
		if !errors.As(err, &refused) || !strings.Contains(refused.Reason, tt.want) || len(got) > 0 {
			t.Errorf("%.80s: got %q, %v, want an error with %q", tt.in, got, err, tt.want)
		}
	}
	// 10 minutes ahead is still fine, and so is the first moment of 2000.
	for _, in := range []string{`{"time":1763980600000}`, `{"time":946684800000}`} {
		if _, _, err := new(Parser).Append(nil, []byte(in), origin); err != nil {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func TestRetryIsRecognised(t *testing.T) {
	var p Parser
	_, first, err := p.Append(nil, []byte(`{"time":1763970000000}`), origin)
	if err != nil {
		t.Fatal(err)
	}
	uid := string(first.UID)
	later := origin
	later.Received = received.Add(time.Minute)
	_, second, err := p.Append(nil, []byte(` {"time":1763970000000} `), later)
	if err != nil || string(second.UID) != uid {
		t.Errorf("uid %q, of the retry %q, %v", uid, second.UID, err)
	}
	_, other, err := p.Append(nil, []byte(`{"time":1763970000001}`), origin)
	if err != nil || string(other.UID) == uid {
		t.Errorf("another event has the same uid %q, %v", uid, err)
	}
}

func TestProcessors(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want []string
	}{
		{`{"time":1763970000000}`, nil},
		{`{"time":1763970000000,"entity":{"name":"p","type":"Stream Processor"}}`, []string{"p"}},
		{`{"time":1763970000000,"entity":{"type":"Stream Processor","name":"p\u0070"}}`, []string{"pp"}},
		{`{"time":1763970000000,"entity":{"type":"User","name":"p"}}`, nil},
		{`{"time":1763970000000,"resources":[{"name":"w","type":"Stream Workspace"},{"type":"Stream Processor","name":"p"},{"name":"q","type":"Stream Processor"}]}`, []string{"p", "q"}},
		{`{"time":1763970000000,"resources":[{"name":"w"},{"type":"Stream Processor"}]}`, nil},
		{`{"time":1763970000000,"unmapped":{"param":{"name":"p"}}}`, []string{"p"}},
		{`{"time":1763970000000,"unmapped":{"param":{"name":"r"}},"entity":{"name":"p","type":"Stream Processor"}}`, []string{"p"}},
		{`{"time":1763970000000,"unmapped":{"param":{"name":7}}}`, nil},
		{`{"time":1763970000000,"x":{"entity":{"name":"p","type":"Stream Processor"}}}`, nil},
	} {
		var p Parser
		f, err := p.Scan([]byte(tt.in))
		if err != nil || !slices.Equal(f.Processors, tt.want) {
			t.Errorf("%s: got %q, %v, want %q", tt.in, f.Processors, err, tt.want)
		}
		for _, name := range tt.want {
			if !MayConcern([]byte(tt.in), name) || !f.Concerns(name) {
				t.Errorf("%s: does not concern %s", tt.in, name)
			}
		}
	}
}

func TestManyNames(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"time":1763970000000`)
	for i := range 20_000 {
		fmt.Fprintf(&b, `,"n%d":{"a":%d}`, i, i)
	}
	if _, _, err := new(Parser).Append(nil, []byte(b.String()+"}"), origin); err != nil {
		t.Error(err)
	}
	if _, _, err := new(Parser).Append(nil, []byte(b.String()+`,"n7":1}`), origin); err == nil {
		t.Error("a name that stands twice among many was not found")
	}
}

func TestSplit(t *testing.T) {
	var got []string
	for n, line := range Lines([]byte("a\r\n\n  \nb\nc")) {
		got = append(got, fmt.Sprintf("%d:%s", n, strings.TrimSpace(string(line))))
	}
	if want := []string{"1:a", "4:b", "5:c"}; !slices.Equal(got, want) {
		t.Errorf("lines %q, want %q", got, want)
	}
	for body, want := range map[string]int{`{"a":1}`: 1, ` [ {"a":1} , 2 ]`: 2, `[]`: 0, `{} {}`: -1, `7`: -1, `[1`: -1, `[1,]`: -1, `[1 2]`: -1, `[1]]`: -1, `null`: -1, ``: -1, "{}\n": 1} {
		n, err := countElements([]byte(body))
		if want < 0 && err == nil || want >= 0 && (err != nil || n != want) {
			t.Errorf("%q: %d elements, %v, want %d", body, n, err, want)
		}
	}
}

func countElements(body []byte) (n int, err error) {
	for _, err := range Elements(body) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func TestConform(t *testing.T) {
	for _, line := range bytes.Split(bytes.TrimSpace(samples), []byte("\n")) {
		if warnings, err := Conform(line); err != nil || len(warnings) > 0 {
			t.Errorf("%s: %q, %v", line, warnings, err)
		}
	}
	for in, want := range map[string]string{
		`{"time":1}`:                              "class_uid is missing",
		`{"class_uid":4242}`:                      "is not a class",
		`{"class_uid":3002}`:                      "severity_id is missing",
		`{"class_uid":3002,"severity_id":"high"}`: "severity_id must be an integer",
		`{"class_uid":3002,"severity_id":42}`:     "severity_id has no value 42",
		`{"class_uid":3002,"metadata":{"product":"MongoDB Server"}}`: "metadata.product must be an object",
		`{"class_uid":3002,"activity_id":1,"type_uid":300299}`:       "class_uid and activity_id make it 300201",
	} {
		warnings, err := Conform([]byte(in))
		if err != nil || !slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, want) }) {
			t.Errorf("%s: %q, %v, want %q", in, warnings, err, want)
		}
	}
}

func TestOwnEventsConform(t *testing.T) {
	access := Access{Time: received, Project: origin.Project, Workspace: "demo", RequestID: "r-1", CallerID: "gswvkocq",
		CallerKind: "API Key", Address: netip.MustParseAddrPort("203.0.113.24:50512"), Operation: "downloadAuditLogs"}
	refused := access
	refused.Status, refused.ErrorCode, refused.Start, refused.End, refused.Processor = 403, "USER_UNAUTHORIZED", 1, 2, "p\"q"
	for _, line := range append([][]byte{Accessed(access), Accessed(refused)}, Samples("demo", origin.Project, received)...) {
		if warnings, err := Conform(line); err != nil || len(warnings) > 0 {
			t.Errorf("%s: %q, %v", line, warnings, err)
		}
		if _, _, err := new(Parser).Append(nil, line, origin); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	if !strings.Contains(string(Accessed(refused)), `"status_id":2`) || bytes.Equal(Accessed(access), Accessed(access)) {
		t.Error("an access event must tell a refusal, and be unlike every other")
	}
}

func TestSamples(t *testing.T) {
	events := Samples("demo", origin.Project, received)
	uids := map[string]bool{}
	last := received.Add(-72 * time.Hour).UnixMilli()
	for _, line := range events {
		f, err := new(Parser).Scan(line)
		if err != nil || f.Time <= last || f.Time >= received.UnixMilli() || uids[string(f.UID)] {
			t.Errorf("%s: %+v, %v", line, f, err)
		}
		last = f.Time
		uids[string(f.UID)] = true
	}
	if len(events) < 50 || !slices.EqualFunc(events, Samples("demo", origin.Project, received), bytes.Equal) {
		t.Errorf("%d samples, or not the same again", len(events))
	}
}

// valid is the naive definition of what the scanner accepts: a general tokenizer that checks the same.
func valid(data []byte) bool {
	d := jsontext.NewDecoder(bytes.NewReader(data))
	depth, most := 0, 0
	for first := true; ; first = false {
		tok, err := d.ReadToken()
		if err != nil {
			return err == io.EOF && !first && most <= MaxDepth
		}
		if first && tok.Kind() != '{' || !first && depth == 0 {
			return false
		}
		depth = d.StackDepth()
		most = max(most, depth)
	}
}

func addSeeds(f *testing.F) {
	for _, line := range bytes.Split(bytes.TrimSpace(samples), []byte("\n")) {
		f.Add(line)
	}
	f.Add([]byte(`{"time":1763970000000,"a":[1,-0.5e+3,true,false,null,"\ud83d\ude00\u00e9\"\\\/",{"b":{}}],"metadata":{}}`))
	f.Add([]byte("{\n \"time\" : 1763970000000 }"))
	f.Add([]byte(`{"a":"\ufffd"}`))
	f.Add([]byte(`{"time":1763970000000,"metadata":{"uid":"x"},"unmapped":{"param":{"name":"p"}}}`))
}

// The scanner accepts exactly the objects that a general tokenizer accepts.
func FuzzScan(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		s := scanner{maxDepth: MaxDepth}
		if err := s.scan(data); (err == nil) != valid(data) {
			t.Errorf("%q: %v, the tokenizer says %t", data, err, valid(data))
		}
	})
}

// What Append makes is one valid line, which reads as the event did, stays as it is when appended again, and is what was
// sent with something added.
func FuzzAppend(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var p Parser
		line, fields, err := p.Append(nil, data, origin)
		if err != nil {
			return
		}
		uid, time, processors := string(fields.UID), fields.Time, slices.Clone(fields.Processors)
		body, ok := bytes.CutSuffix(line, []byte("\n"))
		if !ok || bytes.ContainsAny(body, "\n\r") || !valid(body) {
			t.Fatalf("%q is not one valid line", line)
		}
		again, err := p.Scan(body)
		if err != nil || string(again.UID) != uid || again.Time != time || !slices.Equal(again.Processors, processors) {
			t.Fatalf("%q reads as %+v, %v, not as %q %d %q", line, again, err, uid, time, processors)
		}
		if second, _, err := p.Append(nil, body, origin); err != nil || !bytes.Equal(second, line) {
			t.Fatalf("%q becomes %q, %v", line, second, err)
		}
		var sent, recorded map[string]json.RawMessage
		if json.Unmarshal(data, &sent) == nil && json.Unmarshal(body, &recorded) == nil {
			for name, value := range sent {
				if name != "metadata" && !bytes.Equal(compact(value), compact(recorded[name])) {
					t.Fatalf("%s was %s and is %s", name, value, recorded[name])
				}
			}
		}
	})
}

func compact(value []byte) []byte {
	var b bytes.Buffer
	if json.Compact(&b, value) != nil {
		return nil
	}
	return b.Bytes()
}

func FuzzElements(f *testing.F) {
	f.Add([]byte(`[{"a":1},{}]`))
	f.Add([]byte(`{"a":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, err := countElements(data); err == nil && !json.Valid(data) {
			t.Errorf("%q gives %d elements", data, n)
		}
		for n, line := range Lines(data) {
			if n < 1 || len(line) == 0 || bytes.ContainsRune(line, '\n') {
				t.Errorf("line %d is %q", n, line)
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	line := bytes.Split(samples, []byte("\n"))[3]
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	var p Parser
	var dst []byte
	for b.Loop() {
		var err error
		if dst, _, err = p.Append(dst[:0], line, origin); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTokenizer is what the same check costs with a general tokenizer.
func BenchmarkTokenizer(b *testing.B) {
	line := bytes.Split(samples, []byte("\n"))[3]
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if !valid(line) {
			b.Fatal("not valid")
		}
	}
}
