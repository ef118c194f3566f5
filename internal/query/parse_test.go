package query

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/event"
)

var sameAddr = cmpopts.EquateComparable(netip.Prefix{})

func value(field, text string) Term { return Term{Field(field), Value{text}} }

func pattern(field string, parts ...string) Term { return Term{Field(field), Pattern{parts}} }

func TestParse(t *testing.T) {
	network := func(text string) Network { return Network{netip.MustParsePrefix(text)} }
	a, b, c := value("", "a"), value("", "b"), value("", "c")
	for _, test := range []struct {
		text, normal string
		tree         Node
	}{
		{"", "*", All{}},
		{" \t*\n", "*", All{}},
		{"a", "a", a},
		{"a b", "a and b", And{a, b}},
		{"a AND b And c", "a and b and c", And{a, b, c}},
		{"a or b c", "a or b and c", Or{a, And{b, c}}},
		{"a b OR c", "a and b or c", Or{And{a, b}, c}},
		{"(a or b) c", "(a or b) and c", And{Or{a, b}, c}},
		{"(a or b)and(c)", "(a or b) and c", And{Or{a, b}, c}},
		{"(a b) c", "a and b and c", And{a, b, c}},
		{"(((a)))", "a", a},
		{"not a b", "not a and b", And{Not{a}, b}},
		{"NOT (a b)", "not (a and b)", Not{And{a, b}}},
		{"not not a", "not not a", Not{Not{a}}},
		{"-a -(b or c)", "not a and not (b or c)", And{Not{a}, Not{Or{b, c}}}},
		{"not -a", "not not a", Not{Not{a}}},
		{`-"a b"`, `not "a b"`, Not{value("", "a b")}},
		{"-5", "not 5", Not{value("", "5")}},
		{`"-5" "and" "*"`, `"-5" and "and" and "*"`, And{value("", "-5"), value("", "and"), value("", "*")}},
		{`"" "a\"\\\n\u00e9\ud83d\ude00\u200b"`, `"" and "a\"\\\né😀\u200b"`,
			And{value("", ""), value("", "a\"\\\né😀\u200b")}},
		{"andy oracle nothing", "andy and oracle and nothing",
			And{value("", "andy"), value("", "oracle"), value("", "nothing")}},
		{"x:1", "x:1", value("x", "1")},
		{"x : 1 and y: \n2", "x:1 and y:2", And{value("x", "1"), value("y", "2")}},
		{"x:-5", "x:-5", value("x", "-5")},
		{`x:"a b"`, `x:"a b"`, value("x", "a b")},
		{`x:"a"`, "x:a", value("x", "a")},
		{`x:a\(b\)\:\*`, `x:"a(b):*"`, value("x", "a(b):*")},
		{"actor.user.name:admin.*", "actor.user.name:admin.*", pattern("actor.user.name", "admin.", "")},
		{"x:*a**b*", "x:*a*b*", pattern("x", "", "a", "b", "")},
		{`x:a\ \*b*`, `x:a\ \*b*`, pattern("x", "a *b", "")},
		{`x:svc-* -svc-*`, `x:svc-* and not svc-*`, And{pattern("x", "svc-", ""), Not{pattern("", "svc-", "")}}},
		{`\-a* x:\-a* now\-* x:now\-* \+* a\&\&*`, `\-a* and x:\-a* and now\-* and x:now\-* and \+* and a\&\&*`,
			And{pattern("", "-a", ""), pattern("x", "-a", ""), pattern("", "now-", ""), pattern("x", "now-", ""),
				pattern("", "+", ""), pattern("", "a&&", "")}},
		{"x:* x:**", "x:(* and *)", And{Term{"x", Exists{}}, Term{"x", Exists{}}}},
		{"x:(a or b)", "x:(a or b)", Or{value("x", "a"), value("x", "b")}},
		{"x:(a or b or *) or y:c", "x:(a or b or *) or y:c",
			Or{value("x", "a"), value("x", "b"), Term{"x", Exists{}}, value("y", "c")}},
		{"x:(a and not (b or c))", "x:a and not x:(b or c)",
			And{value("x", "a"), Not{Or{value("x", "b"), value("x", "c")}}}},
		{"x:(not a)", "not x:a", Not{value("x", "a")}},
		{"x:(((a)))", "x:a", value("x", "a")},
		{"-x:(a or b)", "not x:(a or b)", Not{Or{value("x", "a"), value("x", "b")}}},
		{"x:a or x:b y:c", "x:a or x:b and y:c", Or{value("x", "a"), And{value("x", "b"), value("y", "c")}}},
		{"x > 5 y>=-1.5e3 z<0", "x > 5 and y >= -1.5e3 and z < 0", And{
			Term{"x", Comparison{Op: Greater, Number: "5"}},
			Term{"y", Comparison{Op: GreaterOrEqual, Number: "-1.5e3"}},
			Term{"z", Comparison{Op: Less, Number: "0"}}}},
		{`time >= 2026-11-01 time<"now-1d"`, "time >= 2026-11-01 and time < now-1d", And{
			Term{"time", Comparison{Op: GreaterOrEqual, Time: Time{"2026-11-01"}}},
			Term{"time", Comparison{Op: Less, Time: Time{"now-1d"}}}}},
		{"time:NOW/d time:now now", "time:(now/d and now) and now",
			And{Term{"time", During{Time{"now/d"}}}, Term{"time", During{Time{"now"}}}, value("", "now")}},
		{`time:"now/d"`, `time:"now/d"`, value("time", "now/d")},
		{"time:2026-11-01T10:30+02:00", "time:2026-11-01T10:30+02:00", value("time", "2026-11-01T10:30+02:00")},
		{"2026-11-01T10:30:00.5Z", "2026-11-01T10:30:00.5Z", value("", "2026-11-01T10:30:00.5Z")},
		{"ip:203.0.113.0/24 2001:db8::/32", "ip:203.0.113.0/24 and 2001:db8::/32",
			And{Term{"ip", network("203.0.113.0/24")}, Term{"", network("2001:db8::/32")}}},
		{"::ffff:10.0.0.0/104", "10.0.0.0/8", Term{"", network("10.0.0.0/8")}},
		{`ip:"10.0.0.0/8"`, `ip:"10.0.0.0/8"`, value("ip", "10.0.0.0/8")},
		{"ip:2001:DB8::1 ::1 ip:(::2 or fe80::1%eth0)", "ip:2001:DB8::1 and ::1 and ip:(::2 or fe80::1%eth0)",
			And{value("ip", "2001:DB8::1"), value("", "::1"), Or{value("ip", "::2"), value("ip", "fe80::1%eth0")}}},
		{`unmapped."a b".c:x`, `unmapped."a b".c:x`, value(`unmapped."a b".c`, "x")},
		{`"unmapped"."c" : x`, "unmapped.c:x", value("unmapped.c", "x")},
		{`who:x "who":x "abc":x "not":x a.not:x`, `who:x and "who":x and abc:x and "not":x and a.not:x`,
			And{value("who", "x"), value(`"who"`, "x"), value("abc", "x"), value(`"not"`, "x"), value("a.not", "x")}},
		{`a."$b".0:x "0":x "":x "a.b":x`, `a.$b.0:x and "0":x and "":x and "a.b":x`,
			And{value("a.$b.0", "x"), value(`"0"`, "x"), value(`""`, "x"), value(`"a.b"`, "x")}},
		{"/api/v2 a@b.c AT&T 50% größe:ÄB", "/api/v2 and a@b.c and AT&T and 50% and größe:ÄB",
			And{value("", "/api/v2"), value("", "a@b.c"), value("", "AT&T"), value("", "50%"), value("größe", "ÄB")}},
	} {
		q, err := Parse(test.text)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if diff := cmp.Diff(test.tree, q.Root, sameAddr); diff != "" {
			t.Errorf("%s: tree (-want +got):\n%s", test.text, diff)
		}
		if got := q.String(); got != test.normal {
			t.Errorf("%s: normal form %s, want %s", test.text, got, test.normal)
		}
		checkNormalForm(t, q)
	}
}

// checkNormalForm checks that Parse of the normal form gives an equal tree.
func checkNormalForm(t interface{ Fatalf(string, ...any) }, q *Query) {
	normal := q.String()
	again, err := Parse(normal)
	if err != nil {
		t.Fatalf("the normal form %s: %v", normal, err)
	}
	if diff := cmp.Diff(q.Root, again.Root, sameAddr); diff != "" {
		t.Fatalf("the normal form %s is read as another tree (-want +got):\n%s", normal, diff)
	}
	if got := again.String(); got != normal {
		t.Fatalf("the normal form of %s is %s", normal, got)
	}
}

func TestErrorsSayWhereAndWhatInstead(t *testing.T) {
	for _, test := range []struct {
		text     string
		column   int
		found    string
		expected string // part of the message
	}{
		{`a "b c`, 3, "`\"b c`", "closing double quote"},
		{`é "b`, 3, "`\"b`", "closing double quote"},
		{"and", 1, "`and`", "in double quotes"},
		{"a or", 5, "the end of the query", "a term"},
		{"a and OR b", 7, "`OR`", "a term"},
		{"not", 4, "the end of the query", "a term"},
		{"a not", 6, "the end of the query", "a term"},
		{"- a", 1, "`- `", "directly after the minus"},
		{"time > 2026", 8, "`2026`", "2026-11-01"}, // otherwise 2 seconds after 1970, which all events are after
		{"a time<1763978401", 8, "`1763978401`", "milliseconds"},
		{"time > -1e999", 8, "`-1e999`", "2026-11-01"},
		{fmt.Sprintf("time < %d", event.Earliest-1), 8, fmt.Sprintf("`%d`", event.Earliest-1), "2008"},
		{fmt.Sprintf("time < %d x:", event.Earliest), 24, "the end of the query", "a value"}, // the time is fine
		{"time:2026", 1, "`time:2026`", "2026-11-01"},
		{"time:(now or 7)", 14, "`7`", "2026-11-01"},
		{"--a", 1, "`--`", "directly after the minus"},
		{"a -", 3, "`-`", "directly after the minus"},
		{"()", 2, "`)`", "a term"},
		{"a ( )", 5, "`)`", "a term"},
		{"(a", 1, "`(a`", "closing parenthesis"},
		{"a)", 2, "`)`", "opening parenthesis"},
		{"x:", 3, "the end of the query", "a value"},
		{"x: and y", 4, "`and`", "a value"},
		{"x:not y", 3, "`not`", "`not` before the field"},
		{"x:)", 3, "`)`", "a value"},
		{"x:()", 4, "`)`", "a value"},
		{"x:(a b)", 6, "`b)`", "`or`, `and`"},
		{"x:(a or y:b)", 10, "`:b`", "double quotes"},
		{"x:(> 5)", 4, "`>`", "without a colon"},
		{"x:> 5", 3, "`>`", "without a colon"},
		{"::y", 1, "`::y`", "the name of a field"},
		{":x", 1, "`:`", "the name of a field"},
		{"x::y", 3, "`:y`", "double quotes"},
		{"x: : y", 4, "`:`", "one colon"},
		{"a:b:c", 4, "`:c`", "double quotes"},
		{"a:10:30", 5, "`:30`", "double quotes"},
		{"1.2.3.4:80", 1, "`1.2.3.4`", "and values with a colon"},
		{"a.*:b", 1, "`a.*`", "no wildcards in names"},
		{"*:b", 1, "`*`", "no wildcards in names"},
		{"1a:b", 1, "`1a`", "begins with a letter or _"},
		{"a..b:c", 1, "`a..b`", "one dot"},
		{".a:b", 1, "`.a`", "one dot"},
		{"a.:b", 1, "`a.`", "after the last dot"},
		{`a"b":c`, 2, "`\"b\"`", "a dot before"},
		{`"a"b:c`, 4, "`b`", "a dot after"},
		{"not:b", 1, "`not`", "a keyword in double quotes"},
		{"x:http://a", 7, "`://a`", "double quotes"},
		{"https://a.b", 7, "`//a.b`", "URL"},
		{"x = 5", 3, "`=`", "`field:value` for equals"},
		{"x=5", 2, "`=5`", "`field:value` for equals"},
		{"x == 5", 3, "`==`", "`field:value` for equals"},
		{"x != 5", 3, "`!=`", "`not field:value`"},
		{"x <> 5", 3, "`<>`", "`not field:value`"},
		{"x => 5", 3, "`=>`", "`field:value` for equals"},
		{"!a", 1, "`!a`", "`not` before a term"},
		{"a && b", 3, "`&&`", "`and`"},
		{"a & b", 3, "`&`", "`and`"},
		{"a || b", 3, "`||`", "`or` between"},
		{"x:a,b", 4, "`,b`", "`or` between"},
		{"x:'a'", 3, "`'a'`", "double quotes"},
		{"x:“a”", 3, "`“a”`", "straight"},
		{"x:[1 TO 5]", 3, "`[1`", "a range"},
		{"x:{a}", 3, "`{a}`", "double quotes"},
		{"x:a?", 4, "`?`", "`*`"},
		{"+a", 1, "`+a`", "no plus"},
		{"x:-a", 3, "`-a`", "minus before the field"},
		{"x >", 4, "the end of the query", "a number or a time"},
		{"x > a", 5, "`a`", "a number or a time"},
		{"x > 1 2", 0, "", ""},
		{"x > 01", 5, "`01`", "a number or a time"},
		{"x > 10.0.0.1", 5, "`10.0.0.1`", "a number or a time"},
		{"x > 2026-13-01", 5, "`2026-13-01`", "a number or a time"},
		{"x > 2026-02-29", 5, "`2026-02-29`", "a number or a time"},
		{"x > 5*", 5, "`5*`", "a number or a time"},
		{"x > (5)", 5, "`(5)`", "a number or a time"},
		{"x > now-1M", 5, "`now-1M`", "a number or a time"},
		{"x > = 5", 5, "`=`", "a number or a time"},
		{"> 5", 1, "`>`", "the name of a field"},
		{"1 < x", 1, "`1`", "begins with a letter"},
		{"time:now-1M", 6, "`now-1M`", "units s, m, h, d, w"},
		{"time:NOW-1", 6, "`NOW-1`", "units s, m, h, d, w"},
		{"now-1d", 1, "`now-1d`", "a field for a time"},
		{"ip:203.0.113.7/24", 4, "`203.0.113.7/24`", "a network"},
		{"ip:10.0.0/8", 4, "`10.0.0/8`", "a network"},
		{"ip:10.0.0.0/33", 4, "`10.0.0.0/33`", "a network"},
		{`a\b`, 2, "`\\b`", "backslash"},
		{`a\`, 2, "`\\`", "backslash"},
		{`"\x"`, 2, "`\\x`", "an escape as in JSON"},
		{`"\ud83d"`, 2, "`\\u`", "an escape as in JSON"},
		{`"\ud83d\u0041"`, 2, "`\\u`", "an escape as in JSON"},
		{"\"a\nb\"", 3, "`\\n`", `\n`},
		{"a\u200bb", 2, "`\\u200b`", "no invisible character"},
		{"a \x1b[31m", 3, "`\\u001b`", "no invisible character"},
		{"é\xff", 2, "the byte 0xff", "UTF-8"},
		{`a"b"`, 2, "`\"b\"`", "white space before"},
		{`"a"b`, 4, "`b`", "white space after"},
		{`"a""b"`, 4, "`\"b\"`", "white space before"},
		{"a(b)", 2, "`(b)`", "white space before"},
		{"x:a>5", 4, "`>5`", "white space before"},
		{strings.Repeat("(", 65) + "a" + strings.Repeat(")", 65), 65, "`(a" + strings.Repeat(")", 38) + "…`",
			"at most 64"},
		{strings.Repeat("not ", 65) + "a", 257, "`not`", "at most 64"},
		{strings.Repeat("a ", 257), 513, "`a`", "at most 256 terms"},
		{"x:(" + strings.Repeat("a or ", 256) + "a)", 1284, "`a`", "at most 256 terms"},
		{strings.Repeat("a", 4097), 1, "4097 bytes", "at most 4096 bytes"},
		{strings.Repeat("b", 2000) + ":(a not b not c)", 2005, "`not`", "`or`, `and`"},
		{strings.Repeat("b", 2000) + ":(a and not b and not c)", 1, "6024 bytes in normal form", "at most 4096 bytes"},
	} {
		_, err := Parse(test.text)
		if test.column == 0 { // a term by itself
			if err != nil {
				t.Errorf("%q: %v", test.text, err)
			}
			continue
		}
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%q: %v", test.text, err)
			continue
		}
		if e.Column != test.column || e.Found != test.found || !strings.Contains(e.Expected, test.expected) {
			t.Errorf("%q: %v\nwant column %d, %s; …%s…", test.text, e, test.column, test.found, test.expected)
		}
	}
}

func TestLimitsAreReached(t *testing.T) {
	for _, text := range []string{
		strings.Repeat("(", MaxDepth) + "a" + strings.Repeat(")", MaxDepth),
		strings.Repeat("not ", MaxDepth) + "a",
		strings.Repeat("not (b ", MaxDepth/2) + "(a or b)" + strings.Repeat(")", MaxDepth/2-1) + ")",
		strings.Repeat("a ", MaxTerms),
		strings.Repeat("a", MaxBytes),
	} {
		q, err := Parse(text)
		if err != nil && !strings.HasPrefix(text, "not (b") {
			t.Errorf("%.50s…: %v", text, err)
		}
		if err == nil {
			checkNormalForm(t, q)
		}
	}
}

// drawText draws a text that often is a query.
func drawText(t *rapid.T) string {
	tokens := []string{"a", "b c", "and", "or", "not", "-", "(", ")", " ", " ", " ", "x:", "x.y:", `"q r"`, `"a.b":`,
		"who:", "x > 5", "time >= now-1d", "time:now/d", "time:2026-11-01", "10.0.0.0/8", "::1", "*", "a*", `\*`, ":", ">",
		`"`, "é", "x:(", "-5", "1e3", "K", "ſ", "+", "/", "now", `"*"`, `""`, "%", `"\u0000"`, ","}
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom(tokens), 0, 12).Draw(t, "tokens"), "")
}

func TestNormalFormMeansTheSame(t *testing.T) {
	parsed, drawn := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		drawn++
		var text string
		if rapid.Bool().Draw(t, "tree") {
			text = (&Query{drawNode(t, 4)}).String()
		} else {
			text = drawText(t)
		}
		q, err := Parse(text)
		if err != nil {
			return
		}
		parsed++
		checkNormalForm(t, q)
	})
	if parsed < drawn/5 { // go test -short draws fewer
		t.Errorf("only %d of %d texts were queries", parsed, drawn)
	}
}

func TestResolve(t *testing.T) {
	now := time.Date(2026, 11, 26, 18, 27, 35, 123456789, time.FixedZone("", 3600))
	for text, want := range map[string]string{
		"time > now":               "time > 2026-11-26T17:27:35.123Z",
		"time >= now-1d":           "time >= 2026-11-25T17:27:35.123Z",
		"time < now+90m":           "time < 2026-11-26T18:57:35.123Z",
		"time <= now-15s":          "time <= 2026-11-26T17:27:20.123Z",
		"time < now-2h/h":          "time < 2026-11-26T15Z",
		"time:now/s":               "time:2026-11-26T17:27:35Z",
		"time:now/m":               "time:2026-11-26T17:27Z",
		"time:(now/d or now-1d/d)": "time:(2026-11-26 or 2026-11-25)",
		"not time:now-1w/w":        "not time:2026-W47",
		"time >= now-99999w":       "time >= 0110-05-22T17:27:35.123Z",
		"now time:2026-11 x:1":     "now and time:2026-11 and x:1",
	} {
		q, err := Parse(text)
		if err != nil {
			t.Error(err)
			continue
		}
		r := q.Resolve(now)
		if got := r.String(); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
		checkNormalForm(t, r)
		if _, err := Compile(q); (err != nil) != (text[:3] != "now") {
			t.Errorf("%s, not resolved: %v", text, err)
		}
		if _, err := Compile(r); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, year := range []int{-5000, 20000} {
		q := &Query{Term{"time", During{Time{"now-1w/w"}}}}
		checkNormalForm(t, q.Resolve(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)))
	}
}

func TestTerms(t *testing.T) {
	q, err := Parse("a or not (x:b and y > 5) or *")
	if err != nil {
		t.Fatal(err)
	}
	var fields []Field
	for term := range q.Terms() {
		fields = append(fields, term.Field)
	}
	if diff := cmp.Diff([]Field{"", "x", "y"}, fields); diff != "" {
		t.Error(diff)
	}
	for term := range q.Terms() {
		if term.Field != "" {
			t.Error("went on after the loop ended")
		}
		break
	}
}

func TestFieldNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.SampledFrom([]string{"a", "who", "not", "a.b", "", "0", "$x", `"`, `\`, "é"}),
			rapid.String())
		names := rapid.SliceOfN(name, 1, 4).Draw(t, "names")
		f := Path(names...)
		if diff := cmp.Diff(names, f.Names()); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", f, diff)
		}
		q, err := Parse(string(f) + ":x")
		if err != nil {
			t.Fatal(err)
		}
		if got := q.Root.(Term).Field; got != f || f.Alias() {
			t.Fatalf("%s is read as %s", f, got)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"", `a "b c" or not x.y:(d* or 10.0.0.0/8) z >= now-1d/d -"who":"\u00e9"`,
		"::1 x:2001:db8::/32",
		"time:2026-W48 time < 2026-11-01T10:30+02:00", `a\ b* x:"*" -5 x:-5`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := Parse(text)
		if err != nil {
			var e *Error
			switch {
			case !errors.As(err, &e), e.Column < 1, e.Column > len([]rune(text))+1, e.Found == "", e.Expected == "":
				t.Errorf("%q: %#v", text, err)
			}
			return
		}
		checkNormalForm(t, q)
		r := q.Resolve(time.Unix(1_795_000_000, 0))
		checkNormalForm(t, r)
		if _, err := Compile(r); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	})
}

func ExampleParse() {
	q, err := Parse(`actor.user.name:admin.* status_id:2 -"health check"`)
	fmt.Println(q, err)

	_, err = Parse("status_id:2 && failed")
	fmt.Println(err)
	// Output:
	// actor.user.name:admin.* and status_id:2 and not "health check" <nil>
	// column 13: found `&&`; expected `and`
}
