package index

import (
	"strings"

	"github.com/weirlog/weir/internal/query"
)

// The aliases for which more counts than the first source that has a value.
const (
	class   query.Field = "class"   // it has the values of all its sources
	outcome query.Field = "outcome" // its values are not in the event
	who     query.Field = "who"     // some of its sources say that there is an actor
)

// aliasSource is a source of an alias.
type aliasSource struct {
	column     int         // -1 if there is none
	has        *columnTest // whether a source has a value that is not an empty string
	match      *columnTest // whether the alias passes with the values of the source, if no source before has a value
	raw        *columnTest // whether the source's own values pass; nil unless it is the second source of class
	afterActor bool
}

// filled returns the values that count for an alias. It overwrites values.
func filled(values []query.Scalar) []query.Scalar {
	some := values[:0]
	for _, v := range values {
		if v.Kind != present && (v.Kind != query.String || v.Text != "") {
			some = append(some, v)
		}
	}
	return some
}

// newHas returns the test of a column for values that count for an alias.
func (r *reader) newHas(column int) (*columnTest, error) {
	if column < 0 {
		return nil, nil
	}
	t, err := r.newColumnTest(column, true, true, func(values []query.Scalar) bool { return len(filled(values)) > 0 })
	return &t, err
}

// hasHidden returns whether hidden values count for an alias.
func hasHidden(s *summary) (verdict, error) {
	if s.traits&blanks != 0 {
		return perhaps, nil
	}
	return verdictOf(s.traits != 0), nil
}

// ofSource runs the test of the column of a source. If the block does not name the column, it tests the unnamed values.
func (e *evaluator) ofSource(t *columnTest, hidden func(*summary) (verdict, error)) (m Matches, err error) {
	named := false
	if t != nil {
		m, named, err = t.run(e.view, hidden)
	}
	if b := &e.blocks[e.view.block]; err == nil && !named && b.unnamed.traits&(texts|numbers|bools) != 0 {
		to, err := hidden(&b.unnamed)
		if to == no || err != nil {
			return m, err
		}
		return everyPerhaps(b.count), nil
	}
	return m, err
}

// actor finds the entries that have an actor.
type actor struct {
	tests []*columnTest
	ready bool
}

func (a *actor) run(e *evaluator) (m Matches, err error) {
	if !a.ready {
		a.ready = true
		for _, s := range query.AliasSources(who) {
			if !strings.HasPrefix(string(s.Field), "actor.") {
				continue
			}
			t, err := e.newHas(e.Index.column(s.Field))
			if err != nil {
				return m, err
			}
			a.tests = append(a.tests, t)
		}
	}
	for _, t := range a.tests {
		if m.Every {
			break
		}
		has, err := e.ofSource(t, hasHidden)
		if err != nil {
			return m, err
		}
		m = m.or(has, e.count())
	}
	return m, nil
}

// ofAlias is a term with an alias.
type ofAlias struct {
	term    query.Term
	ready   bool
	exists  bool
	needs   needs
	numbers numberTest
	passes  *query.Test
	sources []aliasSource
	without bool // whether an event passes if no source has a value
	actor   actor
}

func (o *ofAlias) cost() int { return 10 }

func (o *ofAlias) prepare(e *evaluator) {
	o.ready, o.needs, o.passes, o.numbers = true, newNeeds(o.term), query.NewTest(o.term), newNumberTest(o.term)
	_, o.exists = o.term.Match.(query.Exists)
	o.without = anyPasses(o.passes, query.AliasValues(o.term.Field, -1, nil))
	for _, s := range query.AliasSources(o.term.Field) {
		o.sources = append(o.sources, aliasSource{column: e.Index.column(s.Field), afterActor: s.AfterActor})
	}
}

// source returns a source, and makes its tests when it is first needed.
func (o *ofAlias) source(e *evaluator, n int) (s *aliasSource, err error) {
	if s = &o.sources[n]; s.column < 0 || s.has != nil {
		return s, nil
	}
	if s.has, err = e.newHas(s.column); err != nil {
		return nil, err
	}
	match, err := e.newColumnTest(s.column, true, true, func(values []query.Scalar) bool {
		some := filled(values)
		return len(some) > 0 && anyPasses(o.passes, query.AliasValues(o.term.Field, n, some))
	})
	if s.match = &match; !o.derived(n) {
		match.numbers = &o.numbers
	}
	if err == nil && o.term.Field == class && n == 1 {
		var raw columnTest
		raw, err = e.newColumnTest(s.column, true, true, func(values []query.Scalar) bool {
			return anyPasses(o.passes, filled(values))
		})
		raw.numbers, s.raw = &o.numbers, &raw
	}
	return s, err
}

// derived tells whether the values of the alias are computed from those of a source, so that the source's values do not
// decide.
func (o *ofAlias) derived(source int) bool {
	return o.term.Field == outcome || o.term.Field == class && source == 1
}

// hidden returns a function that tells whether the alias passes if its values are hidden values of a source.
func (o *ofAlias) hidden(e *evaluator, derived bool) func(*summary) (verdict, error) {
	return func(s *summary) (verdict, error) {
		if derived {
			return perhaps, nil
		}
		return o.needs.hidden(e.view, s, e.known)
	}
}

func (o *ofAlias) run(e *evaluator) (m Matches, err error) {
	if !o.ready {
		o.prepare(e)
	}
	entries := e.count()
	rest := Matches{Every: true} // entries of which no source so far has a value
	for n := range o.sources {
		if rest.None() {
			return m, nil
		}
		s, err := o.source(e, n)
		if err != nil {
			return m, err
		}
		has, err := e.ofSource(s.has, hasHidden)
		if err != nil {
			return m, err
		}
		match := has
		if !o.exists {
			if match, err = e.ofSource(s.match, o.hidden(e, o.derived(n))); err != nil {
				return m, err
			}
		}
		if s.afterActor && !has.None() {
			actor, err := o.actor.run(e)
			if err != nil {
				return m, err
			}
			has, match = has.and(actor, entries), match.and(actor, entries)
		}
		if o.term.Field == class && n == 0 && !o.exists && !has.None() {
			numbers, err := o.source(e, 1)
			if err != nil {
				return m, err
			}
			other, err := e.ofSource(numbers.raw, o.hidden(e, false))
			if err != nil {
				return m, err
			}
			match = match.or(has.and(other, entries), entries)
		}
		m = m.or(match.and(rest, entries), entries)
		rest = rest.and(has.not(entries), entries)
	}
	if o.without {
		m = m.or(rest, entries)
	}
	return m, nil
}
