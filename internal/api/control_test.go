package api

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weirlog/weir/internal/account"
)

const (
	latest  = "Accept: application/vnd.atlas.2025-03-12+json"
	orgID   = "6a793f48c0eb9e7a17712c00"
	orgLog  = "6a793f48c0eb9e7a17712d00"
	demoLog = "6a793f48c0eb9e7a17712f00"
	groupV2 = "/api/atlas/v2/groups/" + projectID
	orgV2   = "/api/atlas/v2/orgs/" + orgID
)

// as sends a request of a caller with one role.
func (w *world) as(role account.Role, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	return w.by(w.bearer(role), method, path, body, headers...)
}

func (w *world) by(authorization, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	headers = append([]string{latest, "Authorization: " + authorization}, headers...)
	if body != "" {
		headers = append(headers, "Content-Type: application/json")
	}
	return w.do(method, path, body, headers...)
}

// want decodes a reply that must have a status.
func want[T any](t testing.TB, status int, rec *httptest.ResponseRecorder) T {
	t.Helper()
	var v T
	if rec.Code != status {
		t.Fatalf("%d %s, want %d", rec.Code, rec.Body, status)
	}
	if rec.Body.Len() > 0 {
		if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil {
			t.Fatalf("%s: %v", rec.Body, err)
		}
	}
	return v
}

// refusedAs checks that a reply is an error with a status and a code.
func refusedAs(t testing.TB, status int, code string, rec *httptest.ResponseRecorder) {
	t.Helper()
	if got := rec.Header().Get("X-Error-Code"); rec.Code != status || got != code {
		t.Errorf("%d %s, want %d %s: %s", rec.Code, got, status, code, rec.Body)
	}
}

type page[T any] struct {
	Links   []link
	Results []T
	Total   *int `json:"totalCount"`
}

func (p page[T]) rels() string {
	var rels []string
	for _, l := range p.Links {
		rels = append(rels, l.Rel+" "+l.Href[strings.Index(l.Href, "/api"):])
	}
	return strings.Join(rels, "; ")
}

func TestOrganizations(t *testing.T) {
	w := newWorld(t, Options{})
	owner := account.OrgOwner
	got := want[page[orgView]](t, 200, w.as(owner, "GET", "/api/atlas/v2/orgs", ""))
	if len(got.Results) != 1 || got.Results[0].ID != orgID || *got.Total != 1 {
		t.Errorf("got %+v", got)
	}
	if got := want[page[orgView]](t, 200, w.as(owner, "GET", "/api/atlas/v2/orgs?name=x", "")); len(got.Results) != 0 {
		t.Errorf("of another name: %+v", got)
	}
	if got := want[page[orgView]](t, 200, w.as(account.GroupOwner, "GET",
		"/api/atlas/v2/orgs", "")); len(got.Results) != 0 {
		t.Errorf("who has no role in an organization sees %+v", got)
	}
	if o := want[orgView](t, 200, w.as(account.OrgMember, "GET", orgV2, "")); o.Name != "o" || o.IsDeleted {
		t.Errorf("got %+v", o)
	}
	if o := want[orgView](t, 200, w.as(owner, "PATCH", orgV2, `{"name":"renamed"}`)); o.Name != "renamed" {
		t.Errorf("got %+v", o)
	}
	refusedAs(t, 409, "ORG_NOT_EMPTY", w.as(owner, "DELETE", orgV2, ""))

	made := want[newOrgView](t, 201, w.as(owner, "POST", "/api/atlas/v2/orgs",
		`{"name":"second","orgOwnerId":"6a793f48c0eb9e7a17712c99",
		"apiKey":{"desc":"first","roles":["ORG_OWNER"]},"serviceAccount":{"name":"sa","description":"d","roles":["ORG_OWNER"],"secretExpiresAfterHours":8}}`))
	second := "/api/atlas/v2/orgs/" + made.Organization.ID
	if len(made.APIKey.PrivateKey) != 36 || made.APIKey.PrivateKey[0] == '*' ||
		!strings.HasPrefix(made.ServiceAccount.Secrets[0].Secret, "mdb_sa_sk_") {
		t.Errorf("secrets are shown once: %+v", made)
	}
	refusedAs(t, 404, "ORG_NOT_FOUND", w.as(owner, "GET", second, ""))
	sa := w.signIn(made.ServiceAccount.ClientID, made.ServiceAccount.Secrets[0].Secret)
	if o := want[orgView](t, 200, w.by(sa, "GET", second, "")); o.Name != "second" {
		t.Errorf("got %+v", o)
	}
	p := want[projectView](t, 200, w.by(sa, "POST", "/api/atlas/v2/groups",
		`{"name":"p","orgId":"`+made.Organization.ID+`"}`))
	refusedAs(t, 409, "ORG_NOT_EMPTY", w.by(sa, "DELETE", second, ""))
	want[any](t, 204, w.by(sa, "DELETE", "/api/atlas/v2/groups/"+p.ID, ""))
	want[any](t, 204, w.by(sa, "DELETE", second, ""))
	refusedAs(t, 401, "UNEXPECTED_ERROR", w.by(sa, "GET", second, "")) // its credentials went with it

	own := want[newOrgView](t, 201, w.as(owner, "POST", "/api/atlas/v2/orgs", `{"name":"third"}`))
	want[orgView](t, 200, w.as(owner, "GET", "/api/atlas/v2/orgs/"+own.Organization.ID, "")) // the caller owns it
}

// signIn returns the Authorization header of a service account.
func (w *world) signIn(id, secret string) string {
	w.t.Helper()
	// it was made at the server's now, which is long ago
	_, err := w.store.UpdateCredential(w.t.Context(), id, func(c *account.Credential) error {
		for i := range c.Secrets {
			c.Secrets[i].Expires = time.Now().Add(time.Hour)
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	token, _, err := w.auth.Issue(w.t.Context(), id, secret, netip.MustParseAddr("203.0.113.24"))
	if err != nil {
		w.t.Fatal(err)
	}
	return "Bearer " + token
}

func TestProjects(t *testing.T) {
	w := newWorld(t, Options{})
	owner := account.OrgOwner
	a := want[projectView](t, 200, w.as(owner, "POST", "/api/atlas/v2/groups?projectOwnerId=6a793f48c0eb9e7a17712c99",
		`{"name":"a","orgId":"`+orgID+`","tags":[{"key":"env","value":"prod"}],"unknown":{"is":"ignored"}}`))
	refusedAs(t, 409, "GROUP_ALREADY_EXISTS", w.as(owner, "POST", "/api/atlas/v2/groups",
		`{"name":"a","orgId":"`+orgID+`"}`))
	path := "/api/atlas/v2/groups/" + a.ID
	if got := want[projectView](t, 200, w.as(owner, "GET", path, "")); !cmp.Equal(got, a) ||
		got.Tags[0].Value != "prod" {
		t.Errorf("got %+v, made %+v", got, a)
	}
	if got := want[projectView](t, 200, w.as(owner, "PATCH", path, `{"name":"b"}`)); got.Name != "b" ||
		len(got.Tags) != 1 {
		t.Errorf("got %+v", got)
	}
	want[projectView](t, 200, w.as(owner, "PATCH", path, `{"name":"b","tags":[]}`))
	refusedAs(t, 409, "GROUP_ALREADY_EXISTS", w.as(owner, "PATCH", path, `{"name":"one"}`))
	// free again
	want[projectView](t, 200, w.as(owner, "POST", "/api/atlas/v2/groups", `{"name":"a","orgId":"`+orgID+`"}`))

	creator := w.as(account.OrgGroupCreator, "POST", "/api/atlas/v2/groups", `{"name":"mine","orgId":"`+orgID+`"}`)
	mine := want[projectView](t, 200, creator)
	// its creator owns it
	want[any](t, 204, w.as(account.OrgGroupCreator, "DELETE", "/api/atlas/v2/groups/"+mine.ID, ""))

	all := want[page[projectView]](t, 200, w.as(owner, "GET", "/api/atlas/v2/groups", ""))
	var names []string
	for _, p := range all.Results {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"a", "b", "one"}) {
		t.Errorf("got %v", names)
	}
	if got := want[page[projectView]](t, 200, w.as(account.GroupReadOnly, "GET",
		"/api/atlas/v2/groups", "")); len(got.Results) != 1 || got.Results[0].ID != projectID {
		t.Errorf("got %+v", got)
	}
	if got := want[page[projectView]](t, 200, w.as(account.OrgMember, "GET",
		orgV2+"/groups", "")); len(got.Results) != 0 || *got.Total != 0 {
		t.Errorf("a member sees %+v", got)
	}
	if got := want[page[projectView]](t, 200, w.as(account.OrgReadOnly, "GET",
		orgV2+"/groups?name=B", "")); len(got.Results) != 1 || got.Results[0].Name != "b" {
		t.Errorf("got %+v", got)
	}

	refusedAs(t, 409, "CANNOT_CLOSE_GROUP_ACTIVE_STREAM_WORKSPACES", w.as(owner, "DELETE", groupV2, ""))
	want[settingsView](t, 200, w.as(owner, "PATCH", "/api/weir/v1/groups/"+a.ID+"/settings", `{"legalHold":true}`))
	refusedAs(t, 409, "CANNOT_CLOSE_GROUP_LEGAL_HOLD", w.as(owner, "DELETE", path, ""))
	want[settingsView](t, 200, w.as(owner, "PATCH", "/api/weir/v1/groups/"+a.ID+"/settings", `{"legalHold":false}`))
	want[any](t, 204, w.as(owner, "DELETE", path, ""))
	refusedAs(t, 404, "GROUP_NOT_FOUND", w.as(owner, "GET", path, ""))
	if got := want[page[projectView]](t, 200, w.as(owner, "GET", "/api/atlas/v2/groups", "")); *got.Total != 2 {
		t.Errorf("got %+v", got)
	}
}

func TestPages(t *testing.T) {
	w := newWorld(t, Options{})
	for i := range 4 {
		want[projectView](t, 200, w.as(account.OrgOwner, "POST", "/api/atlas/v2/groups",
			fmt.Sprintf(`{"name":"p%d","orgId":%q}`, i, orgID)))
	}
	const list = orgV2 + "/groups"
	for query, tt := range map[string]struct {
		results int
		links   string
	}{
		"": {5, "self " + list + "?itemsPerPage=100&pageNum=1"},
		"?itemsPerPage=2": {2, "self " + list + "?itemsPerPage=2&pageNum=1; next " + list +
			"?itemsPerPage=2&pageNum=2"},
		"?itemsPerPage=2&pageNum=3": {1, "self " + list + "?itemsPerPage=2&pageNum=3; previous " + list +
			"?itemsPerPage=2&pageNum=2"},
		"?pageNum=9": {0, "self " + list + "?itemsPerPage=100&pageNum=9; previous " + list +
			"?itemsPerPage=100&pageNum=8"},
	} {
		got := want[page[projectView]](t, 200, w.as(account.OrgOwner, "GET", list+query, ""))
		if len(got.Results) != tt.results || got.rels() != tt.links || *got.Total != 5 {
			t.Errorf("%s: %d results, %s", query, len(got.Results), got.rels())
		}
	}
	if got := want[page[projectView]](t, 200, w.as(account.OrgOwner, "GET",
		list+"?includeCount=false", "")); got.Total != nil {
		t.Errorf("counted: %+v", got)
	}
	for _, query := range []string{"itemsPerPage=0", "itemsPerPage=501", "pageNum=0", "pageNum=x", "includeCount=1",
		"envelope=yes", "pretty=2", "%zz"} {
		refusedAs(t, 400, "INVALID_QUERY_PARAMETER", w.as(account.OrgOwner, "GET", list+"?"+query, ""))
	}
	rec := w.as(account.OrgOwner, "GET", list+"?envelope=true&itemsPerPage=1", "")
	if got := want[map[string]any](t, 200, rec); got["status"] != 200.0 || got["totalCount"] != 5.0 ||
		got["results"] == nil || got["links"] == nil {
		t.Errorf("in an envelope: %v", got)
	}
	rec = w.as(account.OrgOwner, "GET", groupV2+"?envelope=true", "")
	if got := want[struct {
		Status  int
		Content projectView
	}](t, 200, rec); got.Status != 200 || got.Content.ID != projectID {
		t.Errorf("in an envelope: %s", rec.Body)
	}
	rec = w.as(account.OrgOwner, "GET", "/api/atlas/v2/groups/"+missingID+"?envelope=true&pretty=true", "")
	if rec.Code != 200 || !strings.Contains(rec.Body.String(), "\n  \"status\": 404") {
		t.Errorf("in an envelope: %s", rec.Body)
	}
	refusedAs(t, 406, "INVALID_VERSION_DATE", w.do("GET", list, "", "Authorization: "+w.bearer(account.OrgOwner)))
	refusedAs(t, 405, "METHOD_NOT_ALLOWED", w.as(account.OrgOwner, "PUT", list, "{}"))
}

func TestWorkspaces(t *testing.T) {
	w := newWorld(t, Options{})
	owner := account.GroupOwner
	made := want[workspaceView](t, 200, w.as(owner, "POST", groupV2+"/streams",
		`{"name":"new","dataProcessRegion":{"cloudProvider":"AZURE","region":"eastus"},
		"streamConfig":{"tier":"SP10","maxTierSize":"SP50"},"failoverRegions":[{"cloudProvider":"AWS","region":"OHIO_USA"}],"sampleConnections":{"solar":true}}`))
	if made.Region != (regionView{"AZURE", "eastus"}) || *made.StreamConfig.Tier != "SP10" ||
		*made.StreamConfig.MaxTier != "SP50" || len(made.Failover) != 1 {
		t.Errorf("made %+v", made)
	}
	refusedAs(t, 409, "STREAM_TENANT_ALREADY_EXISTS_FOR_NAME", w.as(owner, "POST", groupV2+"/streams",
		`{"name":"new"}`))
	got := want[workspaceView](t, 200, w.as(account.GroupDataAccessReadOnly, "GET",
		groupV2+"/streams/new?includeConnections=true", ""))
	if got.ID != made.ID || got.Connections == nil {
		t.Errorf("got %+v", got)
	}
	refusedAs(t, 403, "USER_UNAUTHORIZED", w.as(account.GroupReadOnly, "GET", groupV2+"/streams/new", ""))
	if got := want[page[workspaceView]](t, 200, w.as(account.GroupReadOnly, "GET",
		groupV2+"/streams?itemsPerPage=100&pageNum=1", "")); len(got.Results) != 3 {
		t.Errorf("got %+v", got)
	}
	got = want[workspaceView](t, 200, w.as(account.GroupDataAccessAdmin, "PATCH", groupV2+"/streams/new",
		`{"cloudProvider":"AWS","region":"TOKYO_JPN","streamConfig":{"tier":"SP2"}}`))
	if got.Region != (regionView{"AWS", "TOKYO_JPN"}) || *got.StreamConfig.Tier != "SP2" ||
		*got.StreamConfig.MaxTier != "SP50" || got.Name != "new" {
		t.Errorf("got %+v", got)
	}
	if rec := w.as(account.GroupStreamProcessingOwner, "DELETE", groupV2+"/streams/new", ""); rec.Code != 202 ||
		rec.Body.String() != "{}" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	refusedAs(t, 404, "STREAM_TENANT_NOT_FOUND_FOR_NAME", w.as(owner, "GET", groupV2+"/streams/new", ""))
	for _, path := range []string{"/connections", "/connections/c", "/processor/p", "/processors",
		"/processor/p:start"} {
		rec := w.as(owner, "GET", groupV2+"/streams/demo"+path, "")
		refusedAs(t, 404, "RESOURCE_NOT_FOUND", rec)
		if !strings.Contains(rec.Body.String(), "stream engine") {
			t.Errorf("%s: %s", path, rec.Body)
		}
	}
}

// A workspace made again under the name of a deleted one has new logs; the old ones stay for their time, for owners.
func TestDeletedLogs(t *testing.T) {
	w := newWorld(t, Options{})
	if rec := w.record(eventLine("old", now.UnixMilli()-1000), account.GroupOwner); rec.Code != 200 {
		t.Fatal(rec.Body)
	}
	want[any](t, 202, w.as(account.GroupOwner, "DELETE", groupV2+"/streams/demo", ""))
	want[workspaceView](t, 200, w.as(account.GroupOwner, "POST", groupV2+"/streams", `{"name":"demo"}`))
	for _, line := range w.lines(w.get(resource, account.GroupOwner)) {
		if strings.Contains(line, `"old"`) {
			t.Errorf("the new log has %s", line)
		}
	}
	list := "/api/weir/v1/groups/" + projectID + "/logs"
	logs := want[page[logView]](t, 200, w.as(account.GroupOwner, "GET", list, ""))
	var deleted []logView
	for _, l := range logs.Results {
		if l.State == "deleted" {
			deleted = append(deleted, l)
		}
	}
	if len(logs.Results) != 7 || len(deleted) != 2 || deleted[0].ID != demoLog || *deleted[0].DaysLeft != 30 ||
		deleted[0].Events == 0 || deleted[0].First == nil {
		t.Errorf("got %+v", logs)
	}
	lines := w.lines(w.get(list+"/"+demoLog, account.GroupOwner))
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, `"old"`) }) ||
		!slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "deleteGroupStreamWorkspace") }) {
		t.Errorf("the old log has %q", lines)
	}
	if got := want[page[logView]](t, 200, w.as(account.GroupDataAccessReadOnly,
		"GET", list, "")); len(got.Results) != 4 {
		t.Errorf("who is no owner sees %+v", got.Results)
	}
	refusedAs(t, 404, "LOG_NOT_FOUND", w.get(list+"/"+demoLog, account.GroupDataAccessReadOnly))
	refusedAs(t, 403, "USER_UNAUTHORIZED", w.get(list+"/"+demoLog, account.GroupReadOnly))
	refusedAs(t, 404, "GROUP_NOT_FOUND", w.get("/api/weir/v1/groups/"+otherID+"/logs/"+demoLog, account.GroupOwner))
}

func TestOperationalLog(t *testing.T) {
	w := newWorld(t, Options{})
	const path = groupV2 + "/streams/demo"
	rec := w.by(w.bearer(account.GroupOwner), "POST", path+":recordOperationalLogs", fmt.Sprintf(
		`[{"time":%d,"msg":"hello"},{"t":{"$date":"2026-08-10T03:00:00.000+00:00"},"attr":{"streamProcessorName":"p1"}}]`, now.UnixMilli()))
	if got := want[recorded](t, 200, rec); got.Recorded != 2 {
		t.Errorf("got %+v", got)
	}
	rec = w.get(path+":downloadOperationalLogs?spName=p1", account.GroupOwner)
	if lines := w.lines(rec); len(lines) != 1 || !strings.Contains(lines[0], `"$date"`) {
		t.Errorf("got %q", lines)
	}
	rec = w.get(path+":downloadOperationalLogs", account.GroupOwner)
	if lines := w.lines(rec); len(lines) != 2 || !strings.Contains(lines[0]+lines[1], `"msg":"hello"`) {
		t.Errorf("got %q", lines)
	}
	if got := rec.Header().Get("Content-Type") + rec.Header().Get("Content-Disposition"); got !=
		`application/vnd.atlas.2025-03-12+gzipattachment; filename="demo_2026-07-11T03:12:58Z_2026-08-10T03:12:58Z_queries.gz"` {
		t.Error(got)
	}
	rec = w.do("GET", path+":downloadOperationalLogs", "", "Accept: application/vnd.atlas.2023-02-01+gzip",
		"Authorization: "+w.bearer(account.GroupOwner))
	refusedAs(t, 406, "INVALID_VERSION_DATE", rec)
	if lines := w.lines(w.get(resource, account.GroupOwner)); !strings.Contains(lines[0], "downloadOperationalLogs") {
		t.Errorf("the attempt is recorded in the audit log: %q", lines)
	}
	refusedAs(t, 404, "STREAM_TENANT_NOT_FOUND_FOR_NAME", w.get(path+"x:downloadOperationalLogs", account.GroupOwner))
	refusedAs(t, 403, "USER_UNAUTHORIZED", w.as(account.GroupReadOnly, "POST", path+":recordOperationalLogs", `{}`))
}

func TestSettings(t *testing.T) {
	w := newWorld(t, Options{})
	const path = "/api/weir/v1/groups/" + projectID + "/settings"
	if got := want[settingsView](t, 200,
		w.as(account.GroupReadOnly, "GET", path, "")); got != (settingsView{DeletedDays: 30}) {
		t.Errorf("got %+v", got)
	}
	got := want[settingsView](t, 200, w.as(account.GroupOwner, "PATCH", path,
		`{"retentionDays":90,"deletedLogRetentionDays":60,"legalHold":true,"x":1}`))
	if *got.Days != 90 || got.DeletedDays != 60 || !got.Hold {
		t.Errorf("got %+v", got)
	}
	got = want[settingsView](t, 200, w.as(account.GroupOwner, "PATCH", path, `{"retentionDays":null}`))
	if got.Days != nil || got.DeletedDays != 60 || !got.Hold {
		t.Errorf("got %+v", got)
	}
	for _, body := range []string{`{"retentionDays":29}`, `{"retentionDays":0}`, `{"deletedLogRetentionDays":0}`,
		`{"retentionDays":30.5}`, `{"retentionDays":"30"}`, `{"deletedLogRetentionDays":1}`, `{"legalHold":null}`,
		`{"legalHold":"yes"}`, `{"retentionDays":99999999}`, `[]`} {
		refusedAs(t, 400, "INVALID_ATTRIBUTE", w.as(account.GroupOwner, "PATCH", path, body))
	}
	refusedAs(t, 403, "USER_UNAUTHORIZED", w.as(account.GroupDataAccessAdmin, "PATCH", path, `{"legalHold":false}`))
}

func TestAPIKeys(t *testing.T) {
	w := newWorld(t, Options{})
	owner := account.OrgOwner
	made := want[keyView](t, 200, w.as(owner, "POST", orgV2+"/apiKeys", `{"desc":"ci","roles":["ORG_READ_ONLY"]}`))
	path := orgV2 + "/apiKeys/" + made.ID
	if len(made.PrivateKey) != 36 || made.PrivateKey[0] == '*' || len(made.PublicKey) != 8 {
		t.Errorf("made %+v", made)
	}
	got := want[keyView](t, 200, w.as(account.OrgMember, "GET", path, ""))
	if got.PrivateKey != "********-****-****-"+made.PrivateKey[24:] ||
		got.Roles[0] != (account.Grant{Org: orgID, Role: account.OrgReadOnly}) {
		t.Errorf("got %+v", got)
	}
	got = want[keyView](t, 200, w.as(owner, "PATCH", path,
		`{"desc":"changed","roles":["ORG_MEMBER","ORG_GROUP_CREATOR"]}`))
	if got.Desc != "changed" || len(got.Roles) != 2 {
		t.Errorf("got %+v", got)
	}
	want[any](t, 204, w.as(account.GroupOwner, "POST", groupV2+"/apiKeys/"+made.ID, `[{"roles":["GROUP_READ_ONLY"]}]`))
	if got := want[page[keyView]](t, 200, w.as(account.GroupReadOnly, "GET",
		groupV2+"/apiKeys", "")); len(got.Results) != 1 ||
		!slices.Equal(got.Results[0].Roles, []account.Grant{{Project: projectID, Role: account.GroupReadOnly}}) {
		t.Errorf("through a project only its own roles are shown: %+v", got)
	}
	got = want[keyView](t, 200, w.as(account.GroupOwner, "PATCH", groupV2+"/apiKeys/"+made.ID,
		`{"roles":["GROUP_OWNER"]}`))
	if len(got.Roles) != 1 || got.Roles[0].Role != account.GroupOwner {
		t.Errorf("got %+v", got)
	}
	refusedAs(t, 403, "USER_UNAUTHORIZED", w.as(account.GroupOwner, "PATCH", groupV2+"/apiKeys/"+made.ID,
		`{"desc":"not yours"}`))
	if got := want[page[keyView]](t, 200, w.as(account.OrgMember, "GET",
		orgV2+"/apiKeys", "")); len(got.Results) != 1 || len(got.Results[0].Roles) != 2 {
		t.Errorf("a member does not see roles on projects that it does not see: %+v", got)
	}
	want[any](t, 204, w.as(account.GroupOwner, "DELETE", groupV2+"/apiKeys/"+made.ID, ""))
	refusedAs(t, 404, "API_KEY_NOT_FOUND", w.as(account.GroupOwner, "PATCH", groupV2+"/apiKeys/"+made.ID,
		`{"desc":"not yours"}`))
	refusedAs(t, 404, "API_KEY_NOT_FOUND", w.as(account.GroupOwner, "DELETE", groupV2+"/apiKeys/"+made.ID, ""))

	inProject := want[keyView](t, 200, w.as(account.GroupOwner, "POST", groupV2+"/apiKeys",
		`{"desc":"project's","roles":["GROUP_AUDIT_LOG_WRITER"]}`))
	want[keyView](t, 200, w.as(account.GroupOwner, "PATCH", groupV2+"/apiKeys/"+inProject.ID, `{"desc":"ours"}`))
	if got := want[page[keyView]](t, 200, w.as(owner, "GET", orgV2+"/apiKeys", "")); len(got.Results) != 2 {
		t.Errorf("got %+v", got)
	}
	want[any](t, 204, w.as(owner, "DELETE", path, ""))
	refusedAs(t, 404, "API_KEY_NOT_FOUND", w.as(owner, "GET", path, ""))
	refusedAs(t, 404, "API_KEY_NOT_FOUND", w.as(account.GroupOwner, "POST", groupV2+"/apiKeys/"+made.ID,
		`[{"roles":["GROUP_OWNER"]}]`))
}

func TestServiceAccounts(t *testing.T) {
	w := newWorld(t, Options{})
	owner := account.OrgOwner
	made := want[serviceAccountView](t, 201, w.as(owner, "POST", orgV2+"/serviceAccounts",
		`{"name":"ci","description":"robot","roles":["ORG_OWNER"],"secretExpiresAfterHours":8}`))
	path, there := orgV2+"/serviceAccounts/"+made.ClientID, groupV2+"/serviceAccounts/"+made.ClientID
	if got := want[serviceAccountView](t, 200, w.as(account.OrgReadOnly,
		"GET", path, "")); got.Secrets[0].Secret != "" || !strings.HasPrefix(got.Secrets[0].Masked, "mdb_sa_sk_...") {
		t.Errorf("got %+v", got)
	}
	// the callers are some
	if got := want[page[serviceAccountView]](t, 200,
		w.as(owner, "GET", orgV2+"/serviceAccounts", "")); len(got.Results) != 3 {
		t.Errorf("got %+v", got)
	}
	refusedAs(t, 404, "SERVICE_ACCOUNT_NOT_FOUND", w.as(account.GroupOwner, "GET", there, ""))
	refusedAs(t, 403, "USER_UNAUTHORIZED", w.as(account.GroupOwner, "POST", there+":invite",
		`{"roles":["GROUP_OWNER"]}`))
	got := want[serviceAccountView](t, 200, w.as(owner, "POST", there+":invite", `{"roles":["GROUP_OWNER"]}`))
	if !slices.Equal(got.Roles, []account.Role{account.GroupOwner}) {
		t.Errorf("got %+v", got)
	}
	groups := want[page[serviceAccountGroup]](t, 200, w.as(account.OrgReadOnly, "GET", path+"/groups", ""))
	if len(groups.Results) != 1 || groups.Results[0].Project != projectID {
		t.Errorf("got %+v", groups)
	}
	// The owner of a project must not get a secret of who owns the organization.
	refusedAs(t, 403, "USER_UNAUTHORIZED", w.as(account.GroupOwner, "POST", there+"/secrets",
		`{"secretExpiresAfterHours":8}`))
	refusedAs(t, 403, "USER_UNAUTHORIZED", w.as(account.GroupOwner, "DELETE", there+"/secrets/"+made.Secrets[0].ID, ""))
	refusedAs(t, 403, "USER_UNAUTHORIZED", w.as(account.GroupOwner, "POST", there+"/accessList",
		`[{"ipAddress":"192.0.2.1"}]`))
	refusedAs(t, 403, "USER_UNAUTHORIZED", w.as(account.GroupOwner, "PATCH", there, `{"name":"mine"}`))
	want[serviceAccountView](t, 200, w.as(account.GroupOwner, "PATCH", there, `{"roles":["GROUP_READ_ONLY"]}`))
	want[serviceAccountView](t, 200, w.as(account.GroupReadOnly, "GET", there, ""))

	second := want[secretView](t, 201, w.as(owner, "POST", path+"/secrets", `{"secretExpiresAfterHours":24}`))
	w.signIn(made.ClientID, second.Secret)
	refusedAs(t, 400, "INVALID_ATTRIBUTE", w.as(owner, "POST", path+"/secrets", `{"secretExpiresAfterHours":24}`))
	want[any](t, 204, w.as(owner, "DELETE", path+"/secrets/"+made.Secrets[0].ID, ""))
	refusedAs(t, 404, "SERVICE_ACCOUNT_SECRET_NOT_FOUND",
		w.as(owner, "DELETE", path+"/secrets/"+made.Secrets[0].ID, ""))
	if _, _, err := w.auth.Issue(t.Context(), made.ClientID, made.Secrets[0].Secret,
		netip.MustParseAddr("203.0.113.24")); err == nil {
		t.Error("a deleted secret works")
	}
	if got := want[serviceAccountView](t, 200, w.as(owner, "PATCH", path,
		`{"name":"renamed","roles":["ORG_MEMBER"]}`)); got.Name != "renamed" || got.Roles[0] != account.OrgMember {
		t.Errorf("got %+v", got)
	}
	want[any](t, 204, w.as(account.GroupOwner, "DELETE", there, ""))
	token := w.signIn(made.ClientID, second.Secret)
	want[any](t, 204, w.as(owner, "DELETE", path, ""))
	refusedAs(t, 401, "UNEXPECTED_ERROR", w.by(token, "GET", orgV2, ""))

	inProject := want[serviceAccountView](t, 201, w.as(account.GroupOwner, "POST", groupV2+"/serviceAccounts",
		`{"name":"p","description":"p","roles":["GROUP_READ_ONLY"],"secretExpiresAfterHours":8}`))
	there = groupV2 + "/serviceAccounts/" + inProject.ClientID
	secret := want[secretView](t, 201, w.as(account.GroupOwner, "POST", there+"/secrets",
		`{"secretExpiresAfterHours":8}`))
	want[any](t, 204, w.as(account.GroupOwner, "DELETE", there+"/secrets/"+secret.ID, ""))
	if got := want[page[serviceAccountView]](t, 200, w.as(account.GroupReadOnly, "GET",
		groupV2+"/serviceAccounts", "")); !slices.ContainsFunc(got.Results,
		func(v serviceAccountView) bool { return v.ClientID == inProject.ClientID }) {
		t.Errorf("got %+v", got)
	}

	w.bearer(owner)
	refusedAs(t, 403, "CANNOT_DEMOTE_LAST_ORG_OWNER",
		w.as(owner, "DELETE", orgV2+"/serviceAccounts/"+w.callers[owner].ID, ""))
	refusedAs(t, 403, "CANNOT_DEMOTE_LAST_ORG_OWNER",
		w.as(owner, "PATCH", orgV2+"/serviceAccounts/"+w.callers[owner].ID, `{"roles":["ORG_MEMBER"]}`))
}

func TestAccessLists(t *testing.T) {
	w := newWorld(t, Options{})
	owner := account.OrgOwner
	key := want[keyView](t, 200, w.as(owner, "POST", orgV2+"/apiKeys", `{"desc":"ci","roles":["ORG_MEMBER"]}`))
	path := orgV2 + "/apiKeys/" + key.ID + "/accessList"
	got := want[page[accessView]](t, 200,
		w.as(owner, "POST", path, `[{"ipAddress":"192.0.2.1"},{"cidrBlock":"198.51.100.7/24"},`+
			`{"ipAddress":"2001:db8::1"},{"cidrBlock":"192.0.2.1/32"}]`))
	if len(got.Results) != 3 || got.Results[0].Address != "192.0.2.1" || got.Results[0].Block != "192.0.2.1/32" ||
		got.Results[1].Block != "198.51.100.0/24" {
		t.Errorf("got %+v", got)
	}
	want[accessView](t, 200, w.as(account.OrgMember, "GET", path+"/198.51.100.0%2F24", ""))
	want[page[accessView]](t, 200, w.as(account.OrgMember, "GET", path, ""))
	refusedAs(t, 403, "USER_UNAUTHORIZED", w.as(account.OrgMember, "DELETE", path+"/192.0.2.1", ""))
	want[any](t, 204, w.as(owner, "DELETE", path+"/192.0.2.1", ""))
	refusedAs(t, 404, "API_KEY_WHITELIST_NOT_FOUND", w.as(owner, "GET", path+"/192.0.2.1", ""))
	for _, body := range []string{`[]`, `[{"ipAddress":"192.0.2"}]`, `[{"cidrBlock":"192.0.2.1"}]`,
		`{"ipAddress":"192.0.2.1"}`, `[{"cidrBlock":"192.0.2.1/33"}]`} {
		refusedAs(t, 400, "INVALID_ATTRIBUTE", w.as(owner, "POST", path, body))
	}

	sa := want[serviceAccountView](t, 201, w.as(account.GroupOwner, "POST", groupV2+"/serviceAccounts",
		`{"name":"p","description":"p","roles":["GROUP_OWNER"],"secretExpiresAfterHours":8}`))
	token := w.signIn(sa.ClientID, sa.Secrets[0].Secret)
	list := groupV2 + "/serviceAccounts/" + sa.ClientID + "/accessList"
	want[page[accessView]](t, 200, w.by(token, "POST", list,
		`[{"cidrBlock":"203.0.113.0/24"},{"cidrBlock":"192.0.2.0/24"}]`))
	refusedAs(t, 409, "CANNOT_REMOVE_CALLER_FROM_ACCESS_LIST", w.by(token, "DELETE", list+"/203.0.113.0%2F24", ""))
	want[any](t, 204, w.as(account.GroupOwner, "DELETE", list+"/203.0.113.0%2F24", ""))
	refusedAs(t, 403, "IP_ADDRESS_NOT_ON_ACCESS_LIST", w.by(token, "GET", list, ""))
	want[page[accessView]](t, 200, w.as(account.GroupReadOnly, "GET", list, ""))

	network := groupV2 + "/accessList"
	entries := want[page[networkView]](t, 200, w.as(account.GroupOwner, "POST", network,
		`[{"ipAddress":"192.0.2.1","comment":"office"},{"cidrBlock":"10.0.0.0/8","deleteAfterDate":"2026-08-10T04:00:00Z"}]`))
	if len(entries.Results) != 2 || entries.Results[0].Comment != "office" {
		t.Errorf("got %+v", entries)
	}
	want[networkView](t, 200, w.as(account.GroupReadOnly, "GET", network+"/10.0.0.0%2F8", ""))
	want[any](t, 200, w.as(account.GroupReadOnly, "GET", network+"/192.0.2.1/status", ""))
	want[page[networkView]](t, 200, w.as(account.GroupReadOnly, "GET", network, ""))
	want[any](t, 204, w.as(account.GroupOwner, "DELETE", network+"/192.0.2.1", ""))
	refusedAs(t, 404, "ATLAS_NETWORK_PERMISSION_ENTRY_NOT_FOUND", w.as(account.GroupOwner, "GET",
		network+"/192.0.2.1", ""))
	refusedAs(t, 400, "INVALID_ATTRIBUTE", w.as(account.GroupOwner, "POST", network,
		`[{"cidrBlock":"10.0.0.0/8","deleteAfterDate":"2020-01-01T00:00:00Z"}]`))
}

func TestSystemStatus(t *testing.T) {
	w := newWorld(t, Options{})
	got := want[statusView](t, 200, w.as(account.GroupOwner, "GET", "/api/atlas/v2", ""))
	if got.APIKey.ID != w.callers[account.GroupOwner].UserID || len(got.APIKey.Roles) != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestBadBodies(t *testing.T) {
	w := newWorld(t, Options{})
	owner := account.OrgOwner
	for _, tt := range []struct {
		method, path, body string
		code               string
		fields             []string
	}{
		{"POST", "/api/atlas/v2/groups", `{"name":"x"`, "INVALID_JSON", nil},
		{"POST", "/api/atlas/v2/groups", "{\"name\":\"\xff\"}", "INVALID_JSON", nil},
		{"POST", "/api/atlas/v2/groups", `{}`, "MISSING_ATTRIBUTE", []string{"name", "orgId"}},
		{"POST", "/api/atlas/v2/groups", `null`, "MISSING_ATTRIBUTE", []string{"name", "orgId"}},
		{"POST", "/api/atlas/v2/groups", `{"name":7,"orgId":"` + orgID + `"}`, "INVALID_ATTRIBUTE", []string{"name"}},
		{"POST", "/api/atlas/v2/groups", `{"name":"a b","orgId":"x"}`, "INVALID_ATTRIBUTE", []string{"name", "orgId"}},
		{"POST", "/api/atlas/v2/groups", `{"name":"a","orgId":"` + orgID + `","tags":[{"key":""}]}`,
			"INVALID_ATTRIBUTE", []string{"tags"}},
		{"PATCH", groupV2, `{"name":""}`, "INVALID_ATTRIBUTE", []string{"name"}},
		{"PATCH", groupV2, `[]`, "INVALID_ATTRIBUTE", []string{"body"}},
		{"PATCH", orgV2, `{}`, "MISSING_ATTRIBUTE", []string{"name"}},
		{"POST", "/api/atlas/v2/orgs", `{"name":"x","apiKey":{}}`, "MISSING_ATTRIBUTE",
			[]string{"apiKey.desc", "apiKey.roles"}},
		{"POST", groupV2 + "/streams", `{}`, "MISSING_ATTRIBUTE", []string{"name"}},
		{"POST", groupV2 + "/streams", `{"name":"a/b"}`, "INVALID_ATTRIBUTE", []string{"name"}},
		{"POST", groupV2 + "/streams", `{"name":"` + strings.Repeat("x", 65) + `"}`, "INVALID_ATTRIBUTE",
			[]string{"name"}},
		{"POST", groupV2 + "/streams", `{"name":"a","dataProcessRegion":{"cloudProvider":"AWS","region":"eastus"}}`,
			"INVALID_ATTRIBUTE", []string{"dataProcessRegion.region"}},
		{"POST", groupV2 + "/streams", `{"name":"a","dataProcessRegion":{"cloudProvider":"AWS"}}`, "MISSING_ATTRIBUTE",
			[]string{"dataProcessRegion.region"}},
		{"POST", groupV2 + "/streams", `{"name":"a","streamConfig":{"tier":"SP99"}}`, "INVALID_ATTRIBUTE",
			[]string{"streamConfig.tier"}},
		{"POST", groupV2 + "/streams", `{"name":"a","streamConfig":{"tier":1}}`, "INVALID_ATTRIBUTE",
			[]string{"streamConfig.tier"}},
		{"PATCH", groupV2 + "/streams/demo", `{"processorStatus":{"status":"STARTED"}}`, "INVALID_ATTRIBUTE",
			[]string{"processorStatus"}},
		{"POST", orgV2 + "/apiKeys", `{"desc":"x","roles":["GROUP_OWNER"]}`, "INVALID_ATTRIBUTE", []string{"roles"}},
		{"POST", orgV2 + "/apiKeys", `{"desc":"x","roles":[]}`, "MISSING_ATTRIBUTE", []string{"roles"}},
		{"POST", groupV2 + "/apiKeys", `{"desc":"x","roles":["ORG_OWNER"]}`, "INVALID_ATTRIBUTE", []string{"roles"}},
		{"POST", groupV2 + "/apiKeys", `{"desc":"x","roles":"GROUP_OWNER"}`, "INVALID_ATTRIBUTE", []string{"roles"}},
		{"POST", orgV2 + "/serviceAccounts",
			`{"name":"a;b","description":"","roles":["ORG_OWNER"],"secretExpiresAfterHours":0}`, "INVALID_ATTRIBUTE",
			[]string{"secretExpiresAfterHours", "name", "description"}},
		{"POST", groupV2 + "/accessList", `[{"ipAddress":"192.0.2.1","deleteAfterDate":"tomorrow"}]`,
			"INVALID_ATTRIBUTE", []string{"deleteAfterDate"}},
		{"POST", groupV2 + "/accessList", `[{"ipAddress":"192.0.2.1","deleteAfterDate":5}]`, "INVALID_ATTRIBUTE",
			[]string{"deleteAfterDate"}},
		{"POST", groupV2 + "/accessList", `[{"ipAddress":"fe80::1%eth0"}]`, "INVALID_ATTRIBUTE", []string{"ipAddress"}},
	} {
		rec := w.as(owner, tt.method, tt.path, tt.body)
		refusedAs(t, 400, tt.code, rec)
		got := want[struct {
			BadRequestDetail struct{ Fields []field }
		}](t, 400, rec)
		var fields []string
		for _, f := range got.BadRequestDetail.Fields {
			fields = append(fields, f.Field)
		}
		if !slices.Equal(fields, tt.fields) {
			t.Errorf("%s: fields %q: %s", tt.body, fields, rec.Body)
		}
	}
	rec := w.do("POST", groupV2+"/streams", "name=x", latest, "Authorization: "+w.bearer(owner),
		"Content-Type: application/x-www-form-urlencoded")
	refusedAs(t, 415, "UNSUPPORTED_MEDIA_TYPE", rec)
	rec = w.do("POST", groupV2+"/streams", `{"name":"typed"}`, latest, "Authorization: "+w.bearer(owner),
		"Content-Type: application/vnd.atlas.2023-02-01+json")
	want[workspaceView](t, 200, rec)
	refusedAs(t, 413, "REQUEST_TOO_LARGE", w.as(owner, "POST", groupV2+"/streams", `{"name":"`+strings.Repeat("x",
		maxBody)+`"}`))
}

// Each change is an event in the logs that it concerns, with what was there before and after, without secrets.
func TestChangesAreRecorded(t *testing.T) {
	w := newWorld(t, Options{})
	owner := account.OrgOwner
	made := want[workspaceView](t, 200, w.as(owner, "POST", groupV2+"/streams", `{"name":"new"}`))
	want[workspaceView](t, 200, w.as(owner, "PATCH", groupV2+"/streams/new", `{"streamConfig":{"tier":"SP2"}}`))
	sa := want[serviceAccountView](t, 201, w.as(owner, "POST", orgV2+"/serviceAccounts",
		`{"name":"ci","description":"d","roles":["ORG_MEMBER"],"secretExpiresAfterHours":8}`))
	key := want[keyView](t, 200, w.as(owner, "POST", orgV2+"/apiKeys", `{"desc":"k","roles":["ORG_MEMBER"]}`))
	// changes nothing
	refusedAs(t, 409, "STREAM_TENANT_ALREADY_EXISTS_FOR_NAME", w.as(owner, "POST", groupV2+"/streams",
		`{"name":"new"}`))
	type recordedEvent struct {
		TypeUID int `json:"type_uid"`
		Actor   struct{ User struct{ UID string } }
		Source  struct{ IP string } `json:"src_endpoint"`
		Entity  struct {
			Type, UID, Name string
			Data            *workspaceView
		}
		Result *struct{ Data *workspaceView } `json:"entity_result"`
		Un     struct{ Atype string }         `json:"unmapped"`
	}
	events := func(lines []string) (all []recordedEvent) {
		for _, line := range lines {
			var e recordedEvent
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			all = append(all, e)
		}
		return all
	}
	text := w.lines(w.get("/api/weir/v1/orgs/"+orgID+"/logs/"+orgLog, owner))
	org := events(text)
	var operations []string
	for _, e := range org {
		operations = append(operations, e.Un.Atype)
		if e.Actor.User.UID != w.callers[owner].ID || e.Source.IP != "203.0.113.24" {
			t.Errorf("got %+v", e)
		}
	}
	if !slices.Equal(operations, []string{"createGroupStreamWorkspace", "updateGroupStreamWorkspace",
		"createOrgServiceAccount", "createOrgApiKey"}) {
		t.Errorf("got %q", operations)
	}
	if e := org[1]; e.TypeUID != 300403 || e.Entity.Type != "Stream Workspace" || e.Entity.UID != made.ID ||
		*e.Entity.Data.StreamConfig.Tier != "SP30" || *e.Result.Data.StreamConfig.Tier != "SP2" {
		t.Errorf("got %s", text[1])
	}
	if e := org[0]; e.Entity.Data != nil || e.Result.Data.Name != "new" {
		t.Errorf("got %s", text[0])
	}
	for _, secret := range []string{sa.Secrets[0].Secret, key.PrivateKey} {
		if strings.Contains(strings.Join(text, ""), secret) {
			t.Errorf("a secret is in the log")
		}
	}
	if lines := w.lines(w.get(groupV2+"/streams/new/auditLogs", owner)); len(lines) != 2 {
		t.Errorf("the workspace's log has %q", lines)
	}
	if lines := w.lines(w.get("/api/weir/v1/groups/"+projectID+"/logs/"+projectID, owner)); len(lines) != 2 {
		t.Errorf("the project's log has %q", lines)
	}
	refusedAs(t, 403, "USER_UNAUTHORIZED", w.get("/api/weir/v1/orgs/"+orgID+"/logs/"+orgLog, account.OrgReadOnly))
	if logs := want[page[logView]](t, 200,
		w.as(owner, "GET", "/api/weir/v1/orgs/"+orgID+"/logs", "")); len(logs.Results) != 1 ||
		logs.Results[0].ID != orgLog || logs.Results[0].Events < 5 {
		t.Errorf("got %+v", logs)
	}
}

// Somebody who fails to be a credential that exists is recorded in its organization's log.
func TestFailedSignInsAreRecorded(t *testing.T) {
	w := newWorld(t, Options{})
	w.bearer(account.GroupOwner)
	form := []string{"Content-Type: application/x-www-form-urlencoded"}
	sa := w.callers[account.GroupOwner].ID
	if rec := w.do("POST", "/api/oauth/token", "grant_type=client_credentials&client_id="+sa+
		"&client_secret=wrong", form...); rec.Code != 401 {
		t.Fatal(rec.Code)
	}
	if rec := w.do("POST", "/api/oauth/token",
		"grant_type=client_credentials&client_id=mdb_sa_id_6a793f48c0eb9e7a17712c00&client_secret=wrong",
		form...); rec.Code != 401 {
		t.Fatal(rec.Code)
	}
	w.server.Wait()
	lines := w.lines(w.get("/api/weir/v1/orgs/"+orgID+"/logs/"+orgLog, account.OrgOwner))
	if len(lines) != 1 || !strings.Contains(lines[0], `"type_uid":300201`) || !strings.Contains(lines[0], sa) ||
		!strings.Contains(lines[0], "wrong secret") {
		t.Errorf("got %q", lines)
	}
}

// Changes that come at the same time, through nodes that know nothing of each other, are all made.
func TestConcurrentChanges(t *testing.T) {
	w := newWorld(t, Options{})
	nodes := []*Server{w.server, w.another()}
	const each = 10
	authorization := w.bearer(account.GroupOwner)
	var all sync.WaitGroup
	for i := range 2 * each {
		all.Go(func() {
			r := httptest.NewRequest("POST", groupV2+"/streams", strings.NewReader(fmt.Sprintf(`{"name":"w%d"}`, i/2)))
			r.Header.Set("Authorization", authorization)
			r.Header.Set("Accept", "application/vnd.atlas.2025-03-12+json")
			r.Header.Set("Content-Type", "application/json")
			rec := httptest.NewRecorder()
			nodes[i%2].ServeHTTP(rec, r)
			if rec.Code != 200 && rec.Code != 409 {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
		})
	}
	all.Wait()
	names := map[string]int{}
	w.server = w.another() // which has no old copy
	for _, v := range want[page[workspaceView]](t, 200, w.as(account.GroupOwner, "GET", groupV2+"/streams",
		"")).Results {
		names[v.Name]++
	}
	for i := range each {
		if names[fmt.Sprint("w", i)] != 1 {
			t.Errorf("w%d is there %d times", i, names[fmt.Sprint("w", i)])
		}
	}
}
