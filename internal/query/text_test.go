package query

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"
)

func TestTextsAreSplitIntoWords(t *testing.T) {
	for text, want := range map[string][]string{
		"":                                   nil,
		"...":                                nil,
		"orders-enrich":                      {"orders-enrich"},
		" a  b\tc\n":                         {"a", "b", "c"},
		"a\u00a0b\u2003c":                    {"a", "b", "c"},
		"He said: \"Stop!\" (now), ok.":      {"He", "said", "Stop", "now", "ok"},
		"CN=x,OU=y":                          {"CN", "x", "OU", "y"},
		"10.0.0.1: 2001:db8::1, a@b.de!":     {"10.0.0.1", "2001:db8::1", "a@b.de"},
		"x|y<z>[1]{2};'3'":                   {"x", "y", "z", "1", "2", "3"},
		"..a..b:: !?c?! é.":                  {"a..b", "c", "é"},
		"6a7941c2-2c88/fa_ea %59 $a#b+c~d^e": {"6a7941c2-2c88/fa_ea", "%59", "$a#b+c~d^e"},
	} {
		if got := wordsOf(text); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	for word := range func(yield func(string) bool) { Words("a b c", yield) } {
		if word == "b" {
			break
		}
		if word == "c" {
			t.Error("went on after the loop ended")
		}
	}
}

// Words are the trimmed texts between separators.
func TestWordsAreTrimmedFields(t *testing.T) {
	separates := func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(`,;()[]{}"'<>=|`, r) }
	rapid.Check(t, func(t *rapid.T) {
		few := rapid.StringOf(rapid.SampledFrom([]rune("ab.:!? ,(é\u00a0\u2003")))
		text := rapid.OneOf(few, rapid.String()).Draw(t, "text")
		var want []string
		for _, word := range strings.FieldsFunc(text, separates) {
			if word = strings.Trim(word, ".:!?"); word != "" {
				want = append(want, word)
			}
		}
		if got := wordsOf(text); !slices.Equal(got, want) {
			t.Fatalf("%q: %q, want %q", text, got, want)
		}
	})
}

func TestFoldIsSimpleFolding(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		folded := foldRune(r)
		if r < 0x80 && folded != unicode.ToLower(r) {
			t.Errorf("%q: %q, not ASCII in lower case", r, folded)
		}
		if !strings.EqualFold(string(r), string(folded)) {
			t.Fatalf("%q and %q are not equal", r, folded)
		}
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			if foldRune(next) != folded {
				t.Fatalf("%q: %q, but %q: %q", r, folded, next, foldRune(next))
			}
		}
	}
	for text, want := range map[string]string{"ÄB\u212aſ": "äbks", "a\xffb": "a\ufffdb", "Σς": "σσ"} {
		if got := Fold(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestDecimals(t *testing.T) {
	number := rapid.StringMatching(`-?(0|[1-9][0-9]{0,4})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,2})?`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := number.Draw(t, "a"), number.Draw(t, "b")
		x, _ := new(big.Rat).SetString(a)
		y, _ := new(big.Rat).SetString(b)
		d, ok := parseDecimal(a)
		e, ok2 := parseDecimal(b)
		if got, want := d.compare(e), x.Cmp(y); got != want || !ok || !ok2 {
			t.Fatalf("%s with %s: %d, want %d (%t, %t)", a, b, got, want, ok, ok2)
		}
	})
	for _, text := range []string{"", "-", "+1", "01", "1.", ".1", "1e", "1e+", "1x", "0x1", "1 ", "-01", "NaN",
		"1.e1"} {
		if isNumber(text) {
			t.Errorf("%q is a number", text)
		}
	}
	for small, large := range map[string]string{
		"1e999999999999999998":    "2e999999999999999999",
		"-1e99999999999999999999": "0",
		"9007199254740992":        "9007199254740993",
		"1e-99999999999999999999": "1",
		"0e5":                     "1e-5",
	} {
		a, _ := parseDecimal(small)
		b, _ := parseDecimal(large)
		if a.compare(b) >= 0 || b.compare(a) <= 0 {
			t.Errorf("%s is not smaller than %s", small, large)
		}
	}
}

func TestTimesAreReadAsSpans(t *testing.T) {
	for text, want := range map[string][2]string{
		"2026-11":                        {"2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"},
		"2026-12":                        {"2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		"2024-02-29":                     {"2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"},
		"2026-W01":                       {"2025-12-29T00:00:00Z", "2026-01-05T00:00:00Z"},
		"2026-W53":                       {"2026-12-28T00:00:00Z", "2027-01-04T00:00:00Z"},
		"2026-11-01T23":                  {"2026-11-01T23:00:00Z", "2026-11-02T00:00:00Z"},
		"2026-11-01T10Z":                 {"2026-11-01T10:00:00Z", "2026-11-01T11:00:00Z"},
		"2026-11-01T10:59":               {"2026-11-01T10:59:00Z", "2026-11-01T11:00:00Z"},
		"2026-11-01T00:30+02:00":         {"2026-10-31T22:30:00Z", "2026-10-31T22:31:00Z"},
		"2026-11-01T10:59:59":            {"2026-11-01T10:59:59Z", "2026-11-01T11:00:00Z"},
		"2026-11-01T10:59:59.9-00:30":    {"2026-11-01T11:29:59.9Z", "2026-11-01T11:30:00Z"},
		"2026-11-01T10:00:00.123Z":       {"2026-11-01T10:00:00.123Z", "2026-11-01T10:00:00.124Z"},
		"2026-11-01T10:00:00.123456789":  {"2026-11-01T10:00:00.123456789Z", "2026-11-01T10:00:00.12345679Z"},
		"1969-12-31T23:59:59.1234567891": {"1969-12-31T23:59:59.123456789Z", "1969-12-31T23:59:59.12345679Z"},
	} {
		s, ok := parseTime(text)
		from, to := s.from.time().Format(time.RFC3339Nano), s.to.time().Format(time.RFC3339Nano)
		if !ok || from != want[0] || to != want[1] {
			t.Errorf("%s: %s to %s (%t), want %v", text, from, to, ok, want)
		}
		if f, o := (Time{text}).Interval(); !f.Equal(s.from.time()) || !o.Equal(s.to.time()) {
			t.Errorf("%s: interval %s to %s", text, f, o)
		}
	}
	for _, text := range []string{"", "2026", "2026-", "2026-1", "2026-00", "2026-13", "2026-11-31", "2026-02-29",
		"2026-W00", "2026-W54", "2025-W53", "2026-W48-1", "2026-11-01T", "2026-11-01T24", "2026-11-01T10:60",
		"2026-11-01T10:30:60", "2026-11-01T10:30:00.", "2026-11-01T10:30z", "2026-11-01t10:30", "2026-11-01 10:30",
		"2026-11-01Z", "2026-11-01T10:30+2:00", "2026-11-01T10:30+02", "2026-11-01T10:30+24:00", "2026-11-01T10:30Zx",
		"now", "20261101", "+026-11-01"} {
		if _, ok := parseTime(text); ok {
			t.Errorf("%q is a time", text)
		}
	}
	if from, to := (Time{"now-1d"}).Interval(); !from.IsZero() || !to.IsZero() {
		t.Error("a time relative to now has an interval")
	}
}

// The time of an event is parsed as package time parses RFC 3339, but strictly.
func TestRFC3339(t *testing.T) {
	valid := rapid.StringMatching(`(19|20|00|99)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|30)T([01][0-9]|2[0-3])` +
		`:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,12})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])`)
	wild := rapid.StringMatching(`20[0-9]{2}-[01][0-9]-[0-3][0-9][Tt ][0-2]?[0-9]:[0-6][0-9]:[0-6][0-9]` +
		`([.,][0-9]{0,12})?(Z|z|[+-][0-2][0-9]:[0-6][0-9])?`)
	read := 0
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(valid, wild).Draw(t, "time")
		want, err := time.Parse(time.RFC3339, text)
		got, ok := parseRFC3339(text)
		if ok != (err == nil && rfc3339.MatchString(text)) || ok && !got.time().Equal(want) {
			t.Fatalf("%s: %s (%t), want %s (%v)", text, got.time(), ok, want, err)
		}
		if ok {
			read++
		}
	})
	if read == 0 {
		t.Error("no time was read")
	}
}

func TestMillisecondsOfInstants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seconds, nanoseconds := rapid.Int64Range(-62e9, 253e9), rapid.Int64Range(0, 999_999_999)
		i := instant{seconds.Draw(t, "seconds"), nanoseconds.Draw(t, "nanoseconds")}
		want := new(big.Rat).Add(big.NewRat(i.seconds*1000, 1), big.NewRat(i.nanoseconds, 1e6))
		d, ok := parseDecimal(want.FloatString(6))
		if got := i.milliseconds(); !ok || got.compare(d) != 0 {
			t.Fatalf("%v: %v, want %s", i, got, want.FloatString(6))
		}
	})
}

func TestNearFindsSimilarFields(t *testing.T) {
	fields := []string{"actor.user.name", "actor.user.uid", "src_endpoint.ip", "dst_endpoint.ip",
		"src_endpoint.port", "status_id", "status",
		"entity.name", "who", "outcome", "unmapped.atype"}
	for name, want := range map[string][]string{
		"ip":             {"dst_endpoint.ip", "src_endpoint.ip"},
		"Status_ID":      {"status_id"},
		"statusid":       {"status_id"},
		"actor.usr.name": {"actor.user.name"},
		"user.name":      {"actor.user.name"},
		"otucome":        {"outcome"},
		"src_endpoint":   {"src_endpoint.ip", "src_endpoint.port"},
		"xyzzy":          nil,
		"":               nil,
	} {
		got := Near(name, fields)
		if len(got) < len(want) || !slices.Equal(got[:len(want)], want) || want == nil && got != nil {
			t.Errorf("%s: %v, want %v first", name, got, want)
		}
	}
	if got := Near("a", slices.Repeat([]string{"b.a", "c.a", "d.a", "e.a", "f.a", "g.a"}, 2)); len(got) != maxNear {
		t.Errorf("%d names: %v", len(got), got)
	}
}

func ExampleNear() {
	fmt.Println(Near("ip", []string{"src_endpoint.ip", "src_endpoint.port", "time"}))
	// Output: [src_endpoint.ip]
}
