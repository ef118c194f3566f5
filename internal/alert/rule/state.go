package rule

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// State is the memory of a rule: the counts of its events, and its alerts. It is a document, at most some 6 MB long.
// Times are milliseconds since 1970.
type State struct {
	Since  time.Time         `json:"since"`          // that of the rule
	Next   map[string]int64  `json:"next"`           // by log, the first entry that was not counted
	Read   int64             `json:"read,omitempty"` // All that was sequenced before this moment was counted.
	Groups map[string]*group `json:"groups,omitempty"`
	Alerts []*Alert          `json:"alerts,omitempty"` // that last, or that somebody has still to be told of

	// Crowded is until when the rule counts less exactly than it says, since it had more to remember than it may.
	Crowded int64 `json:"crowded,omitempty"`
}

// NewState returns the state of a rule that has counted nothing.
func NewState(r *Rule) *State {
	return &State{Since: r.Since, Next: map[string]int64{}, Groups: map[string]*group{}}
}

// group has the counts of the events with the same values of the rule's fields.
type group struct {
	Steps  steps            `json:"steps"`
	Values map[string]steps `json:"values,omitempty"` // when each value of Distinct was there
	Last   int64            `json:"last,omitempty"`   // of an absence: the time of the last event
}

func (g *group) size() int {
	n := len(g.Steps)
	for _, s := range g.Values {
		n += len(s) + 1
	}
	return n
}

// Limits of a State.
const (
	maxGroups  = 10_000
	maxSteps   = 40_000 // of all groups
	maxActive  = 100    // alerts that last
	maxAlerts  = 300    // with those that somebody has still to be told of
	maxValues  = 64     // of a field in one event
	maxKeys    = 256    // groups of one event
	maxValue   = 200    // bytes; longer values are cut, and told apart by a digest
	expectedIn = 31 * day
)

// others is the group of events without a group of their own.
const others = ""

// Cause is the cause of an alert.
type Cause string

// The causes.
const (
	Fired   Cause = "rule"    // the rule fired
	Others  Cause = "others"  // the rule fired for the groups that are counted together
	More    Cause = "more"    // the rule fired for more groups than it has alerts
	Trouble Cause = "trouble" // the rule cannot be evaluated as it says
)

// Alert says that a rule fired.
type Alert struct {
	ID    string   `json:"id"`
	Cause Cause    `json:"cause"`
	Group []string `json:"group,omitempty"` // the values of the rule's fields, "" for one that is not there
	From  int64    `json:"from"`            // the time from which on the rule's count was reached; it may become earlier
	To    int64    `json:"to,omitempty"`    // the time up to which it is known to be reached
	Log   string   `json:"log,omitempty"`   // of the entry by which it fired
	Entry int64    `json:"entry,omitempty"`
	More  int      `json:"more,omitempty"` // how many alerts it stands for, of More
	Text  string   `json:"text,omitempty"` // what the trouble is

	Fired    int64 `json:"fired"`              // when it was noticed
	Touched  int64 `json:"touched"`            // when it last became longer
	Resolved int64 `json:"resolved,omitempty"` // when it was found to be over

	Said   int             `json:"said,omitempty"`   // how many of its two events were made: fired, resolved
	Events []string        `json:"events,omitempty"` // those that may not be in the project's log yet, in order
	Sent   map[string]Sent `json:"sent,omitempty"`   // by the id of a notifier
}

// Sent is the state of an alert's notifications to one notifier.
type Sent struct {
	Count int       `json:"count"` // how many were accepted: that it fired, and that it is over
	At    time.Time `json:"at"`    // when the last one was accepted, or failed
	Error string    `json:"error,omitempty"`
	Given bool      `json:"givenUp,omitempty"` // None is tried any more,
	Told  bool      `json:"told,omitempty"`    // and an event says so.
}

// Lasts tells whether the alert is not over.
func (a *Alert) Lasts() bool { return a.Resolved == 0 }

// Lasting returns the alerts that last.
func (s *State) Lasting() (all []*Alert) {
	for _, a := range s.Alerts {
		if a.Lasts() {
			all = append(all, a)
		}
	}
	return all
}

// idOf returns the id of an alert: the same on every node.
func idOf(r *Rule, cause Cause, key string, from int64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%d\n%s\n%d\n%s", r.ID, r.Since.UnixMilli(), cause, from, key))
	return hex.EncodeToString(sum[:12])
}

// keyOf returns the key of a group: its values as a JSON array.
func keyOf(values []string) string {
	if values == nil {
		values = []string{}
	}
	key, err := json.Marshal(values)
	if err != nil {
		return others // strings always can be written
	}
	return string(key)
}

// valuesOf returns the values of a group by its key.
func valuesOf(key string) (values []string) {
	if json.Unmarshal([]byte(key), &values) != nil {
		return nil
	}
	return values
}

// bounded returns a value, or a short form of it that is unique if it is long.
func bounded(value string) string {
	if len(value) > maxValue {
		sum := sha256.Sum256([]byte(value))
		value = value[:maxValue-20] + "…" + hex.EncodeToString(sum[:8])
	}
	return strings.ToValidUTF8(value, "�")
}

// fire adds an alert, unless there is one with its id.
func (s *State) fire(a *Alert) {
	if !slices.ContainsFunc(s.Alerts, func(have *Alert) bool { return have.ID == a.ID }) {
		s.Alerts = append(s.Alerts, a)
	}
}

// Trouble says that the rule cannot be evaluated as it says, and why. If the text is empty, it can.
func (s *State) Trouble(r *Rule, text string, now int64) {
	for _, a := range s.Alerts {
		if a.Cause != Trouble || !a.Lasts() {
			continue
		}
		if text == "" {
			a.Resolved = now
		} else {
			a.Text, a.Touched = text, now
		}
		return
	}
	if text != "" {
		s.fire(&Alert{ID: idOf(r, Trouble, "", now), Cause: Trouble, From: now, Fired: now, Touched: now, Text: text})
	}
}

// End ends all alerts, of a rule that looks for something no more.
func (s *State) End(now int64) {
	for _, a := range s.Lasting() {
		a.Resolved = now
	}
}

// Forget removes the alerts that are over and that done says nobody has to be told of any more.
func (s *State) Forget(done func(*Alert) bool) (forgotten bool) {
	before := len(s.Alerts)
	s.Alerts = slices.DeleteFunc(s.Alerts, func(a *Alert) bool { return !a.Lasts() && done(a) })
	return len(s.Alerts) < before
}
