//go:build browser

package node

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/weirlog/weir/internal/query"
)

// module makes a module of the page available to scripts, as modules.NAME.
func (b *tab) module(name string) {
	b.t.Helper()
	b.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`window.modules ??= {};
		import('/web/%s.js').then((m) => { modules[%[1]q] = m; }); undefined`, name)))
	b.until(fmt.Sprintf(`modules[%q]`, name))
}

// ask evaluates a script for a value, which is x there, and reads what it says.
func ask[T any](b *tab, x any, script string) (got T) {
	b.t.Helper()
	data, err := json.Marshal(x)
	if err != nil {
		b.t.Fatal(err)
	}
	said := b.value(fmt.Sprintf(`JSON.stringify(((x) => %s)(%s))`, script, data))
	if err := json.Unmarshal([]byte(said), &got); err != nil {
		b.t.Fatalf("%v: %s", err, said)
	}
	return got
}

// clicked is what the filters make of a query.
type clicked struct {
	Has, HasNot         bool
	Removed, RemovedNot string
	Only, Without       string
}

const afterClicks = `x.map((q) => {
	const { has, remove, add } = modules.query, one = 'who:"x"', not = '-' + one;
	return { Has: has(q, one), HasNot: has(q, not), Removed: remove(q, one), RemovedNot: remove(q, not),
	Only: add(q, one), Without: add(q, not) }; })`

// A click on a value adds a condition to a query, or takes one away that holds for all that the query finds. What else
// the query says stays.
func TestBrowserClicksKeepTheMeaningOfAQuery(t *testing.T) {
	b := openTab(t)
	b.open("/")
	b.module("query")
	table := []struct {
		query       string
		has, hasNot bool
	}{
		{`who:"x"`, true, false},
		{`-who:"x"`, false, true},
		{`a who:"x" b`, true, false},
		{`a and who:"x" and b`, true, false},
		{`who:"x" AND b`, true, false},
		{`a and -who:"x"`, false, true},
		{`who:"x" who:"x"`, true, false},
		{`a who:"x" b or c`, false, false},
		{`a or b who:"x"`, false, false},
		{`a -who:"x" OR c`, false, false},
		{`a or(b) who:"x"`, false, false},
		{`(a)or b who:"x"`, false, false},
		{`(a or b) who:"x"`, true, false},
		{`t:(a or b) who:"x"`, true, false},
		{`a not(b or c) who:"x"`, true, false},
		{`"a or b" who:"x"`, true, false},
		{`-(outcome:failure who:"x" b)`, false, false},
		{`(who:"x")`, false, false},
		{`(a who:"x" b) c`, false, false},
		{`not who:"x"`, false, false},
		{`not not who:"x" a`, false, false},
		{`"a who:\"x\" b"`, false, false},
		{`a\ -who* who:"x"`, true, false},
		{"a\u00a0who:\"x\"", true, false},
		{`*`, false, false},
		{``, false, false},
	}
	var queries []string
	for _, c := range table {
		queries = append(queries, c.query)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		queries = append(queries, anyQuery(rnd, 3))
	}
	got := ask[[]clicked](b, queries, afterClicks)
	for i, c := range table {
		if got[i].Has != c.has || got[i].HasNot != c.hasNot {
			t.Errorf("%s: it is said to have the term: %t, and its opposite: %t", c.query, got[i].Has, got[i].HasNot)
		}
	}
	only, without := findsOf(t, `who:"x"`), findsOf(t, `-who:"x"`)
	for i, c := range got {
		q := queries[i]
		finds, rest, restNot := findsOf(t, q), findsOf(t, c.Removed), findsOf(t, c.RemovedNot)
		if c.Has && finds != rest&only || !c.Has && c.Removed != q {
			t.Errorf("%s: without the term that stands in it (%t) it is %s", q, c.Has, c.Removed)
		}
		if c.HasNot && finds != restNot&without || !c.HasNot && c.RemovedNot != q {
			t.Errorf("%s: without the opposite that stands in it (%t) it is %s", q, c.HasNot, c.RemovedNot)
		}
		if findsOf(t, c.Only) != restNot&only {
			t.Errorf("%s: with the term it is %s", q, c.Only)
		}
		if findsOf(t, c.Without) != rest&without {
			t.Errorf("%s: without the value it is %s", q, c.Without)
		}
	}
}

// anyQuery returns a query of words, of terms of a field, and of who:"x", joined in any way.
func anyQuery(rnd *rand.Rand, depth int) string {
	one := func() string {
		if depth > 0 && rnd.IntN(3) == 0 {
			return []string{"", "-", "not ", "not"}[rnd.IntN(4)] + "(" + anyQuery(rnd, depth-1) + ")"
		}
		return []string{`a`, `-b`, `"c"`, `t:(a or b)`, `"a or who:\"x\""`, `who:"x"`, `who:"x"`, `-who:"x"`,
			`not who:"x"`}[rnd.IntN(9)]
	}
	text := one()
	for range rnd.IntN(4) {
		text += []string{" ", " ", " ", " and ", " AND ", " or "}[rnd.IntN(6)] + one()
	}
	return text
}

// findsOf returns which of some events a query finds, a bit for each: all that differ in what anyQuery asks for.
func findsOf(t *testing.T, text string) (found uint64) {
	t.Helper()
	q, err := query.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	for i, name := range []string{"x", "y", ""} {
		for words := range 8 {
			var there []string
			for n, word := range []string{"a", "b", "c"} {
				if words&(1<<n) != 0 {
					there = append(there, word)
				}
			}
			line, _ := json.Marshal(map[string]any{"t": there, "actor": map[string]any{"user": map[string]any{"name": name}}})
			ok, err := q.Match(line)
			if err != nil {
				t.Fatal(err)
			}
			if ok {
				found |= 1 << (8*i + words)
			}
		}
	}
	return found
}

// The term of a value finds the events that have it, whatever the value is.
func TestBrowserTermsFindTheirValues(t *testing.T) {
	b := openTab(t)
	b.open("/")
	b.module("query")
	b.module("event")
	for _, value := range []string{`"x"`, `""`, `"a \"b\" \\"`, `"*"`, `"or"`, `"now-1d"`, `"a\nb\u0000\u001b"`,
		`"\u202e\u2028\u00ad"`, `"203.0.113.0/24"`, `"äöü 😀"`, `2`, `0`, `-5`, `-0.25`, `1e21`, `1e-7`, `true`, `false`,
		`12345678901234567890`} {
		line := `{"f":{"a b":` + value + `}}`
		text := ask[string](b, line, `modules.query.term('f."a b"', modules.event.parse(x).f['a b'])`)
		q, err := query.Parse(text)
		if err != nil {
			t.Errorf("%s: %s: %v", value, text, err)
			continue
		}
		if ok, err := q.Match([]byte(line)); !ok || err != nil {
			t.Errorf("%s: %s does not find it: %v", value, text, err)
		}
		if ok, _ := q.Match([]byte(`{"f":{"a b":"another"}}`)); ok && !strings.Contains(value, "another") {
			t.Errorf("%s: %s finds another", value, text)
		}
	}
}
