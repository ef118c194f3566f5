package rule

import (
	"fmt"
	"slices"
	"strings"
)

// Number returns the severity by OCSF's numbers: 1 (informational) to 5 (critical).
func (s Severity) Number() int {
	if i := slices.Index(Severities, s); i >= 0 {
		return i + 1
	}
	return 3
}

// Text returns the severity's name.
func (s Severity) Text() string { return string(Severities[s.Number()-1]) }

// Fields returns the fields whose values tell the groups of a rule apart.
func (d *Definition) Fields() []string {
	if d.Kind == NewValue {
		return append(slices.Clone(d.By), d.Field)
	}
	return d.By
}

// GroupOf returns the fields that an alert is for, and their values.
func (d *Definition) GroupOf(a *Alert) map[string]string {
	group := map[string]string{}
	for i, field := range d.Fields() {
		if i < len(a.Group) {
			group[field] = a.Group[i]
		}
	}
	return group
}

// Text returns in words why an alert fired.
func (d *Definition) Text(a *Alert) string {
	switch a.Cause {
	case Trouble:
		return "The rule " + d.Name + " cannot be evaluated as it says: " + a.Text
	case More:
		return fmt.Sprintf("The rule %s fires for more groups than it has alerts: for %d since the first of them", d.Name,
			a.More)
	}
	var of string
	switch d.Kind {
	case NewValue:
		of = "an event has a value that was not seen for " + d.NotSeenFor.String()
	case Absence:
		of = fmt.Sprintf("fewer than %s within %s", number(d.FewerThan, "event"), d.Within)
	default:
		of = fmt.Sprintf("at least %s within %s", number(d.Count, "event"), d.Within)
		if d.Distinct != "" {
			of = fmt.Sprintf("events with at least %s of %s within %s", number(d.Count, "value"), d.Distinct, d.Within)
		}
	}
	text := "The rule " + d.Name + " fires: " + of
	if a.Cause == Others {
		return text + ", for groups that are counted together"
	}
	var values []string
	for i, field := range d.Fields() {
		if i < len(a.Group) {
			values = append(values, fmt.Sprintf("%s %q", field, a.Group[i]))
		}
	}
	if len(values) > 0 {
		text += "; " + strings.Join(values, ", ")
	}
	return text
}

func number(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprint(n, " ", of, "s")
}
