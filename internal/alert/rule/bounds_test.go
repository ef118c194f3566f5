package rule

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func ruleOf(d Definition) *Rule { return &Rule{Definition: d, ID: "r", Since: start} }

// many counts events of many groups, each once, and then one group's until it has fired.
func many(t *testing.T, e *Evaluator, groups, each int) (seconds int64) {
	t.Helper()
	for i := range groups {
		for range each {
			seconds++
			o := occurrence{at(seconds), fmt.Sprint("g", i), fmt.Sprint("v", seconds)}
			if err := e.Count(o.event(seconds), at(seconds)); err != nil {
				t.Fatal(err)
			}
			if e.size > maxSteps || len(e.State.Groups) > maxGroups {
				t.Fatalf("%d groups with %d steps", len(e.State.Groups), e.size)
			}
		}
	}
	return seconds
}

func has(s *State, cause Cause) bool {
	return slices.ContainsFunc(s.Alerts, func(a *Alert) bool { return a.Cause == cause })
}

// With more groups than a rule remembers it stays small, says so, and fires rather too early than too late.
func TestTooManyGroupsAreCountedTogether(t *testing.T) {
	r := ruleOf(Definition{Name: "r", Kind: Threshold, Count: 5, Within: Duration(20 * day), By: []string{"who"}})
	e := evaluator(t, r, NewState(r))
	seconds := many(t, e, maxGroups+2000, 1)
	if !has(e.State, Others) || e.State.Crowded == 0 {
		t.Errorf("crowded %d, alerts %+v", e.State.Crowded, e.State.Alerts)
	}
	data := mustMarshal(t, e.State)
	if len(data) > 6<<20 {
		t.Errorf("the state has %d bytes", len(data))
	}
	e.Tick(at(seconds) + 40*day.Milliseconds())
	e.Tick(at(seconds) + 90*day.Milliseconds())
	if e.State.Crowded != 0 || len(e.State.Groups) > 0 || e.size != 0 {
		t.Errorf("after all is over: crowded %d, %d groups, %d steps", e.State.Crowded, len(e.State.Groups), e.size)
	}
}

// A group that was there before others were counted together still fires, by itself or with them.
func TestNoGroupIsMissedAmongTooMany(t *testing.T) {
	seeds := uint64(3)
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(seed, 4))
		r := ruleOf(Definition{Name: "r", Kind: Threshold, Count: 3, Within: Duration(20 * day), By: []string{"who"}})
		e := evaluator(t, r, NewState(r))
		hidden := map[int]bool{0: true, maxGroups/2 + rnd.IntN(1000): true, maxGroups + rnd.IntN(1000): true}
		for i := range maxGroups + 2000 {
			who := fmt.Sprint("g", i)
			if hidden[i] {
				who = "needle"
			}
			if err := e.Count(occurrence{at(int64(i)), who, "v"}.event(int64(i)), at(int64(i))); err != nil {
				t.Fatal(err)
			}
		}
		if !has(e.State, Others) && !has(e.State, Fired) {
			t.Errorf("seed %d: nothing has fired", seed)
		}
	}
}

func TestTooManyPointsInTimeAreBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	for name, d := range map[string]Definition{
		"events":   {Name: "r", Kind: Threshold, Count: 1000, Within: Duration(20 * day), By: []string{"who"}},
		"values":   {Name: "r", Kind: Threshold, Count: 1000, Within: Duration(20 * day), Distinct: "from"},
		"absence":  {Name: "r", Kind: Absence, FewerThan: 1000, Within: Duration(20 * day), By: []string{"who"}},
		"newValue": {Name: "r", Kind: NewValue, Field: "from", NotSeenFor: Duration(20 * day)},
	} {
		r := ruleOf(d)
		e := evaluator(t, r, NewState(r))
		many(t, e, 44, 500)
		if name != "absence" && name != "events" && e.State.Crowded == 0 {
			t.Errorf("%s: not crowded, %d steps", name, e.size)
		}
	}
}

// A rule of new values remembers those that were seen last, so that one that comes each day is never new.
func TestValuesThatAreUsedAreRemembered(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	r := ruleOf(Definition{Name: "r", Kind: NewValue, Field: "who", NotSeenFor: Duration(30 * day)})
	e := evaluator(t, r, NewState(r))
	count := func(i int, who string) {
		t.Helper()
		if err := e.Count(occurrence{at(int64(i)), who, "v"}.event(int64(i)), at(int64(i))); err != nil {
			t.Fatal(err)
		}
	}
	count(0, "anna")
	if len(e.State.Alerts) != 1 {
		t.Fatalf("%d alerts", len(e.State.Alerts))
	}
	for i := range 2 * maxGroups {
		count(i+1, fmt.Sprint("stranger", i))
		if i%100 == 0 {
			count(i+1, "anna")
		}
	}
	for _, a := range e.State.Alerts[1:] {
		if slices.Contains(a.Group, "anna") {
			t.Error("anna is new again")
		}
	}
	if !has(e.State, More) || len(e.State.Lasting()) > maxActive+1 || e.State.Crowded == 0 {
		t.Errorf("%d alerts last, crowded %d", len(e.State.Lasting()), e.State.Crowded)
	}
}

// An event with many values, or long ones, costs little and is missed by no group that counts.
func TestEventsWithManyValues(t *testing.T) {
	r := ruleOf(Definition{Name: "r", Kind: Threshold, Count: 1, Within: Duration(time.Hour),
		By: []string{"resources.name", "resources.uid"}})
	e := evaluator(t, r, NewState(r))
	var resources []string
	for i := range 1000 {
		resources = append(resources, fmt.Sprintf(`{"name":%q,"uid":"u%d"}`, strings.Repeat("ä", 5000)+fmt.Sprint(i), i))
	}
	line := fmt.Sprintf(`{"time":%d,"resources":[%s]}`, at(1), strings.Join(resources, ","))
	if err := e.Count(Event{Time: at(1), Log: "l", Line: []byte(line)}, at(1)); err != nil {
		t.Fatal(err)
	}
	if len(e.State.Groups) > maxKeys+1 || e.State.Crowded == 0 || !has(e.State, More) {
		t.Errorf("%d groups, crowded %d", len(e.State.Groups), e.State.Crowded)
	}
	if data := mustMarshal(t, e.State); len(data) > 1<<20 {
		t.Errorf("the state has %d bytes", len(data))
	}
}

// An event from the far future, or the far past, does not change what others count for.
func TestStrangeClocksDoNoHarm(t *testing.T) {
	r := ruleOf(Definition{Name: "r", Kind: Threshold, Count: 3, Within: Duration(time.Hour)})
	e := evaluator(t, r, NewState(r))
	for i, time := range []int64{1 << 60, at(-7200), -1 << 60, at(10), at(20)} {
		if err := e.Count(occurrence{time, "a", "v"}.event(int64(i)), at(30)); err != nil {
			t.Fatal(err)
		}
	}
	if len(e.State.Alerts) != 1 || e.State.Alerts[0].From != at(30) {
		t.Errorf("%s", mustMarshal(t, e.State.Alerts))
	}
}

func TestHoursAreReadInTheirZone(t *testing.T) {
	for text, times := range map[string]map[string]bool{
		"Mon-Fri 08:00-18:00 Europe/Berlin": {"2026-11-02T07:00:00Z": true, "2026-11-02T06:59:00Z": false,
			"2026-11-02T16:59:59Z": true, "2026-11-02T17:00:00Z": false, "2026-11-07T10:00:00Z": false,
			"2026-07-06T06:00:00Z": true},
		"Sat-Mon,wed 00:00-24:00 UTC": {"2026-11-01T23:59:59Z": true, "2026-11-03T00:00:00Z": false,
			"2026-11-04T12:00:00Z": true},
	} {
		h, err := parseHours(text)
		if err != nil {
			t.Fatal(err)
		}
		for moment, want := range times {
			when, err := time.Parse(time.RFC3339, moment)
			if err != nil || h.has(when.UnixMilli()) != want {
				t.Errorf("%s has %s: %v, %v", text, moment, !want, err)
			}
		}
	}
	for _, text := range []string{"", "Mon", "Mon 08:00-18:00", "Mon 8:00-18:00 UTC", "Mon 18:00-08:00 UTC",
		"Mon 08:00-18:00 Local", "Mon 08:00-18:00 ../../etc/passwd", "Day 08:00-18:00 UTC", "Mon 08:00-25:00 UTC"} {
		if _, err := parseHours(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{"10s": 10 * time.Second, "90m": 90 * time.Minute,
		"1w": 7 * day, "30d": 30 * day, "0s": 0} {
		d, err := ParseDuration(text)
		again, err2 := ParseDuration(d.String())
		if err != nil || err2 != nil || time.Duration(d) != want || again != d {
			t.Errorf("%s: %v, %v, %v", text, d, err, err2)
		}
	}
	for _, text := range []string{"", "s", "10", "-1s", "1.5h", "1 h", "1y", "999999s", "+1s"} {
		if _, err := ParseDuration(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// Whatever a definition says, it is refused or can be evaluated.
func FuzzDefinition(f *testing.F) {
	f.Add([]byte(`{"name":"x","kind":"threshold","query":"who:a*","count":5,"within":"10m","by":["from|who"],` +
		`"distinct":"target","outside":"Mon-Fri 08:00-18:00 UTC"}`))
	f.Add([]byte(`{"name":"x","kind":"newValue","field":"unmapped.\"a b\"","notSeenFor":"30d"}`))
	f.Add([]byte(`{"name":"x","kind":"absence","fewerThan":1,"within":"1h","delay":"1m"}`))
	line := occurrence{at(1), "a", "v"}.event(1)
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Decode(data)
		if err != nil || len(d.Check()) > 0 {
			return
		}
		r := ruleOf(d)
		e, err := New(r, NewState(r))
		if err != nil {
			t.Fatalf("%s is right, and cannot be evaluated: %v", data, err)
		}
		if err := e.Count(line, at(2)); err != nil {
			t.Fatal(err)
		}
		e.State.Read = at(1e6)
		e.Tick(at(1e6))
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Decode(text); err != nil || !again.SameLook(&d) {
			t.Errorf("%s becomes %s: %v", data, text, err)
		}
	})
}

// The rules of a project have room together. One that remembers little has its part, whatever the others have taken;
// what is beyond is counted together, which is said, and no group is missed.
func TestRulesOfAProjectHaveRoomTogether(t *testing.T) {
	var all []*Evaluator
	together := func() (u Use) {
		for _, e := range all {
			u = u.Add(e.Use())
		}
		return u
	}
	for range 20 {
		r := ruleOf(Definition{Name: "r", Kind: Threshold, Count: 5, Within: Duration(20 * day), By: []string{"who"}})
		e := evaluator(t, r, NewState(r))
		e.Together = together
		all = append(all, e)
	}
	for _, e := range all[:19] {
		many(t, e, maxGroups, 1)
	}
	if u := together(); u.Groups > 2*groupsTogether || u.Steps > 2*stepsTogether {
		t.Errorf("together %+v", u)
	}
	last := all[19]
	for i := range groupsTogether / len(all) {
		o := occurrence{at(int64(i)), fmt.Sprint("g", i), "v"}
		if err := last.Count(o.event(int64(i)), at(int64(i))); err != nil {
			t.Fatal(err)
		}
	}
	if last.State.Crowded != 0 || len(last.State.Groups) != groupsTogether/len(all) {
		t.Errorf("the last rule has %d groups, crowded %d", len(last.State.Groups), last.State.Crowded)
	}
	crowded := 0
	for _, e := range all[:19] {
		if e.State.Crowded > 0 {
			crowded++
			if !has(e.State, Others) {
				t.Error("a rule that counts groups together has not fired for them")
			}
		}
	}
	if crowded == 0 {
		t.Error("no rule says that it counts less exactly")
	}
}
