package query

import "strconv"

// Test tells which values pass the condition of a term. It may be reused, but not concurrently.
type Test struct {
	test test
	fold []byte
}

// NewTest returns the Test of a term. The query of the term must be resolved.
func NewTest(t Term) *Test { return &Test{test: newTest(t)} }

// Passes tells whether a value of the term's field passes. If the term has no field, the value may be any of the event.
func (t *Test) Passes(v Scalar) bool {
	if t.test.exists {
		return true
	}
	passes := t.test.scalar(v, &t.fold)
	if cap(t.fold) > maxKept {
		t.fold = nil
	}
	return passes
}

// IsAddr tells whether a text is an address. Only then can a Network, or the address of a Value, match it.
func IsAddr(text string) bool {
	_, ok := parseAddr(text)
	return ok
}

// IsTime tells whether a text is a time in the form of events (RFC 3339). Only then can a time match it.
func IsTime(text string) bool {
	_, ok := parseRFC3339(text)
	return ok
}

// AppendNumber appends a normal form of a JSON number: two numbers have the same if and only if they are equal. A text
// that is not a number is appended unchanged.
func AppendNumber(dst []byte, text string) []byte {
	d, ok := parseDecimal(text)
	if !ok {
		return append(dst, text...)
	}
	if d.negative && d.len() > 0 {
		dst = append(dst, '-')
	}
	dst = append(append(dst, d.whole...), d.fraction...)
	return strconv.AppendInt(append(dst, 'e'), d.exponent, 10)
}

// AppendAddr appends a normal form of an address: two addresses have the same if and only if they are equal. If the
// text is not an address, it appends nothing.
func AppendAddr(dst []byte, text string) []byte {
	a, ok := parseAddr(text)
	if !ok {
		return dst
	}
	b := a.As16()
	return append(append(dst, b[:]...), a.Zone()...)
}

// AliasSource is a field from which an alias may take its values.
type AliasSource struct {
	Field      Field
	AfterActor bool // it counts only if one of the fields of who that begin with "actor" has a value
}

// AliasSources returns the fields of an alias. The first that has a value counts; for class, the others count too.
// Values are strings that are not empty, numbers and booleans.
func AliasSources(alias Field) []AliasSource {
	n := aliasOf(alias)
	if n < 0 {
		return nil
	}
	var all []AliasSource
	for _, s := range aliasSources[n] {
		all = append(all, AliasSource{Path(s.path...), s.afterActor})
	}
	return all
}

// AliasValues returns the values of an alias in an event in which only one of its sources, given by its index, has
// values. If there is no source with this index, it returns the values of the alias in an event without any.
func AliasValues(alias Field, source int, values []Scalar) []Scalar {
	return aliasValues(aliasOf(alias), func(n int) []Scalar {
		if n == source {
			return values
		}
		return nil
	}, func() bool { return true })
}

// Resolved tells whether the query has no time relative to now.
func (q *Query) Resolved() bool { return q.resolved() }

// AliasShown is AliasValues without other names for the same value, as Extract.Values returns them.
func AliasShown(alias Field, source int, values []Scalar) []Scalar {
	return shownOf(aliasOf(alias), AliasValues(alias, source, values))
}
