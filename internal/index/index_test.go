package index

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/segment"
)

// fatal is a *testing.T, *testing.B or *rapid.T.
type fatal interface {
	Helper()
	Fatalf(string, ...any)
}

// noteLines makes the notes of a block with these lines.
func noteLines(lines [][]byte) *note {
	return noteOf(segment.Content{Block: &segment.Block{Count: len(lines)},
		Lines: append(bytes.Join(lines, []byte("\n")), '\n')})
}

// opened is an index in memory.
type opened struct {
	*Index
	content []byte
	fetched int // bytes
	fetches int
}

func open(t fatal, content []byte) *opened {
	t.Helper()
	length, err := HeadLength(content)
	if err != nil {
		t.Fatalf("%v", err)
	}
	x, err := Open(content[:length])
	if err != nil {
		t.Fatalf("%v", err)
	}
	return &opened{Index: x, content: content}
}

func (o *opened) fetch(_ context.Context, offset, length int64) ([]byte, error) {
	o.fetches++
	o.fetched += int(length)
	if offset < 0 || offset+length > int64(len(o.content)) {
		return nil, fmt.Errorf("bytes %d to %d of %d", offset, offset+length, len(o.content))
	}
	return o.content[offset : offset+length], nil
}

func (o *opened) evaluate(t fatal, q *query.Query, s Scope) []Matches {
	t.Helper()
	result, err := o.Evaluate(context.Background(), q, s, o.fetch)
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return result
}

func build(blocks [][][]byte) []byte {
	var notes []*note
	for _, lines := range blocks {
		notes = append(notes, noteLines(lines))
	}
	return encode(notes)
}

// The vocabulary of random events and queries, which is small so that they often match.
var (
	words = []string{"a", "b", "a b", "b a b", "A", "é É", "k", "\u212a", "ſ", "s", "1", "2.0", "1.0", "true", "FALSE",
		"", "*", "now", "10.0.0.1", "10.1.0.1", "::ffff:10.0.0.1", "2001:db8::1", "2001:DB8:0::1", "fe80::1%eth0",
		"10.0.0.1.", "::ffff:a00:1", "10.0.0.0/8", "2026-11-01T10:30:00Z", "2026-11-01T11:30:00.5+01:00", "2026-11-01",
		"2026-11-01T10:30", "a-b.c", "(a)", "a.,b!", "\"a\"", "\\", "a\\b", "a=b", "success", "failure",
		"Success", "3002", "Authentication", "Σς", "a.b", "\u00a0a\u2003b", "6a7941c22c88faeba59c580d",
		"019f4e00-4000-7000-8000-000000000001", strings.Repeat("long ", 60)}
	figures = []string{"1", "1.0", "10e-1", "2", "0", "-0", "-1.50", "9007199254740993", "9007199254740992",
		"1793529000000", "1793529000000.5", "1e400", "1E2", "100", "200", "13", "3002", "1e999999999999999999", "0.1"}
	patterns = [][]string{{"a", ""}, {"", "b"}, {"", "e", ""}, {"a", "b"}, {"10.", ""}, {"", "É", ""}, {"", "S"},
		{"", " ", ""}, {"1", ""}, {"t", "e"}, {"a*", ""}, {"", "a", "b", ""}, {"1e", ""}, {"17", "1"}}
	networks = []string{"10.0.0.0/16", "0.0.0.0/0", "::/0", "2001:db8::/32", "fe80::/10"}
	periods  = []string{"2026-11-01T10:30Z", "2026-11-01", "2026-11", "2026-W44", "2026-11-01T10:30:00.5",
		"1969-12-31T23:59:59.9995", "2026-11-01T10:30:00.001Z"}
	paths = [][]string{{"a"}, {"b"}, {"a", "b"}, {"a", "b", "c"}, {"time"}, {"x_dt"}, {"actor", "user", "name"},
		{"user", "name"}, {"user", "uid"}, {"src_endpoint", "ip"}, {"status_id"}, {"status"},
		{"api", "response", "code"}, {"api", "response", "error"}, {"class_uid"}, {"class_name"}, {"resources", "name"},
		{"entity", "name"}, {"unmapped", "atype"}, {"who"}, {"who", "a"}, {"a b"}, {"é"}, {"k"}, {"\u212a"}, {"and"}}
	firstTime = int64(1_793_529_000_000)
)

func drawNode(t *rapid.T, depth int) query.Node {
	kind := rapid.IntRange(0, 7).Draw(t, "kind")
	if depth == 0 {
		kind = 7
	}
	nodes := func() (nodes []query.Node) {
		for range rapid.IntRange(2, 3).Draw(t, "nodes") {
			nodes = append(nodes, drawNode(t, depth-1))
		}
		return nodes
	}
	switch kind {
	case 0, 1:
		return query.And(nodes())
	case 2, 3:
		return query.Or(nodes())
	case 4:
		return query.Not{Node: drawNode(t, depth-1)}
	case 5:
		if rapid.IntRange(0, 9).Draw(t, "all") == 0 {
			return query.All{}
		}
	}
	return drawTerm(t)
}

func drawField(t *rapid.T) query.Field {
	if rapid.IntRange(0, 2).Draw(t, "alias?") == 0 {
		return query.Field(rapid.SampledFrom(query.Aliases()).Draw(t, "alias"))
	}
	return query.Path(rapid.SampledFrom(paths).Draw(t, "path")...)
}

func drawTerm(t *rapid.T) query.Term {
	var f query.Field
	if rapid.IntRange(0, 3).Draw(t, "field") > 0 {
		f = drawField(t)
	}
	op := rapid.SampledFrom([]query.Op{query.Greater, query.GreaterOrEqual, query.Less, query.LessOrEqual}).Draw(t, "op")
	number, text := rapid.SampledFrom(figures), rapid.SampledFrom(words)
	kind := rapid.IntRange(0, 7).Draw(t, "condition")
	if f == "" {
		kind = rapid.IntRange(0, 4).Draw(t, "condition without field")
	}
	switch kind {
	case 0, 1:
		return query.Term{Field: f, Match: query.Value{Text: text.Draw(t, "text")}}
	case 2:
		return query.Term{Field: f, Match: query.Value{Text: number.Draw(t, "number")}}
	case 3:
		return query.Term{Field: f, Match: query.Pattern{Parts: rapid.SampledFrom(patterns).Draw(t, "parts")}}
	case 4:
		network := netip.MustParsePrefix(rapid.SampledFrom(networks).Draw(t, "network"))
		return query.Term{Field: f, Match: query.Network{Prefix: network}}
	case 5:
		if rapid.Bool().Draw(t, "number?") {
			return query.Term{Field: f, Match: query.Comparison{Op: op, Number: number.Draw(t, "bound")}}
		}
		fallthrough
	case 6:
		period := query.Time{Text: rapid.SampledFrom(periods).Draw(t, "time")}
		return query.Term{Field: f, Match: query.Comparison{Op: op, Time: period}}
	}
	return query.Term{Field: f, Match: query.Exists{}}
}

// drawEvent draws the line of an event, which has a time. Dense events have many different values.
func drawEvent(t *rapid.T) []byte {
	space := rapid.SampledFrom([]string{"", "", "", " ", "\t "}).Draw(t, "space")
	time := fmt.Sprintf(`"time":%s%d`, space, firstTime+rapid.Int64Range(-2, 2).Draw(t, "time"))
	rest := drawObject(t, 3, space)[1:]
	if strings.TrimSpace(rest) == "}" {
		return []byte(space + "{" + time + rest + space)
	}
	if rapid.IntRange(0, 4).Draw(t, "time last") == 0 {
		return []byte(space + "{" + rest[:len(rest)-1] + "," + time + "}" + space)
	}
	// The rest may have another time, so the time is put first too: the last one counts.
	return []byte(space + "{" + time + "," + rest[:len(rest)-1] + lastTime(rest, time) + "}" + space)
}

func lastTime(rest, time string) string {
	if strings.Contains(rest, "time") || strings.Contains(rest, `\u0074`) {
		return "," + time
	}
	return ""
}

func drawObject(t *rapid.T, depth int, space string) string {
	var names []string
	for range rapid.IntRange(0, 5).Draw(t, "members") {
		path := rapid.SampledFrom(paths).Draw(t, "path")
		name := rapid.SampledFrom(path).Draw(t, "name")
		if depth == 3 && rapid.IntRange(0, 3).Draw(t, "whole path") > 0 {
			text := drawValue(t, 1, space)
			for i := len(path) - 1; i > 0; i-- {
				text = "{" + space + drawQuoted(t, path[i]) + ":" + text + "}"
			}
			names = append(names, drawQuoted(t, path[0])+space+":"+space+text)
			continue
		}
		names = append(names, drawQuoted(t, name)+space+":"+space+drawValue(t, depth-1, space))
	}
	return "{" + space + strings.Join(names, space+","+space) + space + "}"
}

func drawValue(t *rapid.T, depth int, space string) string {
	kind := rapid.IntRange(0, 7).Draw(t, "kind of value")
	switch {
	case kind <= 2 || depth == 0 && kind > 5:
		return drawQuoted(t, rapid.SampledFrom(words).Draw(t, "text"))
	case kind == 3:
		return rapid.SampledFrom(figures).Draw(t, "number")
	case kind == 4:
		return rapid.SampledFrom([]string{"true", "false", "null"}).Draw(t, "literal")
	case kind == 5:
		return fmt.Sprint(rapid.Int64Range(firstTime-2, firstTime+2).Draw(t, "time"))
	case kind == 6:
		var elements []string
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			elements = append(elements, drawValue(t, depth-1, space))
		}
		return "[" + space + strings.Join(elements, ",") + "]"
	}
	return drawObject(t, depth, space)
}

// drawQuoted quotes a text, sometimes with unnecessary escapes.
func drawQuoted(t *rapid.T, text string) string {
	if rapid.IntRange(0, 9).Draw(t, "escaped") == 0 {
		var b strings.Builder
		for _, r := range text {
			fmt.Fprintf(&b, `\u%04X`, r) // all are in the basic plane
		}
		return `"` + b.String() + `"`
	}
	quoted, err := jsontext.AppendQuote(nil, text)
	if err != nil {
		t.Fatal(err)
	}
	return string(quoted)
}

// maxDrawn is the maximum number of drawn events in a block.
const maxDrawn = 12

// drawBlocks draws blocks of a segment. Some have many hidden values, or unnamed paths.
func drawBlocks(t *rapid.T) (blocks [][][]byte) {
	for range rapid.IntRange(1, 4).Draw(t, "blocks") {
		var lines [][]byte
		for range rapid.IntRange(1, maxDrawn).Draw(t, "entries") {
			lines = append(lines, drawEvent(t))
		}
		switch rapid.IntRange(0, 8).Draw(t, "kind of block") {
		case 0, 1, 2:
			lines = crowded(lines)
		case 3:
			lines = append([][]byte{wide("a", maxChildren)}, lines...) // so that a.b is not named
		case 4:
			var all []string
			for i := range maxPaths/maxChildren + 1 {
				all = append(all, string(wide(fmt.Sprintf("w%d", i), maxChildren)))
			}
			for _, line := range all {
				lines = append([][]byte{[]byte(line)}, lines...) // so that nothing else is named
			}
		}
		blocks = append(blocks, lines)
	}
	return blocks
}

// crowded appends lines with so many values at the paths a, user.name and api.response.code that they are hidden.
func crowded(lines [][]byte) [][]byte {
	for i := range maxLists + 1 {
		lines = append(lines, fmt.Appendf(nil, `{"time":%d,"a":"value-%d","user":{"name":"user-%d"},`+
			`"api":{"response":{"code":%d}}}`, firstTime, i, i, i))
	}
	return lines
}

// wide returns an event with this number of members below a path.
func wide(path string, members int) []byte {
	line := fmt.Appendf(nil, `{"time":%d,%q:{`, firstTime, path)
	for i := range members {
		line = fmt.Appendf(line, `"m%d":%d,`, i, i)
	}
	return append(line[:len(line)-1], "}}"...)
}

// check compares matches with the oracle. It returns how many entries were decided, and how many were not.
func check(t fatal, q *query.Query, blocks [][][]byte, times [][]int64, s Scope, result []Matches) (decided,
	undecided int) {
	t.Helper()
	m, err := query.Compile(q)
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	for b := s.From; b < s.To; b++ {
		yes, perhaps := result[b-s.From].sets(len(blocks[b]))
		for i, line := range blocks[b] {
			want := m.Match(line)
			if i < maxDrawn { // the others are simple, and the oracle is slow
				if want, err = q.Match(line); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
			}
			want = want && times[b][i] >= s.Start && times[b][i] < s.End
			switch {
			case yes.Has(i) && perhaps.Has(i):
				t.Fatalf("%s on %s: both yes and perhaps", q, line)
			case perhaps.Has(i):
				undecided++
			case yes.Has(i) != want:
				t.Fatalf("%s in %v on entry %d of block %d, %s: %t, want %t", q, s, i, b, line, yes.Has(i), want)
			default:
				decided++
			}
		}
		for i := range yes.All() {
			if i >= len(blocks[b]) {
				t.Fatalf("%s: entry %d of %d", q, i, len(blocks[b]))
			}
		}
	}
	return decided, undecided
}

func timesOf(t fatal, x *opened) (all [][]int64) {
	t.Helper()
	var blocks []int
	for b := range x.Blocks() {
		blocks = append(blocks, b)
	}
	err := x.Times(context.Background(), blocks, x.fetch, func(_ int, times []int64) error {
		all = append(all, times)
		return nil
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return all
}

func TestAnswersAgreeWithOracle(t *testing.T) {
	decided, undecided := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		blocks := drawBlocks(t)
		x := open(t, build(blocks))
		times := timesOf(t, x)
		for range 20 {
			q := &query.Query{Root: drawNode(t, 2)}
			s := x.All()
			if rapid.Bool().Draw(t, "times") {
				s.Start = firstTime + rapid.Int64Range(-3, 1).Draw(t, "start")
				s.End = firstTime + rapid.Int64Range(-1, 3).Draw(t, "end")
			}
			d, o := check(t, q, blocks, times, s, x.evaluate(t, q, s))
			decided, undecided = decided+d, undecided+o
		}
	})
	if undecided == 0 || undecided > decided/2 {
		t.Errorf("%d entries were decided, %d not: too few or too many of one", decided, undecided)
	}
}

func TestTermsAgreeWithOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blocks := drawBlocks(t)
		x := open(t, build(blocks))
		times := timesOf(t, x)
		for range 50 {
			q := &query.Query{Root: drawTerm(t)}
			check(t, q, blocks, times, x.All(), x.evaluate(t, q, x.All()))
		}
	})
}
