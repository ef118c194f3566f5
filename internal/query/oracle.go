package query

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"strings"
	"time"
)

// errUnresolved is returned for a query with times relative to now.
var errUnresolved = errors.New("the query has times relative to now: call Resolve first")

// Match tells whether the query matches the event on a line. It returns an error if the line is not a JSON object, or
// if the query has relative times. Match defines the meaning of queries, and is slow. A Matcher is fast.
func (q *Query) Match(line []byte) (bool, error) {
	if !q.resolved() {
		return false, errUnresolved
	}
	event, err := parseObject(line)
	if err != nil {
		return false, fmt.Errorf("match an event: %w", err)
	}
	return matchNode(q.Root, event), nil
}

// A value of an event is an object, an array ([]any), a string, a json.Number, a bool or nil. Members are in the order
// of the line. If a name occurs twice, both members count.
type (
	object []member
	member struct {
		name  string
		value any
	}
)

func parseObject(line []byte) (object, error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	value, err := parseValue(d)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is data after the event")
	}
	event, ok := value.(object)
	if !ok {
		return nil, errors.New("an event is a JSON object")
	}
	return event, nil
}

func parseValue(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		o := object{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			value, err := parseValue(d)
			if err != nil {
				return nil, err
			}
			o = append(o, member{name.(string), value})
		}
		_, err = d.Token()
		return o, err
	case json.Delim('['):
		a := []any{}
		for d.More() {
			value, err := parseValue(d)
			if err != nil {
				return nil, err
			}
			a = append(a, value)
		}
		_, err = d.Token()
		return a, err
	}
	return token, nil
}

func matchNode(n Node, event object) bool {
	switch n := n.(type) {
	case And:
		for _, n := range n {
			if !matchNode(n, event) {
				return false
			}
		}
		return true
	case Or:
		for _, n := range n {
			if matchNode(n, event) {
				return true
			}
		}
		return false
	case Not:
		return !matchNode(n.Node, event)
	case Term:
		for _, v := range valuesOf(n.Field, event) {
			if matchValue(n, v) {
				return true
			}
		}
		return false
	}
	return true // All
}

// valuesOf returns the values that a term compares.
func valuesOf(f Field, event object) []any {
	switch {
	case f == "":
		return scalars(event)
	case f.Alias():
		var values []any
		for _, s := range derive(event)[string(f)] {
			values = append(values, s.value())
		}
		return values
	}
	return at(event, f.Names())
}

func (s Scalar) value() any {
	switch s.Kind {
	case Number:
		return json.Number(s.Text)
	case Bool:
		return s.Text == "true"
	}
	return s.Text
}

// scalars returns the strings, numbers and booleans of a value.
func scalars(value any) (all []any) {
	switch v := value.(type) {
	case nil:
		return nil
	case object:
		for _, m := range v {
			all = append(all, scalars(m.value)...)
		}
		return all
	case []any:
		for _, element := range v {
			all = append(all, scalars(element)...)
		}
		return all
	}
	return []any{value}
}

// at returns the values at a path, without arrays and nil.
func at(value any, path []string) (all []any) {
	switch v := value.(type) {
	case nil:
		return nil
	case []any:
		for _, element := range v {
			all = append(all, at(element, path)...)
		}
		return all
	case object:
		if len(path) == 0 {
			break
		}
		for _, m := range v {
			if m.name == path[0] {
				all = append(all, at(m.value, path[1:])...)
			}
		}
		return all
	}
	if len(path) > 0 {
		return nil
	}
	return []any{value}
}

// derive returns the values of the aliases.
func derive(event object) map[string][]Scalar {
	derived := map[string][]Scalar{}
	get := func(alias, n int) (values []Scalar) {
		for _, v := range at(event, aliasSources[alias][n].path) {
			switch v := v.(type) {
			case string:
				if v != "" {
					values = append(values, Scalar{String, v})
				}
			case json.Number:
				values = append(values, Scalar{Number, string(v)})
			case bool:
				values = append(values, Scalar{Bool, fmt.Sprint(v)})
			}
		}
		return values
	}
	hasActor := func() bool {
		for n, s := range aliasSources[who] {
			if s.path[0] == "actor" && len(get(who, n)) > 0 {
				return true
			}
		}
		return false
	}
	for alias, name := range aliasNames {
		derived[name] = aliasValues(alias, func(n int) []Scalar { return get(alias, n) }, hasActor)
	}
	return derived
}

func matchValue(t Term, value any) bool {
	switch m := t.Match.(type) {
	case Exists:
		return true
	case Value:
		return matchText(m, t.Field != "", value)
	case Pattern:
		return matchPattern(m, value)
	case Network:
		a, ok := address(value)
		return ok && m.Contains(a.WithZone(""))
	case Comparison:
		if m.Number == "" {
			return matchTime(m.Op, m.Time.Text, value)
		}
		n, ok := value.(json.Number)
		return ok && compareNumber(m.Op, string(n), m.Number)
	}
	return false
}

func matchText(m Value, hasField bool, value any) bool {
	if hasField && matchTime("", m.Text, value) {
		return true
	}
	switch v := value.(type) {
	case string:
		a, ok := address(v)
		b, isAddress := m.Addr()
		return strings.EqualFold(v, m.Text) || hasWords(wordsOf(v), wordsOf(m.Text)) || ok && isAddress && a == b
	case json.Number:
		number, ok := m.Number()
		return ok && equalNumber(string(v), number)
	case bool:
		return strings.EqualFold(fmt.Sprint(v), m.Text)
	}
	return false
}

// hasWords tells whether text contains words, one directly after the other.
func hasWords(text, words []string) bool {
	if len(words) == 0 {
		return false
	}
	for ; len(text) >= len(words); text = text[1:] {
		same := 0
		for same < len(words) && strings.EqualFold(text[same], words[same]) {
			same++
		}
		if same == len(words) {
			return true
		}
	}
	return false
}

func matchPattern(m Pattern, value any) bool {
	var parts []string
	for _, part := range m.Parts {
		parts = append(parts, regexp.QuoteMeta(part))
	}
	pattern := regexp.MustCompile("(?is)^" + strings.Join(parts, ".*") + "$")
	switch v := value.(type) {
	case string:
		if pattern.MatchString(v) {
			return true
		}
		for _, word := range wordsOf(v) {
			if pattern.MatchString(word) {
				return true
			}
		}
	case json.Number, bool:
		return pattern.MatchString(fmt.Sprint(v))
	}
	return false
}

func address(value any) (netip.Addr, bool) {
	text, ok := value.(string)
	if !ok {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(text)
	return a.Unmap(), err == nil
}

func compareNumber(op Op, text, number string) bool {
	a, _ := parseDecimal(text)
	b, _ := parseDecimal(number)
	c := a.compare(b)
	switch op {
	case Greater:
		return c > 0
	case GreaterOrEqual:
		return c >= 0
	case Less:
		return c < 0
	}
	return c <= 0
}

// rfc3339 excludes what time.Parse accepts: a comma before the fraction, an hour of one digit, a zone of 24 hours.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// matchTime tells whether a value is a time that compares with another as the operator says, or that is within it.
func matchTime(op Op, text string, value any) bool {
	s, ok := parseTime(text)
	if !ok {
		return false
	}
	switch v := value.(type) {
	case json.Number:
		ms, _ := parseDecimal(string(v))
		return holds(op, ms.compare(s.from.milliseconds()), ms.compare(s.to.milliseconds()))
	case string:
		t, err := time.Parse(time.RFC3339, v)
		if err != nil || !rfc3339.MatchString(v) {
			return false
		}
		return holds(op, t.Compare(s.from.time()), t.Compare(s.to.time()))
	}
	return false
}
