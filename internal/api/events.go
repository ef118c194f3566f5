package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/limit"
	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/search"
	"github.com/weirlog/weir/internal/tlog"
)

// events are the operations that search for events in the logs of a project.
type events struct {
	references
	search *search.Searcher
	shares *limit.Shares[string] // of concurrent searches
}

func (s *Server) events() events { return events{references{s.auth}, s.search, s.searches} }

// Bounds of searches.
const (
	maxResults    = 10_000 // of a page
	maxBars       = 1000
	maxFacets     = 20
	maxTop        = 1000
	searchesWait  = 10 * time.Second // after which they are given up
	waitingShares = 16               // searches of a credential that may wait at a time
)

// newSearchShares bounds concurrent searches, so that other work continues. There are enough shares to keep the CPUs
// busy while some searches wait for the storage. One credential may have half of them.
func newSearchShares() *limit.Shares[string] {
	n := int64(runtime.GOMAXPROCS(0))
	return shares(2*n, n, waitingShares)
}

// shares returns shares for credentials, each of which may have ofOne; those of a project may together have three
// quarters, those of an organization seven eighths. So no tenant stops another, however many credentials it makes.
func shares(all, ofOne, waiting int64) *limit.Shares[string] {
	return limit.NewShares[string](all, waiting, ofOne, max(1, all*3/4), max(1, all*7/8))
}

// holders returns under which keys a call takes shares.
func (c *call) holders() []string {
	org, _ := c.scope.within()
	return []string{c.caller.ID, c.scope.groupID, org}
}

// searching takes a share for the caller, and returns the answer of find, which runs while the attempt is recorded.
func (h events) searching(c *call, q *question, find func(context.Context, search.Question) (result, error)) (result,
	error) {
	release, err := h.share(c)
	if err != nil {
		return nil, err
	}
	release = sync.OnceFunc(release)
	c.atEnd(release) // in case nobody waits for the answer any more
	return &answer{find: func(ctx context.Context, begun func()) (result, error) {
		asked := q.Question
		asked.Begun = begun
		res, err := find(ctx, asked)
		release()
		if err != nil {
			return nil, tooSlow(err)
		}
		return res, nil
	}}, nil
}

// share takes a share for the caller, so that the operation may search.
func (h events) share(c *call) (release func(), err error) {
	ctx, cancel := context.WithTimeout(c.context(), searchesWait)
	defer cancel()
	release, err = h.shares.Take(ctx, 1, c.holders()...)
	if errors.Is(err, limit.ErrBusy) {
		err = tooManySearches()
	}
	return release, err
}

func tooManySearches() *problem {
	return &problem{status: http.StatusTooManyRequests, code: "TOO_MANY_SEARCHES", retryAfter: time.Second,
		detail: "Too many searches of this credential are waiting already. Please retry when some have ended."}
}

func tooSlow(err error) error {
	if !errors.Is(err, search.ErrTooSlow) {
		return err
	}
	p := unavailable(err)
	p.detail = "The search took too long and was stopped. Please ask for a shorter range of time or for fewer logs."
	return p
}

// find returns a page of events.
func (h events) find(c *call) (result, error) {
	q, err := h.ask(c)
	if err != nil {
		return nil, err
	}
	order, orderName := search.Newest, cmp.Or(c.query.Get("order"), newest)
	if orderName == oldest {
		order = search.Oldest
	}
	var after *search.Position
	if c.query.Get("cursor") != "" {
		if after = positionOf(q.after, orderName); after == nil {
			return nil, invalidQuery(field{"cursor", "is not one that this credential got for this query, range, logs and " +
				"order: leave it out to begin at the first page"})
		}
	}
	limit := int(c.integer("limit", 100))
	return h.searching(c, q, func(ctx context.Context, asked search.Question) (result, error) {
		page, err := h.search.Page(ctx, asked, order, after, limit)
		if err != nil {
			return nil, err
		}
		reply := &foundEvents{hits: page.Hits, read: h.refer(c, q, readReference, nil), start: q.Start, end: q.End}
		if len(page.Hits) == 0 && page.Next == nil && after == nil {
			reply.hints = h.hints(ctx, c, q)
		}
		if page.Cut {
			reply.searchedTo = moment(page.Next.Time)
		}
		if page.Next != nil {
			reply.cursor = h.refer(c, q, cursorReference, appendPosition(nil, *page.Next, orderName))
		}
		return reply, nil
	})
}

const newest, oldest = "newest", "oldest"

// appendPosition encodes a position in pages of an order.
func appendPosition(dst []byte, p search.Position, order string) []byte {
	dst = append(dst, order[0])
	dst = binary.BigEndian.AppendUint64(dst, uint64(p.Time))
	return append(append(dst, p.Key[:]...), p.Log...)
}

// positionOf decodes the result of appendPosition. If it is for another order, it returns nil.
func positionOf(data []byte, order string) *search.Position {
	const head = 1 + 8 + len(event.Key{})
	if len(data) < head || data[0] != order[0] {
		return nil
	}
	return &search.Position{Time: int64(binary.BigEndian.Uint64(data[1:])), Key: event.Key(data[9:head]),
		Log: string(data[head:])}
}

// foundEvents is a page of events: one JSON object, or one line per event if the client asks for lines.
type foundEvents struct {
	hits         []search.Hit
	start, end   int64
	cursor, read string
	searchedTo   string // if the time limit has ended the search: up to where everything was searched
	hints        []hint
}

const ndjson = "application/x-ndjson"

func (f *foundEvents) send(x *exchange) error {
	h := x.w.Header()
	h.Set("Weir-Read", f.read)
	h.Set("Cache-Control", "no-store")
	if f.cursor != "" {
		h.Set("Weir-Cursor", f.cursor)
	}
	if f.searchedTo != "" {
		h.Set("Weir-Searched-To", f.searchedTo)
	}
	lines := asLines(x.r)
	if !lines && (x.flag("envelope") || x.flag("pretty")) {
		return value{json.RawMessage(f.object())}.send(x) // with the bytes of the events, but for white space
	}
	data, mediaType := f.object(), "application/json"
	if lines {
		data, mediaType = f.lines(), ndjson
	}
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(data)))
	x.w.WriteHeader(http.StatusOK)
	if x.r.Method != http.MethodHead {
		x.w.Write(data) // an error means that the client has gone
	}
	return nil
}

// asLines tells whether a client asks for one line per event.
func asLines(r *http.Request) bool {
	return strings.Contains(strings.ToLower(strings.Join(r.Header.Values("Accept"), ",")), ndjson)
}

// object returns the page as a JSON object. The events have the bytes that were recorded.
func (f *foundEvents) object() []byte {
	b := append(make([]byte, 0, f.size()), `{"results":[`...)
	for i, hit := range f.hits {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendHit(b, hit)
	}
	b = append(b, `],"cursor":`...)
	if f.cursor == "" {
		b = append(b, "null"...)
	} else {
		b = strconv.AppendQuote(b, f.cursor)
	}
	b = append(b, `,"startDate":"`+moment(f.start)+`","endDate":"`+moment(f.end-1)+`"`...)
	if f.searchedTo != "" {
		b = append(b, `,"searchedTo":"`+f.searchedTo+`"`...)
	}
	if len(f.hints) > 0 {
		hints, _ := json.Marshal(f.hints) // cannot fail
		b = append(append(b, `,"hints":`...), hints...)
	}
	return append(b, '}')
}

// moment formats a time in milliseconds since the epoch for replies.
func moment(ms int64) string { return time.UnixMilli(ms).UTC().Format(rfc3339Milli) }

const rfc3339Milli = "2006-01-02T15:04:05.000Z07:00"

// lines returns the events of the page, one on each line.
func (f *foundEvents) lines() []byte {
	b := make([]byte, 0, f.size())
	for _, hit := range f.hits {
		b = append(appendHit(b, hit), '\n')
	}
	return b
}

func (f *foundEvents) size() int {
	n := 1024
	for _, hit := range f.hits {
		n += 80 + len(hit.Line)
	}
	return n
}

// appendHit appends an event with its place.
func appendHit(b []byte, h search.Hit) []byte {
	b = append(append(append(b, `{"log":"`...), h.Log...), `","index":`...)
	if h.Index == tlog.Unsequenced {
		b = append(b, "null"...)
	} else {
		b = strconv.AppendInt(b, h.Index, 10)
	}
	return append(append(append(b, `,"event":`...), bytes.TrimSpace(h.Line)...), '}')
}

// summaryView counts all matching events.
type summaryView struct {
	Total     int64       `json:"total"`
	Start     string      `json:"startDate"`
	End       string      `json:"endDate"` // the last moment of the range
	Histogram []barView   `json:"histogram,omitempty"`
	Facets    []facetView `json:"facets,omitempty"`
	Hints     []hint      `json:"hints,omitempty"`
}

type barView struct {
	Start    string `json:"start"`
	Count    int64  `json:"count"`
	Failures *int64 `json:"failures,omitempty"` // with split=outcome
}

type facetView struct {
	Field   query.Field `json:"field"`
	Values  []countView `json:"values"` // null if there are too many values
	Other   int64       `json:"other"`
	Missing int64       `json:"missing"`
	TooMany bool        `json:"tooManyValues,omitempty"`
}

type countView struct {
	Value any   `json:"value"` // a string, a number or a boolean
	Count int64 `json:"count"`
}

// splitOutcome is the value of split with which failures are counted in each bar.
const splitOutcome = "outcome"

// failures matches failed events.
var failures = &query.Query{Root: query.Term{Field: "outcome", Match: query.Value{Text: "failure"}}}

// summarize returns counts of the matching events.
func (h events) summarize(c *call) (result, error) {
	q, err := h.ask(c)
	if err != nil {
		return nil, err
	}
	o := search.Outline{Bars: int(c.integer("buckets", 60)), Top: int(c.integer("top", 10))}
	if o.Zone, err = time.LoadLocation(cmp.Or(c.query.Get("timeZone"), "UTC")); err != nil {
		return nil, err // not reached: the zone was checked before
	}
	if text := c.query.Get("facets"); text != "" {
		o.Facets, err = query.ParseFields(text)
		if wrong, ok := errors.AsType[*query.Error](err); ok {
			return nil, invalidQuery(field{"facets", wrong.Error()})
		}
		if len(o.Facets) > maxFacets {
			return nil, invalidQuery(field{"facets", "may have at most " + strconv.Itoa(maxFacets) + " fields"})
		}
	}
	if c.query.Get("split") == splitOutcome {
		o.Part = failures
	}
	return h.searching(c, q, func(ctx context.Context, asked search.Question) (result, error) {
		s, err := h.search.Summary(ctx, asked, o)
		if err != nil {
			return nil, err
		}
		v := viewOf(s, q, o)
		if s.Total == 0 {
			v.Hints = h.hints(ctx, c, q)
		}
		return h.toldOf(c, q, v), nil
	})
}

// toldOf returns a JSON result with the headers of a question.
func (h events) toldOf(c *call, q *question, view any) result {
	return withHeaders{value{view}, http.Header{"Weir-Read": {h.refer(c, q, readReference, nil)},
		"Cache-Control": {"no-store"}}}
}

func viewOf(s *search.Summary, q *question, o search.Outline) summaryView {
	at := func(ms int64) string { return time.UnixMilli(ms).In(o.Zone).Format(rfc3339Milli) }
	v := summaryView{Total: s.Total, Start: at(q.Start), End: at(q.End - 1)}
	for _, bar := range s.Histogram {
		shown := barView{Start: at(bar.Start), Count: bar.Count}
		if o.Part != nil {
			shown.Failures = &bar.Part
		}
		v.Histogram = append(v.Histogram, shown)
	}
	for _, f := range s.Facets {
		shown := facetView{Field: f.Field, Other: f.Other, Missing: f.Missing, TooMany: f.TooMany}
		if !f.TooMany {
			shown.Values = []countView{}
		}
		for _, n := range f.Values {
			shown.Values = append(shown.Values, countView{scalarView(n.Value), n.Count})
		}
		v.Facets = append(v.Facets, shown)
	}
	return v
}

func scalarView(v query.Scalar) any {
	switch v.Kind {
	case query.Number:
		return json.Number(v.Text)
	case query.Bool:
		return v.Text == "true"
	}
	return v.Text
}

// withHeaders is a result with additional headers.
type withHeaders struct {
	result
	headers http.Header
}

func (w withHeaders) send(x *exchange) error {
	for name, values := range w.headers {
		x.w.Header()[name] = slices.Clone(values)
	}
	return w.result.send(x)
}
