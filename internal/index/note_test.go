package index

import (
	"context"
	"fmt"
	"testing"

	"github.com/weirlog/weir/internal/query"
)

// A column that follows from another one is stored as a function.
func TestColumnsAreFunctionsOfOthers(t *testing.T) {
	var lines [][]byte
	for i := range 400 {
		session := i * i % 31
		line := fmt.Appendf(nil, `{"time":%d,"session":"s%d","user":"u%d","number":%d`, firstTime, session, session%7,
			1_000_000+i*i)
		if session%3 == 0 {
			line = append(line, `,"detail":"d"`...)
		}
		if i%17 < 4 {
			line = append(line, `,"left":"l","right":true`...)
		}
		lines = append(lines, append(line, '}'))
	}
	n := noteLines(lines)
	places := map[query.Field]int{}
	for i, c := range n.columns {
		places[c.path] = i
	}
	for path, want := range map[query.Field]layout{
		"session": {present: 400, lists: 16, values: source{kind: own}},
		"user":    {present: 400, lists: 7, values: source{function, places["session"]}},
		"detail":  {lists: 1, presence: source{function, places["session"]}},
		"left":    {lists: 1, presence: source{kind: own}},
		"right":   {lists: 1, presence: source{same, places["left"]}},
		"number":  {present: 400, packs: true},
	} {
		got := n.columns[places[path]].layout
		if want.present == 0 {
			want.present = got.present
		}
		if want.hidden = got.hidden; got != want {
			t.Errorf("%s: %+v, want %+v", path, got, want)
		}
	}
}

// A hidden value may be an empty string, which does not count for an alias.
func TestHiddenEmptyStringsDoNotCountForAliases(t *testing.T) {
	lines := crowded([][]byte{
		[]byte(`{"time":1793529000000,"user":{"name":"","uid":"u"}}`),
		[]byte(`{"time":1793529000000,"user":{"name":["",{}],"uid":"u"}}`),
		[]byte(`{"time":1793529000000,"user":{"name":"user-7","uid":"u"}}`),
	})
	for _, empty := range []bool{true, false} {
		if !empty {
			lines = lines[2:]
		}
		blocks := [][][]byte{lines}
		x := open(t, build(blocks))
		for _, text := range []string{"who:u", "who:user-7", "who:*", "not who:u"} {
			q, err := query.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			_, undecided := check(t, q, blocks, timesOf(t, x), x.All(), x.evaluate(t, q, x.All()))
			if !empty && text == "who:u" && undecided > 0 {
				t.Errorf("%s: %d entries are not decided though no value is empty", text, undecided)
			}
		}
	}
}

// The number of named paths of a block is bounded. A named path is named for all of its events.
func TestPathsOfABlockAreBounded(t *testing.T) {
	var lines [][]byte
	for i := range 2 * maxPaths / maxChildren {
		lines = append(lines, wide(fmt.Sprintf("p%d", i), maxChildren))
	}
	deep := fmt.Appendf(nil, `{"time":%d,`, firstTime)
	for i := range 2 * maxNodes / maxChildren {
		deep = fmt.Appendf(deep, `"o%d":{`, i)
		for j := range maxChildren {
			deep = fmt.Appendf(deep, `"n%d":{},`, j)
		}
		deep = append(deep[:len(deep)-1], "},"...)
	}
	for name, lines := range map[string][][]byte{"values": lines, "objects": {append(deep[:len(deep)-1], '}'), lines[0]}} {
		n := noteLines(lines)
		if len(n.columns) > maxPaths || n.unread || n.unnamed.traits == 0 {
			t.Errorf("%s: %d columns; unread: %t; unnamed: %v", name, len(n.columns), n.unread, n.unnamed)
		}
		for _, text := range []string{"p0.m0:0", "p7.m0:0", "p7.m0:*", "o9.n9:*", "m5:1", "5",
			"not p7.m1:1", "p7:*", "o63:*"} {
			q, err := query.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			x := open(t, encode([]*note{n}))
			check(t, q, [][][]byte{lines}, timesOf(t, x), x.All(), x.evaluate(t, q, x.All()))
		}
	}
}

// The time of an event is found after any number of names.
func TestTimeStandsBehindManyNames(t *testing.T) {
	manyNames, manyPaths := []byte("{"), []byte("{")
	for i := range maxChildren + 1 {
		manyNames = fmt.Appendf(manyNames, `"n%d":{},`, i)
	}
	for i := range maxNodes/maxChildren + 1 {
		inner := wide("x", maxChildren)
		manyPaths = fmt.Appendf(manyPaths, `"o%d":%s,`, i, inner)
	}
	for name, line := range map[string][]byte{"names": manyNames, "paths": manyPaths} {
		line = append(line, `"time":7}`...)
		if n := noteLines([][]byte{line}); n.unread || !n.plain || n.least != 7 {
			t.Errorf("%s: unread: %t, plain: %t, time %d", name, n.unread, n.plain, n.least)
		}
	}
}

// A user is a target only if there is an actor. If the actor is hidden, the target is unknown.
func TestTargetOfAHiddenActorIsNotClaimed(t *testing.T) {
	lines := [][]byte{
		[]byte(`{"time":1793529000000,"actor":{"user":{"name":""}},"user":{"name":"x"}}`),
		[]byte(`{"time":1793529000000,"actor":{"user":{"name":"a-1"}},"user":{"name":"x"}}`),
		[]byte(`{"time":1793529000000,"user":{"name":"x"}}`),
	}
	for i := range maxLists + 1 {
		lines = append(lines, fmt.Appendf(nil, `{"time":%d,"actor":{"user":{"name":"a-%d"}}}`, firstTime, i))
	}
	blocks, every := [][][]byte{lines}, []Matches{{Every: true}}
	x := open(t, build(blocks))
	facets, err := x.Facets(context.Background(), []query.Field{"target"}, 0, every, x.fetch)
	if err != nil {
		t.Fatal(err)
	}
	if _, hidden := checkFacet(t, "target", blocks, every, &facets[0]); hidden == 0 {
		t.Error("nothing is hidden")
	}
}
