package api

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/auth"
	"github.com/weirlog/weir/internal/limit"
)

const tailPath = eventsPath + ":tail"

// told is a line of a tail.
type told struct {
	Log       string
	Index     *int64
	Event     json.RawMessage
	Missed    int64
	Heartbeat string
	UpTo      string
	End       string
}

// tailing is a tail with a reader.
type tailing struct {
	t     testing.TB
	reply *http.Response
	lines *bufio.Scanner
}

// tail opens a tail on a listening server.
func (w *world) tail(target, authorization string) *tailing {
	w.t.Helper()
	w.server.beat = 200 * time.Millisecond
	w.server.table = w.server.operations()
	w.server.route()
	s := httptest.NewServer(w.server)
	w.t.Cleanup(s.Close)
	w.t.Cleanup(w.server.Stop) // first, since a server closes after its requests have ended
	r, err := http.NewRequest("GET", s.URL+target, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", authorization)
	r.Header.Set("Accept", ndjson)
	reply, err := s.Client().Do(r)
	if err != nil || reply.StatusCode != 200 {
		w.t.Fatalf("%v: %v", reply, err)
	}
	w.t.Cleanup(func() { reply.Body.Close() })
	t := &tailing{w.t, reply, bufio.NewScanner(reply.Body)}
	if first := t.next(); first.Heartbeat == "" {
		w.t.Errorf("a tail begins with %+v", first)
	}
	return t
}

func (t *tailing) next() told {
	t.t.Helper()
	if !t.lines.Scan() {
		t.t.Fatalf("the tail is cut: %v", t.lines.Err())
	}
	var l told
	if err := json.Unmarshal(t.lines.Bytes(), &l); err != nil {
		t.t.Fatalf("%s: %v", t.lines.Bytes(), err)
	}
	return l
}

// event returns the next event, and skips heartbeats.
func (t *tailing) event() told {
	t.t.Helper()
	for {
		if l := t.next(); l.Heartbeat == "" {
			return l
		}
	}
}

// A tail sends matching events before they are sequenced, from any node, once.
func TestTailTellsOfEventsAsTheyAreRecorded(t *testing.T) {
	w := newWorld(t, Options{})
	w.fill(3)
	tail := w.tail(asking(tailPath, "q=n:*"), w.bearer(account.GroupOwner))
	here, other := w.server, w.another()
	record := func(s *Server, line string) {
		w.server = s
		defer func() { w.server = here }()
		if rec := w.record(line, account.GroupOwner); rec.Code != 200 {
			t.Fatal(rec.Body)
		}
	}
	for i, s := range []*Server{here, other, here} {
		record(s, eventLine("other", now.UnixMilli()))
		record(s, strings.Replace(eventLine("tailed", now.UnixMilli()+int64(i)), "{", `{"n":7,`, 1))
		e := tail.event()
		if e.Log != demoLog || e.Index != nil || !strings.Contains(string(e.Event), `"n":7`) {
			t.Errorf("told %+v", e)
		}
		w.sequence()
	}
	if n, q := w.reads("tailEvents"); n != 1 || !strings.Contains(q, `"q":"n:*"`) {
		t.Errorf("%d events of one tail, the last %s", n, q)
	}
	w.get(asking(tailPath, "q=n:*", "seconds=0", "read="+tail.reply.Header.Get("Weir-Read")), account.GroupOwner)
	if n, _ := w.reads("tailEvents"); n != 1 {
		t.Errorf("%d events of one tail and its continuation", n)
	}
	w.get(asking(eventsPath, "q=n:*", "read="+tail.reply.Header.Get("Weir-Read")), account.GroupOwner)
	if n, _ := w.reads("searchEvents"); n != 1 {
		t.Error("a search of what was passes for a tail of what comes")
	}
	w.server.Stop()
	if end := tail.event(); end.End != "stopping" {
		t.Errorf("the tail ends with %+v", end)
	}
}

// A tail ends soon after its credential or role is removed. If it used an API key, it ends after the key was deleted.
func TestTailEndsWithTheRightToRead(t *testing.T) {
	for name, end := range map[string]func(*world, account.Credential, string){
		"token revoked": func(w *world, c account.Credential, token string) {
			err := w.auth.Revoke(t.Context(), c.ID, w.secrets[account.GroupOwner], token, netip.MustParseAddr("192.0.2.1"))
			if err != nil {
				t.Fatal(err)
			}
		},
		"role taken": func(w *world, c account.Credential, _ string) {
			w.change(c.ID, func(c *account.Credential) { c.Roles[0].Role = account.GroupReadOnly })
		},
		"access list": func(w *world, c account.Credential, _ string) {
			block, _ := account.ParseBlock("192.0.2.0/24")
			w.change(c.ID, func(c *account.Credential) { c.AccessList = []account.AccessEntry{{Block: block}} })
		},
		"deleted": func(w *world, c account.Credential, _ string) {
			w.change(c.ID, func(c *account.Credential) { c.Deleted = true })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, Options{})
			authorization := w.bearer(account.GroupOwner)
			tail := w.tail(tailPath, authorization)
			end(w, w.callers[account.GroupOwner], strings.TrimPrefix(authorization, "Bearer "))
			for {
				if l := tail.next(); l.End != "" {
					if l.End != "notAuthorized" {
						t.Errorf("it ends with %+v", l)
					}
					return
				}
			}
		})
	}
}

func (w *world) change(credential string, how func(*account.Credential)) {
	w.t.Helper()
	_, err := w.store.UpdateCredential(w.t.Context(), credential, func(c *account.Credential) error {
		how(c)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// A workspace that is created while somebody tails the project is tailed too, from its first event on.
func TestTailFollowsNewWorkspaces(t *testing.T) {
	w := newWorld(t, Options{})
	tail := w.tail(asking(tailPath, "q=n:*"), w.bearer(account.GroupOwner))
	made := account.Workspace{ID: account.NewID(now), Name: "made", AuditLog: account.NewID(now),
		OperationalLog: account.NewID(now), CloudProvider: "AWS", Region: "VIRGINIA_USA", Tier: "SP30",
		Created: time.Now().Add(time.Minute)}
	if _, err := w.store.UpdateProject(t.Context(), projectID, func(p *account.Project) error {
		p.Workspaces = append(p.Workspaces, made)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	target := strings.Replace(resource, "/demo/", "/made/", 1)
	rec := w.as(account.GroupOwner, "POST", target, strings.Replace(eventLine("x", now.UnixMilli()), "{", `{"n":1,`, 1))
	if rec.Code != 200 {
		t.Fatal(rec.Body)
	}
	if e := tail.event(); e.Log != made.AuditLog {
		t.Errorf("told %+v", e)
	}
	if lines := strings.Join(w.lines(w.get(target, account.GroupOwner)), ""); !strings.Contains(lines, `"tailEvents"`) {
		t.Errorf("the log does not say who tails it: %s", lines)
	}
}

func TestTailAsServerSentEvents(t *testing.T) {
	w := newWorld(t, Options{})
	rec := w.get(asking(tailPath, "seconds=0"), account.GroupOwner)
	blocks := strings.Split(strings.TrimSuffix(rec.Body.String(), "\n\n"), "\n\n")
	if rec.Header().Get("Content-Type") != "text/event-stream" || !strings.HasPrefix(blocks[0],
		`event: heartbeat`+"\n"+`data: {"heartbeat":"`) || blocks[len(blocks)-1] != "event: end\ndata: {\"end\":\"time\"}" {
		t.Errorf("%s: %q", rec.Header().Get("Content-Type"), blocks)
	}
	if rec := w.as(account.GroupOwner, "HEAD", tailPath, ""); rec.Code != 200 || rec.Body.Len() > 0 {
		t.Errorf("HEAD: %d %s", rec.Code, rec.Body)
	}
}

// The number of tails of one credential is bounded. A tail that has ended, or never began, does not count.
func TestTailsOfOneAreBounded(t *testing.T) {
	w := newWorld(t, Options{})
	w.server.tails = shares(3, 1, 0)
	w.server.table = w.server.operations()
	w.server.route()
	w.bearer(account.GroupOwner)
	for range 3 {
		if rec := w.get(tailPath, account.GroupOwner); rec.Code != 200 {
			t.Fatalf("one after the other: %d %s", rec.Code, rec.Body)
		}
		w.get(asking(tailPath, "q=n:*", "log=6a793f48c0eb9e7a17712fff"), account.GroupOwner)
		w.as(account.GroupOwner, "HEAD", tailPath, "")
	}
	w.tail(tailPath, w.bearer(account.GroupOwner))
	if rec := w.get(tailPath, account.GroupOwner); rec.Code != 429 || rec.Header().Get("Retry-After") == "" {
		t.Errorf("one more: %d %s", rec.Code, rec.Body)
	}
	if rec := w.get(tailPath, account.OrgOwner); rec.Code != 200 {
		t.Errorf("of another credential: %d %s", rec.Code, rec.Body)
	}
	w.server.tails = limit.NewShares[string](1, 0, 1, 1, 1)
	w.server.table = w.server.operations()
	w.server.route()
	if _, err := w.server.tails.Take(t.Context(), 1, "somebody"); err != nil {
		t.Fatal(err)
	}
	if rec := w.get(tailPath, account.OrgOwner); rec.Code != 429 {
		t.Errorf("one more than a node has: %d %s", rec.Code, rec.Body)
	}
}

// A tail that was begun by digest ends if its key is replaced or deleted.
func TestDigestGoesOnAsLongAsItsKey(t *testing.T) {
	w := newWorld(t, Options{})
	key, _ := account.NewAPIKey(w.org.ID, "x", nil, now)
	if err := w.store.CreateCredential(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", tailPath, nil)
	was := &auth.Principal{Credential: &key, Address: netip.MustParseAddr("::ffff:192.0.2.1")}
	if p, err := w.auth.Still(r, was); err != nil || !p.Address.Is4() {
		t.Errorf("%+v: %v", p, err)
	}
	inSession := httptest.NewRequest("GET", tailPath, nil)
	inSession.Header.Set("Authorization", "Session "+"made up")
	if _, err := w.auth.Still(inSession, was); err == nil {
		t.Error("a session that was made up goes on")
	}
	other := key
	other.HA1 = account.NewHA1(key.ID, "another")
	if _, err := w.auth.Still(r, &auth.Principal{Credential: &other, Address: was.Address}); err == nil {
		t.Error("another key goes on")
	}
	sa, _ := account.NewServiceAccount(w.org.ID, "x", nil, now, time.Hour)
	if _, err := w.auth.Still(r, &auth.Principal{Credential: &sa, Address: was.Address}); err == nil {
		t.Error("a service account goes on without a token")
	}
	if _, err := w.store.UpdateCredential(t.Context(), key.ID, func(c *account.Credential) error {
		c.Deleted = true
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.auth.Still(r, was); err == nil {
		t.Error("a deleted key goes on")
	}
}

// deadlines notes the deadlines that are set for a reply.
type deadlines struct {
	httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetWriteDeadline(at time.Time) error { d.set = append(d.set, at); return nil }

// A client that reads has until the next heartbeat at least, also while there is always more for it.
func TestEachHeartbeatGivesTheClientMoreTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reply := &deadlines{}
		out := &tailWriter{w: bufio.NewWriter(reply), control: http.NewResponseController(reply)}
		for range 3 {
			if err := out.heartbeat(time.Now(), time.Now()); err != nil {
				t.Fatal(err)
			}
			if n := len(reply.set); n == 0 || reply.set[n-1].Before(time.Now().Add(2*usualBeat)) {
				t.Fatalf("at %v the deadlines are %v", time.Now(), reply.set)
			}
			time.Sleep(usualBeat)
		}
	})
}
