//go:build browser

package node

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// What happened is said in a sentence: who, what, to what, from where, and whether it failed.
func TestBrowserSaysWhatHappened(t *testing.T) {
	b := openTab(t)
	b.open("/")
	b.module("event")
	for _, c := range []struct{ event, want string }{
		{`{"actor":{"user":{"name":"anna"}},"api":{"operation":"startStreamProcessor"},"entity":{"name":"orders"},` +
			`"src_endpoint":{"ip":"192.0.2.1"},"status_id":1}`, "anna started stream processor orders from 192.0.2.1."},
		{`{"actor":{"user":{"name":"anna"}},"api":{"operation":"startStreamProcessor"},"entity":{"name":"orders"},` +
			`"status_id":2,"status_detail":"not authorized"}`, "anna failed to start stream processor orders: not authorized."},
		{`{"actor":{"user":{"name":"anna"}},"api":{"operation":"authenticate"},"status_id":1}`, "anna signed in."},
		{`{"actor":{"user":{"name":"anna"}},"api":{"operation":"authenticate"},"status_id":2,"count":7}`,
			"anna failed to sign in, 7 times."},
		{`{"actor":{"user":{"name":"anna"}},"api":{"operation":"frobnicate"},"entity":{"name":"it"},"status_id":2,` +
			`"status_detail":"why"}`, "anna did frobnicate to it, which failed: why."},
		{`{"api":{"operation":"dropIndex"},"status_id":1,"status_detail":"fine"}`, "somebody dropped index."},
		{`{"api":{"operation":"frobnicate"}}`, "frobnicate happened."},
		{`{"class_uid":3002}`, "Authentication happened."},
		{`{"user":{"name":"anna"},"activity_name":"Logon","status_id":1}`, "anna did Logon."},
		{`{}`, "something happened."},
	} {
		got := ask[string](b, c.event,
			`modules.event.sentence(modules.event.parse(x)).map((p) => p.value ?? p).join('')`)
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.event, got, c.want)
		}
	}
}

// Where fields are left out of those that are shown, the event says so.
func TestBrowserSaysThatThereAreMoreFields(t *testing.T) {
	b := openTab(t)
	b.open("/")
	b.module("event")
	type counts struct{ Rows, Most int }
	for _, n := range []int{10, 1999, 2000, 5000} {
		wide := make(map[string]int)
		for i := range n {
			wide["f"+strings.Repeat("x", i)] = i
		}
		data, _ := json.Marshal(wide)
		got := ask[counts](b, string(data), `({ Rows: modules.event.rows(modules.event.parse(x)).length,
			Most: modules.event.mostRows })`)
		if got.Rows != min(n, got.Most) || got.Most == 0 {
			t.Errorf("%d fields have %+v", n, got)
		}
	}
}

// A time that is typed is one of the zone in which times are shown.
func TestBrowserReadsTimesInTheZoneThatIsShown(t *testing.T) {
	b := openTab(t)
	call(b, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Europe/Berlin"})
	b.arrive()
	b.module("time")
	for _, c := range []struct{ typed, from, to string }{
		{"2026-11-01", "2026-11-01T00:00:00.000+01:00", "2026-11-01T23:59:59.999+01:00"},
		{"2026-03-29", "2026-03-29T00:00:00.000+01:00", "2026-03-29T23:59:59.999+02:00"}, // has 23 hours
		{"2026-11", "2026-11-01T00:00:00.000+01:00", "2026-11-30T23:59:59.999+01:00"},
		{"2026-W01", "2025-12-29T00:00:00.000+01:00", "2026-01-04T23:59:59.999+01:00"},
		{"2026-07-01T10", "2026-07-01T10+02:00", "2026-07-01T10+02:00"},
		{"2026-11-01T10:30", "2026-11-01T10:30+01:00", "2026-11-01T10:30+01:00"},
		{"2026-11-01T10:30:05.123", "2026-11-01T10:30:05.123+01:00", "2026-11-01T10:30:05.123+01:00"},
		{"2026-11-01T10:30Z", "2026-11-01T10:30Z", "2026-11-01T10:30Z"},
		{"2026-11-01T10:30-05:00", "2026-11-01T10:30-05:00", "2026-11-01T10:30-05:00"},
		{"now-2h", "now-2h", "now-2h"},
		{"1786331570", "1786331570", "1786331570"},
		{"", "", ""},
		{"yesterday", "yesterday", "yesterday"},
	} {
		got := ask[[3]string](b, c.typed, `[modules.time.inZone(x, 'local', false), modules.time.inZone(x, 'local', true),
			modules.time.inZone(x, 'utc', true)]`)
		if got != [3]string{c.from, c.to, c.typed} {
			t.Errorf("%s is read as %q", c.typed, got)
		}
	}
	b.open("/?zone=local&from=now-7d&to=now-1d")
	b.settled()
	if got := b.value(`document.querySelector('.range form').title`); !strings.Contains(got, "Europe/Berlin") {
		t.Errorf("the range does not say in which zone it is: %s", got)
	}
	b.set(`.range input`, "2026-11-01T10:30")
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector('.range form button').click(); undefined`))
	b.until(`new URLSearchParams(location.search).get('from') === '2026-11-01T10:30+01:00'`)
}
