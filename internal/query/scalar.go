package query

import "strconv"

// Test tells which values pass a term's condition. It may be used again and again, not concurrently.
type Test struct {
	test test
	fold []byte
}

// NewTest returns the Test of a term of a query that was resolved.
func NewTest(t Term) *Test { return &Test{test: newTest(t)} }

// Passes tells whether a value of the term's field passes. Of a term without a field it is any value of the event.
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

// IsAddr tells whether a text is an address, and so whether a Network or the address of a Value may match it.
func IsAddr(text string) bool {
	_, ok := parseAddr(text)
	return ok
}

// IsTime tells whether a text is a time as events write it (RFC 3339), and so whether a time may match it.
func IsTime(text string) bool {
	_, ok := parseRFC3339(text)
	return ok
}

// AppendNumber appends a number such that two are equal texts if and only if they are equal numbers. The text is a
// number as JSON writes them; another one is appended as it is.
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

// AppendAddr appends an address such that two are equal bytes if and only if they are the same address. It appends
// nothing if the text is none.
func AppendAddr(dst []byte, text string) []byte {
	a, ok := parseAddr(text)
	if !ok {
		return dst
	}
	b := a.As16()
	return append(append(dst, b[:]...), a.Zone()...)
}

// AliasSource is a field that an alias may have its values from.
type AliasSource struct {
	Field      Field
	AfterActor bool // It counts only if one of the fields of who that begin with "actor" has a value.
}

// AliasSources returns the fields of an alias. The first that has a value counts, and of class the others too. Values
// are strings that are not empty, numbers and booleans. A field has a value if one of its values is such.
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

// AliasValues returns the values that an alias has if, of its sources, only the one of a number has values: these. Of a
// number that no source has it returns the values that the alias has without any.
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

// AliasShown is AliasValues without what is another name of a value before it, as Extract.Values returns them.
func AliasShown(alias Field, source int, values []Scalar) []Scalar {
	return shownOf(aliasOf(alias), AliasValues(alias, source, values))
}
