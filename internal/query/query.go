// Package query implements weir's query language: the core of KQL, Kibana's query language, with networks, times
// relative to now, and aliases that work for every class of event. docs/search.md shows the language by examples.
//
// Parse makes a tree of a text, and String makes the text of a tree. Match evaluates a tree on an event; it is simple
// and slow. A Matcher gives the same answers fast. The package does no I/O and reads no clock.
//
// # Fields
//
// A field is a path of names from the event down. Arrays on the path and at its end are transparent: a term matches if
// it matches any element, so "not" means that it matches none. Names are case-sensitive. An alias (see Aliases) stands
// for the value that an event has in one of several fields. A term without a field compares every value of the event
// (strings, numbers and booleans), but no names. Null is like a missing member.
//
// # Values
//
// Comparisons ignore case, by Unicode's simple case folding. A value matches
//   - a string that equals it, or that contains its words (see Words) one directly after the other;
//   - a number that is exactly equal, in any notation, and a boolean;
//   - a string that is the same address, in any notation;
//   - after a field, if it is a time: a number (milliseconds since 1970) or a string (RFC 3339) within it.
//
// A pattern, which contains *, matches a string or one of its words, or a number or a boolean as it is written. A
// network matches strings that are addresses within it. A comparison compares numbers with numbers, and times with
// numbers (milliseconds since 1970) and with strings (RFC 3339).
//
// # Times
//
// A time that is not exact, such as a day, is an interval: ":" is within it, ">" after its end, "<" before its start,
// ">=" at or after its start, and "<=" up to its end. A time without a zone is in UTC.
package query

import (
	"iter"
	"net/netip"
	"time"
)

// Limits of a query. Parse returns an error if a query exceeds one.
const (
	MaxBytes = 4 << 10 // bytes of the text, and of the normal form
	MaxDepth = 64      // nesting of parentheses and nots
	MaxTerms = 256     // terms
)

// Query is a condition on one event. It never changes, and may be used concurrently.
type Query struct {
	Root Node
}

// Node is a node of the tree: All, And, Or, Not or Term.
type Node interface{ node() }

type (
	// All matches every event. It is the query *, and the empty query.
	All struct{}
	// And matches if all of its nodes do. It has at least two. If Parse made it, none of them is an And.
	And []Node
	// Or matches if one of its nodes does. It has at least two. If Parse made it, none of them is an Or.
	Or []Node
	// Not matches if its node does not.
	Not struct{ Node Node }
	// Term matches if a value of its field does.
	Term struct {
		Field Field // if empty, every value of the event is compared
		Match Condition
	}
)

func (All) node()  {}
func (And) node()  {}
func (Or) node()   {}
func (Not) node()  {}
func (Term) node() {}

// Condition is the condition of a term: Value, Pattern, Network, Comparison, During or Exists.
type Condition interface{ condition() }

type (
	// Value is a text with any number of words. It may also be a number, an address or a time: see its methods.
	Value struct{ Text string }
	// Pattern is a text with gaps: any characters, or none, may be between two parts. There are at least two parts. The
	// first and the last may be empty, but not all are.
	Pattern struct{ Parts []string }
	// Network is a range of addresses, with no bits set after its length. An IPv4 network is not in IPv6 notation.
	Network struct{ netip.Prefix }
	// Comparison has either a Number or a Time.
	Comparison struct {
		Op     Op
		Number string // JSON number; empty if there is a time
		Time   Time
	}
	// During is a time relative to now, after a colon. Resolve makes it a Value.
	During struct{ Time Time }
	// Exists matches if the field exists and is not null: it is an object, a string, a number or a boolean. A term with
	// it has a field.
	Exists struct{}
)

func (Value) condition()      {}
func (Pattern) condition()    {}
func (Network) condition()    {}
func (Comparison) condition() {}
func (During) condition()     {}
func (Exists) condition()     {}

// Op is the operator of a comparison.
type Op string

// The operators.
const (
	Greater        Op = ">"
	GreaterOrEqual Op = ">="
	Less           Op = "<"
	LessOrEqual    Op = "<="
)

// Number returns the value if it is a JSON number.
func (v Value) Number() (string, bool) { return v.Text, isNumber(v.Text) }

// Addr returns the value as an address, if it is one. An IPv4 address in IPv6 notation becomes an IPv4 address.
func (v Value) Addr() (netip.Addr, bool) {
	a, err := netip.ParseAddr(v.Text)
	return a.Unmap(), err == nil
}

// Time returns the value as an interval [from, to), if it is a time. Only terms with a field compare times.
func (v Value) Time() (from, to time.Time, ok bool) {
	s, ok := parseTime(v.Text)
	return s.from.time(), s.to.time(), ok
}

// Terms yields the terms of the query from left to right.
func (q *Query) Terms() iter.Seq[Term] {
	return func(yield func(Term) bool) { terms(q.Root, yield) }
}

func terms(n Node, yield func(Term) bool) bool {
	switch n := n.(type) {
	case Term:
		return yield(n)
	case Not:
		return terms(n.Node, yield)
	}
	for _, n := range joined(n) {
		if !terms(n, yield) {
			return false
		}
	}
	return true
}

// joined returns the nodes of an And or an Or, and nil for another node.
func joined(n Node) []Node {
	switch n := n.(type) {
	case And:
		return n
	case Or:
		return n
	}
	return nil
}

// Resolve returns the query with times relative to now made absolute. If there are none, it returns q.
func (q *Query) Resolve(now time.Time) *Query {
	if q.resolved() {
		return q
	}
	return &Query{resolve(q.Root, now)}
}

// resolved tells whether no time is relative to now.
func (q *Query) resolved() bool {
	for t := range q.Terms() {
		switch m := t.Match.(type) {
		case During:
			return false
		case Comparison:
			if m.Time.Relative() {
				return false
			}
		}
	}
	return true
}

func resolve(n Node, now time.Time) Node {
	switch n := n.(type) {
	case And:
		return And(resolveAll(n, now))
	case Or:
		return Or(resolveAll(n, now))
	case Not:
		return Not{resolve(n.Node, now)}
	case Term:
		switch m := n.Match.(type) {
		case During:
			n.Match = Value{m.Time.at(now).Text}
		case Comparison:
			m.Time = m.Time.at(now)
			n.Match = m
		}
		return n
	}
	return n
}

func resolveAll(nodes []Node, now time.Time) []Node {
	resolved := make([]Node, len(nodes))
	for i, n := range nodes {
		resolved[i] = resolve(n, now)
	}
	return resolved
}
