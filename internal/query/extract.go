package query

import "errors"

// Extract reads the values that some fields have in events. It may be used again and again, not concurrently. In the
// long run it allocates little per event.
type Extract struct {
	aliases []int // by field; -1 for a path
	scan    scan
	values  [][]Scalar
}

// NewExtract returns an Extract of fields: paths, and aliases.
func NewExtract(fields ...Field) *Extract {
	x := &Extract{aliases: make([]int, len(fields)), values: make([][]Scalar, len(fields))}
	root := &fieldNode{}
	for i, f := range fields {
		x.aliases[i] = -1
		if f.Alias() {
			x.aliases[i] = aliasOf(f)
			root.addSources(x.aliases[i])
			root.addSources(who) // which tells whether there is an actor
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

// Read reads the event on a line as weir records it. It fails if the line is no JSON object; not all that is wrong with
// one is noticed. The values before are gone.
func (x *Extract) Read(line []byte) error {
	x.scan.release()
	x.scan.start(line, false)
	clear(x.values)
	if x.scan.event(); x.scan.failed {
		return errors.New("read an event: the line is no JSON object")
	}
	for i, alias := range x.aliases {
		if alias >= 0 {
			x.values[i] = shownOf(alias, x.scan.aliasValues(alias))
		}
	}
	return nil
}

// Values returns the values that the field of a number has, in the order in which they stand in the event; of an alias,
// those that a term looks at, without what is another name of a value before it: of class the name, or else the number.
// They are valid until the next Read, and as long as the line does not change.
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

// shownOf returns the values of an alias without what is another name of a value before it.
func shownOf(alias int, values []Scalar) []Scalar {
	if alias == class && len(values) > 1 {
		return values[:1]
	}
	return values
}
