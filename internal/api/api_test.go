package api

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/alert"
	"github.com/weirlog/weir/internal/auth"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/deliver/delivertest"
	"github.com/weirlog/weir/internal/deliver/setup"
	"github.com/weirlog/weir/internal/node/nodetest"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/record"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/sequence"
	"github.com/weirlog/weir/internal/source"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/tlog/tlogtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	projectID = "6a793f48c0eb9e7a17712c9a"
	otherID   = "6a793f48c0eb9e7a17712c9b" // of another organization
	missingID = "6a793f48c0eb9e7a17712c9c"
	resource  = "/api/atlas/v2/groups/" + projectID + "/streams/demo/auditLogs"
	download  = "application/vnd.atlas.2025-03-12+gzip"
)

var now = time.Date(2026, 8, 10, 3, 12, 58, 0, time.UTC)

// world is a server with an organization, the project with the workspace demo, and a project of another organization.
type world struct {
	t        testing.TB
	server   *Server
	options  Options
	faulty   *bucketest.Faulty
	keys     *proof.Keys // keys that sign the logs
	logs     *tlog.Logs
	witness  []note.Verifier // witnesses of nodes that are created from now on
	auth     *auth.Authenticator
	store    *account.Directory
	org      account.Organization
	project  account.Project
	tokens   map[account.Role]string // token of a caller with this role on the project, or its organization
	callers  map[account.Role]account.Credential
	secrets  map[account.Role]string
	sessions map[account.Role]string // headers, as session returns them

	sequencer  *sequence.Sequencer
	deliveries *setup.Deliveries
}

func newWorld(t testing.TB, o Options) *world {
	w := &world{t: t, faulty: &bucketest.Faulty{Bucket: bucketest.NewMemory()}, tokens: map[account.Role]string{},
		callers: map[account.Role]account.Credential{}, secrets: map[account.Role]string{},
		sessions: map[account.Role]string{}}
	w.store = account.NewDirectory(w.faulty)
	key, err := proof.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	w.keys = proof.NewKeys(key)
	ctx := context.Background()
	w.org = account.Organization{ID: "6a793f48c0eb9e7a17712c00", Name: "o", Log: "6a793f48c0eb9e7a17712d00"}
	other := account.Organization{ID: "6a793f48c0eb9e7a17712c01", Name: "p", Log: "6a793f48c0eb9e7a17712d01"}
	demo := account.Workspace{ID: "6a793f48c0eb9e7a17712e00", Name: "demo", AuditLog: "6a793f48c0eb9e7a17712f00",
		OperationalLog: "6a793f48c0eb9e7a17712f01",
		CloudProvider:  "AWS", Region: "VIRGINIA_USA", Tier: "SP30"}
	strict := account.Workspace{ID: "6a793f48c0eb9e7a17712e02", Name: "strict", AuditLog: "6a793f48c0eb9e7a17712f02",
		OperationalLog: "6a793f48c0eb9e7a17712f03",
		CloudProvider:  "AWS", Region: "VIRGINIA_USA", Tier: "SP30", RequireOCSF: true}
	w.project = account.Project{ID: projectID, Org: w.org.ID, Name: "one",
		Workspaces: []account.Workspace{demo, strict}}
	foreign := account.Project{ID: otherID, Org: other.ID, Name: "foreign",
		Workspaces: []account.Workspace{{ID: "x", Name: "demo", AuditLog: "6a793f48c0eb9e7a17712f04"}}}
	for _, err := range []error{w.store.CreateOrganization(ctx, w.org), w.store.CreateOrganization(ctx, other),
		w.store.CreateProject(ctx, w.project), w.store.CreateProject(ctx, foreign)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	o.Logger = slog.New(slog.DiscardHandler)
	o.Now = func() time.Time { return now }
	o.Sources = source.NewDirectory(w.faulty, seal.NewBox(make([]byte, 32)))
	o.NewRequestID = func() string { return "0123456789abcdef" }
	w.options = o
	w.auth = auth.New(w.faulty, w.store, auth.Secret{1}, authOptions)
	w.server = w.node(w.store, w.auth)
	return w
}

// authOptions are the options of each node of a world.
var authOptions = auth.Options{FailuresPerMinute: 1000, People: people}

// another returns another node on the same bucket.
func (w *world) another() *Server {
	store := account.NewDirectory(w.faulty)
	return w.node(store, auth.New(w.faulty, store, auth.Secret{1}, authOptions))
}

func (w *world) node(store *account.Directory, authenticator *auth.Authenticator) *Server {
	n := nodetest.New(w.t, w.faulty, nodetest.Options{
		Logs:      tlog.Options{Keys: w.keys, Origin: "example.org", Witnesses: w.witness},
		Recording: record.Options{MemoryBytes: 64 << 20}})
	w.sequencer, w.logs = n.Sequencers[0], n.Logs
	w.options.Alerts, w.options.Box = alert.NewStore(w.faulty), seal.NewBox(make([]byte, 32))
	o := w.options
	o.Deliveries = setup.New(setup.Parts{Bucket: w.faulty, Accounts: store, Logs: n.Logs, Recorder: n.Recorder,
		Box: o.Box, Egress: delivertest.Loopback})
	w.deliveries = o.Deliveries
	return New(store, authenticator, n.Logs, n.Recorder, o)
}

// sequence sequences the recorded events.
func (w *world) sequence() {
	w.t.Helper()
	if _, err := w.sequencer.Round(context.Background(), true); err != nil {
		w.t.Fatal(err)
	}
}

// bearer returns the Authorization header of a caller with one role.
func (w *world) bearer(role account.Role) string {
	if token, ok := w.tokens[role]; ok {
		return token
	}
	grant := account.Grant{Project: projectID, Role: role}
	if strings.HasPrefix(string(role), "ORG_") {
		grant = account.Grant{Org: w.org.ID, Role: role}
	}
	c, secret := account.NewServiceAccount(w.org.ID, string(role), []account.Grant{grant}, time.Now(), time.Hour)
	if err := w.store.CreateCredential(context.Background(), c); err != nil {
		w.t.Fatal(err)
	}
	token, _, err := w.auth.Issue(context.Background(), c.ID, secret, netip.MustParseAddr("192.0.2.1"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.tokens[role], w.callers[role], w.secrets[role] = "Bearer "+token, c, secret
	return w.tokens[role]
}

// do answers a request. headers are "Name: value". A tail ends at once.
func (w *world) do(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	if strings.Contains(target, "/events:tail") && !strings.Contains(target, tailSeconds.name+"=") {
		target = addQuery(target, tailSeconds.name+"=0")
	}
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.RemoteAddr = "203.0.113.24:50512"
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	rec := httptest.NewRecorder()
	w.server.ServeHTTP(rec, r)
	if err := published().check(r, rec); err != nil && method != "HEAD" {
		w.t.Errorf("%s %s: %d %s: not as published: %v", method, target, rec.Code, rec.Body, err)
	}
	return rec
}

func (w *world) get(target string, role account.Role, headers ...string) *httptest.ResponseRecorder {
	return w.do("GET", target, "", append([]string{"Accept: " + download, "Authorization: " + w.bearer(role)},
		headers...)...)
}

func (w *world) record(body string, role account.Role, headers ...string) *httptest.ResponseRecorder {
	return w.do("POST", resource, body, append([]string{"Content-Type: application/x-ndjson",
		"Authorization: " + w.bearer(role)}, headers...)...)
}

func eventLine(uid string, ms int64) string {
	return fmt.Sprintf(`{"time":%d,"metadata":{"uid":%q,"log_name":"demo","tenant_uid":"t","logged_time":1}}`+
		"\n", ms, uid)
}

// lines returns the lines of a log in a download or in a reply.
func (w *world) lines(rec *httptest.ResponseRecorder) []string {
	w.t.Helper()
	if rec.Code != 200 {
		w.t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	lines, err := tlogtest.Lines(rec.Body.Bytes())
	if err != nil {
		w.t.Fatal(err)
	}
	return lines
}

var changing = regexp.MustCompile(`nonce="[^"]*"|"access_token":"[^"]*"|[0-9a-f]{24}`)

// wire returns a reply as text, without parts that differ each time.
func wire(rec *httptest.ResponseRecorder) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s\n", rec.Code, http.StatusText(rec.Code))
	var headers []string
	for name, values := range rec.Header() {
		for _, v := range values {
			headers = append(headers, name+": "+v)
		}
	}
	slices.Sort(headers)
	fmt.Fprintf(&b, "%s\n\n%s\n", strings.Join(headers, "\n"), strings.ToValidUTF8(rec.Body.String(), "?"))
	return changing.ReplaceAllStringFunc(b.String(), func(s string) string {
		if name, _, ok := strings.Cut(s, "="); ok {
			return name + `="…"`
		}
		if strings.HasPrefix(s, `"access_token"`) {
			return `"access_token":"…"`
		}
		return s
	})
}

func golden(t *testing.T, name string, rec *httptest.ResponseRecorder) {
	t.Helper()
	got := wire(rec)
	file := filepath.Join("testdata", "golden", strings.ReplaceAll(name, " ", "-")+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// TestRepliesMatchGoldenFiles compares each kind of reply with its golden file. -update writes the files.
func TestRepliesMatchGoldenFiles(t *testing.T) {
	const owner = account.GroupOwner
	good := eventLine("one", now.UnixMilli()-5000)
	w := newWorld(t, Options{MaxEventBytes: 200, MaxRequestBytes: 4000, MaxRequestEvents: 20, DownloadRate: 1200})
	golden(t, "200 empty log", w.get(resource, owner))
	golden(t, "200 recorded", w.record(good, owner))
	golden(t, "200 recorded again", w.record(good, owner))
	golden(t, "200 recorded in part", w.do("POST", resource+"?partial=true", good+"{}\n",
		"Content-Type: application/x-ndjson", "Authorization: "+w.bearer(owner)))
	golden(t, "200 recorded with warnings", w.do("POST", resource+"?conformance=warn", good,
		"Content-Type: application/x-ndjson", "Authorization: "+w.bearer(owner)))
	head := w.do("HEAD", resource+"?startDate=1786331570&endDate=1786331573", "", "Accept: "+download,
		"Authorization: "+w.bearer(owner))
	if n, err := strconv.Atoi(head.Header().Get("Content-Length")); err != nil || n < 100 {
		t.Errorf("head: %v", head.Header())
	}
	head.Header().Set("Content-Length", "…") // salts have different compressed sizes
	golden(t, "200 head", head)
	golden(t, "200 one processor", w.get(resource+"?spName=p%2F%22q&startDate=1786331570&endDate=1786331573", owner))
	golden(t, "400 dates", w.get(resource+"?startDate=1e9&endDate=5&envelope=maybe", owner))
	golden(t, "400 start after end", w.get(resource+"?startDate=1786331573&endDate=1786331570", owner))
	golden(t, "400 enveloped and pretty", w.get(resource+"?startDate=x&envelope=true&pretty=true", owner))
	golden(t, "400 bad lines", w.record(good+`{"time":"x"}`+"\n\n"+`{"time":5}`+"\nnonsense\n", owner))
	golden(t, "400 bad JSON", w.do("POST", resource, `[{]`, "Content-Type: application/json",
		"Authorization: "+w.bearer(owner)))
	golden(t, "400 no events", w.record("\n\n", owner))
	golden(t, "401 no credentials", w.do("GET", resource, "", "Accept: "+download))
	golden(t, "401 is never enveloped", w.do("GET", resource+"?envelope=true", "", "Accept: "+download))
	golden(t, "401 wrong token", w.do("GET", resource, "", "Accept: "+download, "Authorization: Bearer x"))
	golden(t, "403 role", w.get(resource, account.GroupReadOnly))
	golden(t, "403 writer reads", w.get(resource, account.GroupAuditLogWriter))
	golden(t, "403 reader records", w.record(good, account.GroupDataAccessReadOnly))
	golden(t, "404 group id", w.get("/api/atlas/v2/groups/nonsense/streams/demo/auditLogs", owner))
	golden(t, "404 group", w.get(strings.Replace(resource, projectID, missingID, 1), owner))
	golden(t, "404 workspace", w.get(strings.Replace(resource, "demo", "a%2Fb", 1), owner))
	golden(t, "404 path", w.get("/api/atlas/v2/nothing", owner))
	golden(t, "405", w.do("DELETE", resource, "", "Authorization: "+w.bearer(owner)))
	golden(t, "406 no version", w.do("GET", resource, "", "Authorization: "+w.bearer(owner)))
	golden(t, "406 JSON of a file", w.do("GET", resource, "", "Accept: application/vnd.atlas.2023-02-01+json",
		"Authorization: "+w.bearer(owner)))
	golden(t, "400 event too large", w.record(`{"time":1786331573000,"x":"`+strings.Repeat("x", 300)+`"}`, owner))
	golden(t, "413 body", w.record(strings.Repeat(good, 100), owner))
	golden(t, "413 events", w.record(strings.Repeat(`{"time":1786331573000}`+"\n", 21), owner))
	golden(t, "415 type", w.do("POST", resource, good, "Content-Type: text/csv", "Authorization: "+w.bearer(owner)))
	golden(t, "415 encoding", w.record(good, owner, "Content-Encoding: br"))

	basic := base64.StdEncoding.EncodeToString([]byte(w.callers[owner].ID + ":" + w.secrets[owner]))
	form := "Content-Type: application/x-www-form-urlencoded"
	golden(t, "oauth 200 token", w.do("POST", "/api/oauth/token", "grant_type=client_credentials", form,
		"Authorization: Basic "+basic))
	golden(t, "oauth 200 revoke", w.do("POST", "/api/oauth/revoke", "token=x&token_type_hint=access_token", form,
		"Authorization: Basic "+basic))
	golden(t, "oauth 400 grant", w.do("POST", "/api/oauth/token", "grant_type=password", form,
		"Authorization: Basic "+basic))
	golden(t, "oauth 400 no grant", w.do("POST", "/api/oauth/token", "", form, "Authorization: Basic "+basic))
	golden(t, "oauth 401", w.do("POST", "/api/oauth/token", "grant_type=client_credentials", form,
		"Authorization: Basic eDp5"))

	w.faulty.Before = func(_ context.Context, op bucketest.Op, key string) error {
		if op == bucketest.PutNew && strings.HasPrefix(key, "wal/") {
			return errors.New("the disk is full")
		}
		return nil
	}
	golden(t, "503 recording", w.record(eventLine("two", now.UnixMilli()), owner))
	golden(t, "503 a read that cannot be audited", w.get(resource, owner))
	w.faulty.Before = nil

	slow := newWorld(t, Options{DownloadRate: 2})
	slow.get(resource, owner)
	slow.get(resource, owner)
	golden(t, "429", slow.get(resource, owner))

	listed := newWorld(t, Options{})
	token := listed.bearer(owner)
	if _, err := listed.store.UpdateCredential(t.Context(), listed.callers[owner].ID,
		func(c *account.Credential) error {
			c.AccessList = []account.AccessEntry{{Block: netip.MustParsePrefix("198.51.100.0/24")}}
			return nil
		}); err != nil {
		t.Fatal(err)
	}
	golden(t, "403 access list", listed.do("GET", resource, "", "Accept: "+download, "Authorization: "+token))
}

func TestVersions(t *testing.T) {
	v := versioned{releases: []string{"2023-02-01", "2025-03-12"}, format: "gzip"}
	for accept, want := range map[string]string{
		"application/vnd.atlas.2023-02-01+gzip":                                              "2023-02-01",
		"application/vnd.atlas.2024-01-01+gzip":                                              "2023-02-01",
		"application/vnd.atlas.2099-01-01+gzip":                                              "2025-03-12",
		"application/vnd.atlas.2023-01-31+gzip":                                              "",
		"application/vnd.atlas.2023-02-30+gzip":                                              "",
		"application/vnd.atlas.2023-02-01+json":                                              "",
		"application/vnd.atlas.2025-03-12+gzip;q=0.5, application/vnd.atlas.2023-02-01+gzip": "2023-02-01",
		"text/html, application/vnd.atlas.2025-03-12+gzip":                                   "2025-03-12",
		"application/vnd.atlas.2025-03-12+gzip;q=0":                                          "",
		"application/vnd.atlas.2022-01-01+gzip, application/vnd.atlas.2024-01-01+gzip;q=0.1": "2023-02-01",
		"*/*": "",
		"":    "",
	} {
		got, ok := v.release([]string{accept})
		if got != want || ok != (want != "") {
			t.Errorf("%s: %q, %t, want %q", accept, got, ok, want)
		}
	}
}

func TestDownloadRanges(t *testing.T) {
	w := newWorld(t, Options{})
	var body strings.Builder
	for i, s := range []int64{1786331570, 1786331571, 1786331572, 1786331573} {
		body.WriteString(eventLine(fmt.Sprint("e", i), s*1000+int64(i)*333))
	}
	if rec := w.record(body.String(), account.GroupAuditLogWriter); rec.Code != 200 {
		t.Fatal(rec.Body)
	}
	for query, want := range map[string]int{
		"":                      4,
		"?startDate=1786331571": 3,
		"?endDate=1786331571":   2,
		"?startDate=1786331571&endDate=1786331572": 2,
		"?startDate=1786331573&endDate=1786331573": 1, // an event within the end second is included
		"?startDate=1786331574&endDate=1786331575": 0,
		"?startDate=1786331570&spName=none":        0,
		"?startDate=1786331570&spName=":            4,
	} {
		got := 0
		for _, line := range w.lines(w.get(resource+query, account.GroupOwner)) {
			if strings.Contains(line, `"uid":"e`) {
				got++
			}
		}
		if got != want {
			t.Errorf("%s: %d events, want %d", query, got, want)
		}
	}
}

func TestBodies(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte(eventLine("gzip", now.UnixMilli())))
	z.Close()
	for name, tt := range map[string]struct {
		body, kind, encoding string
		want                 int
	}{
		"lines": {eventLine("a", now.UnixMilli()), "application/x-ndjson; charset=utf-8", "", 200},
		"CRLF": {strings.ReplaceAll(eventLine("b", now.UnixMilli()), "\n", "\r\n"),
			"application/x-ndjson", "", 200},
		"no line end": {strings.TrimSpace(eventLine("c", now.UnixMilli())), "application/x-ndjson", "identity", 200},
		"object":      {"{\n \"time\": 1786331570000\n}", "application/json", "", 200},
		"array": {`[` + strings.TrimSpace(eventLine("d", now.UnixMilli())) + `, {"time":1786331570001}]`,
			"application/json", "", 200},
		"gzip":     {packed.String(), "application/x-ndjson", "gzip", 200},
		"not gzip": {"nonsense", "application/x-ndjson", "gzip", 400},
		"cut gzip": {packed.String()[:packed.Len()-5], "application/x-ndjson", "gzip", 400},
		"not zstd": {"nonsense", "application/x-ndjson", "zstd", 400},
		"no type":  {eventLine("a", now.UnixMilli()), "", "", 415},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Options{})
			headers := []string{"Authorization: " + w.bearer(account.GroupOwner), "Content-Type: " + tt.kind}
			if tt.encoding != "" {
				headers = append(headers, "Content-Encoding: "+tt.encoding)
			}
			if rec := w.do("POST", resource, tt.body, headers...); rec.Code != tt.want {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
		})
	}
}

// A body that unpacks to too many bytes is cut off at the limit, whatever its compressed size.
func TestDecompressionBomb(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	for range 100 {
		z.Write(bytes.Repeat([]byte(" "), 1<<20))
	}
	z.Close()
	w := newWorld(t, Options{MaxRequestBytes: 1 << 20})
	if rec := w.record(bomb.String(), account.GroupOwner, "Content-Encoding: gzip"); rec.Code != 413 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestStrictWorkspace(t *testing.T) {
	w := newWorld(t, Options{})
	rec := w.do("POST", strings.Replace(resource, "demo", "strict", 1), `{"time":1786331570000,"class_uid":3002}`,
		"Content-Type: application/x-ndjson", "Authorization: "+w.bearer(account.GroupOwner))
	if rec.Code != 400 || !strings.Contains(rec.Body.String(), "conform to OCSF") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// Every authenticated attempt to read a log is recorded in it, refused or not. Unauthenticated attempts are not.
func TestReadsAreAudited(t *testing.T) {
	w := newWorld(t, Options{DownloadRate: 4})
	w.do("GET", resource, "", "Accept: "+download)
	w.do("GET", resource, "", "Accept: "+download, "Authorization: Bearer wrong")
	if lines := w.lines(w.get(resource, account.OrgOwner)); len(lines) > 0 {
		t.Fatalf("unauthenticated attempts, or its own, are in the download: %q", lines)
	}
	w.get(resource, account.GroupReadOnly)                                                        // 403
	w.get(resource+"?startDate=x", account.OrgOwner)                                              // 400
	w.do("GET", resource, "", "Authorization: "+w.bearer(account.OrgOwner))                       // 406
	w.do("HEAD", resource, "", "Accept: "+download, "Authorization: "+w.bearer(account.OrgOwner)) // 200
	w.get(resource, account.OrgOwner)                                                             // 429
	// 404, no role on the project
	w.get(resource, account.OrgBillingAdmin)
	// 403; the workspace does not exist, so this log has no event
	w.get(strings.Replace(resource, "demo", "none", 1), account.OrgReadOnly)
	codes := map[string]int{}
	for _, line := range w.lines(w.get(resource, account.GroupOwner)) {
		if !strings.Contains(line, `"atype":"auditLogAccessed"`) ||
			!strings.Contains(line, `"ip":"203.0.113.24","port":50512`) {
			t.Errorf("not an access event: %s", line)
		}
		_, rest, refused := strings.Cut(line, `"status_code":"`)
		if !refused {
			codes["200"]++
			continue
		}
		codes[rest[:3]]++
	}
	want := map[string]int{"200": 2, "400": 1, "403": 1, "404": 1, "406": 1, "429": 1}
	if diff := cmp.Diff(want, codes); diff != "" {
		t.Errorf("events in the log (-want +got):\n%s", diff)
	}
}

// I5: a caller without a role on a project cannot distinguish it from one that does not exist, in any request. No role
// allows more than the table says.
func TestForeignProjectLooksAbsent(t *testing.T) {
	may := map[account.Role][2]bool{ // download, record
		account.OrgOwner: {true, true}, account.OrgStreamProcessingAdmin: {true, false},
		account.GroupOwner: {true, true}, account.GroupStreamProcessingOwner: {true, true},
		account.GroupDataAccessAdmin: {true, false}, account.GroupDataAccessReadWrite: {true, false},
		account.GroupDataAccessReadOnly: {true, false},
		account.GroupAuditLogWriter:     {false, true}, account.GroupReadOnly: {}, account.GroupClusterManager: {},
		account.GroupSearchIndexEditor: {},
		account.OrgReadOnly:            {}, account.OrgMember: {}, account.OrgGroupCreator: {},
		account.OrgBillingAdmin:    {},
		account.OrgBillingReadOnly: {},
	}
	w := newWorld(t, Options{})
	for role, rights := range may {
		t.Run(string(role), func(t *testing.T) {
			for i, ask := range []func(id, tenant, query string) *httptest.ResponseRecorder{
				func(id, tenant, query string) *httptest.ResponseRecorder {
					return w.get("/api/atlas/v2/groups/"+id+"/streams/"+tenant+"/auditLogs"+query, role)
				},
				func(id, tenant, query string) *httptest.ResponseRecorder {
					return w.do("POST", "/api/atlas/v2/groups/"+id+"/streams/"+tenant+"/auditLogs"+query,
						eventLine("x", now.UnixMilli()),
						"Content-Type: application/x-ndjson", "Authorization: "+w.bearer(role))
				},
			} {
				own := ask(projectID, "demo", "")
				sees := slices.Contains([]account.Role{account.OrgReadOnly}, role) ||
					strings.HasPrefix(string(role), "GROUP_") || rights[0]
				want := 404
				if sees {
					want = 403
				}
				if rights[i] {
					want = 200
				}
				if own.Code != want {
					t.Errorf("operation %d on its own project: %d, want %d", i, own.Code, want)
				}
				for _, tenant := range []string{"demo", "none"} {
					for _, query := range []string{"", "?startDate=x", "?envelope=true&pretty=true"} {
						there, missing := wire(ask(otherID, tenant, query)), wire(ask(missingID, tenant, query))
						want := "GROUP_NOT_FOUND"
						if strings.Contains(query, "startDate") { // the query is checked before any look-up
							want = "400 Bad Request"
						}
						if strings.ReplaceAll(there, otherID, missingID) != missing ||
							!strings.Contains(missing, want) {
							t.Errorf("operation %d %s %s: a foreign project can be told from a missing one:\n%s\n%s", i,
								tenant, query, there, missing)
						}
					}
				}
			}
		})
	}
}

// I4: if a download cannot be completed, its connection is broken.
func TestIncompleteDownloadIsBrokenOff(t *testing.T) {
	w := newWorld(t, Options{})
	for i := range 3 {
		if rec := w.record(eventLine(fmt.Sprint("u", i), now.UnixMilli())+strings.Repeat(eventLine(fmt.Sprint("v", i),
			now.UnixMilli()-1), 1), account.GroupOwner); rec.Code != 200 {
			t.Fatal(rec.Body)
		}
	}
	server := httptest.NewServer(w.server)
	defer server.Close()
	reads := 0
	w.faulty.Before = func(_ context.Context, op bucketest.Op, key string) error {
		if op == bucketest.Get && strings.HasPrefix(key, "wal/") {
			if reads++; reads > 1 {
				return errors.New("the disk fails")
			}
		}
		return nil
	}
	req, err := http.NewRequest("GET", server.URL+resource+"?spName=none-of-them", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{resource, resource + "?startDate=1786331570"} {
		reads = 0
		req.URL.Path, req.URL.RawQuery, _ = strings.Cut(target, "?")
		req.Header.Set("Accept", download)
		req.Header.Set("Authorization", w.bearer(account.GroupOwner))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			continue // broken before the headers
		}
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && resp.StatusCode == 200 {
			t.Errorf("%s: a clean end although the disk failed", target)
		}
	}
}

func TestForwardedFor(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32")}
	for _, tt := range []struct {
		peer, header, want string
	}{
		{"203.0.113.1:1", "198.51.100.1", "203.0.113.1"}, // not from a proxy, so not trusted
		{"10.0.0.1:1", "", "10.0.0.1"},
		{"10.0.0.1:1", "198.51.100.1", "198.51.100.1"},
		// Addresses to the left of the first untrusted one can be forged.
		{"10.0.0.1:1", "6.6.6.6, 198.51.100.1, 192.0.2.7", "198.51.100.1"},
		{"10.0.0.1:1", "198.51.100.1:4711", "198.51.100.1"},
		{"10.0.0.1:1", "nonsense", "10.0.0.1"},
		{"10.0.0.1:1", "2001:db8::1", "2001:db8::1"},
		{"[::ffff:10.0.0.1]:1", "::ffff:198.51.100.1", "198.51.100.1"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = tt.peer
		if tt.header != "" {
			r.Header.Set("X-Forwarded-For", tt.header)
		}
		if got := callerAddress(r, trusted).Addr().String(); got != tt.want {
			t.Errorf("%s, %q: %s, want %s", tt.peer, tt.header, got, tt.want)
		}
	}
}

func FuzzAccept(f *testing.F) {
	f.Add("application/vnd.atlas.2025-03-12+gzip;q=0.5, application/vnd.atlas.2023-02-01+gzip")
	f.Add("*/*")
	f.Fuzz(func(t *testing.T, accept string) {
		if release, ok := auditLog.file.release([]string{accept}); ok &&
			(release != "2023-02-01" || !strings.Contains(accept, "+")) {
			t.Errorf("%q gives %q", accept, release)
		}
	})
}

func FuzzRange(f *testing.F) {
	f.Add("startDate=1786331571&endDate=1786331572&spName=x")
	f.Add("startDate=-9223372036854775808")
	f.Fuzz(func(t *testing.T, query string) {
		c := &call{r: httptest.NewRequest("GET", "/", nil), operation: &operation{query: ranges,
			traits: traits{form: atlasForm}}}
		c.r.URL.RawQuery = query
		if c.checkQuery() != nil {
			return
		}
		q, err := rangeOf(c.query, now)
		if err == nil && (q.Start > q.End || q.End > (maxDate+1)*1000 || q.Start < (minDate-defaultRange)*1000) {
			t.Errorf("%q gives %+v", query, q)
		}
		if name := disposition(fileName("demo", q, "x")); strings.ContainsAny(name, "\r\n\x00") {
			t.Errorf("%q gives %q", query, name)
		}
	})
}

func FuzzForwardedFor(f *testing.F) {
	f.Add("198.51.100.1, 10.0.0.2")
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = "10.0.0.1:1"
		r.Header["X-Forwarded-For"] = []string{header}
		if !callerAddress(r, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}).Addr().IsValid() {
			t.Errorf("%q gives no address", header)
		}
	})
}

// For any body, the reply is 200 or says what is wrong.
func FuzzRecording(f *testing.F) {
	f.Add([]byte(eventLine("x", now.UnixMilli())), false)
	f.Add([]byte(`[{"time":1786331570000}]`), true)
	w := newWorld(f, Options{MaxRequestBytes: 1 << 20, MaxRequestEvents: 1000})
	token := w.bearer(account.GroupOwner)
	f.Fuzz(func(t *testing.T, body []byte, asJSON bool) {
		kind := "application/x-ndjson"
		if asJSON {
			kind = "application/json"
		}
		rec := w.do("POST", resource, string(body), "Content-Type: "+kind, "Authorization: "+token)
		if rec.Code != 200 && rec.Code != 400 && rec.Code != 413 {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	})
}
