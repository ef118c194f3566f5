package index

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/query"
)

// drawAliasEvent draws an event that has some of the sources of an alias, and of the actor.
func drawAliasEvent(t *rapid.T, alias query.Field) []byte {
	value := rapid.SampledFrom([]any{"", "a", "b", "success", "Failure", "1", 1, 2, 2.0, 200, 404, 0, true, 3002, 99901,
		"Authentication", "10.0.0.1", []any{"", "a"}, []any{}, map[string]any{}, nil, []any{2, "x"}, []any{"b", "b"}})
	tree := map[string]any{"time": firstTime}
	sources := query.AliasSources(alias)
	if alias == "target" {
		sources = append(sources, query.AliasSources(who)[:3]...)
	}
	for _, s := range sources {
		if rapid.IntRange(0, 3).Draw(t, "there") > 0 {
			continue
		}
		at, names := tree, s.Field.Names()
		for _, name := range names[:len(names)-1] {
			below, ok := at[name].(map[string]any)
			if !ok {
				below = map[string]any{}
				at[name] = below
			}
			at = below
		}
		at[names[len(names)-1]] = value.Draw(t, "value")
	}
	line, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// An alias has the values of the first source that has any, even if some sources are hidden.
func TestAliasesAgreeWithOracle(t *testing.T) {
	text := rapid.SampledFrom([]string{"a", "b", "", "success", "failure", "unknown", "1", "2", "200", "true", "3002",
		"authentication", "10.0.0.1", "x"})
	rapid.Check(t, func(t *rapid.T) {
		alias := query.Field(rapid.SampledFrom(query.Aliases()).Draw(t, "alias"))
		var blocks [][][]byte
		for range rapid.IntRange(1, 3).Draw(t, "blocks") {
			var lines [][]byte
			for range rapid.IntRange(1, maxDrawn).Draw(t, "entries") {
				lines = append(lines, drawAliasEvent(t, alias))
			}
			if rapid.IntRange(0, 4).Draw(t, "crowded") == 0 {
				lines = crowded(lines)
			}
			blocks = append(blocks, lines)
		}
		x := open(t, build(blocks))
		times := timesOf(t, x)
		for range 10 {
			term := query.Term{Field: alias, Match: query.Exists{}}
			switch rapid.IntRange(0, 5).Draw(t, "condition") {
			case 0:
			case 1:
				term.Match = query.Comparison{Op: query.Greater, Number: "1"}
			default:
				term.Match = query.Value{Text: text.Draw(t, "text")}
			}
			q := &query.Query{Root: term}
			check(t, q, blocks, times, x.All(), x.evaluate(t, q, x.All()))
		}
		every := make([]Matches, len(blocks))
		for i := range every {
			every[i] = Matches{Every: true}
		}
		facets, err := x.Facets(context.Background(), []query.Field{alias}, 0, every, x.fetch)
		if err != nil {
			t.Fatal(err)
		}
		checkFacet(t, alias, blocks, every, &facets[0])
	})
}

// checkFacet compares a facet with the values of the lines. It returns how many entries are counted in it, and how many
// are hidden.
func checkFacet(t fatal, field query.Field, blocks [][][]byte, of []Matches, f *Facet) (shown, hidden int) {
	t.Helper()
	var lines [][]byte
	for b := range blocks {
		certain, _ := of[b].sets(len(blocks[b]))
		for entry := range certain.All() {
			if f.Hidden != nil && f.Hidden[b].Has(entry) {
				hidden++
				continue
			}
			shown++
			lines = append(lines, blocks[b][entry])
		}
	}
	want, missing := naive(t, field, lines)
	got := map[query.Scalar]int{}
	for _, c := range f.Values {
		got[c.Value] = c.Entries
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || missing != f.Missing || len(got) != len(f.Values) {
		t.Fatalf("%s: %v, %d missing, want %v, %d", field, got, f.Missing, want, missing)
	}
	return shown, hidden
}
