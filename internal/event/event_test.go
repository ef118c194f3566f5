package event

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	received = time.UnixMilli(1_763_980_000_000)
	origin   = Origin{By: "sender", Workspace: "demo", Project: "6a793f48c0eb9e7a17712c9a",
		Received: received, Salt: "pepper"}
)

// ownFacts is weir's facts of an event of origin whose producer sent a metadata.logged_time. shortFacts is that of one
// whose producer sent none.
const (
	ownFacts   = `"weir":{"taken":1763980000000,"by":"sender","salt":"pepper"}`
	shortFacts = `"weir":{"by":"sender","salt":"pepper"}`
)

// withoutFacts returns a line without ownFacts.
func withoutFacts(line []byte) string {
	for _, own := range []string{ownFacts, shortFacts} {
		for _, facts := range []string{`,"unmapped":{` + own + `}`, `,` + own, own} {
			if before, after, found := strings.Cut(string(line), facts); found {
				return before + after
			}
		}
	}
	return "no facts: " + string(line)
}

// sampleLines returns the shipped samples.
func sampleLines() [][]byte {
	return bytes.Split(bytes.TrimSpace([]byte(samples)), []byte("\n"))
}

func TestAppendAddsWhatIsMissing(t *testing.T) {
	const (
		filled = `"log_name":"demo","tenant_uid":"6a793f48c0eb9e7a17712c9a","logged_time":1763980000000`
		full   = `"metadata":{"uid":"u","log_name":"l","tenant_uid":"t","logged_time":1}`
	)
	for _, tt := range []struct{ name, in, want, uid string }{
		{name: "nothing: byte for byte",
			in:   `{ "time" : 1763970000000, ` + full + ` , "x":1.500e+03,"y":123456789012345678901234567890 }`,
			want: `{ "time" : 1763970000000, ` + full + ` , "x":1.500e+03,"y":123456789012345678901234567890 }`,
			uid:  "u"},
		{name: "white space around goes", in: " \t\r\n{\"time\":1763970000000," + full + "}\r\n",
			want: `{"time":1763970000000,` + full + `}`, uid: "u"},
		{name: "all but the uid", in: `{"time":1763970000000,"metadata":{"uid":"u"}}`,
			want: `{"time":1763970000000,"metadata":{"uid":"u",` + filled + `}}`, uid: "u"},
		{name: "only the time", in: `{"metadata":{"log_name":"l" ,"uid":"u", "tenant_uid":"t" },"time":1763970000000}`,
			want: `{"metadata":{"log_name":"l" ,"uid":"u", "tenant_uid":"t" ,"logged_time":1763980000000},` +
				`"time":1763970000000}`, uid: "u"},
		{name: "metadata is empty", in: `{"time":1763970000000,"metadata":{ } }`,
			want: `{"time":1763970000000,"metadata":{ "uid":"f861ac44a4c6d3a60bc3cc35c1c1da66",` + filled + `} }`,
			uid:  "f861ac44a4c6d3a60bc3cc35c1c1da66"},
		{name: "no metadata", in: `{"time":1763970000000}`,
			want: `{"time":1763970000000,"metadata":{"uid":"fc6b80348802fb0846171374507d924f",` + filled + `}}`,
			uid:  "fc6b80348802fb0846171374507d924f"},
		{name: "line breaks between tokens",
			in:   "{\n  \"time\": 1763970000000,\r\n  \"s\": \"a \\\\\\\" b\", \"l\": [ 1, 2 ], " + full + "}",
			want: `{"time":1763970000000,"s":"a \\\" b","l":[1,2],` + full + `}`, uid: "u"},
		{name: "line breaks, and no metadata: the uid is that of the compact form", in: "{\n\"time\":1763970000000\n}",
			want: `{"time":1763970000000,"metadata":{"uid":"fc6b80348802fb0846171374507d924f",` + filled + `}}`,
			uid:  "fc6b80348802fb0846171374507d924f"},
		{name: "names and uid with escapes", in: `{"t\u0069me":1763970000000,"metadata":{"u\u0069d":"\u00fc\"",` +
			`"log_name":"l","tenant_uid":"t","logged_time":1}}`,
			want: `{"t\u0069me":1763970000000,"metadata":{"u\u0069d":"\u00fc\"","log_name":"l","tenant_uid":"t",` +
				`"logged_time":1}}`, uid: "ü\""},
		{name: "MongoDB's own form", in: `{"time":1763970000000,"actor":{},"metadata":{"product":"MongoDB Server",` +
			`"uid":"u"}}`,
			want: `{"time":1763970000000,"actor":{},"metadata":{"product":"MongoDB Server","uid":"u",` + filled +
				`}}`, uid: "u"},
		{name: "a metadata elsewhere is another",
			in:   `{"time":1763970000000,"x":{"metadata":{"uid":"v"}},` + full + `}`,
			want: `{"time":1763970000000,"x":{"metadata":{"uid":"v"}},` + full + `}`, uid: "u"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p Parser
			got, f, err := p.Append([]byte("before\n"), []byte(tt.in), origin)
			if err != nil {
				t.Fatal(err)
			}
			if want := "before\n" + tt.want + "\n"; withoutFacts(got) != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if string(f.UID) != tt.uid || f.Time != 1763970000000 {
				t.Errorf("fields: uid %q, time %d", f.UID, f.Time)
			}
		})
	}
}

func TestAppendQuotesTheOrigin(t *testing.T) {
	o := Origin{By: "\"\xff", Workspace: "a\"b\\\n\xff", Project: "é", Received: received}
	got, _, err := new(Parser).Append(nil, []byte(`{"time":1763970000000,"metadata":{"uid":"u"}}`), o)
	want := `{"time":1763970000000,"metadata":{"uid":"u","log_name":"a\"b\\\n` + "\ufffd" +
		`","tenant_uid":"é","logged_time":1763980000000},"unmapped":{"weir":{"by":"\"` +
		"\ufffd" + `"}}}` + "\n"
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
}

func TestAppendRefuses(t *testing.T) {
	nested := func(levels int) string {
		return `{"time":1763970000000,"a":` + strings.Repeat("[", levels) + strings.Repeat("]", levels) + `}`
	}
	for _, tt := range []struct {
		in     string
		offset int
		want   string
	}{
		{``, 0, "an event is a JSON object"},
		{`[]`, 0, "an event is a JSON object"},
		{`{"time":1763970000000`, 21, "the event ends where a comma or a closing brace is expected"},
		{`{"time":1763970000000} {}`, 22, "after the event's closing brace"},
		{`{"time":1763970000000,}`, 22, "a name in double quotes is expected"},
		{`{"time":1763970000000,"é":é}`, 27, "'é' where a value is expected"},
		{`{"time" 1763970000000}`, 8, "'1' where a colon is expected"},
		{`{"time":1763970000000,"a":"b`, 26, "ends within a string"},
		{`{"time":01763970000000}`, 8, "a number is malformed"},
		{`{"time":1763970000000,"a":1.}`, 26, "a number is malformed"},
		{`{"time":1763970000000,"a":nul}`, 26, "a value is expected"},
		{`{"time":1763970000000,"a":[1 2]}`, 29, "a comma or a closing bracket is expected"},
		{"  {\"time\":1763970000000,\"a\":\"\xff\"}", 28, "not valid UTF-8"},
		{"{\"time\":1763970000000,\"a\":\"b\nc\"}", 28, "control character"},
		{`{"time":1763970000000,"a":"\ud800 "}`, 27, "an escape in a string is malformed"},
		{`{"time":1763970000000,"a":"\x"}`, 27, "an escape in a string is malformed"},
		{`{"time":1763970000000,"time":1763970000000}`, 22, `the name "time" is given twice in one object`},
		{`{"time":1763970000000,"a":[{"b":1,"\u0062":2}]}`, 34, `the name "b" is given twice in one object`},
		{nested(64), 89, "nested deeper than 64 levels"},
		{`{"time":1763970000000,"a":"` + strings.Repeat("x", 1<<20) + `"}`, 0, "at most 1048576 are allowed"},
		{`{}`, 0, "time is missing"},
		{`{"ts":{"$date":"2025-11-24T08:00:00.123+00:00"},"atype":"authenticate"}`, 0,
			"mongod's own audit schema, not OCSF"},
		{`{"time":"1763970000000"}`, 8, "time must be an integer"},
		{`{"time":1763970000000.0}`, 8, "time must be an integer"},
		{`{"time":1.7e12}`, 8, "time must be an integer"},
		{`{"time":null}`, 8, "time must be an integer"},
		{`{"time":1763970000}`, 8, "time is in milliseconds since the epoch, but 1763970000 looks like seconds"},
		{`{"time":1763970000000000}`, 8, "looks like microseconds"},
		{`{"time":1763970000000000000}`, 8, "looks like nanoseconds"},
		{`{"time":-5}`, 8, "before the year 2008"},
		{`{"time":1199145599}`, 8, "before the year 2008"},
		{`{"time":1199145599999}`, 8, "before the year 2008"},
		{`{"time":-99999999999999999999}`, 8, "before the year 2008"},
		{`{"time":99999999999999999999}`, 8, "in the future"},
		{`{"time":1763980600001}`, 8, "more than 10 minutes in the future"},
		{`{"time":1763970000000,"class_uid":"3002"}`, 34, "class_uid must be an integer"},
		{`{"time":1763970000000,"class_uid":3002.0}`, 34, "class_uid must be an integer"},
		{`{"time":1763970000000,"metadata":[]}`, 33, "metadata must be an object"},
		{`{"time":1763970000000,"metadata":null}`, 33, "metadata must be an object"},
		{`{"time":1763970000000,"metadata":{"uid":7}}`, 40, "metadata.uid must be a non-empty string"},
		{`{"time":1763970000000,"metadata":{"uid":null}}`, 40, "metadata.uid must be a non-empty string"},
		{`{"time":1763970000000,"metadata":{"uid":""}}`, 40, "metadata.uid must be a non-empty string"},
		{`{"time":1763970000000,"metadata":{"uid":"` + strings.Repeat("u", 513) + `"}}`, 40, "at most 512 are allowed"},
	} {
		got, _, err := new(Parser).Append([]byte("before"), []byte(tt.in), origin)
		var refused *Error
		if !errors.As(err, &refused) || !strings.Contains(refused.Reason, tt.want) || refused.Offset != tt.offset ||
			string(got) != "before" {
			t.Errorf("%.80s: got %q, %v, want %q at %d", tt.in, got, err, tt.want, tt.offset)
		}
	}
}

func TestAppendAcceptsTheBounds(t *testing.T) {
	for _, in := range []string{
		`{"time":1763980600000}`,
		`{"time":1199145600000}`,
		`{"time":1763970000000,"a":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`,
		`{"time":1763970000000,"metadata":{"uid":"` + strings.Repeat(`\u00fc`, 256) + `"}}`,
		`{"time":1763970000000,"a":"` + strings.Repeat("x", 1<<20-29) + `"}`,
	} {
		if _, _, err := new(Parser).Append(nil, []byte(in), origin); err != nil {
			t.Errorf("%.80s: %v", in, err)
		}
	}
	p := Parser{Limits: Limits{MaxBytes: 30, MaxDepth: 2}}
	for in, ok := range map[string]bool{
		` {"time":1763970000000,"a":[]} `:  true,
		`{"time":1763970000000,"a":[[]]}`:  false,
		`{"time":1763970000000,"a":"bcd"}`: false,
	} {
		if _, _, err := p.Append(nil, []byte(in), origin); (err == nil) != ok {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func TestRetryHasTheSameUID(t *testing.T) {
	var p Parser
	uid := func(in string, o Origin) string {
		_, f, err := p.Append(nil, []byte(in), o)
		if err != nil {
			t.Fatal(err)
		}
		return string(f.UID)
	}
	later := Origin{Workspace: "other", Received: received.Add(time.Minute)}
	first := uid(`{"time":1763970000000}`, origin)
	if got := uid(" {\"time\":1763970000000}\r", later); got != first {
		t.Errorf("a retry has the uid %s, not %s", got, first)
	}
	if uid(`{"time":1763970000001}`, origin) == first {
		t.Error("another event has the same uid")
	}
}

func TestProcessors(t *testing.T) {
	for _, tt := range []struct {
		members string
		want    []string
	}{
		{`"x":1`, nil},
		{`"entity":{"name":"p","type":"Stream Processor"}`, []string{"p"}},
		{`"entity":{"type":"Stream Processor","name":"p\u0070"}`, []string{"pp"}},
		{`"entity":{"type":"Stream\u0020Processor","name":"p"}`, []string{"p"}},
		{`"entity":{"type":"User","name":"p"}`, nil},
		{`"entity":{"type":"Stream Processor","name":""}`, nil},
		{`"entity":{"type":"Stream Processor","name":["p"]}`, nil},
		{`"entity":[{"type":"Stream Processor","name":"p"}]`, nil},
		{`"x":{"entity":{"name":"p","type":"Stream Processor"}}`, nil},
		{`"resources":[{"name":"w","type":"Stream Workspace"},{"type":"Stream Processor","name":"q"},{"name":"p",` +
			`"type":"Stream Processor"}]`, []string{"p", "q"}},
		{`"resources":[{"name":"w"},{"type":"Stream Processor"},7,[{"name":"p","type":"Stream Processor"}]]`, nil},
		{`"resources":{"name":"p","type":"Stream Processor"}`, nil},
		{`"resources":[{"name":"p","type":"Stream Processor"},{"name":"q","type":"Stream Processor"},{"name":"p",` +
			`"type":"Stream Processor"}],"entity":{"type":"Stream Processor","name":"q"}`, []string{"p", "q"}},
		{`"unmapped":{"param":{"name":"p"}}`, []string{"p"}},
		{`"unmapped":{"param":{"name":"r"}},"entity":{"name":"p","type":"Stream Processor"}`, []string{"p"}},
		{`"unmapped":{"param":{"name":7}}`, nil},
		{`"unmapped":{"param":["name"]}`, nil},
	} {
		line := []byte(`{"time":1763970000000,"metadata":{"uid":"u"},` + tt.members + `}`)
		f, err := new(Parser).Scan(line)
		if err != nil || !slices.Equal(f.Processors, tt.want) {
			t.Errorf("%s: got %q, %v, want %q", line, f.Processors, err, tt.want)
		}
		for _, name := range tt.want {
			if !MayConcern(line, name) || !f.Concerns(name) {
				t.Errorf("%s: does not concern %s", line, name)
			}
		}
	}
	if MayConcern([]byte(`{"entity":{"name":"p"}}`), "q") {
		t.Error("a line without the name may concern it")
	}
}

// A parser carries nothing over from one event to the next.
func TestParserForgets(t *testing.T) {
	var p Parser
	if _, err := p.Scan([]byte(`{"time":1,"metadata":{"uid":"u"},"entity":{"type":"Stream Processor","name":"p"},` +
		`"resources":[{"name":"x"`)); err == nil {
		t.Fatal("half an event was read")
	}
	f, err := p.Scan([]byte(`{"time":2,"metadata":{"uid":"v"},"resources":[{"type":"Stream Processor"}]}`))
	if err != nil || f.Time != 2 || string(f.UID) != "v" || len(f.Processors) > 0 {
		t.Errorf("got %+v, %v", f, err)
	}
}

func TestScanRefuses(t *testing.T) {
	for in, want := range map[string]string{
		``:                                    "JSON object",
		`{"time":1,"metadata":{"uid":"u"}`:    "the event ends",
		`{"metadata":{"uid":"u"}}`:            "time is missing",
		`{"time":1.5,"metadata":{"uid":"u"}}`: "time is not an integer",
		`{"time":99999999999999999999,"metadata":{"uid":"u"}}`: "time is not an integer",
		`{"time":1}`:                      "metadata.uid is missing",
		`{"time":1,"metadata":{"uid":1}}`: "metadata.uid is missing",
	} {
		if _, err := new(Parser).Scan([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}

// The cost of comparing the names of one object grows with their number, not with its square.
func TestManyNamesCostLinearTime(t *testing.T) {
	event := func(names int, last string) []byte {
		b := []byte(`{"time":1763970000000`)
		for i := range names {
			b = append(b, ',', '"', byte(i>>16)+'0', byte(i>>12)&15+'0', byte(i>>8)&15+'0', byte(i>>4)&15+'0',
				byte(i)&15+'0')
			b = append(b, `":{"a":1}`...)
		}
		return append(b, last...)
	}
	var p Parser
	for names := range 70 {
		if _, _, err := p.Append(nil, event(names, `,"b":1}`), origin); err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.Append(nil, event(names, `,"b":1,"\u0062":2}`), origin); err == nil {
			t.Errorf("a name that stands twice behind %d others was not found", names)
		}
	}
	p.Limits.MaxBytes = 8 << 20
	if _, _, err := p.Append(nil, event(100_000, `}`), origin); err != nil {
		t.Error(err)
	}
	if _, _, err := p.Append(nil, event(100_000, `,"0000:":1}`), origin); err == nil {
		t.Error("a name that stands twice among 100,000 was not found")
	}
}

func TestNothingIsAllocated(t *testing.T) {
	var p Parser
	var dst []byte
	lines := append(sampleLines(), []byte(`{"time":1763970000000,"resources":[{"name":"p","type":"Stream Processor"}],`+
		`"\u0061":"\n"}`))
	work := func() {
		dst = dst[:0]
		for _, line := range lines {
			start := len(dst)
			var err error
			if dst, _, err = p.Append(dst, line, origin); err != nil {
				t.Fatal(err)
			}
			if f, err := p.Scan(dst[start:]); err != nil ||
				f.Concerns("a processor that this event does not concern") ||
				MayConcern(line, "a processor that this event does not concern") && bytes.IndexByte(line, '\\') < 0 {
				t.Fatal(f, err)
			}
		}
	}
	work()
	if n := testing.AllocsPerRun(100, work); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// The limit bounds what was sent: bytes that a weir may have added do not count, up to a bound, even if a producer
// wrote them.
func TestLimitLeavesOutWhatWeirAdds(t *testing.T) {
	for _, tt := range []struct{ members, free string }{
		{``, ``},
		{`,"metadata":{}`, ``},
		{`,"metadata":{"version":"1"}`, ``},
		{`,"metadata":{"uid":"u"}`, `,"metadata":{"uid":"u"}`},
		{`,"metadata":{"uid":"u","log_name":"l","tenant_uid":"t","logged_time":1}`,
			`,"metadata":{"uid":"u","log_name":"l","tenant_uid":"t","logged_time":1}`},
		{`,"metadata":{"log_name":"` + strings.Repeat("l", 3000) + `"}`, strings.Repeat("l", maxAdded)},
		{`,"x":{"metadata":{"uid":"u"}}`, ``},
		{`,"unmapped":{"weir":{"taken":1,"by":"b"}}`, `,"unmapped":{"weir":{"taken":1,"by":"b"}}`},
		{`,"unmapped":{"a":1}`, ``},
		{`,"x":{"weir":{"taken":1,"by":"b"}}`, ``},
	} {
		bare := `{"time":1763970000000` + tt.members + `}`
		for beyond := -1; beyond <= 1; beyond++ {
			p := Parser{Limits: Limits{MaxBytes: len(bare) - len(tt.free) - beyond}}
			_, _, err := p.Append(nil, []byte(bare), origin)
			if (err != nil) != (beyond > 0) || err != nil && !strings.Contains(err.Error(), "are allowed") {
				t.Errorf("%.80s: %d bytes beyond: %v", bare, beyond, err)
			}
		}
	}
}

// Events are the same if their producers sent the same bytes. They conflict if only their times and uids are equal.
// What weir adds to a line does not matter for that, even if a producer wrote it.
func TestKeyCoversWhatTheProducerSent(t *testing.T) {
	const first = `{"time":1763970000000,"a":1,"metadata":{"version":"1","uid":"u"}}`
	for other, want := range map[string]Standing{
		first:       Known,
		first + " ": Known,
		`{"time":1763970000000,"a":1,"metadata":{"version":"1","uid":"u","log_name":"x","logged_time":5}}`: Known,
		`{"time":1763970000000,"a":1,"metadata":{"version":"1","uid":"u"},"unmapped":{"weir":{"by":"x"}}}`: Known,
		`{"time":1763970000000,"a":1,"metadata":{"version":"1","uid":"u"},"unmapped":{ "weir" :7}}`:        Conflicting,
		`{"time":1763970000000,"a":1,"metadata":{"version":"1","uid":"u"},"unmapped":{"weir":1,"a":1}}`:    Conflicting,
		`{"time":1763970000000,"a":1,"metadata":{"uid":"u","version":"1"}}`:                                Conflicting,
		`{"time":1763970000000,"a":2,"metadata":{"version":"1","uid":"u"}}`:                                Conflicting,
		`{"time":1763970000000,"a":1,"metadata":{"version":"1","uid":"u","x":1}}`:                          Conflicting,
		`{"time":1763970000000,"a":1,"metadata":{"version":"1","uid" : "u"}}`:                              Conflicting,
		`{"time":1763970000000,"a":1,"metadata":{"version":"1","uid":"v"}}`:                                New,
		`{"time":1763970000001,"a":1,"metadata":{"version":"1","uid":"u"}}`:                                New,
		`{"time":1763970000000,"a":1,"metadata":{"version":"1"}}`:                                          New,
	} {
		var b Batch
		var p Parser
		for _, raw := range []string{first, other} {
			if err := p.AddEvent(&b, []byte(raw), origin); err != nil {
				t.Fatal(err)
			}
		}
		var once Once
		standings := make([]Standing, 2)
		once.Mark(b.Entries, standings)
		if standings[0] != New || standings[1] != want {
			t.Errorf("%s: %v, want %v", other, standings[1], want)
		}
		looked := make([]Standing, 2)
		once.Look(b.Entries, looked)
		if looked[0] != Known || looked[1] != Known {
			t.Errorf("%s: again %v", other, looked)
		}
		var seen Standing
		if seen.See(b.Entries[1].Key, []Key{b.Entries[0].Key}); seen != want {
			t.Errorf("%s: among sorted keys %v, want %v", other, seen, want)
		}
	}
}

// Remove and Without leave the same entries.
func TestRemoveLeavesWhatWithoutLeaves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOf(rapid.IntRange(0, 9)).Draw(t, "sizes")
		b := Batch{Log: "a"}
		marked := make([]Standing, len(sizes))
		for i, n := range sizes {
			b.Add(append(bytes.Repeat([]byte{'a' + byte(i%26)}, n), '\n'), Entry{Time: int64(i)})
			marked[i] = rapid.SampledFrom([]Standing{New, Known, Conflicting}).Draw(t, "marked")
		}
		want := b.Without(marked)
		got := b.Remove(marked)
		if got.Log != want.Log || !bytes.Equal(got.Lines, want.Lines) || len(got.Entries) != len(want.Entries) {
			t.Fatalf("%q, want %q", got.Lines, want.Lines)
		}
		for i := range got.Entries {
			if got.Entries[i].Time != want.Entries[i].Time || !bytes.Equal(got.Line(i), want.Line(i)) {
				t.Fatalf("line %d: %q, want %q", i, got.Line(i), want.Line(i))
			}
		}
	})
}

// A line of an operational log needs only a time.
func TestOperationalLinesNeedOnlyATime(t *testing.T) {
	const added = `,"metadata":{"uid":"UID","log_name":"demo","tenant_uid":"6a793f48c0eb9e7a17712c9a",` +
		`"logged_time":1763980000000}}`
	at := received.Add(-time.Minute)
	iso, ms := at.UTC().Format("2006-01-02T15:04:05.000Z07:00"), strconv.FormatInt(at.UnixMilli(), 10)
	for _, tt := range []struct {
		line, want string
		processor  string
		refusal    string
	}{
		{line: `{"time":` + ms + `,"msg":"x"}`, want: `{"time":` + ms + `,"msg":"x"` + added},
		{line: `{"t":{"$date":"` + iso + `"},"s":"I","attr":{"streamProcessorName":"p1"}}`, processor: "p1",
			want: `{"t":{"$date":"` + iso + `"},"s":"I","attr":{"streamProcessorName":"p1"},"time":` + ms + added},
		{line: `{"t":{"$date":"` + at.In(time.FixedZone("", 7200)).Format(time.RFC3339Nano) + `"},"spName":"p2"}`,
			processor: "p2",
			want: `{"t":{"$date":"` + at.In(time.FixedZone("", 7200)).Format(time.RFC3339Nano) +
				`"},"spName":"p2","time":` + ms + added},
		{line: `{"t":{"$date":{"$numberLong":"` + ms + `"}},"processor":7}`, want: `{"t":{"$date":{"$numberLong":"` +
			ms + `"}},"processor":7,"time":` + ms + added},
		{line: `{"t":{"$date":"` + strings.Replace(iso, "Z", "+0000", 1) + `"},"s":"I"}`,
			want: `{"t":{"$date":"` + strings.Replace(iso, "Z", "+0000", 1) + `"},"s":"I","time":` + ms + added},
		{line: `{"t":{"$date":` + ms + `},"s":"I"}`, want: `{"t":{"$date":` + ms + `},"s":"I","time":` + ms + added},
		{line: `{"t":{"$date":{"$numberLong":` + ms + `}},"s":"I"}`, want: `{"t":{"$date":{"$numberLong":` + ms +
			`}},"s":"I","time":` + ms + added},
		{line: `{"t":{"$date":"` + ms + `"}}`, refusal: "t.$date"},
		{line: `{"t":{"$date":1.5}}`, refusal: "t.$date"},
		{line: `{"t":{"$date":null}}`, refusal: "t.$date"},
		{line: `{"class_uid":"free","time":` + ms + `}`, want: `{"class_uid":"free","time":` + ms + added},
		{line: `{"msg":"x"}`, refusal: "t.$date"},
		{line: `{"t":{"$date":"yesterday"}}`, refusal: "t.$date"},
		{line: `{"t":{"$date":"2999-01-01T00:00:00Z"}}`, refusal: "in the future"},
		{line: `{"time":"` + iso + `"}`, refusal: "must be an integer"},
		{line: `{"time":` + ms + `,"metadata":1}`, refusal: "metadata must be an object"},
		{line: `{"t":`, refusal: "ends where"},
		{line: `[]`, refusal: "object"},
	} {
		p := Parser{Operational: true}
		got, f, err := p.Append(nil, []byte(tt.line), origin)
		if tt.refusal != "" {
			if err == nil || !strings.Contains(err.Error(), tt.refusal) {
				t.Errorf("%s: %v", tt.line, err)
			}
			continue
		}
		if line := strings.Replace(withoutFacts(got), string(f.UID), "UID", 1); err != nil || line != tt.want+"\n" ||
			f.Time != at.UnixMilli() || strings.Join(f.Processors, ",") != tt.processor {
			t.Errorf("%s: %s %+v %v", tt.line, line, f, err)
		}
		uid := string(f.UID)
		again, err := new(Parser).Scan(got)
		if err != nil || again.Time != f.Time || string(again.UID) != uid ||
			!slices.Equal(again.Processors, f.Processors) {
			t.Errorf("%s: read as %+v, %v", got, again, err)
		}
	}
}
