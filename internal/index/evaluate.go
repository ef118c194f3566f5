package index

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/weirlog/weir/internal/query"
)

// Scope is a part of a segment.
type Scope struct {
	From, To   int   // blocks [From, To)
	Start, End int64 // times [Start, End), in milliseconds since the epoch
}

// All returns the scope of all entries.
func (x *Index) All() Scope { return Scope{0, len(x.blocks), -1 << 63, 1<<63 - 1} }

// Evaluate returns, for each block of the scope, which entries within its times match the query, which must be
// resolved. The result is exact, except for the entries in Perhaps: only their lines can tell whether they match the
// query, and whether they are within the times.
func (x *Index) Evaluate(ctx context.Context, q *query.Query, s Scope, fetch Fetch) ([]Matches, error) {
	if !q.Resolved() {
		return nil, errors.New("evaluate a query on an index: it has times relative to now")
	}
	if s.From < 0 || s.From > s.To || s.To > len(x.blocks) {
		return nil, fmt.Errorf("evaluate a query on an index: there are no blocks %d to %d", s.From, s.To)
	}
	e := evaluator{view: x.reader(ctx, fetch).view(), known: lookUps{}}
	root := e.compile(q.Root)
	result := make([]Matches, s.To-s.From)
	for block := s.From; block < s.To; block++ {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		e.open(block)
		m, err := e.block(root, s)
		if err != nil {
			return nil, fmt.Errorf("evaluate a query on an index: %w", err)
		}
		result[block-s.From] = m
	}
	return result, nil
}

// evaluator evaluates a query block by block.
type evaluator struct {
	*view
	known lookUps
	times []int64 // of the block, once they are needed
}

// condition is a node of a query's tree.
type condition interface {
	// cost returns how expensive the evaluation is, relative to others.
	cost() int
	// run returns which entries of the open block match. All entries of the block must have been read as events.
	run(e *evaluator) (Matches, error)
}

func (e *evaluator) block(root condition, s Scope) (Matches, error) {
	e.times = nil
	b := &e.blocks[e.view.block]
	if b.largest < s.Start || b.least >= s.End || b.count == 0 {
		return Matches{}, nil
	}
	if b.unread {
		return everyPerhaps(b.count), nil
	}
	m, err := root.run(e)
	if err != nil || m.None() || b.least >= s.Start && b.largest < s.End {
		return m, err
	}
	within, err := e.timed(&numberTest{span: span{s.Start, s.End - 1}})
	return m.and(within, b.count), err
}

// timed returns which entries of the block have a time that passes.
func (e *evaluator) timed(t *numberTest) (Matches, error) {
	b := &e.blocks[e.view.block]
	switch {
	case t.from > b.largest || t.to < b.least:
		return Matches{}, nil
	case t.each == nil && t.has(b.least) && t.has(b.largest):
		return Matches{Every: true}, nil
	}
	if e.times == nil {
		var err error
		if e.times, err = e.blockTimes(e.view.block); err != nil {
			return Matches{}, err
		}
	}
	return matchesOf(t.test(e.times), nil, b.count), nil
}

func (e *evaluator) compile(n query.Node) condition {
	switch n := n.(type) {
	case query.And:
		nodes := e.compileAll(n)
		slices.SortStableFunc(nodes, func(a, b condition) int { return cmp.Compare(a.cost(), b.cost()) })
		return allOf(nodes)
	case query.Or:
		return anyOf(e.compileAll(n))
	case query.Not:
		return noneOf{e.compile(n.Node)}
	case query.Term:
		return e.compileTerm(n)
	}
	return allOf(nil)
}

func (e *evaluator) compileAll(nodes []query.Node) (all []condition) {
	for _, n := range nodes {
		all = append(all, e.compile(n))
	}
	return all
}

func (e *evaluator) compileTerm(t query.Term) condition {
	_, exists := t.Match.(query.Exists)
	switch {
	case t.Field == "":
		return &anywhere{term: t}
	case t.Field.Alias():
		return &ofAlias{term: t}
	case exists:
		return &presence{field: t.Field, of: e.columnsAt(t.Field)}
	}
	return &ofField{term: t}
}

type (
	allOf  []condition
	anyOf  []condition
	noneOf struct{ condition }
)

func (a allOf) cost() int { return sumOfCosts(a) }
func (a anyOf) cost() int { return sumOfCosts(a) }

func sumOfCosts(nodes []condition) (sum int) {
	for _, n := range nodes {
		sum += n.cost()
	}
	return sum
}

func (a allOf) run(e *evaluator) (Matches, error) {
	m := Matches{Every: true}
	for _, n := range a {
		other, err := n.run(e)
		if err != nil {
			return m, err
		}
		if m = m.and(other, e.count()); m.None() {
			break
		}
	}
	return m, nil
}

func (a anyOf) run(e *evaluator) (m Matches, err error) {
	for _, n := range a {
		other, err := n.run(e)
		if err != nil {
			return m, err
		}
		if m = m.or(other, e.count()); m.Every {
			break
		}
	}
	return m, nil
}

func (n noneOf) run(e *evaluator) (Matches, error) {
	m, err := n.condition.run(e)
	return m.not(e.count()), err
}

// timeField is the field of an event's time. It is not a column if each entry of a block has it as weir records it.
const timeField query.Field = "time"

// ofField is a term with a path.
type ofField struct {
	term  query.Term
	ready bool
	needs needs
	test  *columnTest // nil if there is no such column

	numbers numberTest
}

func (o *ofField) cost() int { return 1 }

func (o *ofField) prepare(e *evaluator) error {
	o.ready, o.needs, o.numbers = true, newNeeds(o.term), newNumberTest(o.term)
	column := e.Index.column(o.term.Field)
	if column < 0 {
		return nil
	}
	passes := query.NewTest(o.term)
	c := &e.Index.columns[column]
	t, err := e.newColumnTest(column, !o.needs.rulesOut(&c.shown), !o.needs.rulesOut(&c.lost),
		func(values []query.Scalar) bool { return anyPasses(passes, values) })
	t.numbers = &o.numbers
	o.test = &t
	return err
}

func anyPasses(t *query.Test, values []query.Scalar) bool {
	for _, v := range values {
		if v.Kind != present && t.Passes(v) {
			return true
		}
	}
	return false
}

func (o *ofField) run(e *evaluator) (m Matches, err error) {
	if !o.ready {
		if err := o.prepare(e); err != nil {
			return m, err
		}
	}
	b := &e.blocks[e.view.block]
	if o.term.Field == timeField && b.plain {
		return e.timed(&o.numbers)
	}
	hidden := func(s *summary) (verdict, error) { return o.needs.hidden(e.view, s, e.known) }
	named := false
	if o.test != nil {
		if m, named, err = o.test.run(e.view, hidden); err != nil {
			return m, err
		}
	}
	if named || b.unnamed.traits == 0 {
		return m, nil
	}
	return e.unnamed(hidden)
}

// unnamed returns which entries of the block have an unnamed value that passes.
func (e *evaluator) unnamed(hidden func(*summary) (verdict, error)) (Matches, error) {
	b := &e.blocks[e.view.block]
	if to, err := hidden(&b.unnamed); to == no || err != nil {
		return Matches{}, err
	}
	return everyPerhaps(b.count), nil
}

// presence is a term that asks whether a path exists.
type presence struct {
	field query.Field
	of    []int // the columns of the path and of paths below it
}

func (p *presence) cost() int { return 1 + len(p.of) }

// columnsAt returns the columns of a path and of paths below it.
func (x *Index) columnsAt(path query.Field) (all []int) {
	if n := x.column(path); n >= 0 {
		all = append(all, n)
	}
	prefix := below(path)
	n, _ := slices.BinarySearchFunc(x.columns, prefix, func(c columnInfo, prefix string) int {
		return strings.Compare(string(c.path), prefix)
	})
	for ; n < len(x.columns) && strings.HasPrefix(string(x.columns[n].path), prefix); n++ {
		all = append(all, n)
	}
	return all
}

func (p *presence) run(e *evaluator) (m Matches, err error) {
	b := &e.blocks[e.view.block]
	if p.field == timeField && b.plain {
		return Matches{Every: true}, nil
	}
	for _, column := range p.of {
		there, err := e.presentIn(column)
		if err != nil {
			return m, err
		}
		if m = m.or(there, b.count); m.Every {
			return m, nil
		}
	}
	if b.unnamed.traits != 0 {
		m = m.or(everyPerhaps(b.count), b.count)
	}
	return m, nil
}

// presentIn returns which entries of the block have a value in a column.
func (v *view) presentIn(column int) (Matches, error) {
	c, err := v.column(column)
	if c == nil || err != nil {
		return Matches{}, err
	}
	if c.presence.kind == constant {
		return Matches{Every: true}, nil
	}
	codes, err := v.codesOf(c)
	if err != nil {
		return Matches{}, err
	}
	yes := newBits(len(codes))
	for i, code := range codes {
		if code > 0 {
			yes.set(i)
		}
	}
	return matchesOf(yes, nil, len(codes)), nil
}

// anywhere is a term without a field.
type anywhere struct {
	term  query.Term
	ready bool
	needs needs
	tests []columnTest // tests of columns that have something that may pass

	numbers numberTest
}

func (a *anywhere) cost() int { return 1000 }

func (a *anywhere) prepare(e *evaluator) error {
	a.ready, a.needs, a.numbers = true, newNeeds(a.term), newNumberTest(a.term)
	passes := query.NewTest(a.term)
	shows := func(c *columnInfo) bool { return c.lists > 0 && !a.needs.rulesOut(&c.shown) }
	if err := e.readDictionaries(shows); err != nil {
		return err
	}
	for column := range e.Index.columns {
		c := &e.Index.columns[column]
		t, err := e.newColumnTest(column, shows(c), !a.needs.rulesOut(&c.lost),
			func(values []query.Scalar) bool { return anyPasses(passes, values) })
		if err != nil {
			return err
		}
		if t.numbers = &a.numbers; !t.nothing() {
			a.tests = append(a.tests, t)
		}
	}
	return nil
}

func (a *anywhere) run(e *evaluator) (m Matches, err error) {
	if !a.ready {
		if err := a.prepare(e); err != nil {
			return m, err
		}
	}
	hidden := func(s *summary) (verdict, error) { return a.needs.hidden(e.view, s, e.known) }
	b := &e.blocks[e.view.block]
	if b.plain {
		if m, err = e.timed(&a.numbers); err != nil {
			return m, err
		}
	}
	for i := range a.tests {
		if m.Every {
			return m, nil
		}
		other, _, err := a.tests[i].run(e.view, hidden)
		if err != nil {
			return m, err
		}
		m = m.or(other, b.count)
	}
	if b.unnamed.traits == 0 {
		return m, nil
	}
	other, err := e.unnamed(hidden)
	return m.or(other, b.count), err
}
