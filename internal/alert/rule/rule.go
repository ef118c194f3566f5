// Package rule defines the rules of alerts, and evaluates them on events. It knows no storage.
//
// # Kinds
//
// A threshold fires when at least so many matching events (or different values of a field) lie within a length of
// time, by the clocks of the events. A new value fires when a matching event has a value that no other had for a length
// of time before it. An absence fires when fewer than so many matching events lie within a length of time up to now.
//
// # Evaluation
//
// All three count with one function of time for each group of events (see steps): an event counts from its time on for
// as long as the rule says. The function does not depend on the order in which events arrive, so late events count,
// and a rule that is evaluated again from an older State comes to the same. An alert is for a part of time where the
// function is at the rule's count: each such part has one alert, parts that are close to each other have one together.
//
// An event counts as if it had happened now if its time is in the future, and as if it had happened Late ago if it
// comes later than that.
package rule

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weirlog/weir/internal/query"
)

// Kind is the condition of a rule.
type Kind string

// The kinds.
const (
	Threshold Kind = "threshold"
	NewValue  Kind = "newValue"
	Absence   Kind = "absence"
)

// Log is a kind of log that a rule looks at.
type Log string

// The logs of a project.
const (
	AuditLog       Log = "audit"       // of each workspace
	OperationalLog Log = "operational" // of each workspace
	ProjectLog     Log = "project"     // the project's own log
)

// Definition defines a rule, as the owner of a project sets it up.
type Definition struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Severity    Severity `json:"severity,omitempty"`
	Disabled    bool     `json:"disabled,omitempty"`
	Kind        Kind     `json:"kind"`

	Query      string   `json:"query,omitempty"`      // in the query language, without times relative to now
	Logs       []Log    `json:"logs,omitempty"`       // If empty, all.
	Workspaces []string `json:"workspaces,omitempty"` // names; if empty, all
	Outside    string   `json:"outside,omitempty"`    // hours in which events do not count
	By         []string `json:"by,omitempty"`         // Each combination of values of these fields is a group of its own.

	Count    int      `json:"count,omitempty"`    // of a threshold: at least so many
	Distinct string   `json:"distinct,omitempty"` // of a threshold: values of this field are counted instead of events
	Within   Duration `json:"within,omitempty"`   // of a threshold and an absence

	Field      string   `json:"field,omitempty"`      // of a new value
	NotSeenFor Duration `json:"notSeenFor,omitempty"` // of a new value
	FewerThan  int      `json:"fewerThan,omitempty"`  // of an absence
	Delay      Duration `json:"delay,omitempty"`      // of an absence: how long events may take to arrive (5m)
	Notify     []string `json:"notify,omitempty"`     // names of notifiers; if empty, all of the project
}

// Severity says how bad it is when a rule fires.
type Severity string

// Severities are in ascending order. The default is medium.
var Severities = []Severity{"informational", "low", "medium", "high", "critical"}

// Rule is a rule of a project.
type Rule struct {
	Definition
	ID      string    `json:"id"`
	Created time.Time `json:"created"`

	// Since is when the rule was made, or last changed so that SameLook is false. Earlier events do not fire it, and a
	// State with another Since is not used.
	Since time.Time `json:"since"`

	// Deleted tells that only its alerts have still to be ended.
	Deleted bool `json:"deleted,omitempty"`
}

// Limits of a rule.
const (
	MaxCount   = 1000
	maxFields  = 3 // of By
	maxNames   = 100
	maxField   = 256 // bytes
	maxText    = 500 // characters of a description
	minWithin  = Duration(10 * time.Second)
	maxWithin  = Duration(31 * day)
	maxNotSeen = Duration(92 * day)
	maxDelay   = Duration(day)
)

// Late is how late an event may come and still count with those of its time.
const Late = 31 * day

// Problem says what is wrong with an attribute of a definition.
type Problem struct{ Field, Text string }

func (p *Problem) Error() string { return p.Field + ": " + p.Text }

// nameForm is the form of a rule's name, which is a part of paths and of headers of mails.
var nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$`)

// ValidName tells whether a text may be the name of a rule or a notifier.
// It has not the form of an id.
func ValidName(name string) bool { return nameForm.MatchString(name) && !idForm.MatchString(name) }

var idForm = regexp.MustCompile(`^[0-9a-f]{24}$`)

// NameRule says in words what ValidName wants.
const NameRule = "must have 1 to 64 lower-case letters, digits and dashes, with no dash at either end, and not be 24 " +
	"hexadecimal digits"

// ValidKey tells whether a text may be the id or the name of a rule or a notifier.
func ValidKey(text string) bool { return nameForm.MatchString(text) }

// Decode reads a definition from JSON. An attribute that no rule has is an error, since it may be one misspelt.
func Decode(data []byte) (Definition, error) {
	var d Definition
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		return d, fmt.Errorf("read a rule: %w", err)
	}
	if decoder.More() {
		return d, errors.New("read a rule: there is data after its end")
	}
	return d, nil
}

// Check returns the problems of a definition in the order of its attributes; none if it is valid.
func (d *Definition) Check() []Problem {
	var k checks
	k.check(ValidName(d.Name), "name", NameRule)
	k.check(utf8.RuneCountInString(d.Description) <= maxText && utf8.ValidString(d.Description), "description",
		fmt.Sprintf("must have at most %d characters", maxText))
	k.check(d.Severity == "" || slices.Contains(Severities, d.Severity), "severity", fmt.Sprint("must be one of ",
		Severities))
	if q, err := query.Parse(d.Query); err != nil {
		k.check(false, "query", err.Error())
	} else {
		k.check(q.Resolved(), "query", "must not have times that are relative to now")
	}
	for _, log := range d.Logs {
		k.check(slices.Contains([]Log{AuditLog, OperationalLog, ProjectLog}, log), "logs",
			"must be some of audit, operational and project")
	}
	k.names("workspaces", d.Workspaces)
	k.names("notify", d.Notify)
	if d.Outside != "" {
		_, err := parseHours(d.Outside)
		k.check(err == nil, "outside", errHours.Error())
	}
	k.check(len(d.By) <= maxFields, "by", fmt.Sprintf("must name at most %d fields", maxFields))
	for _, text := range d.By {
		k.fields("by", text)
	}
	d.checkKind(&k)
	return k
}

// checkKind checks the attributes that only some kinds have.
func (d *Definition) checkKind(k *checks) {
	within := func(name string, v, least, most Duration) {
		k.check(least <= v && v <= most, name, fmt.Sprintf("must be from %s to %s", least, most))
	}
	between := func(name string, n int) {
		k.check(1 <= n && n <= MaxCount, name, fmt.Sprintf("must be from 1 to %d", MaxCount))
	}
	of := map[string]bool{} // the attributes of this kind
	switch d.Kind {
	case Threshold:
		of["count"], of["within"], of["distinct"] = true, true, true
		between("count", d.Count)
		within("within", d.Within, minWithin, maxWithin)
		if d.Distinct != "" {
			k.fields("distinct", d.Distinct)
		}
	case NewValue:
		of["field"], of["notSeenFor"] = true, true
		k.fields("field", d.Field)
		within("notSeenFor", d.NotSeenFor, minWithin, maxNotSeen)
	case Absence:
		of["fewerThan"], of["within"], of["delay"] = true, true, true
		between("fewerThan", d.FewerThan)
		within("within", d.Within, minWithin, maxWithin)
		within("delay", d.Delay, 0, maxDelay)
	default:
		k.check(false, "kind", "must be threshold, newValue or absence")
		return
	}
	for _, a := range []struct {
		name  string
		given bool
	}{{"count", d.Count != 0}, {"within", d.Within != 0}, {"distinct", d.Distinct != ""}, {"field", d.Field != ""},
		{"notSeenFor", d.NotSeenFor != 0}, {"fewerThan", d.FewerThan != 0}, {"delay", d.Delay != 0}} {
		k.check(!a.given || of[a.name], a.name, fmt.Sprintf("cannot be given for a rule of kind %s", d.Kind))
	}
}

// checks collects problems.
type checks []Problem

func (k *checks) check(ok bool, field, text string) {
	if !ok {
		*k = append(*k, Problem{field, text})
	}
}

func (k *checks) names(field string, names []string) {
	k.check(len(names) <= maxNames, field, fmt.Sprintf("must have at most %d names", maxNames))
	for _, name := range names {
		k.check(0 < len(name) && len(name) <= 64, field, "must have names of 1 to 64 bytes")
	}
}

// fields checks fields of which the first that has a value counts.
func (k *checks) fields(name, text string) {
	if len(text) > maxField {
		k.check(false, name, fmt.Sprintf("must have at most %d bytes", maxField))
		return
	}
	_, err := parseFields(text)
	k.check(err == nil, name, fmt.Sprintf("must be a field, or fields with | between them: %v", err))
}

// parseFields reads fields of which the first that has a value counts.
func parseFields(text string) ([]query.Field, error) {
	var all []query.Field
	for one := range strings.SplitSeq(text, "|") {
		fields, err := query.ParseFields(strings.TrimSpace(one))
		if err != nil {
			return nil, err
		}
		if len(fields) != 1 {
			return nil, errors.New("it has a comma")
		}
		all = append(all, fields[0])
	}
	return all, nil
}

// SameLook tells whether two definitions look for the same. If not, the counts of one do not hold for the other.
func (d *Definition) SameLook(other *Definition) bool {
	a, b := *d, *other
	for _, x := range []*Definition{&a, &b} {
		x.Name, x.Description, x.Severity, x.Notify = "", "", "", nil
	}
	one, err := json.Marshal(a)
	two, err2 := json.Marshal(b)
	return err == nil && err2 == nil && string(one) == string(two)
}

// window returns for how long an event counts.
func (d *Definition) window() int64 {
	if d.Kind == NewValue {
		return d.NotSeenFor.ms()
	}
	return d.Within.ms()
}

// limit returns up to how many are counted.
func (d *Definition) limit() int {
	switch d.Kind {
	case NewValue:
		return 1
	case Absence:
		return d.FewerThan
	}
	return d.Count
}

// LooksAt tells whether a rule looks at a log of a kind. workspace is the name of the one that the log belongs to,
// empty for the project's own.
func (d *Definition) LooksAt(kind Log, workspace string) bool {
	return (len(d.Logs) == 0 || slices.Contains(d.Logs, kind)) &&
		(len(d.Workspaces) == 0 || slices.Contains(d.Workspaces, workspace))
}

// Start returns the time of the oldest events that a rule needs, in milliseconds since 1970: those from before it was
// made say what is not new.
func (r *Rule) Start() int64 { return r.Since.UnixMilli() - r.window() }
