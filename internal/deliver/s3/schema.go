package s3

import (
	"cmp"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/weirlog/weir/internal/connect"
	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/event"
)

// deepest is how many objects may stand one in the other as columns. An object that is deeper is a text in JSON, as is
// one whose attributes OCSF leaves open.
const deepest = 3

// schema is the layout of the Parquet files of a class: a column for each attribute, raw_data with the whole event as
// it was recorded, and time_dt with the time as a timestamp.
type schema struct {
	root    *node
	columns [][]parquet.Value // of the row in the making
	options []parquet.WriterOption
	event   *deliver.Event
	made    parquet.Row
}

// kind is how a value is written.
type kind byte

const (
	textKind kind = iota
	jsonKind      // any value, as a text
	int32Kind
	int64Kind
	boolKind
	timeKind // milliseconds since the epoch, as a timestamp
	groupKind
	listKind // with the element as its only child
)

// node is a column, or has columns below it. All are optional, but for the elements of lists.
type node struct {
	name       string
	kind       kind
	children   []*node // sorted by their names
	column     int
	repetition int // level of a list's elements behind the first
}

// newSchema returns the schema of a class; nil if it is not known.
func newSchema(class int64) *schema {
	attributes, ok := event.ClassAttributes(class)
	if !ok {
		return nil
	}
	root := &node{kind: groupKind, children: nodes(attributes, deepest, 0)}
	root.children = append(root.children, &node{name: "time_dt", kind: timeKind})
	slices.SortFunc(root.children, func(a, b *node) int { return cmp.Compare(a.name, b.name) })
	s := &schema{root: root}
	s.number(root, nil)
	s.options = append(s.options, parquet.NewSchema("event", root.group()))
	return s
}

func nodes(attributes []event.Attribute, depth, repetition int) (list []*node) {
	for _, a := range attributes {
		if a.Array {
			element := newNode("element", a.Type, depth, repetition+1)
			if element.kind != jsonKind {
				list = append(list, &node{name: a.Name, kind: listKind, children: []*node{element}, repetition: repetition + 1})
				continue
			}
			list = append(list, &node{name: a.Name, kind: jsonKind}) // the array as it is
			continue
		}
		list = append(list, newNode(a.Name, a.Type, depth, repetition))
	}
	return list
}

func newNode(name, of string, depth, repetition int) *node {
	n := &node{name: name}
	switch attributes, known := event.ObjectAttributes(of); {
	case known && depth > 0:
		n.kind, n.children = groupKind, nodes(attributes, depth-1, repetition)
	case of == "integer_t" || of == "port_t":
		n.kind = int32Kind
	case of == "long_t" || of == "timestamp_t":
		n.kind = int64Kind
	case of == "boolean_t":
		n.kind = boolKind
	case !strings.HasSuffix(of, "_t") || of == "json_t":
		n.kind = jsonKind
	}
	return n
}

// number numbers the columns, in the order in which Parquet has them.
func (s *schema) number(n *node, path []string) {
	if len(n.children) == 0 {
		n.column = len(s.columns)
		s.columns = append(s.columns, nil)
		if n.kind == textKind || n.kind == jsonKind { // the least and the greatest text of each page would be kept
			s.options = append(s.options, parquet.SkipPageBounds(path...))
		}
		return
	}
	for _, child := range n.children {
		below := append(slices.Clone(path), child.name)
		if n.kind == listKind {
			below = append(slices.Clone(path), "list", child.name)
		}
		s.number(child, below)
	}
}

func (n *node) group() parquet.Group {
	g := parquet.Group{}
	for _, child := range n.children {
		g[child.name] = parquet.Optional(child.parquet())
	}
	return g
}

func (n *node) parquet() parquet.Node {
	switch n.kind {
	case groupKind:
		return n.group()
	case listKind:
		return parquet.List(n.children[0].parquet())
	case int32Kind:
		return parquet.Int(32)
	case int64Kind:
		return parquet.Int(64)
	case boolKind:
		return parquet.Leaf(parquet.BooleanType)
	case timeKind:
		return parquet.Timestamp(parquet.Millisecond)
	}
	return parquet.String()
}

// row returns an event as a row, valid until the next call.
func (s *schema) row(e *deliver.Event) parquet.Row {
	s.event = e
	for i := range s.columns {
		s.columns[i] = s.columns[i][:0]
	}
	s.members(s.root, e.Line, 0, 0)
	s.made = s.made[:0]
	for _, values := range s.columns {
		s.made = append(s.made, values...)
	}
	return s.made
}

// members puts the members of an object into the columns below a group. If members share a name, the last one counts.
func (s *schema) members(n *node, object []byte, repetition, definition int) {
	values := make([][]byte, len(n.children))
	_ = connect.Members(object, func(name string, value []byte) error { // a line is JSON, and was checked to be an object
		if i, ok := slices.BinarySearchFunc(n.children, name, func(child *node, name string) int {
			return cmp.Compare(child.name, name)
		}); ok {
			values[i] = value
		}
		return nil
	})
	for i, child := range n.children {
		if own := s.own(child.name); n == s.root && !own.IsNull() {
			s.columns[child.column] = append(s.columns[child.column], own.Level(repetition, definition+1, child.column))
			continue
		}
		s.put(child, values[i], repetition, definition)
	}
}

// own returns the value of an attribute of the event that does not stand in it as such.
func (s *schema) own(name string) parquet.Value {
	switch name {
	case "raw_data":
		return parquet.ByteArrayValue(s.event.Line)
	case "time", "time_dt":
		return parquet.Int64Value(s.event.Time)
	}
	return parquet.NullValue()
}

// put puts a value into the columns of an optional node. A value of another type is left out: raw_data has it.
func (s *schema) put(n *node, value []byte, repetition, definition int) {
	switch {
	case n.kind == groupKind && len(value) > 0 && value[0] == '{':
		s.members(n, value, repetition, definition+1)
	case n.kind == listKind && len(value) > 0 && value[0] == '[':
		s.elements(n, value, repetition, definition+1)
	case n.kind == groupKind || n.kind == listKind:
		s.absent(n, repetition, definition)
	default:
		if v := n.value(value); v.IsNull() {
			s.absent(n, repetition, definition)
		} else {
			s.columns[n.column] = append(s.columns[n.column], v.Level(repetition, definition+1, n.column))
		}
	}
}

// elements puts the elements of an array into the columns of a list that is there. Those that are not of its type are
// left out.
func (s *schema) elements(n *node, array []byte, repetition, definition int) {
	element, some := n.children[0], false
	_ = connect.Elements(array, func(value []byte) error { // of an array in a line, which is JSON
		if element.kind == groupKind && value[0] == '{' {
			s.members(element, value, repetition, definition+1)
		} else if v := element.value(value); element.kind != groupKind && !v.IsNull() {
			s.columns[element.column] = append(s.columns[element.column], v.Level(repetition, definition+1, element.column))
		} else {
			return nil
		}
		some, repetition = true, n.repetition
		return nil
	})
	if !some {
		s.absent(element, repetition, definition)
	}
}

// absent notes in each column of a node that there is no value.
func (s *schema) absent(n *node, repetition, definition int) {
	if len(n.children) == 0 {
		s.columns[n.column] = append(s.columns[n.column], parquet.NullValue().Level(repetition, definition, n.column))
	}
	for _, child := range n.children {
		s.absent(child, repetition, definition)
	}
}

// value returns a value as one of a column; null if it is not of the column's type.
func (n *node) value(value []byte) parquet.Value {
	switch n.kind {
	case jsonKind:
		if len(value) > 0 && string(value) != "null" {
			return parquet.ByteArrayValue(value)
		}
	case textKind:
		if text, ok := connect.Text(value); ok {
			return parquet.ByteArrayValue([]byte(text))
		}
	case boolKind:
		if text := string(value); text == "true" || text == "false" {
			return parquet.BooleanValue(text == "true")
		}
	case int32Kind, int64Kind, timeKind:
		number, ok := connect.Integer(value)
		if ok && n.kind != int32Kind {
			return parquet.Int64Value(number)
		}
		if ok && number == int64(int32(number)) {
			return parquet.Int32Value(int32(number))
		}
	}
	return parquet.NullValue()
}
