package rule

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/weirlog/weir/internal/query"
)

// Evaluator evaluates a rule. It is not for concurrent use.
type Evaluator struct {
	Rule  *Rule
	State *State

	// Together returns how much all rules of the project remember, this one included. If nil, it is the only one.
	Together func() Use

	matcher *query.Matcher
	extract *query.Extract
	by      [][]int // of each field of By, and then the one that is looked at, the numbers of its fields in extract
	outside *hours  // if nil, events count at any hour
	size    int     // of all groups
}

// New returns the Evaluator of a rule that goes on with a state. It fails if the rule's definition is wrong.
func New(r *Rule, s *State) (*Evaluator, error) {
	if wrong := r.Check(); len(wrong) > 0 {
		return nil, &wrong[0]
	}
	e := &Evaluator{Rule: r, State: s}
	q, err := query.Parse(r.Query)
	if err == nil {
		e.matcher, err = query.Compile(q)
	}
	if err == nil && r.Outside != "" {
		e.outside, err = parseHours(r.Outside)
	}
	if err == nil {
		err = e.readFields()
	}
	for _, g := range s.Groups {
		e.size += g.size()
	}
	return e, err
}

func (e *Evaluator) readFields() error {
	var all []query.Field
	texts := slices.Clone(e.Rule.By)
	if looked := cmp.Or(e.Rule.Distinct, e.Rule.Field); looked != "" {
		texts = append(texts, looked)
	}
	for _, text := range texts {
		fields, err := parseFields(text)
		if err != nil {
			return err
		}
		var numbers []int
		for range fields {
			numbers = append(numbers, len(all)+len(numbers))
		}
		all, e.by = append(all, fields...), append(e.by, numbers)
	}
	e.extract = query.NewExtract(all...)
	return nil
}

// Event is an entry of a log.
type Event struct {
	Time  int64 // milliseconds since 1970
	Log   string
	Index int64
	Line  []byte
}

// Count counts an event, if the rule's query matches it. now is in milliseconds since 1970.
func (e *Evaluator) Count(x Event, now int64) error {
	if x.Time < e.Rule.Start() || e.outside != nil && e.outside.has(x.Time) || !e.matcher.Match(x.Line) {
		return nil
	}
	x.Time = min(max(x.Time, now-Late.Milliseconds()), now)
	if err := e.extract.Read(x.Line); err != nil {
		return fmt.Errorf("entry %d of log %s: %w", x.Index, x.Log, err)
	}
	var looked []string
	fields, whole := e.by, true
	switch {
	case e.Rule.Kind == NewValue:
		if v, _ := e.values(fields[len(fields)-1]); len(v) == 1 && v[0] == "" {
			return nil // the event has no value
		}
	case e.Rule.Distinct != "":
		looked, whole = e.values(fields[len(fields)-1])
		fields = fields[:len(fields)-1]
	}
	keys, all := e.keys(fields)
	if !whole || !all {
		e.crowded(now)
		keys = append(keys, others)
	}
	for _, key := range keys {
		e.count(key, looked, x, now)
	}
	return nil
}

// values returns the different values that an event has in the first of some fields that has one; "" if none has. It
// tells whether these are all.
func (e *Evaluator) values(fields []int) (values []string, all bool) {
	for _, field := range fields {
		for _, v := range e.extract.Values(field) {
			if text := bounded(v.Text); !slices.Contains(values, text) {
				if len(values) == maxValues {
					return values, false
				}
				values = append(values, text)
			}
		}
		if len(values) > 0 {
			return values, true
		}
	}
	return []string{""}, true
}

// keys returns the keys of the groups that an event belongs to, one for each combination of values, and tells whether
// these are all.
func (e *Evaluator) keys(fields [][]int) (keys []string, all bool) {
	combinations, all := [][]string{nil}, true
	for _, field := range fields {
		values, whole := e.values(field)
		var next [][]string
		for _, c := range combinations {
			for _, v := range values {
				if len(next) < maxKeys {
					next = append(next, append(slices.Clone(c), v))
				} else {
					whole = false
				}
			}
		}
		combinations, all = next, all && whole
	}
	for _, c := range combinations {
		keys = append(keys, keyOf(c))
	}
	return keys, all
}

// count counts an event in a group.
func (e *Evaluator) count(key string, values []string, x Event, now int64) {
	key, g := e.group(key, now)
	before := g.size()
	from, to := x.Time, x.Time+e.Rule.window()
	hold, limit := e.hold(), e.Rule.limit()
	old := g.Steps.touching(from-hold, to+hold, limit)
	var reached []span
	if e.Rule.Distinct == "" {
		reached = g.Steps.add(from, to, limit)
	}
	for _, v := range values {
		seen := g.Values[v]
		for _, part := range seen.add(from, to, 1) {
			reached = append(reached, g.Steps.add(part.from, part.to, limit)...)
		}
		if g.Values == nil {
			g.Values = map[string]steps{}
		}
		g.Values[v] = seen
	}
	g.Last = max(g.Last, x.Time)
	grown := g.size() - before
	e.size += grown
	if len(reached) > 0 && e.Rule.Kind != Absence {
		e.reach(key, old, reached, x, now)
	}
	if grown <= 0 {
		return
	}
	if _, steps := e.most(); e.size > steps {
		e.shrink(now)
	}
}

// reach notes that the count of a group is reached in new parts of time, beside the old ones. A part of time after the
// end of an alert has an alert of its own, however late it is reached.
func (e *Evaluator) reach(key string, old, reached []span, x Event, now int64) {
	part := reached[0]
	for _, r := range reached {
		part.from, part.to = min(part.from, r.from), max(part.to, r.to)
	}
	since, hold := e.Rule.Since.UnixMilli(), e.hold()
	near := func(from, to int64) bool { return from <= part.to+hold && to >= part.from-hold }
	if e.Rule.Kind == NewValue && (part.from < since || slices.ContainsFunc(old, func(o span) bool {
		return near(o.from, o.to)
	})) {
		return // It was no news when the rule was made, or is none now.
	}
	part.from = max(part.from, since)
	if part.to <= since {
		return
	}
	known := false
	for _, a := range e.State.Lasting() {
		if e.keyOfAlert(a) == key && near(a.From, a.To) {
			a.From, a.To, a.Touched, known = min(a.From, part.from), max(a.To, part.to), now, true
		}
	}
	if known {
		return
	}
	a := &Alert{ID: idOf(e.Rule, Fired, key, part.from), Cause: Fired, Group: valuesOf(key), From: part.from,
		To: part.to, Log: x.Log, Entry: x.Index, Fired: now, Touched: now}
	if key == others {
		a.Cause = Others
	}
	e.fire(a, now)
}

// keyOfAlert returns the key of the group that an alert is for; a text that is no key, if it is for none.
func (e *Evaluator) keyOfAlert(a *Alert) string {
	switch a.Cause {
	case Fired:
		return keyOf(a.Group)
	case Others:
		return others
	}
	return "none"
}

// fire adds an alert, or counts it with those that are too many.
func (e *Evaluator) fire(a *Alert, now int64) {
	s := e.State
	if len(s.Lasting()) < maxActive && len(s.Alerts) < maxAlerts {
		s.fire(a)
		return
	}
	for _, more := range s.Alerts {
		if more.Cause == More && more.Lasts() {
			more.More++
			more.To, more.Touched = max(more.To, a.To), now
			return
		}
	}
	if len(s.Alerts) < 2*maxAlerts {
		s.fire(&Alert{ID: idOf(e.Rule, More, "", a.From), Cause: More, From: a.From, To: a.To, Log: a.Log,
			Entry: a.Entry, More: 1, Fired: now, Touched: now})
		return
	}
	e.crowded(now)
}

// shortest is for how long an alert lasts at least.
const shortest = 5 * time.Minute

// newValueLasts is for how long an alert of a new value lasts.
const newValueLasts = time.Hour

// hold returns how close to each other the parts of time are that have one alert together.
func (e *Evaluator) hold() int64 {
	if e.Rule.Kind == NewValue {
		return 0
	}
	return max(e.Rule.window(), shortest.Milliseconds())
}

// over tells whether an alert is over.
func (e *Evaluator) over(a *Alert, now int64) bool {
	switch {
	case a.Cause == Trouble:
		return false // see State.Trouble
	case a.Cause == More:
		return now-a.Touched >= max(e.hold(), newValueLasts.Milliseconds())
	case e.Rule.Kind == NewValue:
		return now-a.Fired >= newValueLasts.Milliseconds()
	}
	return now-max(a.To, a.Touched) >= e.hold()
}

// Tick looks at the time, in milliseconds since 1970: alerts come to their end, and absences are noticed. It is to be
// called now and then.
func (e *Evaluator) Tick(now int64) {
	if e.Rule.Kind == Absence {
		e.lookForAbsence(now)
	} else {
		for _, a := range e.State.Lasting() {
			if e.over(a, now) {
				a.Resolved = now
			}
		}
	}
	e.forget(now)
}

// lookForAbsence notices which groups had too few events up to the last moment of which all events should have come.
func (e *Evaluator) lookForAbsence(now int64) {
	delay := e.Rule.Delay.ms()
	if delay == 0 {
		delay = shortest.Milliseconds()
	}
	at := e.State.Read - delay
	if len(e.Rule.By) == 0 {
		e.group(keyOf(nil), now) // is expected even if it never was
	}
	for _, key := range slices.Sorted(maps.Keys(e.State.Groups)) {
		g := e.State.Groups[key]
		var lasting *Alert
		for _, a := range e.State.Lasting() {
			if e.keyOfAlert(a) == key {
				lasting = a
			}
		}
		absent := g.Steps.at(at) < e.Rule.FewerThan && at >= e.Rule.Since.UnixMilli()+e.Rule.window()
		switch {
		case lasting != nil && !absent:
			lasting.Resolved = now
		case lasting != nil:
			lasting.To, lasting.Touched = at, now
		case absent:
			since, ok := g.Steps.below(e.Rule.FewerThan, at)
			if !ok {
				since = e.Rule.Since.UnixMilli() + e.Rule.window()
			}
			e.fire(&Alert{ID: idOf(e.Rule, Fired, key, since), Cause: Fired, Group: valuesOf(key), From: since, To: at,
				Entry: -1, Fired: now, Touched: now}, now)
		}
	}
	for _, a := range e.State.Lasting() {
		_, there := e.State.Groups[e.keyOfAlert(a)]
		if a.Cause == Fired && !there || a.Cause == More && e.over(a, now) {
			a.Resolved = now
		}
	}
}

// forget removes the counts that cannot matter for an event that still comes in time.
func (e *Evaluator) forget(now int64) {
	if now < e.State.Crowded {
		e.forgetBefore(e.soonest(now))
		return
	}
	e.State.Crowded = 0
	e.forgetBefore(now - Late.Milliseconds() - e.hold())
}

// soonest returns the time before which nothing counts for events that come in time.
func (e *Evaluator) soonest(now int64) int64 {
	return now - e.Rule.window() - e.hold() - e.Rule.Delay.ms()
}

func (e *Evaluator) forgetBefore(before int64) {
	e.size = 0
	for key, g := range e.State.Groups {
		g.Steps.forget(before)
		for v, s := range g.Values {
			if s.forget(before); len(s) == 0 {
				delete(g.Values, v)
			} else {
				g.Values[v] = s
			}
		}
		expected := e.Rule.Kind == Absence && g.Last >= before-expectedIn.Milliseconds()
		if len(g.Steps) == 0 && len(g.Values) == 0 && !expected {
			delete(e.State.Groups, key)
		}
		e.size += g.size()
	}
}

// crowdedFor is for how long the rule remembers less after it had too much to remember.
const crowdedFor = time.Hour

// crowded notes that the rule counts less exactly than it says.
func (e *Evaluator) crowded(now int64) { e.State.Crowded = now + crowdedFor.Milliseconds() }

// group returns the group of a key, which is others if there are too many.
func (e *Evaluator) group(key string, now int64) (string, *group) {
	groups := e.State.Groups
	if g := groups[key]; g != nil {
		return key, g
	}
	most, _ := e.most()
	if len(groups) >= most && !(e.Rule.Kind == Absence && now < e.State.Crowded) {
		e.shrink(now)
	}
	if g := groups[others]; g != nil && e.Rule.Kind == Threshold {
		return others, g // the key's earlier events may have been counted there
	}
	g := &group{}
	if len(groups) >= most {
		return key, g // of an absence: it is not expected to be seen again
	}
	groups[key] = g
	return key, g
}

// shrink makes room: the rule does not wait for late events any more, and if that is not enough, counts groups
// together, so that it fires too early rather than too late. Of a new value it forgets the values that were seen the
// longest time ago, so that they are new again.
func (e *Evaluator) shrink(now int64) {
	e.crowded(now)
	e.forgetBefore(e.soonest(now))
	groups := e.State.Groups
	mostGroups, mostSteps := e.most()
	if e.size <= mostSteps && (len(groups) < mostGroups || e.Rule.Kind == Absence) {
		return
	}
	keys := slices.Collect(maps.Keys(groups))
	if e.Rule.Kind != NewValue {
		slices.SortFunc(keys, func(a, b string) int {
			return cmp.Or(cmp.Compare(groups[b].size(), groups[a].size()), cmp.Compare(a, b))
		})
	} else {
		slices.SortFunc(keys, func(a, b string) int {
			return cmp.Or(cmp.Compare(groups[a].Steps.end(), groups[b].Steps.end()), cmp.Compare(a, b))
		})
	}
	for _, key := range keys {
		if len(groups) <= mostGroups*9/10 && e.size <= mostSteps*9/10 {
			return
		}
		if key != others {
			e.drop(key, now)
		}
	}
	if together := groups[others]; together != nil && e.size > mostSteps*9/10 {
		e.size -= together.size()
		together.Values = nil // The same value counts again.
		e.size += together.size()
	}
}

// drop removes a group. If the rule is a threshold, its count is added to the group others.
func (e *Evaluator) drop(key string, now int64) {
	g := e.State.Groups[key]
	e.size -= g.size()
	delete(e.State.Groups, key)
	if e.Rule.Kind != Threshold || len(g.Steps) == 0 {
		return
	}
	together := e.State.Groups[others]
	if together == nil {
		together = &group{}
		e.State.Groups[others] = together
	}
	before, limit := together.size(), e.Rule.limit()
	old := together.Steps.touching(g.Steps[0].at-e.hold(), g.Steps.end()+e.hold(), limit)
	var reached []span
	for i, s := range g.Steps {
		for range s.value {
			reached = append(reached, together.Steps.add(s.at, g.Steps[i+1].at, limit)...)
		}
	}
	e.size += together.size() - before
	if len(reached) > 0 {
		e.reach(others, old, reached, Event{Index: -1}, now)
	}
}
