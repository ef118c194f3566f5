package search

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestBarsAreNatural(t *testing.T) {
	ms := func(text string) int64 {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return at.UnixMilli()
	}
	for _, test := range []struct {
		name, zone, start, end string
		count                  int
		want                   []string // the first two and the last, in the zone
	}{
		{"seconds", "UTC", "2026-11-01T10:00:00Z", "2026-11-01T10:00:20Z", 10,
			[]string{"2026-11-01T10:00:00Z", "2026-11-01T10:00:02Z", "2026-11-01T10:00:18Z"}},
		{"hours past midnight", "Asia/Kolkata", "2026-11-01T10:00:00Z", "2026-11-03T10:00:00Z", 10,
			[]string{"2026-11-01T12:00:00+05:30", "2026-11-01T18:00:00+05:30", "2026-11-03T12:00:00+05:30"}},
		{"days when clocks go back", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-28T00:00:00Z", 7,
			[]string{"2026-10-24T00:00:00+02:00", "2026-10-25T00:00:00+02:00", "2026-10-28T00:00:00+01:00"}},
		{"weeks", "UTC", "2026-11-04T00:00:00Z", "2026-12-04T00:00:00Z", 10,
			[]string{"2026-11-02T00:00:00Z", "2026-11-09T00:00:00Z", "2026-11-30T00:00:00Z"}},
		{"months", "America/New_York", "2026-01-15T00:00:00Z", "2026-12-15T00:00:00Z", 12,
			[]string{"2026-01-01T00:00:00-05:00", "2026-02-01T00:00:00-05:00", "2026-12-01T00:00:00-05:00"}},
		{"years", "UTC", "2008-01-01T00:00:00Z", "2026-12-15T00:00:00Z", 30,
			[]string{"2008-01-01T00:00:00Z", "2009-01-01T00:00:00Z", "2026-01-01T00:00:00Z"}},
		{"a single one", "UTC", "2026-11-01T10:00:00Z", "2026-11-01T10:00:20Z", 1,
			[]string{"2026-11-01T10:00:00Z", "2026-11-01T10:00:00Z", "2026-11-01T10:00:00Z"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			z := zone(t, test.zone)
			bars := Bars(ms(test.start), ms(test.end), test.count, z)
			shown := func(i int) string { return time.UnixMilli(bars[i]).In(z).Format(time.RFC3339) }
			got := []string{shown(0), shown(min(1, len(bars)-1)), shown(len(bars) - 1)}
			if !slices.Equal(got, test.want) {
				t.Errorf("%d bars: %q, want %q", len(bars), got, test.want)
			}
		})
	}
}

func TestBarsCoverTheRange(t *testing.T) {
	zones := []*time.Location{time.UTC, zone(t, "Europe/Berlin"), zone(t, "America/Sao_Paulo"), zone(t, "Asia/Kolkata"),
		zone(t, "Australia/Lord_Howe"), zone(t, "Africa/Cairo"), zone(t, "America/St_Johns")}
	rapid.Check(t, func(t *rapid.T) {
		start := rapid.Int64Range(1_199_145_600_000, 1_900_000_000_000).Draw(t, "start")
		length := rapid.Int64Range(1, 1<<rapid.IntRange(1, 47).Draw(t, "bits")).Draw(t, "length")
		count := rapid.IntRange(1, 100).Draw(t, "count")
		bars := Bars(start, start+length, count, rapid.SampledFrom(zones).Draw(t, "zone"))
		if len(bars) == 0 || len(bars) > count || bars[0] > start || bars[len(bars)-1] >= start+length {
			t.Fatalf("%d bars of at most %d from %d, the range begins at %d", len(bars), count, bars[0], start)
		}
		for i := 1; i < len(bars); i++ {
			if bars[i] <= bars[i-1] || bars[i] <= start {
				t.Fatalf("bar %d begins at %d, the one before at %d", i, bars[i], bars[i-1])
			}
		}
		if at := rapid.Int64Range(start, start+length-1).Draw(t, "at"); true {
			i := barOf(bars, at)
			if bars[i] > at || i+1 < len(bars) && bars[i+1] <= at {
				t.Fatalf("%d is in bar %d, which begins at %d", at, i, bars[i])
			}
		}
	})
}
