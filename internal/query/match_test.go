package query

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/event"
)

var now = time.Date(2026, 11, 26, 18, 27, 35, 0, time.UTC)

// sampleEvents returns weir's samples, and events with other features.
func sampleEvents() [][]byte {
	events := event.Samples("prod-orders", "6a793f48c0eb9e7a17712c9a", now)
	for _, line := range []string{
		`{"time":1795154400000,"class_uid":6003,"status_id":2.0,"actor":{},"api":{"operation":"getParameter",` +
			`"response":{"code":13,"error":"Unauthorized"}},"src_endpoint":{"ip":"2001:DB8:0:0::1","port":50512}}`,
		`{"time":1.7951544e12,"started_dt":"2026-11-20T06:00:00+01:00","big":9007199254740993,"text":"He said: ` +
			`\"Stop, now!\" (Größe=5) KELVIN ſ\u212a","on":true,"none":null,"list":[{"a":1},{"a":[2,"x"]},null],` +
			`"empty":[],"object":{},"who":"me","unmapped":{"a b":"c d e c d f"}}`,
		`{"time":1795154400001,"user":{"name":"anna"},"src_endpoint":{"ip":"::ffff:203.0.113.24"},"status":"SUCCESS",` +
			`"class_name":"Own Class","class_uid":99901,"resources":[{"name":"r1"},{"name":""},{"name":"r2"}]}`,
	} {
		events = append(events, []byte(line))
	}
	return events
}

// bothMatch tells whether a query matches, and fails if the matcher and the oracle don't agree.
func bothMatch(t interface {
	Helper()
	Fatalf(string, ...any)
}, q *Query, line []byte) bool {
	t.Helper()
	want, err := q.Match(line)
	if err != nil {
		t.Fatalf("%s on %s: %v", q, line, err)
	}
	m, err := Compile(q)
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	for range 2 {
		if got := m.Match(line); got != want {
			t.Fatalf("%s on %s: the matcher says %t, the oracle %t", q, line, got, want)
		}
	}
	return want
}

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		event        string
		matches, not string // queries, one on each line
	}{
		{`{"a":"Orders-Enrich stopped.","n":{"b":["x","y z"],"c":[{"d":1},{"d":"two"}]}}`, `
			*
			a:orders-enrich
			orders-enrich
			STOPPED
			a:stopped.
			a:"orders-enrich stopped"
			a:"Orders-Enrich stopped."
			a:ord*
			a:*rich
			a:*s*p*
			a:stop*
			a:*
			n:*
			n.b:x
			n.b:z
			n.b:"y z"
			n.c.d:1
			n.c.d:two
			n.c.d:*
			n.c.d:(1 and two)
			1
			not n.c.d:3
			a:(orders-enrich and stopped)
			orders-enrich or nothing`, `
			a:orders
			a:enrich
			a:"stopped orders-enrich"
			a:rich*
			A:orders-enrich
			n.b:y*x
			d:1
			n:x
			"n"
			b
			not n.b:x
			-stopped
			stopped nothing`},
		{`{"a":"x","z":null,"e":[],"o":{},"l":[null,[["deep"]]],"s":""}`, `
			a:* o:* s:*
			l:deep
			s:""
			""
			not z:*
			not e:*
			not none:*`, `
			z:*
			z:null
			e:*
			e:null
			o.a:*
			o:o`},
		{`{"i":2,"f":2.0,"s":"2","e":20e-1,"big":9007199254740993,"t":true,"w":"true","neg":-0.50}`, `
			i:2 f:2 s:2 e:2
			i:2.0 f:2.0 e:2.0
			i:"2"
			big:9007199254740993
			9007199254740993
			big > 9007199254740992
			big < 9007199254740994
			t:true w:TRUE
			t:tr*
			i > 1 f >= 2 e <= 2 i < 1e1
			neg:-0.5 neg < -0.49
			big:90071*`, `
			s:2.0
			big:9007199254740992
			9007199254740992
			s > 1
			i > 2
			t:1
			i:3`},
		{`{"ip":"203.0.113.24","six":"2001:DB8:0:0::1","mapped":"::ffff:203.0.113.25",` +
			`"text":"from 203.0.113.26 to","no":"203.0.113.0/24"}`, `
			ip:203.0.113.24
			ip:::ffff:203.0.113.24
			ip:203.0.113.0/24
			203.0.113.24/32
			six:2001:db8::1
			2001:db8::1
			2001:db8::/64
			six:2001:db8::/32
			mapped:203.0.113.25
			203.0.113.25
			mapped:203.0.113.0/24
			text:203.0.113.26
			no:"203.0.113.0/24"
			ip:203.0.113.*`, `
			text:203.0.113.0/24
			no:203.0.113.0/24
			six:2001:db8::2
			ip:10.0.0.0/8
			mapped:203.0.113.2
			ip:::/0 or ip: ::/0`},
		{`{"time":1793529000000,"end_time":1793529000000.5,"end_dt":"2026-11-01T12:30:00+02:00",` +
			`"day":"2026-11-01","no_dt":"2026-11-01T10:30:00"}`, `
			time:2026-11-01T10:30 end_dt:2026-11-01T10:30
			time:2026-11-01T12:30+02:00
			time:2026-11-01 end_dt:2026-11-01 day:2026-11-01
			time:2026-11 time:2026-W44 time:2026-11-01T10 end_dt:2026-W44
			time:2026-11-01T10:30:00.000Z end_time:2026-11-01T10:30:00.000
			time > 2026-10-31 time >= 2026-11-01 time <= 2026-11-01 time < 2026-11-02
			end_dt > 2026-10 end_dt >= 2026-11 end_dt <= 2026-11 end_dt < 2026-12
			time >= 1793529000000
			time:1793529000000
			end_time > 2026-11-01T10:29 end_time > 1793529000000
			2026-11-01
			no_dt:2026-11-01*
			time:now-25d/d time > now-26d time < now`, `
			time > 2026-11-01
			time < 2026-11-01
			end_dt > 2026-11
			end_dt < 2026-11
			no_dt > 2026-10
			no_dt:2026-11-01
			day > 2026-10
			2026-11-02
			time:2026-11-01T10:31
			2026-11-01T10:30
			time > now-25d`},
		{`{"a":"Größe ΣΊΣΥΦΟΣ \u212aELVIN ſtop","b":"c d c d e","q":"say \"hi there\", ok"}`, `
			a:GRÖSSE or a:größe
			a:σίσυφος
			a:kelvin
			a:STOP
			a:"kelvin stop"
			b:"c d e"
			b:"d c d"
			b:"D E"
			q:hi
			q:"hi there"
			q:ok
			q:"say \"hi there\", ok"
			q:"\"hi there\""
			a:σίσ*Σ
			größe`, `
			a:grosse
			b:"c e"
			b:"c d d"
			q:"say ok"`},
		{`{"ip":"::FFFF:A00:1","next":"FE80:0::1%eth0"}`, `
			10.0.0.1
			ip:10.0.0.1
			10.0.0.0/8
			fe80::1%eth0
			fe80::/10
			next:fe80::/16`, `
			fe80::1
			10.0.0.2
			ip:fe80::/10`},
		{`{"six":"2001:DB8:0::1","Z":"A-Z az","text":"a a a b"}`, `
			2001:db8::1
			six:2001:db8:0:0:0:0:0:1
			az
			a-z
			"a a b"
			text:"a a a b"`, `
			"a b a"
			2001:db8::2
			z`},
		{`{"class_uid":3002,"status_id":1,"actor":{"user":{"name":"","uid":"u-1"}},"user":{"name":"anna"},` +
			`"src_endpoint":{"hostname":"h"},"unmapped":{"atype":"authenticate"},"who":"me","outcome":"x"}`, `
			who:u-1
			target:anna
			from:h
			what:authenticate
			outcome:success
			class:authentication class:3002 class:auth*
			class > 3001
			"who":me "outcome":x
			who:* target:*`, `
			who:anna
			who:me
			outcome:x
			outcome:failure
			class:3003`},
	} {
		for queries, want := range map[string]bool{test.matches: true, test.not: false} {
			for text := range strings.Lines(queries) {
				if text = strings.TrimSpace(text); text == "" {
					continue
				}
				q, err := Parse(text)
				if err != nil {
					t.Errorf("%s: %v", text, err)
					continue
				}
				if got := bothMatch(t, q.Resolve(now), []byte(test.event)); got != want {
					t.Errorf("%s on %s: %t", text, test.event, got)
				}
			}
		}
	}
}

func TestMatchRefusesWhatItCannotAnswer(t *testing.T) {
	q := &Query{value("a", "b")}
	for _, line := range []string{"", "[]", `"a"`, "{", `{"a":1}{}`, `{"a"}`, `{"a":tru}`, "{} x"} {
		if _, err := q.Match([]byte(line)); err == nil {
			t.Errorf("%s: no error", line)
		}
	}
	q = &Query{Term{"time", During{Time{"now"}}}}
	if _, err := q.Match([]byte("{}")); err != errUnresolved {
		t.Error(err)
	}
}

// The vocabulary of random events and queries, which is small so that they often match.
var (
	texts = []string{"a", "b", "a b", "b a b", "A", "é É", "k", "\u212a", "ſ", "s", "1", "2.0", "1.0", "true", "FALSE",
		"", "*", "now", "10.0.0.1", "10.1.0.1", "::ffff:10.0.0.1", "2001:db8::1", "2001:DB8:0::1", "fe80::1%eth0",
		"10.0.0.1.", "::ffff:a00:1", "10.0.0.0/8", "2026-11-01T10:30:00Z", "2026-11-01T11:30:00.5+01:00", "2026-11-01",
		"2026-11-01T10:30", "a-b.c", "(a)", "a.,b!", "\"a\"", "\\", "a\\b", "x\ny", "a=b", "success", "failure",
		"Success", "3002", "Authentication", "Σς", "a.b", "\u00a0a\u2003b"}
	numbers = []string{"1", "1.0", "10e-1", "2", "0", "-0", "-1.50", "9007199254740993", "9007199254740992",
		"1793529000000", "1793529000000.5", "1e400", "1E2", "100", "200", "13", "3002", "1e999999999999999999", "0.1"}
	patterns = [][]string{{"a", ""}, {"", "b"}, {"", "e", ""}, {"a", "b"}, {"10.", ""}, {"", "É", ""}, {"", "S"},
		{"", " ", ""}, {"1", ""}, {"t", "e"}, {"a*", ""}, {"", "a", "b", ""}, {"1e", ""}}
	networks = []string{"10.0.0.0/16", "0.0.0.0/0", "::/0", "2001:db8::/32", "fe80::/10"}
	times    = []string{"2026-11-01T10:30Z", "2026-11-01", "2026-11", "2026-W44", "2026-11-01T10:30:00.5",
		"1969-12-31T23:59:59.9995"}
	paths = [][]string{{"a"}, {"b"}, {"a", "b"}, {"a", "b", "c"}, {"time"}, {"x_dt"}, {"actor", "user", "name"},
		{"user", "name"}, {"user", "uid"}, {"src_endpoint", "ip"}, {"status_id"}, {"status"},
		{"api", "response", "code"}, {"api", "response", "error"}, {"class_uid"}, {"class_name"}, {"resources", "name"},
		{"entity", "name"}, {"unmapped", "atype"}, {"who"}, {"a b"}, {"é"}, {"k"}, {"\u212a"}}
)

func drawNode(t *rapid.T, depth int) Node {
	kind := rapid.IntRange(0, 7).Draw(t, "kind")
	if depth == 0 {
		kind = 7
	}
	nodes := func() (nodes []Node) {
		for range rapid.IntRange(2, 3).Draw(t, "nodes") {
			nodes = append(nodes, drawNode(t, depth-1))
		}
		return nodes
	}
	switch kind {
	case 0, 1:
		return And(nodes())
	case 2, 3:
		return Or(nodes())
	case 4:
		return Not{drawNode(t, depth-1)}
	case 5:
		if rapid.IntRange(0, 9).Draw(t, "all") == 0 {
			return All{}
		}
	}
	return drawTerm(t)
}

func drawTerm(t *rapid.T) Term {
	var f Field
	switch rapid.IntRange(0, 3).Draw(t, "field") {
	case 0:
		f = Field(rapid.SampledFrom(aliasNames[:]).Draw(t, "alias"))
	case 1, 2:
		f = Path(rapid.SampledFrom(paths).Draw(t, "path")...)
	}
	op := rapid.SampledFrom([]Op{Greater, GreaterOrEqual, Less, LessOrEqual}).Draw(t, "op")
	number, text := rapid.SampledFrom(numbers), rapid.SampledFrom(texts)
	kind := rapid.IntRange(0, 6).Draw(t, "condition")
	if f == "" {
		kind = rapid.IntRange(0, 4).Draw(t, "condition without field")
	}
	switch kind {
	case 0, 1:
		return Term{f, Value{text.Draw(t, "text")}}
	case 2:
		return Term{f, Value{number.Draw(t, "number")}}
	case 3:
		return Term{f, Pattern{rapid.SampledFrom(patterns).Draw(t, "parts")}}
	case 4:
		return Term{f, Network{netip.MustParsePrefix(rapid.SampledFrom(networks).Draw(t, "network"))}}
	case 5:
		if rapid.Bool().Draw(t, "number?") {
			return Term{f, Comparison{Op: op, Number: number.Draw(t, "bound")}}
		}
		return Term{f, Comparison{Op: op, Time: Time{rapid.SampledFrom(times).Draw(t, "time")}}}
	}
	return Term{f, Exists{}}
}

// drawEvent draws the line of an event.
func drawEvent(t *rapid.T) []byte {
	space := rapid.SampledFrom([]string{"", "", "", " ", "\t "}).Draw(t, "space")
	return []byte(space + drawObject(t, 3, space) + space)
}

func drawObject(t *rapid.T, depth int, space string) string {
	var names []string
	for range rapid.IntRange(0, 5).Draw(t, "members") {
		path := rapid.SampledFrom(paths).Draw(t, "path")
		name := rapid.SampledFrom(path).Draw(t, "name")
		if depth == 3 && rapid.IntRange(0, 3).Draw(t, "whole path") > 0 {
			text := drawValue(t, 1, space)
			for i := len(path) - 1; i > 0; i-- {
				text = "{" + space + drawQuoted(t, path[i]) + ":" + text + "}"
			}
			names = append(names, drawQuoted(t, path[0])+space+":"+space+text)
			continue
		}
		names = append(names, drawQuoted(t, name)+space+":"+space+drawValue(t, depth-1, space))
	}
	return "{" + space + strings.Join(names, space+","+space) + space + "}"
}

func drawValue(t *rapid.T, depth int, space string) string {
	kind := rapid.IntRange(0, 7).Draw(t, "kind of value")
	switch {
	case kind <= 2 || depth == 0 && kind > 5:
		return drawQuoted(t, rapid.SampledFrom(texts).Draw(t, "text"))
	case kind == 3:
		return rapid.SampledFrom(numbers).Draw(t, "number")
	case kind == 4:
		return rapid.SampledFrom([]string{"true", "false", "null"}).Draw(t, "literal")
	case kind == 5:
		return fmt.Sprint(rapid.Int64Range(1_793_529_000_000-2, 1_793_529_000_000+2).Draw(t, "time"))
	case kind == 6:
		var elements []string
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			elements = append(elements, drawValue(t, depth-1, space))
		}
		return "[" + space + strings.Join(elements, ",") + "]"
	}
	return drawObject(t, depth, space)
}

// drawQuoted quotes a text, sometimes with unnecessary escapes.
func drawQuoted(t *rapid.T, text string) string {
	if rapid.IntRange(0, 5).Draw(t, "escaped") == 0 {
		var b strings.Builder
		for _, r := range text {
			fmt.Fprintf(&b, `\u%04X`, r) // all are in the basic plane
		}
		return `"` + b.String() + `"`
	}
	quoted, err := jsontext.AppendQuote(nil, text)
	if err != nil {
		t.Fatal(err)
	}
	return string(quoted)
}

func TestMatcherAgreesWithOracle(t *testing.T) {
	matched, not := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		q := &Query{drawNode(t, 3)}
		m, err := Compile(q)
		if err != nil {
			t.Fatal(err)
		}
		for range 30 {
			line := drawEvent(t)
			want, err := q.Match(line)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if got := m.Match(line); got != want {
				t.Fatalf("%s on %s: the matcher says %t, the oracle %t", q, line, got, want)
			}
			if want {
				matched++
			} else {
				not++
			}
		}
	})
	if least := (matched + not) / 30; matched < least || not < least { // go test -short draws fewer
		t.Errorf("%d matched, %d did not: too few of one", matched, not)
	}
}

// Single terms are tested too, so that and and or cannot hide a difference.
func TestMatcherAgreesWithOracleOnTerms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := drawEvent(t)
		for range 100 {
			bothMatch(t, &Query{drawTerm(t)}, line)
		}
	})
}

// appendLower equals AppendFold for ASCII lines without backslashes, and refuses others.
func TestAppendLowerEqualsAppendFold(t *testing.T) {
	plain := rapid.SliceOfN(rapid.ByteRange(0, 0x7f).Filter(func(c byte) bool { return c != '\\' }), 0, 40)
	rapid.Check(t, func(t *rapid.T) {
		line := plain.Draw(t, "line")
		got, ok := appendLower(nil, line)
		if want := AppendFold(nil, line); !ok || string(got) != string(want) {
			t.Fatalf("%q: %q (%t), want %q", line, got, ok, want)
		}
		at := rapid.IntRange(0, len(line)).Draw(t, "at")
		for _, c := range []byte{'\\', 0x80, 0xff} {
			if _, ok := appendLower(nil, slices.Insert(slices.Clone(line), at, c)); ok {
				t.Fatalf("%q with %q at %d is accepted", line, c, at)
			}
		}
	})
}

func TestAliasesOfSamples(t *testing.T) {
	x := NewExtract(everyAlias()...)
	for _, test := range []struct{ event, want string }{
		{`{"class_uid":3002,"status_id":2,"actor":{"user":{"name":"admin.x"}},"user":{"name":"admin.y"},` +
			`"src_endpoint":{"ip":"10.0.0.1"},"unmapped":{"atype":"authenticate"}}`,
			"who=admin.x from=10.0.0.1 what=authenticate target=admin.y outcome=failure class=Authentication"},
		{`{"class_uid":3002,"status_id":1,"user":{"name":"admin.y"}}`,
			"who=admin.y from= what= target= outcome=success class=Authentication"},
		{`{"class_uid":3004,"status_id":0,"actor":{"user":{"uid":"u"}},"entity":{"name":"p","uid":"1"},` +
			`"src_endpoint":{"name":"unknown"},"unmapped":{"atype":"dropStreamProcessor"}}`,
			"who=u from=unknown what=dropStreamProcessor target=p outcome=unknown class=Entity Management"},
		{`{"class_uid":6003,"api":{"operation":"find","response":{"code":13,"error":"Unauthorized"}},` +
			`"resources":[{"name":"a"},{"name":"b"}]}`,
			"who= from= what=find target=a b outcome=failure class=API Activity"},
		{`{"class_uid":6003,"api":{"response":{"code":200}}}`,
			"who= from= what= target= outcome=success class=API Activity"},
		{`{"class_uid":6003,"api":{"response":{"code":404}}}`,
			"who= from= what= target= outcome=failure class=API Activity"},
		{`{"class_uid":424242,"type_name":"T"}`, "who= from= what=T target= outcome=unknown class=424242"},
		{`{"class_uid":3002,"class_name":"Own","status":"Failure"}`,
			"who= from= what= target= outcome=failure class=Own"},
		{`{}`, "who= from= what= target= outcome=unknown class="},
	} {
		if err := x.Read([]byte(test.event)); err != nil {
			t.Fatal(err)
		}
		var got []string
		for i, alias := range Aliases() {
			var texts []string
			for _, v := range x.Values(i) {
				texts = append(texts, v.Text)
			}
			got = append(got, alias+"="+strings.Join(texts, " "))
		}
		if got := strings.Join(got, " "); got != test.want {
			t.Errorf("%s:\n%s, want\n%s", test.event, got, test.want)
		}
	}
}

// everyAlias returns the aliases as fields.
func everyAlias() (fields []Field) {
	for _, alias := range Aliases() {
		fields = append(fields, Field(alias))
	}
	return fields
}

// FuzzMatch compares the matcher with the oracle on lines that weir may have recorded. On other lines, the matcher must
// return.
func FuzzMatch(f *testing.F) {
	queries := []string{`orders-enrich who:admin.* outcome:success`, `203.0.113.0/24 or "a b" or a:*`,
		`not (n > 2026 x:1.0)`, `class:authentication target:* -10.0.0.1`, `text:"stop now" or k or größe*`,
		`list.a:(2 and x) started_dt < 2026-12`}
	for _, line := range sampleEvents() {
		for _, q := range queries {
			f.Add(q, line)
		}
	}
	for _, line := range []string{`{"a":"\ud83d\ude00\u00e9\"\\\/","b":{}}`, `{"a":"`, `{"a":[1,`, "{",
		`{"a":"\`, `{"a":"\u00`, `{"a":-}`} {
		f.Add("a:b or b", []byte(line))
	}
	f.Fuzz(func(t *testing.T, text string, line []byte) {
		q, err := Parse(text)
		if err != nil {
			return
		}
		q = q.Resolve(now)
		if v := jsontext.Value(line); v.Kind() == '{' && v.IsValid() {
			bothMatch(t, q, line)
			return
		}
		m, err := Compile(q)
		if err != nil {
			t.Fatal(err)
		}
		m.Match(line)
		_ = NewExtract(everyAlias()...).Read(line)
	})
}

func TestMatcherAllocatesNothing(t *testing.T) {
	events := sampleEvents()
	for _, text := range []string{"orders-enrich who:admin.* outcome:success",
		"203.0.113.0/24 src_endpoint.ip:203.0.113.24", "nowhere",
		`time > 2026-11-01 "stop now" class:3002 target:*rich`,
		"2001:db8::1 or x:1 or started_dt:2026-11-20 or größe"} {
		q, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Compile(q)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range events {
			m.Match(line)
		}
		allocations := testing.AllocsPerRun(100, func() {
			for _, line := range events {
				m.Match(line)
			}
		})
		if countAllocations && allocations >= 1 {
			t.Errorf("%s: %v allocations in %d events", text, allocations, len(events))
		}
	}
}

func TestMatcherIsConcurrent(t *testing.T) {
	q, err := Parse(`target:* (größe or who:admin.* or "stop now")`)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Compile(q)
	if err != nil {
		t.Fatal(err)
	}
	events := sampleEvents()
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for range 50 {
				for _, line := range events {
					if want, err := q.Match(line); err != nil || m.Match(line) != want {
						t.Errorf("%s: not %t (%v)", line, want, err)
						return
					}
				}
			}
		})
	}
	workers.Wait()
}

func ExampleQuery_Match() {
	q, _ := Parse("who:admin.* src_endpoint.ip:203.0.113.0/24 -outcome:success")
	line := []byte(`{"time":1795154461311,"status_id":2,"actor":{"user":{"name":"admin.orders-etl"}},` +
		`"src_endpoint":{"ip":"203.0.113.88"}}`)
	fmt.Println(q.Match(line))
	// Output: true <nil>
}

func ExampleCompile() {
	q, _ := Parse("time >= now-1d orders-enrich")
	m, err := Compile(q.Resolve(time.UnixMilli(1795154461311)))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Match([]byte(`{"time":1795154400000,"entity":{"name":"orders-enrich"}}`)))
	// Output: true
}
