// Package query knows weir's query language: the core of KQL, Kibana's query language, with networks, times relative to
// now, and aliases that work for every class of event. docs/search.md shows the language by example.
//
// Parse makes a tree of a text, and String makes the text of a tree. Match evaluates a tree on an event, slowly and
// obviously right; a Matcher gives the same answers fast. The package does no I/O and reads no clock.
//
// # Fields
//
// A field is a path of names from the event down. Arrays on the path and at its end are transparent: a term matches if
// any element does, so "not" says that none does. The case of names counts. An alias (see Aliases) stands for the value
// that an event has in one of several fields. A term without a field looks at every value of the event (strings,
// numbers and booleans), not at names. Null is like a missing member.
//
// # Values
//
// Case is folded by Unicode's simple case folding. A value matches
//   - a string that equals it, or has the words of it (see Words) one after the other;
//   - a number that equals it exactly, however it is written, and a boolean;
//   - a string that is the same address, in any spelling;
//   - after a field: a number (milliseconds since 1970) or a string (RFC 3339) that lies within it, if it is a time.
//
// A pattern, which has a *, matches a string or one of its words, or a number or a boolean as it is written. A network
// matches strings that are addresses within it. A comparison compares numbers with numbers, and times with numbers
// (milliseconds since 1970) and with strings (RFC 3339).
//
// # Times
//
// A time that is not exact, such as a day, stands for all of its interval: ":" is within it, ">" after its end, "<"
// before its start, ">=" from its start on, "<=" up to its end. What names no zone is in UTC.
package query

import (
	"iter"
	"net/netip"
	"time"
)

// Limits of a query. Parse refuses what is larger.
const (
	MaxBytes = 4 << 10 // bytes of the text, and of its normal form
	MaxDepth = 64      // parentheses and nots within each other
	MaxTerms = 256     // terms
)

// Query is a question about one event. It does not change once it is made, and may be used concurrently.
type Query struct {
	Root Node
}

// Node is a node of the tree: All, And, Or, Not or Term.
type Node interface{ node() }

type (
	// All matches every event: the query *, or one that is empty.
	All struct{}
	// And matches if all of its at least two nodes do. None of them is an And if Parse made it.
	And []Node
	// Or matches if one of its at least two nodes does. None of them is an Or if Parse made it.
	Or []Node
	// Not matches if its node does not.
	Not struct{ Node Node }
	// Term matches if a value of its field does.
	Term struct {
		Field Field // if empty, every value of the event
		Match Condition
	}
)

func (All) node()  {}
func (And) node()  {}
func (Or) node()   {}
func (Not) node()  {}
func (Term) node() {}

// Condition is what a term asks of a value: Value, Pattern, Network, Comparison, During or Exists.
type Condition interface{ condition() }

type (
	// Value is a text of any number of words. It may also be a number, an address or a time: see its methods.
	Value struct{ Text string }
	// Pattern is a text with gaps: any characters, or none, stand between two parts. It has at least two, of which the
	// first and the last may be empty, and one is not.
	Pattern struct{ Parts []string }
	// Network is a range of addresses, without bits set behind its length. One of IPv4 is not written as one of IPv6.
	Network struct{ netip.Prefix }
	// Comparison has either a Number or a Time.
	Comparison struct {
		Op     Op
		Number string // as JSON writes numbers; empty if there is a time
		Time   Time
	}
	// During is a time relative to now, after a colon. Resolve makes a Value of it.
	During struct{ Time Time }
	// Exists matches if the field is there and is not null: it has an object, or a string, number or boolean. A term
	// with it has a field.
	Exists struct{}
)

func (Value) condition()      {}
func (Pattern) condition()    {}
func (Network) condition()    {}
func (Comparison) condition() {}
func (During) condition()     {}
func (Exists) condition()     {}

// Op is a comparison's operator.
type Op string

// The operators.
const (
	Greater        Op = ">"
	GreaterOrEqual Op = ">="
	Less           Op = "<"
	LessOrEqual    Op = "<="
)

// Number tells whether the value is a number, and returns it as JSON writes numbers.
func (v Value) Number() (string, bool) { return v.Text, isNumber(v.Text) }

// Addr tells whether the value is an address, and returns it. One of IPv4 is not written as one of IPv6.
func (v Value) Addr() (netip.Addr, bool) {
	a, err := netip.ParseAddr(v.Text)
	return a.Unmap(), err == nil
}

// Time tells whether the value is a time, and returns the first moment of its interval and the first behind it. This
// counts for terms that have a field.
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

// joined returns the nodes of an And or an Or, nil for another node.
func joined(n Node) []Node {
	switch n := n.(type) {
	case And:
		return n
	case Or:
		return n
	}
	return nil
}

// Resolve returns the query with times that are relative to now made absolute. A query without such is returned as it
// is.
func (q *Query) Resolve(now time.Time) *Query {
	if q.resolved() {
		return q
	}
	return &Query{resolve(q.Root, now)}
}

// resolved tells whether no time is relative.
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
