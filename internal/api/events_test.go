package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket/bucketest"
)

const eventsPath = "/api/weir/v1/groups/" + projectID + "/events"

// asking returns a target with parameters, each "name=value".
func asking(path string, parameters ...string) string {
	v := url.Values{}
	for _, p := range parameters {
		name, value, _ := strings.Cut(p, "=")
		v.Add(name, value)
	}
	return path + "?" + v.Encode()
}

type foundPage struct {
	Results []struct {
		Log   string
		Index *int64
		Event json.RawMessage
	}
	Cursor     *string
	Start, End string
}

func pageOf(t testing.TB, rec *httptest.ResponseRecorder) foundPage {
	t.Helper()
	var p foundPage
	if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil || rec.Code != 200 {
		t.Fatalf("%d %.500s: %v", rec.Code, rec.Body, err)
	}
	return p
}

// reads returns the number of events of an operation in the demo workspace's audit log, and the last one.
func (w *world) reads(operation string) (n int, last string) {
	w.t.Helper()
	for _, line := range w.lines(w.get(resource, account.GroupOwner)) {
		if strings.Contains(line, `"operation":"`+operation+`"`) {
			n, last = n+1, line
		}
	}
	return n, last
}

func (w *world) fill(n int) {
	w.t.Helper()
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, `{"time":%d,"metadata":{"uid":"e%d"},"actor":{"user":{"name":"u%d"}},"n": %d}`+"\n",
			now.UnixMilli()-int64(100-i)*1000, i, i%3, i)
	}
	if rec := w.record(lines.String(), account.GroupOwner); rec.Code != 200 {
		w.t.Fatalf("%d %s", rec.Code, rec.Body)
	}
}

// However a reply is formatted, an event keeps the bytes of its values.
func TestEventsKeepTheirNumbersInAnyForm(t *testing.T) {
	w := newWorld(t, Options{})
	const values = `"n":1761955200123456789,"f":2.0,"e":1e3,"text":"a<b>&c","z":1,"a":2`
	line := fmt.Sprintf(`{"time":%d,"metadata":{"uid":"x"},%s}`, now.UnixMilli()-1000, values)
	if rec := w.record(line, account.GroupOwner); rec.Code != 200 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	for _, form := range []string{"pretty=false", "pretty=true", "envelope=true"} {
		rec := w.get(asking(eventsPath, "q=text:*", form), account.GroupOwner)
		var plain bytes.Buffer
		if err := json.Compact(&plain, rec.Body.Bytes()); err != nil || rec.Code != 200 ||
			!strings.Contains(plain.String(), values) {
			t.Errorf("%s: %d %s, %v", form, rec.Code, rec.Body, err)
		}
	}
}

func TestCursorsLeadThroughAllEvents(t *testing.T) {
	w := newWorld(t, Options{})
	w.fill(25)
	w.sequence()
	w.fill(30) // 25 of these are duplicates
	var got []string
	cursor := ""
	for pages := 0; ; pages++ {
		parameters := []string{"q=who:u1", "order=oldest", "limit=4", "log=6a793f48c0eb9e7a17712f00"}
		if cursor != "" {
			parameters = append(parameters, "cursor="+cursor)
		}
		p := pageOf(t, w.get(asking(eventsPath, parameters...), account.GroupOwner))
		for _, r := range p.Results {
			var e struct{ N int }
			if err := json.Unmarshal(r.Event, &e); err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(e.N))
		}
		if p.Cursor == nil {
			break
		}
		if pages == 1 {
			w.sequence() // sequences the remaining events
		}
		cursor = *p.Cursor
	}
	slices.Sort(got)
	if len(got) < 10 || len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Errorf("found %q: not each event once", got)
	}
}

func TestEventsHaveTheBytesThatWereRecorded(t *testing.T) {
	w := newWorld(t, Options{})
	w.fill(3)
	lines := w.lines(w.get(resource, account.GroupOwner))
	rec := w.get(asking(eventsPath, "q=n >= 0", "order=oldest", "log=6a793f48c0eb9e7a17712f00"), account.GroupOwner,
		"Accept: application/x-ndjson")
	got := strings.Split(strings.TrimSuffix(rec.Body.String(), "\n"), "\n")
	for i, line := range got {
		want := `{"log":"6a793f48c0eb9e7a17712f00","index":null,"event":` + strings.TrimSuffix(lines[i], "\n") + "}"
		if line != want {
			t.Errorf("line %d: %s, want %s", i, line, want)
		}
	}
	if len(got) != 3 || rec.Header().Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("%d lines of type %s", len(got), rec.Header().Get("Content-Type"))
	}
	p := pageOf(t, w.get(asking(eventsPath, "q=n:1"), account.GroupOwner))
	if len(p.Results) != 1 || string(p.Results[0].Event)+"\n" != lines[1] {
		t.Errorf("%d results: %v", len(p.Results), p.Results)
	}
}

// A question is recorded once, for any number of pages and counts. Another question, another caller, and the same
// question an hour later are recorded again.
func TestQuestionsAreAuditedOnce(t *testing.T) {
	w := newWorld(t, Options{})
	w.fill(20)
	const owner = account.GroupOwner
	first := w.get(asking(eventsPath, "q=who:u1", "limit=2"), owner)
	n, last := w.reads("searchEvents")
	if n != 1 || !strings.Contains(last, `"q":"who:u1"`) || !strings.Contains(last, `"startDate":`) {
		t.Fatalf("%d events of the question: %s", n, last)
	}
	cursor, read := first.Header().Get("Weir-Cursor"), first.Header().Get("Weir-Read")
	check := func(name, operation string, want int, rec *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		t.Helper()
		if rec.Code != 200 {
			t.Fatalf("%s: %d %s", name, rec.Code, rec.Body)
		}
		if n, _ := w.reads(operation); n != want {
			t.Errorf("%s: %d events of %s, want %d", name, n, operation, want)
		}
		return rec
	}
	second := check("the next page", "searchEvents", 1, w.get(asking(eventsPath, "q=who:u1", "limit=2",
		"cursor="+cursor), owner))
	check("the page behind it", "searchEvents", 1, w.get(asking(eventsPath, "q=who:u1", "limit=2",
		"cursor="+second.Header().Get("Weir-Cursor")), owner))
	summary := asking(eventsPath+":summary", "q=who:u1", "facets=who")
	check("the summary", "summarizeEvents", 0, w.get(summary+"&read="+read, owner))
	check("a summary that refers to nothing", "summarizeEvents", 1, w.get(summary, owner))
	check("another query", "summarizeEvents", 2, w.get(asking(eventsPath+":summary", "q=who:u2", "read="+read), owner))
	check("other logs", "summarizeEvents", 3, w.get(asking(eventsPath+":summary", "q=who:u1", "read="+read,
		"log=6a793f48c0eb9e7a17712f00"), owner))
	check("another caller", "summarizeEvents", 4, w.get(summary+"&read="+read, account.OrgOwner))
	check("a forged reference", "summarizeEvents", 5, w.get(summary+"&read="+read[1:], owner))

	// A reference from a reply with counts does not stand for a read of the events.
	counted := check("a summary", "summarizeEvents", 6, w.get(summary, owner)).Header().Get("Weir-Read")
	check("a summary of the same again", "summarizeEvents", 6, w.get(summary+"&read="+counted, owner))
	check("the fields", "listEventFields", 0, w.get(asking(eventsPath+":fields", "q=who:u1", "read="+counted), owner))
	check("events after a summary", "searchEvents", 2, w.get(asking(eventsPath, "q=who:u1", "read="+counted), owner))
	check("an export after a summary", "exportEvents", 1, w.get(asking(eventsPath+":export", "q=who:u1",
		"read="+counted), owner))
	both := check("a summary of what was read", "summarizeEvents", 6, w.get(summary+"&read="+read, owner)).Header()
	check("an export of what was read", "exportEvents", 1, w.get(asking(eventsPath+":export", "q=who:u1",
		"read="+both.Get("Weir-Read")), owner))

	w.server.options.Now = func() time.Time { return now.Add(-30 * time.Second) } // of a node whose clock is behind
	behind := w.get(asking(eventsPath, "q=who:u1", "limit=2", "cursor="+cursor), owner)
	w.server.options.Now = func() time.Time { return now }
	check("on another node", "searchEvents", 2, behind)
	w.server.options.Now = func() time.Time { return now.Add(59 * time.Minute) }
	check("within an hour", "searchEvents", 2, w.get(asking(eventsPath, "q=who:u1", "limit=2", "cursor="+cursor), owner))
	w.server.options.Now = func() time.Time { return now.Add(61 * time.Minute) }
	later := w.get(asking(eventsPath, "q=who:u1", "limit=2", "cursor="+cursor), owner)
	check("an hour later", "searchEvents", 3, later)
	if later.Body.String() == "" || pageOf(t, later).Results[0].Index != pageOf(t, second).Results[0].Index ||
		string(pageOf(t, later).Results[0].Event) != string(pageOf(t, second).Results[0].Event) {
		t.Error("the cursor leads elsewhere an hour later")
	}
	check("the page behind that", "searchEvents", 3, w.get(asking(eventsPath, "q=who:u1", "limit=2",
		"cursor="+later.Header().Get("Weir-Cursor")), owner))
}

func TestCursorsOfOthersAreRefused(t *testing.T) {
	w := newWorld(t, Options{})
	w.fill(20)
	const owner = account.GroupOwner
	rec := w.get(asking(eventsPath, "q=who:u1", "limit=2"), owner)
	cursor := rec.Header().Get("Weir-Cursor")
	for name, bad := range map[string]*httptest.ResponseRecorder{
		"another credential": w.get(asking(eventsPath, "q=who:u1", "cursor="+cursor), account.OrgOwner),
		"another query":      w.get(asking(eventsPath, "q=who:u2", "cursor="+cursor), owner),
		"another range":      w.get(asking(eventsPath, "q=who:u1", "startDate=now-1d", "cursor="+cursor), owner),
		"other logs":         w.get(asking(eventsPath, "q=who:u1", "log="+projectID, "cursor="+cursor), owner),
		"another order":      w.get(asking(eventsPath, "q=who:u1", "order=oldest", "cursor="+cursor), owner),
		"no cursor":          w.get(asking(eventsPath, "q=who:u1", "cursor="+rec.Header().Get("Weir-Read")), owner),
		"cut":                w.get(asking(eventsPath, "q=who:u1", "cursor="+cursor[:40]), owner),
	} {
		if !namesParameter(bad, "cursor") {
			t.Errorf("%s: %d %s", name, bad.Code, bad.Body)
		}
	}
}

// A caller can search exactly the logs that it may download.
func TestSearchesSeeNoOtherLogs(t *testing.T) {
	w := newWorld(t, Options{})
	w.fill(3)
	for role, want := range map[account.Role]int{account.GroupOwner: 200, account.GroupDataAccessReadOnly: 200,
		account.GroupReadOnly: 403, account.GroupAuditLogWriter: 403} {
		for _, path := range []string{eventsPath, eventsPath + ":summary"} {
			if rec := w.get(path, role); rec.Code != want {
				t.Errorf("%s of %s: %d %s, want %d", path, role, rec.Code, rec.Body, want)
			}
		}
	}
	of := func(role account.Role) (logs []string) {
		for _, r := range pageOf(t, w.get(asking(eventsPath, "limit=10000"), role)).Results {
			if !slices.Contains(logs, r.Log) {
				logs = append(logs, r.Log)
			}
		}
		return logs
	}
	if logs := of(account.GroupDataAccessReadOnly); slices.Contains(logs, projectID) ||
		!slices.Contains(logs, "6a793f48c0eb9e7a17712f00") {
		t.Errorf("a reader finds events of the logs %q", logs)
	}
	if logs := of(account.GroupOwner); !slices.Contains(logs, projectID) {
		t.Errorf("an owner finds events of the logs %q", logs)
	}
	for name, log := range map[string]string{"another project's": "6a793f48c0eb9e7a17712f04",
		"nobody's": "6a793f48c0eb9e7a17712fff", "the organization's": "6a793f48c0eb9e7a17712d00",
		"the project's": projectID} {
		rec := w.get(asking(eventsPath, "log="+log), account.GroupDataAccessReadOnly)
		if rec.Code != 404 || rec.Header().Get("X-Error-Code") == "" {
			t.Errorf("%s log: %d %s", name, rec.Code, rec.Body)
		}
	}
}

// The audit log of a workspace says who searched its events, and with which query.
func TestEachWorkspaceTellsOfSearches(t *testing.T) {
	w := newWorld(t, Options{})
	w.get(asking(eventsPath, "q=from:203.0.113.0/24"), account.GroupOwner)
	for _, workspace := range []string{"demo", "strict"} {
		lines := w.lines(w.get(strings.Replace(resource, "demo", workspace, 1), account.GroupOwner))
		if !slices.ContainsFunc(lines, func(line string) bool {
			return strings.Contains(line, `"q":"from:203.0.113.0/24"`) &&
				strings.Contains(line, `"resources":[{"name":"`+projectID+`","type":"Project"}]`)
		}) {
			t.Errorf("%s: no word of the search in %s", workspace, lines)
		}
	}
}

// A question is recorded while it is answered, and its event is not in the answer.
func TestQuestionsAreRecordedWhileTheyAreAnswered(t *testing.T) {
	for _, path := range []string{eventsPath, eventsPath + ":summary", eventsPath + ":fields"} {
		w := newWorld(t, Options{})
		w.fill(20)
		w.sequence()
		w.bearer(account.GroupOwner)
		recorded := make(chan struct{})
		var waited atomic.Bool
		begin := sync.OnceFunc(func() { close(recorded) })
		w.faulty.After = func(_ context.Context, op bucketest.Op, key string) error {
			if strings.HasPrefix(key, "wal/") {
				begin()
			}
			return nil
		}
		w.faulty.Before = func(ctx context.Context, op bucketest.Op, key string) error {
			if op != bucketest.Get || !strings.HasPrefix(key, "logs/"+demoLog+"/segments/") {
				return nil
			}
			waited.Store(true)
			select {
			case <-recorded:
			case <-time.After(time.Minute):
				t.Errorf("%s: no event of the question while it is answered", path)
			}
			return nil
		}
		rec := w.get(asking(path, "q=who:u1 or what:searchEvents or what:summarizeEvents or what:listEventFields"),
			account.GroupOwner)
		if rec.Code != 200 || strings.Contains(rec.Body.String(), `"operation"`) ||
			strings.Contains(rec.Body.String(), `"total":8`) {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
		if !waited.Load() {
			t.Errorf("%s: nothing was read of the log", path)
		}
	}
}

func TestSummaryCountsAll(t *testing.T) {
	w := newWorld(t, Options{})
	w.fill(31)
	rec := w.get(asking(eventsPath+":summary", "q=n >= 0", "facets=who,n", "top=2", "buckets=10", "timeZone=Asia/Kolkata",
		"startDate=2026-08-09", "endDate=2026-08-10"), account.GroupOwner)
	var s summaryView
	if err := json.Unmarshal(rec.Body.Bytes(), &s); err != nil || rec.Code != 200 {
		t.Fatalf("%d %s: %v", rec.Code, rec.Body, err)
	}
	sum := int64(0)
	for _, bar := range s.Histogram {
		sum += bar.Count
		if !strings.HasSuffix(bar.Start, "+05:30") {
			t.Errorf("a bar begins at %s", bar.Start)
		}
	}
	if s.Total != 31 || sum != 31 || len(s.Facets) != 2 {
		t.Fatalf("%s", rec.Body)
	}
	if who := s.Facets[0]; fmt.Sprint(who.Values) != "[{u0 11} {u1 10}]" || who.Other != 10 || who.Missing != 0 {
		t.Errorf("who: %+v", who)
	}
}

// Failures are counted in the same question as all events, which is recorded once.
func TestSummarySplitsByOutcome(t *testing.T) {
	w := newWorld(t, Options{})
	w.fill(12)
	for i := range 3 {
		w.record(fmt.Sprintf(`{"time":%d,"metadata":{"uid":"f%d"},"status_id":2}`+"\n", now.UnixMilli()-1000, i),
			account.GroupOwner)
	}
	audits := func() int {
		return len(w.lines(w.get("/api/atlas/v2/groups/"+projectID+"/streams/demo/auditLogs", account.OrgOwner)))
	}
	before := audits()
	ask := func(more ...string) (failed int64, told int) {
		rec := w.get(asking(eventsPath+":summary", append(more, "startDate=2026-08-09", "endDate=2026-08-10")...),
			account.GroupOwner)
		s := want[summaryView](t, 200, rec)
		for _, bar := range s.Histogram {
			if bar.Failures != nil {
				failed, told = failed+*bar.Failures, told+1
			}
		}
		return failed, told
	}
	if failed, told := ask("split=outcome"); told == 0 || failed != 3 {
		t.Errorf("%d failures in %d bars", failed, told)
	}
	if n := audits() - before; n != 2 { // this question, and the download before
		t.Errorf("%d events of a question", n)
	}
	if _, told := ask(); told != 0 {
		t.Error("failures that nobody asked for")
	}
}

func TestBadQuestionsSayWhereTheyAreWrong(t *testing.T) {
	w := newWorld(t, Options{})
	for target, want := range map[string]string{
		asking(eventsPath, "q=who:u1 and"):                                 "column 11",
		asking(eventsPath+":summary", "q=status_id=2"):                     "column 10",
		asking(eventsPath+":summary", "facets=who,a b"):                    "column 5",
		asking(eventsPath, "startDate=yesterday"):                          "now-1d",
		asking(eventsPath, "startDate=now", "endDate=now-1h"):              "must not be later than endDate",
		asking(eventsPath+":summary", "timeZone=Mars/Olympus"):             "Europe/Berlin",
		asking(eventsPath+":summary", "facets=a"+strings.Repeat(",a", 20)): "at most 20",
		asking(eventsPath, "limit=10001"):                                  "10000",
		asking(eventsPath, "log=x"):                                        "24 hexadecimal digits",
	} {
		if rec := w.get(target, account.GroupOwner); rec.Code != 400 || !strings.Contains(rec.Body.String(), want) {
			t.Errorf("%s: %d %s, want %q", target, rec.Code, rec.Body, want)
		}
	}
}

// Too many searches of one credential are refused. Other credentials can continue.
func TestSearchesOfOneLeaveRoomForOthers(t *testing.T) {
	w := newWorld(t, Options{})
	w.server.searches = shares(3, 1, 0)
	w.server.table = w.server.operations()
	w.bearer(account.GroupOwner)
	release, err := w.server.searches.Take(t.Context(), 1, w.callers[account.GroupOwner].ID) // a search that continues
	if err != nil {
		t.Fatal(err)
	}
	again := func() *httptest.ResponseRecorder { return w.get(eventsPath, account.GroupOwner) }
	w.server.route()
	if rec := again(); rec.Code != 429 || rec.Header().Get("Retry-After") == "" {
		t.Errorf("one more: %d %s", rec.Code, rec.Body)
	}
	if rec := w.get(eventsPath, account.OrgOwner); rec.Code != 200 {
		t.Errorf("another credential: %d %s", rec.Code, rec.Body)
	}
	release()
	if rec := again(); rec.Code != 200 {
		t.Errorf("afterwards: %d %s", rec.Code, rec.Body)
	}
}

func TestExportHasAllEventsAsATable(t *testing.T) {
	w := newWorld(t, Options{})
	w.fill(40)
	const log = "log=6a793f48c0eb9e7a17712f00"
	rec := w.get(asking(eventsPath+":export", "q=who:u1", "columns=time,n,who,entry", log), account.GroupOwner)
	rows := strings.Split(strings.TrimSuffix(rec.Body.String(), "\n"), "\n")
	if rec.Code != 200 || rows[0] != "time,n,who,entry" || len(rows) != 1+13 || !strings.HasSuffix(rows[1], "Z,1,u1,") {
		t.Errorf("%d %q", rec.Code, rows)
	}
	if rec.Header().Get("Weir-Total") != "13" || !strings.Contains(rec.Header().Get("Content-Disposition"), ".csv") ||
		!strings.HasPrefix(rec.Header().Get("Content-Type"), "text/csv") {
		t.Errorf("headers %v", rec.Header())
	}
	if n, last := w.reads("exportEvents"); n != 1 || !strings.Contains(last, `"q":"who:u1"`) {
		t.Errorf("%d events of the export: %s", n, last)
	}
	lines := w.get(asking(eventsPath+":export", "q=who:u1", "format=ndjson", log), account.GroupOwner)
	if n := strings.Count(lines.Body.String(), "\n"); n != 13 {
		t.Errorf("%d lines", n)
	}
	parquet := w.get(asking(eventsPath+":export", "format=parquet", log), account.GroupOwner)
	if b := parquet.Body.String(); !strings.HasPrefix(b, "PAR1") || !strings.HasSuffix(b, "PAR1") {
		t.Errorf("%.20q is no Parquet file", b)
	}
	for _, bad := range []string{"columns=who,who", "columns=a b", "format=xml"} {
		name, _, _ := strings.Cut(bad, "=")
		if rec := w.get(asking(eventsPath+":export", bad), account.GroupOwner); !namesParameter(rec, name) {
			t.Errorf("%s: %d %s", bad, rec.Code, rec.Body)
		}
	}
}

// If an export fails in the middle, its connection is broken, so that the client does not take the part for the whole.
func TestExportThatFailsIsBrokenOff(t *testing.T) {
	w := newWorld(t, Options{})
	w.fill(40)
	w.sequence()
	var failing atomic.Bool
	w.faulty.Before = func(_ context.Context, op bucketest.Op, key string) error {
		if failing.Load() && op == bucketest.Get && strings.Contains(key, "/segments/") {
			return errors.New("the disk is broken")
		}
		return nil
	}
	server := httptest.NewServer(w.server)
	defer server.Close()
	for _, format := range []string{"csv", "ndjson", "parquet"} {
		for _, fails := range []bool{false, true} {
			failing.Store(fails)
			req, err := http.NewRequest("GET", server.URL+asking(eventsPath+":export", "format="+format), nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", w.bearer(account.GroupOwner))
			resp, err := http.DefaultClient.Do(req)
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				if resp.StatusCode >= 500 {
					err = errors.New(resp.Status)
				}
				resp.Body.Close()
			}
			if (err != nil) != fails {
				t.Errorf("%s, failing %t: %v", format, fails, err)
			}
		}
	}
}
