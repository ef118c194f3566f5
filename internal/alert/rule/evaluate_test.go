package rule

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// start is when the rules of the tests were made.
var start = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

// at returns so many seconds after start, in milliseconds since 1970.
func at(seconds int64) int64 { return start.UnixMilli() + 1000*seconds }

// occurrence is an event of the tests.
type occurrence struct {
	time         int64
	group, value string
}

func (o occurrence) event(index int64) Event {
	return Event{Time: o.time, Log: "l", Index: index, Line: fmt.Appendf(nil,
		`{"time":%d,"actor":{"user":{"name":%q}},"src_endpoint":{"ip":%q},"status_id":2}`, o.time, o.group, o.value)}
}

// oracle fires by definition: it counts all events anew whenever one comes.
type oracle struct {
	rule  *Rule
	seen  map[string][]occurrence
	fired map[string]bool // ids
}

// parts returns when the rule's count is reached by some events.
func (o *oracle) parts(events []occurrence) (parts []span) {
	window := o.rule.window()
	var times []int64
	for _, e := range events {
		times = append(times, e.time, e.time+window)
	}
	slices.Sort(times)
	for i := 0; i+1 < len(times); i++ {
		count, values := 0, map[string]bool{}
		for _, e := range events {
			if e.time <= times[i] && times[i] < e.time+window {
				count++
				values[e.value] = true
			}
		}
		if o.rule.Distinct != "" {
			count = len(values)
		}
		if count < o.rule.limit() || times[i] == times[i+1] {
			continue
		}
		if n := len(parts); n > 0 && parts[n-1].to == times[i] {
			parts[n-1].to = times[i+1]
		} else {
			parts = append(parts, span{times[i], times[i+1]})
		}
	}
	return parts
}

// grown returns the hull of what of parts is not in old; false if there is nothing.
func grown(old, parts []span) (hull span, any bool) {
	var times []int64
	for _, s := range slices.Concat(old, parts) {
		times = append(times, s.from, s.to)
	}
	slices.Sort(times)
	in := func(all []span, time int64) bool {
		return slices.ContainsFunc(all, func(s span) bool { return s.from <= time && time < s.to })
	}
	for i := 0; i+1 < len(times); i++ {
		if times[i] == times[i+1] || in(old, times[i]) || !in(parts, times[i]) {
			continue
		}
		if !any {
			hull.from, any = times[i], true
		}
		hull.to = times[i+1]
	}
	return hull, any
}

func (o *oracle) count(e occurrence) {
	key := e.group
	if o.rule.Kind == NewValue {
		key += "\x00" + e.value
	}
	old := o.parts(o.seen[key])
	o.seen[key] = append(o.seen[key], e)
	hull, any := grown(old, o.parts(o.seen[key]))
	since, hold := o.rule.Since.UnixMilli(), max(o.rule.window(), (5*time.Minute).Milliseconds())
	if o.rule.Kind == NewValue {
		hold = 0
		if any = any && hull.from >= since; !any {
			return
		}
	}
	hull.from = max(hull.from, since)
	if !any || hull.to <= since {
		return
	}
	for _, s := range old {
		if s.to > since && s.from <= hull.to+hold && s.to >= hull.from-hold {
			return
		}
	}
	o.fired[idOf(o.rule, Fired, keyOf(strings.Split(key, "\x00")), hull.from)] = true
}

// randomRule returns a threshold or a rule for new values.
func randomRule(rnd *rand.Rand) *Rule {
	d := Definition{Name: "r", Kind: Threshold, Count: 1 + rnd.IntN(4), By: []string{"actor.user.name"},
		Within: Duration(time.Duration(10+rnd.IntN(600)) * time.Second), Query: "status_id:2"}
	switch rnd.IntN(3) {
	case 0:
		d.Distinct = "src_endpoint.ip"
	case 1:
		d.Kind, d.Count, d.NotSeenFor, d.Within, d.Field = NewValue, 0, d.Within, 0, "src_endpoint.ip"
	}
	return &Rule{Definition: d, ID: fmt.Sprint(rnd.Uint64()), Since: start}
}

// randomEvents returns events in the order in which they come, many of them late.
func randomEvents(rnd *rand.Rand, n int) (all []occurrence) {
	now := int64(-300)
	for range n {
		now += rnd.Int64N(200)
		time := now
		if rnd.IntN(3) == 0 {
			time -= rnd.Int64N(3000)
		}
		all = append(all, occurrence{at(time), string('a' + rune(rnd.IntN(2))), string('x' + rune(rnd.IntN(3)))})
	}
	return all
}

// play counts events. It goes back to a state that was kept, as a crash does, and counts again what came since.
func play(t *testing.T, r *Rule, events []occurrence, now int64, rnd *rand.Rand) *Evaluator {
	t.Helper()
	e := evaluator(t, r, NewState(r))
	kept, next := mustMarshal(t, e.State), 0
	for i := 0; i < len(events); i++ {
		if err := e.Count(events[i].event(int64(i)), now); err != nil {
			t.Fatal(err)
		}
		switch rnd.IntN(8) {
		case 0:
			kept, next = mustMarshal(t, e.State), i+1
		case 1:
			s := NewState(r)
			if err := json.Unmarshal(kept, s); err != nil {
				t.Fatal(err)
			}
			e, i = evaluator(t, r, s), next-1
		case 2:
			e.forget(now)
		}
	}
	return e
}

func evaluator(t *testing.T, r *Rule, s *State) *Evaluator {
	t.Helper()
	e, err := New(r, s)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func mustMarshal(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A rule fires exactly when its definition says, whatever order events come in, and however often a crash makes it
// count again.
func TestRulesFireByDefinition(t *testing.T) {
	runs := uint64(3000)
	if testing.Short() {
		runs = 150
	}
	total := 0
	for seed := range runs {
		rnd := rand.New(rand.NewPCG(seed, 2))
		r := randomRule(rnd)
		events := randomEvents(rnd, 2+rnd.IntN(40))
		o := &oracle{rule: r, seen: map[string][]occurrence{}, fired: map[string]bool{}}
		for _, e := range events {
			if e.time >= r.Start() {
				o.count(e)
			}
		}
		e := play(t, r, events, at(24*3600), rnd)
		got := map[string]bool{}
		for _, a := range e.State.Alerts {
			got[a.ID] = true
		}
		if !maps.Equal(got, o.fired) {
			t.Fatalf("seed %d: rule %+v\nevents %v\nalerts %s\nwant %v", seed, r.Definition, events,
				mustMarshal(t, e.State.Alerts), o.fired)
		}
		total += len(got)
	}
	if total < int(runs) {
		t.Errorf("%d alerts in %d runs: the events fire too little to show anything", total, runs)
	}
}
