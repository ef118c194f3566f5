package query

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseFields(t *testing.T) {
	for text, want := range map[string][]Field{
		"who":                         {"who"},
		"who,actor.user.name":         {"who", "actor.user.name"},
		` who , status_id `:           {"who", "status_id"},
		`unmapped."a,b","class"`:      {`unmapped."a,b"`, `"class"`},
		`"a\",b",c`:                   {`"a\",b"`, "c"},
		strings.Repeat("a,", 5) + "a": {"a", "a", "a", "a", "a", "a"},
	} {
		if got, err := ParseFields(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
	}
	for text, column := range map[string]int{
		"": 1, ",": 1, "who,": 5, "who,,what": 5, "who what": 1, "a:b": 2, "who,(a)": 5, "-a": 1, "not a": 1,
		"who or what": 1, `"a`: 1, "*": 1, "a.*": 1,
	} {
		got, err := ParseFields(text)
		wrong, ok := errors.AsType[*Error](err)
		if !ok {
			t.Errorf("%q is read as %q: %v", text, got, err)
		} else if column == 5 && wrong.Column < 5 {
			t.Errorf("%q: %v, want a column from %d on", text, wrong, column)
		}
	}
}

func TestParseTime(t *testing.T) {
	at := func(text string) time.Time {
		moment, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return moment
	}
	for text, want := range map[string][2]string{
		"now":                       {"2026-11-26T18:27:35Z", "2026-11-26T18:27:35.001Z"},
		"now-1d":                    {"2026-11-25T18:27:35Z", "2026-11-25T18:27:35.001Z"},
		"now/d":                     {"2026-11-26T00:00:00Z", "2026-11-27T00:00:00Z"},
		"2026-11":                   {"2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"},
		"2026-11-26T18:27:35+02:00": {"2026-11-26T16:27:35Z", "2026-11-26T16:27:36Z"},
	} {
		if from, to, ok := ParseTime(text, now); !ok || !from.Equal(at(want[0])) || !to.Equal(at(want[1])) {
			t.Errorf("%s: from %s to %s (%t), want %s", text, from, to, ok, want)
		}
	}
	for _, text := range []string{"", "yesterday", "now-1M", "now-", "1796000000", "2026-13", "2026-11-26 10:00"} {
		if from, to, ok := ParseTime(text, now); ok {
			t.Errorf("%q is read as from %s to %s", text, from, to)
		}
	}
}
