package query

import (
	"bytes"
	"slices"
	"sync"
)

// Matcher tells which events a query matches. It gives the same answers as Query.Match, reads a line once, and does not
// allocate for most events. It may be used concurrently.
type Matcher struct {
	root   expression
	tests  []test
	fields *fieldNode
	every  []int // tests of every value
	folds  bool  // whether a test needs folded texts
	scans  sync.Pool
}

// Compile makes a matcher of a query. If the query has times relative to now, it returns an error: call Resolve first.
func Compile(q *Query) (*Matcher, error) {
	if !q.resolved() {
		return nil, errUnresolved
	}
	m := &Matcher{fields: &fieldNode{}}
	m.root = m.compile(q.Root)
	m.scans.New = func() any { return &scan{m: m, fields: m.fields, every: m.every} }
	return m, nil
}

// Match tells whether the query matches the event on a line as weir records it: one JSON object in valid UTF-8. For
// other lines the result is undefined.
func (m *Matcher) Match(line []byte) bool {
	s := m.scans.Get().(*scan)
	matches := s.match(line)
	s.release()
	m.scans.Put(s)
	return matches
}

// truth is the result so far while an event is read.
type truth uint8

const (
	open truth = iota
	no
	yes
)

func (t truth) not() truth {
	switch t {
	case no:
		return yes
	case yes:
		return no
	}
	return open
}

// expression is a node of a query's tree, in which tests have numbers.
type expression struct {
	kind  expressionKind
	test  int
	nodes []expression
}

type expressionKind uint8

const (
	always expressionKind = iota
	oneTest
	allOf
	anyOf
	noneOf // has one node
)

func (m *Matcher) compile(n Node) expression {
	switch n := n.(type) {
	case And:
		return expression{kind: allOf, nodes: m.compileAll(n)}
	case Or:
		return expression{kind: anyOf, nodes: m.compileAll(n)}
	case Not:
		return expression{kind: noneOf, nodes: m.compileAll([]Node{n.Node})}
	case Term:
		return expression{kind: oneTest, test: m.add(n)}
	}
	return expression{}
}

func (m *Matcher) compileAll(nodes []Node) (all []expression) {
	for _, n := range nodes {
		all = append(all, m.compile(n))
	}
	return all
}

// add adds the test of a term, and returns its number.
func (m *Matcher) add(t Term) int {
	n := len(m.tests)
	compiled := newTest(t)
	m.tests = append(m.tests, compiled)
	m.folds = m.folds || compiled.readsText()
	switch {
	case t.Field == "":
		m.every = append(m.every, n)
	case compiled.alias >= 0:
		m.fields.addSources(compiled.alias)
		if compiled.alias == target {
			m.fields.addSources(who)
		}
	default:
		at := m.fields.at(t.Field.Names())
		if compiled.exists {
			at.exists = append(at.exists, n)
		} else {
			at.tests = append(at.tests, n)
		}
	}
	return n
}

// eval evaluates the expression with the tests that are known so far.
func (e *expression) eval(known []truth) truth {
	switch e.kind {
	case oneTest:
		return known[e.test]
	case noneOf:
		return e.nodes[0].eval(known).not()
	case allOf:
		return e.evalJoined(known, no)
	case anyOf:
		return e.evalJoined(known, yes)
	}
	return yes
}

// evalJoined returns decisive if one node is decisive, open if one is open, and otherwise the negation of decisive.
func (e *expression) evalJoined(known []truth, decisive truth) truth {
	result := decisive.not()
	for i := range e.nodes {
		switch e.nodes[i].eval(known) {
		case decisive:
			return decisive
		case open:
			result = open
		}
	}
	return result
}

// fieldNode is a field that tests need, or that leads to one.
type fieldNode struct {
	members []fieldMember
	tests   []int // tests of its strings, numbers and booleans
	exists  []int // tests of its existence
	sources []sourcePlace
	columns []int // of an Extract
}

type fieldMember struct {
	name string
	node *fieldNode
}

// at returns the node at a path below f. It creates missing nodes.
func (f *fieldNode) at(path []string) *fieldNode {
	for _, name := range path {
		next := f.member([]byte(name))
		if next == nil {
			next = &fieldNode{}
			f.members = append(f.members, fieldMember{name, next})
		}
		f = next
	}
	return f
}

func (f *fieldNode) member(name []byte) *fieldNode {
	for i := range f.members {
		if m := &f.members[i]; len(m.name) == len(name) && m.name == textOf(name) {
			return m.node
		}
	}
	return nil
}

// addSources makes a scan record the values of an alias's sources.
func (f *fieldNode) addSources(alias int) {
	for n, s := range aliasSources[alias] {
		at := f.at(s.path)
		if place := (sourcePlace{alias, n}); !slices.Contains(at.sources, place) {
			at.sources = append(at.sources, place)
		}
	}
}

// sourcePlace is an index in aliasSources. An alias has at most 32 sources.
type sourcePlace struct{ alias, n int }

// match tells whether the matcher's query matches the event on a line.
func (s *scan) match(line []byte) bool {
	s.start(line, s.m.folds)
	s.known = append(s.known[:0], make([]truth, len(s.m.tests))...)
	if s.decided = s.m.root.eval(s.known); s.decided == open && s.folded != nil {
		s.lookForNeedles()
	}
	if s.decided == open {
		if s.event(); s.decided == open {
			if s.failed {
				return false
			}
			s.testAliases()
			for i, known := range s.known {
				if known == open {
					s.known[i] = no
				}
			}
			s.decided = s.m.root.eval(s.known)
		}
	}
	return s.decided == yes
}

// lookForNeedles decides the tests that must fail by the bytes of the line alone.
func (s *scan) lookForNeedles() {
	for i := range s.m.tests {
		if !s.m.tests[i].mayMatch(s.folded) {
			s.know(i, no)
			if s.decided != open {
				return
			}
		}
	}
}

// know records the result of a test, and evaluates the query.
func (s *scan) know(test int, t truth) {
	s.known[test] = t
	s.decided = s.m.root.eval(s.known)
}

// testAliases runs the tests of aliases, after the whole event was read.
func (s *scan) testAliases() {
	for i := range s.m.tests {
		t := &s.m.tests[i]
		if t.alias < 0 || s.known[i] != open {
			continue
		}
		for _, v := range s.aliasValues(t.alias) {
			if t.exists || t.scalar(v, &s.fold) {
				s.known[i] = yes
				break
			}
		}
	}
}

// scalar tells whether a value passes. fold is a buffer.
func (t *test) scalar(v Scalar, fold *[]byte) bool {
	switch v.Kind {
	case Number:
		return t.number(&numeral{text: v.Text}, fold)
	case Bool:
		return t.boolean(v.Text)
	}
	if t.readsText() {
		*fold = AppendFold((*fold)[:0], v.Text)
	}
	return t.text(v.Text, *fold)
}

// mayMatch returns false only if no value of the line can pass the test. folded is the line in lower case. It has no
// escapes and only ASCII.
func (t *test) mayMatch(folded []byte) bool {
	for _, needle := range t.needles {
		if bytes.Contains(folded, needle) {
			return true
		}
	}
	return t.needles == nil
}
