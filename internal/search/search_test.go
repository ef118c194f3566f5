package search

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/event/eventtest"
	"github.com/weirlog/weir/internal/index"
	"github.com/weirlog/weir/internal/node/nodetest"
	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/segment"
	"github.com/weirlog/weir/internal/tlog"
)

var logs = []string{"6a793f48c0eb9e7a17712f00", "6a793f48c0eb9e7a17712f01", "6a793f48c0eb9e7a17712f02"}

// world is three logs, and their expected events.
type world struct {
	node   *nodetest.Node
	search *Searcher
	events map[string][]string // lines by log, unordered
	uid    int
}

func newWorld(t testing.TB, o tlog.Options) *world {
	o.BlockBytes, o.MergeWidth, o.Grace = 600, 3, -1 // replaced objects are deleted at once
	n := nodetest.New(t, bucketest.NewMemory(), nodetest.Options{Logs: o})
	return &world{node: n, search: New(n.Logs, Options{}), events: map[string][]string{}}
}

// besides is no indexes, indexes of all segments, and indexes of large segments only.
var besides = [][]segment.Kind{nil, {index.Kind{Least: 1}}, {index.Kind{Least: 3000}}}

// record records events in a log. Duplicates have no effect.
func (w *world) record(t rapid.TB, log string, lines ...string) {
	t.Helper()
	if err := w.node.Writers[0].Append(context.Background(), eventtest.Batch(log, lines...)); err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if !slices.Contains(w.events[log], line) {
			w.events[log] = append(w.events[log], line)
		}
	}
}

func (w *world) sequence(t rapid.TB) {
	t.Helper()
	if _, err := w.node.Sequencers[0].Round(context.Background(), true); err != nil {
		t.Fatal(err)
	}
}

func (w *world) merge(t rapid.TB) {
	t.Helper()
	for _, log := range logs {
		if _, err := w.node.Logs.Merge(context.Background(), log); err != nil {
			t.Fatal(err)
		}
	}
}

// grow records some events, some of them late and some twice.
func (w *world) grow(t *rapid.T) {
	log := rapid.SampledFrom(logs).Draw(t, "log")
	var lines []string
	for range rapid.IntRange(1, 20).Draw(t, "events") {
		w.uid++
		lines = append(lines, fmt.Sprintf(
			`{"time":%d,"metadata":{"uid":"%d"},"status_id":%d,"actor":{"user":{"name":"u%d"}},`+
				`"tags":["a%d","b"],"long":"x%d %s"}`,
			rapid.Int64Range(1000, 1060).Draw(t, "time")*1000, w.uid, w.uid%3, w.uid%5, w.uid%7, w.uid%11,
			strings.Repeat("y", w.uid%2*300)))
	}
	if all := w.events[log]; len(all) > 0 {
		lines = append(lines, rapid.SampledFrom(all).Draw(t, "again"))
	}
	w.record(t, log, lines...)
}

// expected returns the matching lines, in order.
func (w *world) expected(t rapid.TB, q Question, o Order) []Hit {
	var hits []Hit
	for _, log := range q.Logs {
		for _, line := range w.events[log] {
			e := eventtest.Batch(log, line).Entries[0]
			ok, err := q.Query.Match([]byte(line))
			if err != nil {
				t.Fatal(err)
			}
			if ok && e.Time >= q.Start && e.Time < q.End {
				hits = append(hits, Hit{Position{e.Time, log, e.Key}, 0, []byte(line)})
			}
		}
	}
	slices.SortFunc(hits, func(a, b Hit) int {
		byTime := cmp.Compare(a.Time, b.Time)
		if o == Newest {
			byTime = -byTime
		}
		return cmp.Or(byTime, cmp.Compare(a.Log, b.Log), slices.Compare(a.Key[:], b.Key[:]))
	})
	return hits
}

func parse(t rapid.TB, text string) *query.Query {
	t.Helper()
	q, err := query.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

var questions = []string{"*", "status_id:2", "who:u1 or who:u3", "not who:u1", "tags:a3", "status_id:1 -tags:a2", "u4",
	"nothing", "who:u* status_id > 0 -u2", "metadata.uid:1* or tags:a5", "long:*", "long:x7",
	"time >= 1970-01-01T00:17:00Z who:u*"}

func drawQuestion(t *rapid.T) Question {
	var some []string
	for _, log := range logs {
		if rapid.IntRange(0, 3).Draw(t, "with log") > 0 {
			some = append(some, log)
		}
	}
	start := rapid.Int64Range(990, 1060).Draw(t, "start") * 1000
	return Question{Query: parse(t, rapid.SampledFrom(questions).Draw(t, "query")), Logs: some, Start: start,
		End: start + rapid.Int64Range(0, 80).Draw(t, "length")*1000}
}

func sameHits(t rapid.TB, got, want []Hit) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || string(got[i].Line) != string(want[i].Line) ||
			got[i].Position != want[i].Position {
			t.Fatalf("%d hits, want %d; they differ from hit %d on", len(got), len(want), i)
		}
	}
}

// All pages together are as defined, although logs are sequenced and merged between pages, since positions never
// change.
func TestPagesAgreeWithDefinition(t *testing.T) {
	many, found := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, tlog.Options{Beside: rapid.SampledFrom(besides).Draw(rt, "beside")})
		upkeep := map[string]func(*rapid.T){
			"sequence": func(t *rapid.T) { w.sequence(t) },
			"merge":    func(t *rapid.T) { w.merge(t) },
		}
		both := maps.Clone(upkeep)
		both["grow"] = w.grow
		for range rapid.IntRange(0, 8).Draw(rt, "steps") {
			both[rapid.SampledFrom([]string{"grow", "grow", "sequence", "merge"}).Draw(rt, "step")](rt)
		}
		q, o := drawQuestion(rt), rapid.SampledFrom([]Order{Newest, Oldest}).Draw(rt, "order")
		w.search.options.PageBytes = rapid.SampledFrom([]int{1, 500, 4 << 20}).Draw(rt, "bytes")
		want := w.expected(rt, q, o)
		var got []Hit
		var after *Position
		for {
			limit := rapid.IntRange(1, 30).Draw(rt, "limit")
			p, err := w.search.Page(context.Background(), q, o, after, limit)
			if err != nil {
				rt.Fatal(err)
			}
			if len(p.Hits) > limit {
				rt.Fatalf("%d hits in a page of %d", len(p.Hits), limit)
			}
			got = append(got, p.Hits...)
			if after = p.Next; after == nil {
				break
			}
			if many++; len(p.Hits) == 0 {
				rt.Fatal("an empty page is not the last")
			}
			upkeep[rapid.SampledFrom([]string{"sequence", "merge"}).Draw(rt, "meanwhile")](rt)
		}
		sameHits(rt, got, want)
		found += len(got)
	})
	if many == 0 || found == 0 {
		t.Errorf("%d pages were not the last; %d hits", many, found)
	}
}

// A hit says which entry it is, or that it waits to be sequenced.
func TestHitsHaveTheirIndex(t *testing.T) {
	w := newWorld(t, tlog.Options{})
	line := func(n int) string { return fmt.Sprintf(`{"time":%d,"metadata":{"uid":"%d"}}`, 1_000_000+n, n) }
	w.record(t, logs[0], line(0), line(1), line(2))
	w.sequence(t)
	w.record(t, logs[0], line(3))
	q := Question{Query: parse(t, ""), Logs: logs, Start: 0, End: 1 << 40}
	p, err := w.search.Page(t.Context(), q, Oldest, nil, 10)
	if err != nil {
		t.Fatal(err)
	}
	var indexes []int64
	for _, h := range p.Hits {
		indexes = append(indexes, h.Index)
	}
	if want := []int64{0, 1, 2, tlog.Unsequenced}; !slices.Equal(indexes, want) {
		t.Errorf("indexes %d, want %d", indexes, want)
	}
}

// A page is complete even if objects are moved while it is made.
func TestPageOfALogThatMoves(t *testing.T) {
	b := &bucketest.Faulty{Bucket: bucketest.NewMemory()}
	n := nodetest.New(t, b, nodetest.Options{Logs: tlog.Options{BlockBytes: 600, MergeWidth: 3, Grace: -1}})
	w := &world{node: n, search: New(n.Logs, Options{}), events: map[string][]string{}}
	for i := range 40 {
		var lines []string
		for k := range 5 {
			lines = append(lines, fmt.Sprintf(`{"time":%d,"metadata":{"uid":"%d-%d"}}`, 1_000_000+(i*7919)%40, i, k))
		}
		w.record(t, logs[0], lines...)
		if i%2 == 0 {
			w.sequence(t)
		}
	}
	var moved atomic.Int64
	var moving atomic.Bool
	b.Before = func(_ context.Context, op bucketest.Op, key string) error {
		if op != bucketest.Get || !strings.Contains(key, "/segments/") || moved.Load() == 5 ||
			!moving.CompareAndSwap(false, true) {
			return nil
		}
		defer moving.Store(false)
		moved.Add(1)
		w.sequence(t)
		w.merge(t)
		return nil
	}
	q := Question{Query: parse(t, ""), Logs: logs[:1], Start: 0, End: 1 << 40}
	p, err := w.search.Page(t.Context(), q, Newest, nil, 1000)
	if err != nil {
		t.Fatal(err)
	}
	sameHits(t, p.Hits, w.expected(t, q, Newest))
	if moved.Load() == 0 {
		t.Error("nothing moved")
	}
}

// A page that the time limit ends has all events before the unread ones, and the next page continues there.
func TestTimeLimitEndsAPageNotTheSearch(t *testing.T) {
	b := &bucketest.Faulty{Bucket: bucketest.NewMemory()}
	n := nodetest.New(t, b, nodetest.Options{Logs: tlog.Options{BlockBytes: 600, CacheBytes: 100}})
	w := &world{node: n, search: New(n.Logs, Options{}), events: map[string][]string{}}
	for i := range 60 {
		w.record(t, logs[0], fmt.Sprintf(`{"time":%d,"metadata":{"uid":"%d"},"filler":"%0500d"}`, 1_000_000+i, i, 0))
		if i%3 == 0 {
			w.sequence(t)
		}
	}
	w.sequence(t)
	var limited atomic.Bool
	inPart := 0
	q := Question{Query: parse(t, ""), Logs: logs[:1], Start: 0, End: 1 << 40}
	if _, err := w.search.Page(t.Context(), q, Newest, nil, 1000); err != nil {
		t.Fatal(err)
	}
	var got []Hit
	var after *Position
	var gets atomic.Int64
	b.Before = func(ctx context.Context, op bucketest.Op, key string) error {
		if op != bucketest.Get || !strings.Contains(key, "/segments/") {
			return nil
		}
		if gets.Add(1)%12 == 0 {
			limited.Store(true)
		}
		if limited.Load() {
			<-ctx.Done() // the storage is slow
			return context.Cause(ctx)
		}
		return nil
	}
	w.search.options.TimeLimit = 50 * time.Millisecond
	for {
		limited.Store(false)
		p, err := w.search.Page(t.Context(), q, Newest, after, 1000)
		if errors.Is(err, ErrTooSlow) {
			continue // it ended before the first block
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.Cut != limited.Load() {
			t.Errorf("a page says %v of whether the time limit ended it, which is %v", p.Cut, limited.Load())
		}
		got = append(got, p.Hits...)
		if after = p.Next; after == nil {
			break
		}
		inPart++
	}
	sameHits(t, got, w.expected(t, q, Newest))
	if inPart == 0 {
		t.Error("no page was ended by the time limit")
	}
}

// checkParts checks that each bar counts the events that part matches. If part is nil, these counts must be 0.
func checkParts(t rapid.TB, bars []Bar, hits []Hit, part *query.Query) {
	for i, bar := range bars {
		want := int64(0)
		for _, h := range hits {
			if part == nil || h.Time < bar.Start || i+1 < len(bars) && h.Time >= bars[i+1].Start {
				continue
			}
			matches, err := part.Match(h.Line)
			if err != nil {
				t.Fatal(err)
			}
			if matches {
				want++
			}
		}
		if bar.Part != want {
			t.Fatalf("bar %d has %d of a part, want %d", i, bar.Part, want)
		}
	}
}

func TestSummaryAgreesWithDefinition(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, tlog.Options{Beside: rapid.SampledFrom(besides).Draw(rt, "beside")})
		for range rapid.IntRange(0, 8).Draw(rt, "steps") {
			switch rapid.IntRange(0, 3).Draw(rt, "step") {
			case 0:
				w.sequence(rt)
			case 1:
				w.merge(rt)
			default:
				w.grow(rt)
			}
		}
		q := drawQuestion(rt)
		o := Outline{Bars: rapid.IntRange(1, 20).Draw(rt, "bars"), Zone: time.UTC,
			Facets: []query.Field{"who", "tags", "nothing", query.Path("status_id"), query.Path("long")},
			Top:    rapid.IntRange(0, 4).Draw(rt, "top")}
		part := drawQuestion(rt)
		if rapid.Bool().Draw(rt, "split") {
			o.Part = part.Query
		}
		got, err := w.search.Summary(context.Background(), q, o)
		if err != nil {
			rt.Fatal(err)
		}
		hits := w.expected(rt, q, Oldest)
		if got.Total != int64(len(hits)) {
			rt.Fatalf("%d in all, want %d", got.Total, len(hits))
		}
		checkBars(rt, got.Histogram, hits, q)
		checkParts(rt, got.Histogram, hits, o.Part)
		for i, facet := range got.Facets {
			checkFacet(rt, facet, hits, o.Facets[i], o.Top)
		}
	})
}

// checkBars checks that each bar counts the hits from its start to that of the next one.
func checkBars(t rapid.TB, bars []Bar, hits []Hit, q Question) {
	t.Helper()
	for i, bar := range bars {
		end := q.End
		if i+1 < len(bars) {
			end = bars[i+1].Start
		}
		want := int64(0)
		for _, h := range hits {
			if h.Time >= bar.Start && h.Time < end {
				want++
			}
		}
		if bar.Count != want || i == 0 && bar.Start != q.Start {
			t.Fatalf("bar %d from %d has %d, want %d; the range begins at %d", i, bar.Start, bar.Count, want, q.Start)
		}
	}
	if len(bars) == 0 && q.Start < q.End {
		t.Fatal("no bars")
	}
}

// checkFacet checks a facet against a count of the values in the lines.
func checkFacet(t rapid.TB, got Facet, hits []Hit, field query.Field, top int) {
	t.Helper()
	want := map[string]int64{}
	missing := int64(0)
	for _, h := range hits {
		var uid, status, user, tag, long int
		if _, err := fmt.Sscanf(string(h.Line[strings.Index(string(h.Line), `,"metadata`):]),
			`,"metadata":{"uid":"%d"},"status_id":%d,"actor":{"user":{"name":"u%d"}},"tags":["a%d","b"],"long":"x%d`,
			&uid, &status, &user, &tag, &long); err != nil {
			t.Fatal(err)
		}
		switch field {
		case "who":
			want[fmt.Sprintf("u%d", user)]++
		case "tags":
			want[fmt.Sprintf("a%d", tag)]++
			want["b"]++
		case "status_id":
			want[fmt.Sprint(status)]++
		case "long":
			want[fmt.Sprintf("x%d %s", long, strings.Repeat("y", uid%2*300))]++
		default:
			missing++
		}
	}
	sum := int64(0)
	for i, v := range got.Values {
		if want[v.Value.Text] != v.Count || i > 0 && v.Count > got.Values[i-1].Count {
			t.Fatalf("%s: %s occurs %d times, want %d", field, v.Value.Text, v.Count, want[v.Value.Text])
		}
		sum += v.Count
		delete(want, v.Value.Text)
	}
	rest := int64(0)
	for _, n := range want {
		rest += n
		if len(got.Values) > 0 && n > got.Values[len(got.Values)-1].Count {
			t.Fatalf("%s: a value with %d is not among the first", field, n)
		}
	}
	if got.Other != rest || got.Missing != missing || len(got.Values) > top || len(want) > 0 && len(got.Values) < top {
		t.Fatalf("%s: other %d, want %d; missing %d, want %d; %d values of at most %d", field, got.Other, rest,
			got.Missing, missing, len(got.Values), top)
	}
}

// A facet keeps no memory of the lines that it has counted. These may be overwritten, and a frequent value would keep a
// whole block.
func TestFacetKeepsNoLine(t *testing.T) {
	f, x := facet{counts: map[query.Scalar]*int64{}}, query.NewExtract("who")
	for range 3 {
		line := []byte(`{"time":1,"actor":{"user":{"name":"anna"}}}`)
		if err := x.Read(line); err != nil {
			t.Fatal(err)
		}
		f.count(x.Values(0))
		copy(line, bytes.Repeat([]byte{'x'}, len(line)))
	}
	if r := f.result("who", 3); len(r.Values) != 1 || r.Values[0].Value.Text != "anna" || r.Values[0].Count != 3 {
		t.Errorf("%+v", r)
	}
}

// A field with too many values is not counted, and the reply says so.
func TestFacetOfTooManyValues(t *testing.T) {
	f := facet{counts: map[query.Scalar]*int64{}}
	for i := range maxValues {
		f.count([]query.Scalar{{Kind: query.String, Text: fmt.Sprint(i)}})
	}
	if r := f.result("x", 3); r.TooMany || len(r.Values) != 3 || r.Other != maxValues-3 {
		t.Errorf("at the limit: %+v", r)
	}
	f.count([]query.Scalar{{Kind: query.String, Text: "one more"}})
	if r := f.result("x", 3); !r.TooMany || len(r.Values) != 0 {
		t.Errorf("beyond the limit: %+v", r)
	}
	long := facet{counts: map[query.Scalar]*int64{}}
	for i := range 8 {
		long.count([]query.Scalar{{Kind: query.String, Text: fmt.Sprint(i) + strings.Repeat(" ", 1<<20)}})
	}
	if !long.tooMany {
		t.Error("8 MiB of values are kept")
	}
}

// An index that is lost or damaged is reported and not used, and no answer changes.
func TestDamagedIndexesChangeNoAnswer(t *testing.T) {
	for name, harm := range map[string]func(context.Context, *bucketest.Memory, string) error{
		"whole": func(context.Context, *bucketest.Memory, string) error { return nil },
		"lost":  func(ctx context.Context, b *bucketest.Memory, key string) error { return b.Delete(ctx, key) },
		"cut": func(ctx context.Context, b *bucketest.Memory, key string) error {
			return b.Put(ctx, key, []byte("WI"))
		},
		"overwritten": func(ctx context.Context, b *bucketest.Memory, key string) error {
			return b.Put(ctx, key, bytes.Repeat([]byte("something else "), 1000))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := bucketest.NewMemory()
			n := nodetest.New(t, b, nodetest.Options{Logs: tlog.Options{BlockBytes: 600,
				Beside: []segment.Kind{index.Kind{Least: 1}}}})
			var telling sync.Mutex
			damaged := map[string]bool{}
			w := &world{node: n, events: map[string][]string{}, search: New(n.Logs, Options{Damaged: func(key string, _ error) {
				telling.Lock()
				defer telling.Unlock()
				damaged[key] = true
			}})}
			for i := range 90 {
				w.record(t, logs[0], fmt.Sprintf(`{"time":%d,"metadata":{"uid":"%d"},"actor":{"user":{"name":"u%d"}},"n":%d}`,
					1_000_000+i, i, i%5, i))
				if i%30 == 29 {
					w.sequence(t)
				}
			}
			indexes := 0
			for info, err := range b.List(t.Context(), "logs/"+logs[0]+"/beside/", "") {
				if err != nil {
					t.Fatal(err)
				}
				if err := harm(t.Context(), b, info.Key); err != nil {
					t.Fatal(err)
				}
				indexes++
			}
			q := Question{Query: parse(t, "who:u1 n > 20"), Logs: logs[:1], Start: 0, End: 1 << 40}
			p, err := w.search.Page(t.Context(), q, Newest, nil, 1000)
			if err != nil {
				t.Fatal(err)
			}
			want := w.expected(t, q, Newest)
			sameHits(t, p.Hits, want)
			s, err := w.search.Summary(t.Context(), q, Outline{Bars: 10, Facets: []query.Field{"who"}, Top: 3})
			if err != nil || s.Total != int64(len(want)) || len(s.Facets[0].Values) != 1 {
				t.Errorf("%+v, %v", s, err)
			}
			if told := len(damaged); indexes != 3 || (name == "whole") != (told == 0) || told != 0 && told != 3 {
				t.Errorf("%d indexes, %d of them were said to be damaged", indexes, told)
			}
		})
	}
}

// Questions that the index can answer read no lines.
func TestIndexSavesReading(t *testing.T) {
	b := &bucketest.Faulty{Bucket: bucketest.NewMemory()}
	n := nodetest.New(t, b, nodetest.Options{Logs: tlog.Options{BlockBytes: 600, CacheBytes: 100,
		Beside: []segment.Kind{index.Kind{Least: 1}}}})
	w := &world{node: n, search: New(n.Logs, Options{}), events: map[string][]string{}}
	for i := range 300 {
		w.record(t, logs[0], fmt.Sprintf(`{"time":%d,"metadata":{"uid":"id-%d"},"actor":{"user":{"name":"u%d"}}}`,
			1_000_000+i*1000, i, i%5))
	}
	w.sequence(t)
	var segments atomic.Int64
	b.Before = func(_ context.Context, op bucketest.Op, key string) error {
		if op == bucketest.Get && strings.Contains(key, "/segments/") {
			segments.Add(1)
		}
		return nil
	}
	for text, most := range map[string]int64{"nothing": 0, `"id-777"`: 0, "id-123": 3} {
		segments.Store(0)
		q := Question{Query: parse(t, text), Logs: logs[:1], Start: 0, End: 1 << 40}
		p, err := w.search.Page(t.Context(), q, Newest, nil, 10)
		if err != nil {
			t.Fatal(err)
		}
		sameHits(t, p.Hits, w.expected(t, q, Newest))
		if n := segments.Load(); n > most {
			t.Errorf("%s: %d reads of the segment, want at most %d", text, n, most)
		}
	}
	segments.Store(0)
	q := Question{Query: parse(t, "who:u1 or who:u2"), Logs: logs[:1], Start: 0, End: 1 << 40}
	s, err := w.search.Summary(t.Context(), q, Outline{Bars: 30, Facets: []query.Field{"who"}, Top: 10})
	if err != nil || s.Total != 120 || segments.Load() != 0 {
		t.Errorf("%+v, %v; %d reads of the segment", s, err, segments.Load())
	}
}
