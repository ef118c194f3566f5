package query

import "errors"

// Derived is the values that the aliases have in an event. The zero value is ready; it may be used again and again, not
// concurrently. In the long run it allocates little per event.
type Derived struct {
	scan   scan
	values [aliases][]Scalar
}

// everyAlias leads to the sources of all aliases.
var everyAlias = func() *fieldNode {
	root := &fieldNode{}
	for alias := range aliasNames {
		root.addSources(alias)
	}
	return root
}()

// Read reads the event on a line as weir records it. It fails if the line is no JSON object; not all that is wrong with
// one is noticed. The values before are gone.
func (d *Derived) Read(line []byte) error {
	d.scan.release()
	d.scan.fields = everyAlias
	d.scan.start(line, false)
	d.values = [aliases][]Scalar{}
	if d.scan.event(); d.scan.failed {
		return errors.New("read an event: the line is no JSON object")
	}
	for alias := range d.values {
		d.values[alias] = d.scan.aliasValues(alias)
	}
	return nil
}

// Values returns what a term with the alias looks at. The values are valid until the next Read, and as long as the line
// does not change.
func (d *Derived) Values(alias string) []Scalar {
	if i := aliasOf(Field(alias)); i >= 0 {
		return d.values[i]
	}
	return nil
}

// Shown is Values without what is another name of a value before it: of class it is the name, or else the number.
func (d *Derived) Shown(alias string) []Scalar {
	return shownOf(aliasOf(Field(alias)), d.Values(alias))
}

// shownOf returns the values of an alias without what is another name of a value before it.
func shownOf(alias int, values []Scalar) []Scalar {
	if alias == class && len(values) > 1 {
		return values[:1]
	}
	return values
}
