package api

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/auth"
)

// A body that never arrives holds no connection for long, for any sender and path, even if no handler reads it.
func TestBodiesThatNeverArrive(t *testing.T) {
	w := newWorld(t, Options{BodyTimeout: 50 * time.Millisecond})
	server := httptest.NewServer(w.server)
	defer server.Close()
	for name, tt := range map[string]struct{ request, header string }{
		"record": {"POST " + resource, "Content-Type: application/x-ndjson\r\nAuthorization: " +
			w.bearer(account.GroupOwner)},
		"record, unauthenticated": {"POST " + resource, "Content-Type: application/x-ndjson"},
		"token":                   {"POST /api/oauth/token", "Content-Type: application/x-www-form-urlencoded"},
		"revoke":                  {"POST /api/oauth/revoke", "Content-Type: application/x-www-form-urlencoded"},
		"a download with a body":  {"GET " + resource, "Accept: " + download},
		"nothing there":           {"PUT /nothing", "X: y"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetReadDeadline(time.Now().Add(20 * time.Second)) // far too long: without a limit there is never a reply
			fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: weir\r\n%s\r\nContent-Length: 100\r\n\r\n{", tt.request, tt.header)
			line, err := bufio.NewReader(c).ReadString('\n')
			if err != nil || !strings.HasPrefix(line, "HTTP/1.1 4") {
				t.Errorf("%q, %v", line, err)
			}
		})
	}
}

// The cost of a body is bounded by its size, even if it has very many tiny elements, most of which are never read.
func TestTinyElements(t *testing.T) {
	const size = 8 << 20
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte("[1" + strings.Repeat(",1", size/2) + "]"))
	z.Close()
	w := newWorld(t, Options{MaxRequestBytes: 2 * size, MaxRequestEvents: 1000})
	owner := w.bearer(account.GroupOwner)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	rec := w.do("POST", resource, packed.String(), "Content-Type: application/json", "Content-Encoding: gzip",
		"Authorization: "+owner)
	runtime.ReadMemStats(&after)
	if rec.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 6*size {
		t.Errorf("%d bytes allocated for a body of %d", got, size)
	}
}

// Recording allocates per request, not per event. (The slice of entries grows in steps.)
func TestRecordingAllocations(t *testing.T) {
	w := newWorld(t, Options{})
	const events = 2000
	var body strings.Builder
	for i := range events {
		body.WriteString(eventLine(fmt.Sprint("e", i), now.UnixMilli()))
	}
	project := w.project
	workspace, _ := project.Workspace("demo")
	c := &call{r: httptest.NewRequest("POST", resource, nil), now: now, caller: &account.Credential{ID: "writer"},
		scope: scope{groupID: projectID, tenant: "demo",
			project: &project, workspace: workspace}}
	h := recordings{w.server.recorder, w.server.metrics, w.options, nil}
	raw := []byte(body.String())
	got := testing.AllocsPerRun(10, func() {
		in := h.intake(c, auditLog, nil)
		defer in.Close()
		if err := in.ReadLines(bytes.NewReader(raw)); err != nil {
			t.Fatal(err)
		}
	})
	if got > events/10 {
		t.Errorf("%.0f allocations for %d events", got, events)
	}
}

// A path that is not clean gets the same reply as one that does not exist, not a redirect in HTML.
func TestUncleanPaths(t *testing.T) {
	w := newWorld(t, Options{})
	for _, p := range []string{"//", "//api/oauth/token", "/api/atlas/v2/../x", "/api//atlas", "/.", resource + "/.",
		resource + "//", resource + "/"} {
		rec := w.do("GET", p, "", "Accept: "+download)
		if rec.Code != 404 || rec.Header().Get("X-Error-Code") != "RESOURCE_NOT_FOUND" ||
			rec.Header().Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: %d %v %s", p, rec.Code, rec.Header(), rec.Body)
		}
	}
}

// After a bug in a handler the reply is a 500. If a part of the reply was sent, the connection is broken.
func TestPanic(t *testing.T) {
	w := newWorld(t, Options{})
	w.server.mux.Handle("GET /bug", w.server.handle(func(*exchange) (result, error) { panic("a bug") }))
	w.server.mux.Handle("GET /late-bug",
		w.server.handle(func(x *exchange) (result, error) { x.w.Write([]byte("x")); panic("a bug") }))
	golden(t, "500", w.do("GET", "/bug", ""))
	defer func() {
		if got := recover(); got != http.ErrAbortHandler {
			t.Errorf("panics with %v", got)
		}
	}()
	w.do("GET", "/late-bug", "")
}

func TestAcceptOfRecording(t *testing.T) {
	w := newWorld(t, Options{})
	for accept, want := range map[string]int{
		"": 200, "*/*": 200, "application/json": 200, "application/vnd.atlas.2023-02-01+json": 200,
		"application/vnd.atlas.2025-03-12+json, */*;q=0.1": 200,
		"application/vnd.atlas.2023-02-01+gzip":            406, "application/vnd.atlas.2020-01-01+json": 406,
		"application/vnd.atlas.soon+json": 406,
	} {
		rec := w.record(eventLine("a", now.UnixMilli()), account.GroupOwner, "Accept: "+accept)
		if rec.Code != want {
			t.Errorf("%q: %d %s", accept, rec.Code, rec.Body)
		}
	}
}

func TestContentEncodings(t *testing.T) {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var gz bytes.Buffer
	g := gzip.NewWriter(&gz)
	g.Write([]byte(eventLine("g", now.UnixMilli())))
	g.Close()
	zs := string(z.EncodeAll([]byte(eventLine("z", now.UnixMilli())), nil))
	w := newWorld(t, Options{})
	for _, tt := range []struct {
		encoding, body string
		want           int
	}{
		{"zstd", zs, 200}, {"ZSTD", zs, 200}, {"GZip", gz.String(), 200},
		{"identity", eventLine("i", now.UnixMilli()), 200},
		{"x-gzip", gz.String(), 200}, {"zstd", zs[:len(zs)-3], 400}, {"gzip", gz.String() + "\n", 400},
		{"gzip, gzip", gz.String(), 415}, {"deflate", "", 415},
	} {
		if rec := w.record(tt.body, account.GroupOwner, "Content-Encoding: "+tt.encoding); rec.Code != tt.want {
			t.Errorf("%s: %d %s", tt.encoding, rec.Code, rec.Body)
		}
	}
}

// stalledBody is a body of which nothing arrives until it is ended.
type stalledBody struct {
	asked *sync.WaitGroup
	once  sync.Once
	ended chan struct{}
}

func (b *stalledBody) Read([]byte) (int, error) {
	b.once.Do(b.asked.Done)
	<-b.ended
	return 0, io.ErrUnexpectedEOF
}

// Requests of which only the headers have arrived use nothing that others need, however many there are.
func TestHeadersAloneTakeNothing(t *testing.T) {
	w := newWorld(t, Options{})
	greedy, modest := w.bearer(account.GroupAuditLogWriter), account.GroupOwner
	w.bearer(modest)
	var asked, answered sync.WaitGroup
	ended := make(chan struct{})
	for i := range 2100 {
		asked.Add(1)
		r := httptest.NewRequest("POST", resource, &stalledBody{asked: &asked, ended: ended})
		r.RemoteAddr = "203.0.113.24:50512"
		r.Header.Set("Authorization", greedy)
		r.Header.Set("Content-Type", []string{"application/x-ndjson", "application/json"}[i%2])
		r.Header.Set("Content-Encoding", []string{"", "gzip", "zstd"}[i%3])
		answered.Go(func() {
			rec := httptest.NewRecorder()
			w.server.ServeHTTP(rec, r)
			if rec.Code != 400 {
				t.Errorf("half a body: %d %s", rec.Code, rec.Body)
			}
		})
	}
	asked.Wait()
	if err := w.server.recorder.Ready(); err != nil {
		t.Errorf("ready: %v", err)
	}
	if rec := w.record(eventLine("a", now.UnixMilli()), modest); rec.Code != 200 {
		t.Errorf("another caller: %d %s", rec.Code, rec.Body)
	}
	close(ended)
	answered.Wait()
}

// A credential that uses its whole share of memory is told when to retry. Others are served.
func TestOverloadSaysWhenToComeAgain(t *testing.T) {
	w := newWorld(t, Options{})
	w.bearer(account.GroupAuditLogWriter)
	w.bearer(account.GroupOwner)
	hold := w.server.recorder.Reserve(w.callers[account.GroupAuditLogWriter].ID, "", "")
	if err := hold.Grow(32 << 20); err != nil {
		t.Fatal(err)
	}
	body := strings.Repeat(eventLine("a", now.UnixMilli()), 20)
	rec := w.record(body, account.GroupAuditLogWriter)
	if rec.Code != 503 || rec.Header().Get("Retry-After") != "1" {
		t.Errorf("beyond the share: %d %v", rec.Code, rec.Header())
	}
	if rec := w.record(body, account.GroupOwner); rec.Code != 200 {
		t.Errorf("another credential: %d %s", rec.Code, rec.Body)
	}
	hold.Release()
	if rec := w.record(body, account.GroupAuditLogWriter); rec.Code != 200 {
		t.Errorf("afterwards: %d %s", rec.Code, rec.Body)
	}
}

// A byte-order mark is ignored in all JSON, and UTF-16 is reported.
func TestEncodingsOfText(t *testing.T) {
	const mark, utf16 = "\xef\xbb\xbf", "\xff\xfe{\x00"
	w := newWorld(t, Options{})
	for kind, event := range map[string]string{"application/x-ndjson": eventLine("a", now.UnixMilli()),
		"application/json": "[" + eventLine("b", now.UnixMilli()) + "]"} {
		headers := []string{"Content-Type: " + kind, "Authorization: " + w.bearer(account.GroupOwner)}
		if rec := w.do("POST", resource, mark+event, headers...); rec.Code != 200 {
			t.Errorf("%s with a mark: %d %s", kind, rec.Code, rec.Body)
		}
		if rec := w.do("POST", resource, utf16, headers...); rec.Code != 400 ||
			!strings.Contains(rec.Body.String(), "UTF-16") {
			t.Errorf("%s in UTF-16: %d %s", kind, rec.Code, rec.Body)
		}
	}
	want[workspaceView](t, 200, w.as(account.OrgOwner, "POST", groupV2+"/streams", mark+`{"name":"marked"}`))
	rec := w.as(account.OrgOwner, "POST", groupV2+"/streams", utf16)
	refusedAs(t, 400, "INVALID_JSON", rec)
	if !strings.Contains(rec.Body.String(), "UTF-16") {
		t.Error(rec.Body)
	}
}

// A long name from a client makes no file name or header that file systems or clients refuse.
func TestLongProcessorName(t *testing.T) {
	w := newWorld(t, Options{})
	rec := w.get(resource+"?spName="+strings.Repeat("%E2%82%AC", 5000)+"%E2%80%AE", account.GroupOwner)
	if got := rec.Header().Get("Content-Disposition"); rec.Code != 200 || len(got) > 600 {
		t.Errorf("%d, %d bytes: %.100s", rec.Code, len(got), got)
	}
}

func TestClientCredentials(t *testing.T) {
	w := newWorld(t, Options{})
	w.bearer(account.GroupOwner)
	id, secret := w.callers[account.GroupOwner].ID, w.secrets[account.GroupOwner]
	basic := func(id, secret string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
	}
	const grant = "grant_type=client_credentials"
	for name, tt := range map[string]struct {
		body, authorization string
		want                int
		query               string
	}{
		"header": {body: grant, authorization: basic(id, secret), want: 200},
		"body": {body: grant + "&client_id=" + id + "&client_secret=" + secret,
			authorization: "", want: 200},
		"client_id beside header": {body: grant + "&client_id=" + id, authorization: basic(id, secret), want: 200},
		"both": {body: grant + "&client_id=" + id + "&client_secret=" + secret,
			authorization: basic(id, secret), want: 400},
		"twice":                      {body: grant + "&" + grant, authorization: basic(id, secret), want: 400},
		"undecodable header":         {body: grant + "&client_id=" + id, authorization: basic(id, "%zz"), want: 401},
		"wrong":                      {body: grant, authorization: basic(id, "x"), want: 401},
		"in the query, not the body": {authorization: basic(id, secret), want: 400, query: "?" + grant},
		"too large": {body: grant + "&x=" + strings.Repeat("x", maxForm),
			authorization: basic(id, secret), want: 400},
	} {
		t.Run(name, func(t *testing.T) {
			rec := w.do("POST", "/api/oauth/token"+tt.query, tt.body, "Content-Type: application/x-www-form-urlencoded",
				"Authorization: "+tt.authorization)
			if rec.Code != tt.want || rec.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%d %v %s", rec.Code, rec.Header(), rec.Body)
			}
		})
	}
}

// A right digest with an expired nonce gets a challenge with which the client can retry without asking the user.
func TestStaleNonce(t *testing.T) {
	w := newWorld(t, Options{})
	w.auth = auth.New(w.faulty, w.store, auth.Secret{1}, auth.Options{NonceLife: time.Nanosecond})
	w.server.auth = w.auth
	key, private := account.NewAPIKey(w.org.ID, "k", []account.Grant{{Project: projectID, Role: account.GroupOwner}},
		now)
	if err := w.store.CreateCredential(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	challenge := w.do("GET", resource, "", "Accept: "+download).Header().Get("WWW-Authenticate")
	nonce := regexp.MustCompile(`nonce="([^"]*)"`).FindStringSubmatch(challenge)[1]
	hash := func(s string) string { return fmt.Sprintf("%x", md5.Sum([]byte(s))) }
	response := hash(hash(key.ID+":"+account.Realm+":"+private) + ":" + nonce + ":00000001:c:auth:" +
		hash("GET:"+resource))
	golden(t, "401 stale", w.do("GET", resource, "", "Accept: "+download, fmt.Sprintf(
		`Authorization: Digest username="%s", realm="%s", nonce="%s", uri="%s", qop=auth, nc=00000001, cnonce="c", `+
			`response="%s"`,
		key.ID, account.Realm, nonce, resource, response)))
}

// TestRecordingTellsOfConflicts checks that the reply and a metric count events recorded beside others with the same
// uid.
func TestRecordingTellsOfConflicts(t *testing.T) {
	w := newWorld(t, Options{})
	line := func(content string) string {
		return fmt.Sprintf(`{"time":%d,"content":%q,"metadata":{"uid":"guessed"}}`, now.UnixMilli(), content)
	}
	for _, tt := range []struct{ body, want string }{
		{line("forged"), `{"recorded":1,"duplicates":0}`},
		{line("real"), `{"recorded":1,"duplicates":0,"conflicts":1}`},
		{line("real") + "\n" + line("forged"), `{"recorded":0,"duplicates":2}`},
	} {
		rec := w.record(tt.body, account.GroupOwner)
		if got := strings.TrimSpace(rec.Body.String()); rec.Code != 200 || got != tt.want {
			t.Errorf("%s: %d %s, want %s", tt.body, rec.Code, got, tt.want)
		}
	}
}

// TestWhatIsRecordedCanBeDownloaded checks that every recorded event is in the download of the widest range.
func TestWhatIsRecordedCanBeDownloaded(t *testing.T) {
	w := newWorld(t, Options{})
	widest := fmt.Sprintf("%s?startDate=%d&endDate=%d", resource, minDate, maxDate)
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		near := rapid.SampledFrom([]int64{0, 946_684_800_000, minDate * 1000, now.UnixMilli(),
			now.Add(10 * time.Minute).UnixMilli(), maxDate * 1000, math.MaxInt64 / 2}).Draw(t, "near")
		at := near + rapid.Int64Range(-2000, 2000).Draw(t, "off by")
		n++
		uid := fmt.Sprint("event-", n)
		if w.record(eventLine(uid, at), account.GroupOwner).Code != 200 {
			return
		}
		got := strings.Join(w.lines(w.get(widest, account.GroupOwner)), "\n")
		if !strings.Contains(got, uid) {
			t.Fatalf("an event at %d was recorded, and is not in the download", at)
		}
	})
}
