package atlas

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlog/weir/internal/collect"
	"github.com/weirlog/weir/internal/simulation/seeds"
)

const organizationID = "6a793f48c0eb9e7a17712f99"

// feeds is what an Atlas has beside the logs of workspaces. It is locked by its server.
type feeds struct {
	server  *server
	project []item // events
	org     []item // events
	access  []item
	late    []item // events of the project that come while somebody reads
	hosts   []*serverLog

	perPage    int // at most, whatever is asked for
	next       bool
	exclusive  bool // The ends of a range do not belong to it.
	memberShow int
}

// item is an event or an access.
type item struct {
	at   time.Time
	text string
}

// answer replies to a request for one of the feeds. It is false if it was for something else.
func (f *feeds) answer(w http.ResponseWriter, r *http.Request) bool {
	group := "/api/atlas/v2/groups/" + groupID
	switch path := r.URL.Path; {
	case path == "/api/atlas/v2/orgs":
		writeList(w, []any{map[string]any{"id": organizationID, "name": "acme"}})
	case path == group+"/clusters":
		writeList(w, []any{map[string]any{"id": "6a793f48c0eb9e7a17712fcc", "name": "c0"}})
	case path == group+"/processes":
		all := []any{}
		for _, h := range f.hosts {
			all = append(all, map[string]any{"hostname": h.name, "typeName": "REPLICA_PRIMARY"})
		}
		writeList(w, all)
	case path == group+"/events":
		f.comeLate()
		f.page(w, r, f.project)
	case path == "/api/atlas/v2/orgs/"+organizationID+"/events":
		f.page(w, r, f.org)
	case path == group+"/dbAccessHistory/clusters/c0":
		f.newest(w, r)
	case strings.HasSuffix(path, "/logs/mongodb-audit-log.gz"):
		name := strings.Split(path, "/")[7]
		i := slices.IndexFunc(f.hosts, func(l *serverLog) bool { return l.name == name })
		f.server.download(w, r, f.hosts[i])
	default:
		return false
	}
	return true
}

// comeLate has an event come that shifts the pages.
func (f *feeds) comeLate() {
	if len(f.late) > 0 && f.server.rnd.IntN(3) == 0 {
		f.project = append(f.project, f.late[0])
		f.late = f.late[1:]
	}
}

// within returns the items of a range, the newest first.
func (f *feeds) within(all []item, from, to time.Time) (found []item) {
	for _, e := range all {
		in := !e.at.Before(from) && !e.at.After(to)
		if f.exclusive {
			in = e.at.After(from) && e.at.Before(to)
		}
		if in {
			found = append(found, e)
		}
	}
	slices.SortStableFunc(found, func(a, b item) int { return b.at.Compare(a.at) })
	return found
}

// page sends a page of events.
func (f *feeds) page(w http.ResponseWriter, r *http.Request, all []item) {
	q := r.URL.Query()
	from, err := time.Parse(time.RFC3339, q.Get("minDate"))
	if err != nil {
		panic(err)
	}
	to, err := time.Parse(time.RFC3339, q.Get("maxDate"))
	if q.Get("maxDate") == "" {
		to, err = f.server.now().Add(time.Hour), nil
	}
	number, numberErr := strconv.Atoi(q.Get("pageNum"))
	if err != nil || numberErr != nil || q.Get("itemsPerPage") != "500" {
		panic(r.URL.String())
	}
	found := f.within(all, from, to)
	start := min((number-1)*f.perPage, len(found))
	end := min(start+f.perPage, len(found))
	reply := map[string]any{"results": f.shown(found[start:end]), "totalCount": len(found)}
	if f.next {
		links := []any{map[string]any{"rel": "self", "href": r.URL.String()}}
		if end < len(found) {
			links = append(links, map[string]any{"rel": "next", "href": "x"})
		}
		reply["links"] = links
		reply["totalCount"] = f.server.rnd.IntN(end - start + 1) // an estimate
	}
	f.send(w, reply)
}

// newest sends the newest accesses of a range.
func (f *feeds) newest(w http.ResponseWriter, r *http.Request) {
	number := func(name string) int64 {
		n, err := strconv.ParseInt(r.URL.Query().Get(name), 10, 64)
		if err != nil {
			panic(r.URL.String())
		}
		return n
	}
	found := f.within(f.access, time.UnixMilli(number("start")), time.UnixMilli(number("end")))
	found = found[:min(int64(len(found)), number("nLogs"))]
	f.send(w, map[string]any{"accessLogs": f.shown(found)})
}

// shown returns items as they look in one reply: with links, and with their members in any order.
func (f *feeds) shown(items []item) []json.RawMessage {
	all := []json.RawMessage{}
	for _, e := range items {
		text := e.text
		if strings.HasPrefix(text, "{") {
			f.memberShow++
			link := fmt.Sprintf(`"links":[{"rel":"self","href":"x?n=%d"}]`, f.memberShow)
			if f.server.rnd.IntN(2) == 0 {
				text = "{" + link + ", \n" + text[1:]
			} else {
				text = strings.TrimSuffix(text, "}") + " , " + link + "}"
			}
		}
		all = append(all, json.RawMessage(text))
	}
	return all
}

// send sends a reply, or something else.
func (f *feeds) send(w http.ResponseWriter, reply any) {
	body, err := json.MarshalIndent(reply, "", "  ")
	if err != nil {
		panic(err)
	}
	if s := f.server; s.rnd.Float64() < s.faults {
		switch s.rnd.IntN(4) {
		case 0:
			w.Header().Set("Content-Length", strconv.Itoa(len(body)+7))
		case 1:
			body = body[:s.rnd.IntN(len(body))]
		case 2:
			body = []byte("{}")
		default:
			body = append(body, "garbage"...)
		}
	}
	w.Write(body)
}

// happen has something happen at the Atlas: of now or late, alone or with others in the same second.
func (w *world) happen() {
	f := w.atlas.feeds
	w.atlas.mu.Lock()
	defer w.atlas.mu.Unlock()
	at := w.atlas.now().Add(-time.Duration(w.rnd.IntN(int(10 * time.Minute)))).Truncate(time.Millisecond)
	if w.rnd.IntN(10) == 0 {
		at = at.Add(-time.Duration(w.rnd.IntN(int(48 * time.Hour)))).Truncate(time.Millisecond)
	}
	for range 1 + w.rnd.IntN(3)*w.rnd.IntN(6) {
		w.said++
		event := item{at.Truncate(time.Second), fmt.Sprintf(`{"id":"%024x","eventTypeName":"STREAM_PROCESSOR_STARTED",`+
			`"created":%q,"processorName":"p%d","groupId":%q}`, w.said, at.UTC().Format(isoSeconds), w.said, groupID)}
		switch w.rnd.IntN(5) {
		case 0:
			f.project = append(f.project, event)
		case 1:
			f.late = append(f.late, event)
		case 2:
			f.org = append(f.org, event)
		case 3:
			w.accessed(at)
		default:
			w.audited(at)
		}
	}
}

// accessed adds an access, which may be equal to another, or one that cannot be read.
func (w *world) accessed(at time.Time) {
	f := w.atlas.feeds
	text := fmt.Sprintf(`{"authResult":%t,"username":"u%d","ipAddress":"203.0.113.7","timestamp":%q,"logLine":%q}`,
		w.said%2 == 0, w.said, at.UTC().Format("Mon Jan _2 15:04:05 GMT 2006"),
		fmt.Sprintf(`{"t":{"$date":%q}}`, at.UTC().Format("2006-01-02T15:04:05.000+00:00")))
	if w.rnd.IntN(8) == 0 {
		text = fmt.Sprintf(`{"who":"u%d"}`, w.said)
	}
	for range 1 + w.rnd.IntN(2)*w.rnd.IntN(3) {
		f.access = append(f.access, item{at, text})
	}
}

// audited adds a line to the audit log of a host, which may be equal to another.
func (w *world) audited(at time.Time) {
	f := w.atlas.feeds
	text := fmt.Sprintf(`{"atype":"dropCollection","ts":{"$date":%q},"param":{"ns":"db.c%d"},"result":0}`,
		at.UTC().Format("2006-01-02T15:04:05.000+00:00"), w.said)
	l := f.hosts[w.rnd.IntN(len(f.hosts))]
	for range 1 + w.rnd.IntN(2) {
		i, _ := slices.BinarySearchFunc(l.lines, at.Unix()+1, func(l serverLine, t int64) int { return int(l.at - t) })
		l.lines = slices.Insert(l.lines, i, serverLine{at.Unix(), text})
	}
}

// Whatever an Atlas does, and whenever a process is killed, weir has each event of projects and organizations, each
// access and each line of a host as often as the Atlas.
func TestEachEventOfTheOtherFeedsIsCollectedOnce(t *testing.T) {
	for seed := seeds.First(); seed <= seeds.Last(); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { playFeeds(t, seed) }) })
	}
}

func playFeeds(t *testing.T, seed uint64) {
	w := newWorld(t, seed)
	w.kinds = []Kind{ProjectEvents, OrganizationEvents, DatabaseAccess, ClusterAudit}
	f := &feeds{server: w.atlas, perPage: 2 + w.rnd.IntN(6), next: w.rnd.IntN(2) == 0, exclusive: w.rnd.IntN(2) == 0,
		hosts: []*serverLog{{name: "h0.example.mongodb.net"}, {name: "h1.example.mongodb.net"}}}
	w.atlas.feeds = f
	w.atlas.faults = w.rnd.Float64() * 0.3
	if w.rnd.IntN(2) == 0 {
		w.atlas.skew = time.Duration(w.rnd.IntN(int(6*time.Hour))) - 3*time.Hour
	}
	for range 25 {
		w.pass(time.Duration(w.rnd.IntN(int(time.Hour))))
		for range w.rnd.IntN(5) {
			w.happen()
		}
		w.collect()
	}
	w.atlas.faults = 0
	f.project, f.late = append(f.project, f.late...), nil
	for range 4 {
		w.pass(13 * time.Hour)
		if err := w.round(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.sequence()
	for name, want := range map[string]map[string]int{"events": ofItems(f.project), "organization-events": ofItems(f.org),
		"c0-access": ofItems(f.access), "h0.example-audit": ofLines(f.hosts[0]), "h1.example-audit": ofLines(f.hosts[1])} {
		if len(want) == 0 {
			continue
		}
		n, ok := w.logs[name]
		if !ok {
			t.Fatalf("%s was not collected", name)
		}
		if got := w.payloads(logID(n)); !maps.Equal(got, want) {
			t.Errorf("%s: %s", name, difference(got, want))
		}
	}
}

// collect plays a round, or one that is killed, or two at once.
func (w *world) collect() {
	switch w.rnd.IntN(4) {
	case 0:
		w.killed()
	case 1:
		other := w.process()
		w.round(w.t.Context())
		other(w.t.Context())
	default:
		w.round(w.t.Context())
	}
}

func ofItems(all []item) map[string]int {
	found := map[string]int{}
	for _, e := range all {
		found[string(settled([]byte(e.text)))]++
	}
	return found
}

func ofLines(l *serverLog) map[string]int {
	found := map[string]int{}
	for _, line := range l.lines {
		found[string(settled([]byte(line.text)))]++
	}
	return found
}

// payloads returns how often a log of weir has each thing of the source.
func (w *world) payloads(log string) map[string]int {
	found := map[string]int{}
	for line := range w.lines(log) {
		var e struct {
			Raw      string `json:"raw_data"`
			Unmapped map[string]json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			w.t.Fatal(err)
		}
		sent := []byte(e.Raw)
		for _, name := range []string{"payload", "access"} {
			if raw := e.Unmapped[name]; raw != nil {
				sent = raw
			}
		}
		if e.Unmapped["ts"] != nil {
			delete(e.Unmapped, "weir")
			sent, _ = json.Marshal(e.Unmapped)
		}
		found[string(settled(sent))]++
	}
	return found
}

// A server that always has more, whatever it is asked for, is left after a bounded number of requests.
func TestServerThatRepeatsItselfIsLeft(t *testing.T) {
	requests := 0
	full := make([]string, eventsPerPage)
	for i := range full {
		full[i] = fmt.Sprintf(`{"id":"%024x","created":"2026-11-20T07:00:00Z","eventTypeName":"X"}`, i)
	}
	for _, pages := range []int{1, 1 << 20} {
		s := serving(t, func(w http.ResponseWriter, r *http.Request) {
			requests++
			if n, _ := strconv.Atoi(r.URL.Query().Get("pageNum")); n > pages {
				io.WriteString(w, `{"results":[]}`)
				return
			}
			fmt.Fprintf(w, `{"results":[%s]}`, strings.Join(full, ","))
		})
		requests = 0
		feed := s.unit(ProjectEvents, "PROJECT_EVENTS/x/events", placeOf("events")).Feed
		if err := fetchAll(t, feed, io.Discard); !isBounded(err) || requests > 500 {
			t.Errorf("%d requests, %v", requests, err)
		}
	}
}

// A reply without the requested members is an error, and not taken for an empty one.
func TestPageWithoutResultsIsNotEmpty(t *testing.T) {
	for kind, bodies := range map[Kind][]string{
		ProjectEvents:  {`{}`, `{"results":null}`, `{"results":{}}`, `[]`, ``, `{"results":[]`, `{"error":503}`},
		DatabaseAccess: {`{}`, `{"accessLogs":"x"}`, `{"results":[]}`, `{"accessLogs":[{}]`},
	} {
		for _, body := range bodies {
			s := serving(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) })
			if err := fetchAll(t, s.unit(kind, string(kind)+"/x/y", placeOf("y")).Feed, io.Discard); !isIncomplete(err) {
				t.Errorf("%s, %s: %v", kind, body, err)
			}
		}
	}
}

// A reply is not held that is larger than the bound.
func TestLargePagesAreNotHeld(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	s := serving(t, func(w http.ResponseWriter, r *http.Request) {
		piece := []byte(strings.Repeat(" ", 1<<20))
		for range 100 {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
		t.Errorf("a reply of %d bytes was read", 100*len(piece))
	})
	for _, kind := range []Kind{ProjectEvents, DatabaseAccess} {
		err := fetchAll(t, s.unit(kind, string(kind)+"/x/y", placeOf("y")).Feed, io.Discard)
		if !isTooMuch(err) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func shuffle(rnd *rand.Rand, all []string) {
	rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
}

// An item looks the same however its members are ordered and wherever its links lead.
func TestItemsLookTheSameEachTime(t *testing.T) {
	members := []string{`"id":"a"`, `"created":"x"`, `"n":12345678901234567890`, `"links":[1]`, `"o":{"b":1,"a":[2, 3]}`}
	rnd, first := rand.New(rand.NewPCG(1, 1)), ""
	for range 50 {
		shuffle(rnd, members)
		got := string(settled([]byte("{" + strings.Join(members, ", ") + "}")))
		if first == "" {
			first = got
		}
		if got != first || strings.Contains(got, "links") || !strings.Contains(got, "12345678901234567890") {
			t.Fatalf("%s, then %s", first, got)
		}
	}
}

// Items of one second that shift to an earlier page while the pages are read are found.
func TestPagesThatShiftAreReadAgain(t *testing.T) {
	all, read := []string{"a", "b", "c", "d", "e"}, 0
	s := serving(t, func(w http.ResponseWriter, r *http.Request) {
		number, _ := strconv.Atoi(r.URL.Query().Get("pageNum"))
		start := min(2*(number-1), len(all))
		end := min(start+2, len(all))
		items, next := []string{}, ""
		for _, id := range all[start:end] {
			items = append(items, fmt.Sprintf(`{"id":%q,"created":"2026-11-20T07:00:00Z","eventTypeName":"X"}`, id))
		}
		if end < len(all) {
			next = `{"rel":"next"}`
		}
		fmt.Fprintf(w, `{"results":[%s],"links":[%s]}`, strings.Join(items, ","), next)
		if read++; read == 2 { // It asked for the slice, and then for its first page.
			all = all[1:]
		}
	})
	var got strings.Builder
	feed := s.unit(ProjectEvents, "PROJECT_EVENTS/x/events", placeOf("events")).Feed
	if _, err := feed.Fetch(t.Context(), collect.Window{Start: 1795158062, End: 1795158062}, &got); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		if strings.Count(got.String(), fmt.Sprintf(`"id":%q`, id)) != 1 {
			t.Errorf("%s is not there once in %s", id, got.String())
		}
	}
}
