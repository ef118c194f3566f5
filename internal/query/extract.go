package query

import "errors"

// Extract reads the values of some fields from events. It may be reused, but not concurrently. Reused, it allocates
// little per event.
type Extract struct {
	aliases []int // by field; -1 for a path
	scan    scan
	values  [][]Scalar
}

// NewExtract returns an Extract of fields, which are paths or aliases.
func NewExtract(fields ...Field) *Extract {
	x := &Extract{aliases: make([]int, len(fields)), values: make([][]Scalar, len(fields))}
	root := &fieldNode{}
	for i, f := range fields {
		x.aliases[i] = -1
		if f.Alias() {
			x.aliases[i] = aliasOf(f)
			root.addSources(x.aliases[i])
			root.addSources(who) // to know whether there is an actor
			continue
		}
		at := root.at(f.Names())
		at.columns = append(at.columns, i)
	}
	x.scan.fields = root
	return x
}

// aliasOf returns the number of an alias.
func aliasOf(f Field) int {
	for i, name := range aliasNames {
		if name == string(f) {
			return i
		}
	}
	return -1
}

// Read reads the event on a line as weir records it. If the line is not a JSON object it returns an error; it does not
// find all errors in a line. The values of the event before become invalid.
func (x *Extract) Read(line []byte) error {
	x.scan.release()
	x.scan.start(line, false)
	clear(x.values)
	if x.scan.event(); x.scan.failed {
		return errors.New("read an event: the line is not a JSON object")
	}
	for i, alias := range x.aliases {
		if alias >= 0 {
			x.values[i] = shownOf(alias, x.scan.aliasValues(alias))
		}
	}
	return nil
}

// Values returns the values of a field, given by its index in NewExtract, in the order of the event. For an alias,
// these are the values that a term compares, without other names for the same value: for class the name, or else the
// number. They are valid until the next Read, and while the line does not change.
func (x *Extract) Values(field int) []Scalar {
	if x.aliases[field] >= 0 || x.values[field] != nil {
		return x.values[field]
	}
	first := len(x.scan.scalars)
	for _, v := range x.scan.columns {
		if v.column == field {
			x.scan.scalars = append(x.scan.scalars, x.scan.scalar(v.start, v.end))
		}
	}
	x.values[field] = x.scan.scalars[first:len(x.scan.scalars):len(x.scan.scalars)]
	return x.values[field]
}

// shownOf returns the values of an alias without other names for the same value.
func shownOf(alias int, values []Scalar) []Scalar {
	if alias == class && len(values) > 1 {
		return values[:1]
	}
	return values
}
