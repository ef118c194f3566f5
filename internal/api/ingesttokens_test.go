package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
)

const tokensPath = "/api/weir/v1/groups/" + projectID + "/ingestTokens"

// ingestToken creates an ingest token of the project.
func (w *world) ingestToken(body string) ingestTokenView {
	w.t.Helper()
	return want[ingestTokenView](w.t, 201, w.as(account.GroupOwner, post, tokensPath, body))
}

func (w *world) recordAs(authorization, uid string) *httptest.ResponseRecorder {
	return w.do(post, resource, eventLine(uid, now.UnixMilli()), "Content-Type: application/x-ndjson",
		"Authorization: "+authorization)
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestIngestTokenRecordsInEachFormThatSendersHave(t *testing.T) {
	w := newWorld(t, Options{})
	made := w.ingestToken(`{"name":"shipper"}`)
	for i, authorization := range []string{"Bearer " + made.Token, "Splunk " + made.Token, "splunk " + made.Token,
		basic("", made.Token), basic("anybody", made.Token)} {
		if rec := w.recordAs(authorization, fmt.Sprint(i)); rec.Code != 200 {
			t.Errorf("%.10s: %d %s", authorization, rec.Code, rec.Body)
		}
	}
	if text := strings.Join(w.lines(w.get(resource, account.GroupOwner)), ""); strings.Count(text,
		fmt.Sprintf(`"by":%q`, made.ID)) != 5 {
		t.Errorf("the events do not say which token sent them: %s", text)
	}
}

func TestIngestTokenIsShownOnceAndStoredAsItsHash(t *testing.T) {
	w := newWorld(t, Options{})
	made := w.ingestToken(`{"name":"shipper","tenantName":"demo","expiresAfterHours":87600}`)
	w.recordAs("Bearer "+made.Token, "u")
	for _, path := range []string{tokensPath, tokensPath + "/" + made.ID} {
		rec := w.as(account.GroupReadOnly, get, path, "")
		text := rec.Body.String()
		if rec.Code != 200 || strings.Contains(text, made.Token) || !strings.Contains(text, `"tenantName":"demo"`) ||
			strings.Contains(text, `"lastUsedAt":null`) || strings.Contains(text, `"expiresAt":null`) {
			t.Errorf("%s: %d %s", path, rec.Code, text)
		}
	}
	ctx := context.Background()
	for info, err := range w.faulty.List(ctx, "", "") {
		if err != nil {
			t.Fatal(err)
		}
		data, err := bucket.Read(ctx, w.faulty, info.Key, bucket.Range{})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), made.Token) {
			t.Errorf("%s holds the token", info.Key)
		}
	}
}

// For all other operations, a token is just an invalid credential.
func TestIngestTokenIsTakenOnRecordingPathsOnly(t *testing.T) {
	w := newWorld(t, Options{})
	home := w.filled()
	made := w.ingestToken(`{"name":"shipper"}`)
	recording := 0
	for _, op := range w.server.table {
		if op.caller == byClientSecret {
			continue
		}
		if op.caller == orIngestToken {
			recording++
			continue
		}
		for _, authorization := range []string{"Bearer " + made.Token, "Splunk " + made.Token, basic("x", made.Token)} {
			rec := w.do(op.method, op.target(home), op.goodBody(), latest+","+download, "Authorization: "+authorization,
				"Content-Type: application/json")
			if rec.Code != 401 && (op.caller != orPublic || rec.Code != 200) {
				t.Errorf("%s with %.8s: %d %s", op.id, authorization, rec.Code, rec.Body)
			}
		}
	}
	if recording < 2 {
		t.Errorf("only %d operations take ingest tokens", recording)
	}
}

// For a token that is bound to a workspace, other workspaces of the project seem not to exist.
func TestIngestTokenIsBoundToItsWorkspace(t *testing.T) {
	w := newWorld(t, Options{})
	made := w.ingestToken(`{"name":"shipper","tenantName":"demo"}`)
	say := func(project, workspace string) string {
		target := fmt.Sprintf("/api/atlas/v2/groups/%s/streams/%s/auditLogs", project, workspace)
		rec := w.do(post, target, eventLine("u", now.UnixMilli()), "Content-Type: application/x-ndjson",
			"Authorization: Bearer "+made.Token)
		return fmt.Sprint(rec.Code, strings.NewReplacer(workspace, "W", project, "P").Replace(rec.Body.String()))
	}
	if got := say(projectID, "demo"); !strings.HasPrefix(got, "200") {
		t.Error(got)
	}
	if there, absent := say(projectID, "strict"), say(projectID, "absent"); there != absent || there[:3] != "404" {
		t.Errorf("%s\n%s", there, absent)
	}
	if there, absent := say(otherID, "demo"), say(missingID, "demo"); there != absent || there[:3] != "404" {
		t.Errorf("%s\n%s", there, absent)
	}
	// A new workspace with the same name is another one.
	if rec := w.as(account.GroupOwner, remove, "/api/atlas/v2/groups/"+projectID+"/streams/demo", ""); rec.Code != 202 {
		t.Fatal(rec.Body)
	}
	want[any](t, 200, w.as(account.GroupOwner, post, "/api/atlas/v2/groups/"+projectID+"/streams", `{"name":"demo",`+
		`"dataProcessRegion":{"cloudProvider":"AWS","region":"VIRGINIA_USA"}}`))
	if got := say(projectID, "demo"); !strings.HasPrefix(got, "404") {
		t.Errorf("a new workspace takes the old one's token: %s", got)
	}
	v := want[ingestTokenView](t, 200, w.as(account.GroupOwner, get, tokensPath+"/"+made.ID, ""))
	if v.Tenant == nil || *v.Tenant != deletedTenant {
		t.Errorf("%+v", v)
	}
}

func TestIngestTokenEnds(t *testing.T) {
	w := newWorld(t, Options{})
	first, second := w.ingestToken(`{"name":"old"}`), w.ingestToken(`{"name":"new"}`)
	if rec := w.as(account.GroupOwner, remove, tokensPath+"/"+first.ID, ""); rec.Code != 204 {
		t.Fatal(rec.Body)
	}
	// The clock of the world is behind that of the machine, by which credentials expire.
	expired := w.ingestToken(`{"name":"expired","expiresAfterHours":1}`)
	listed := w.ingestToken(`{"name":"listed"}`)
	want[any](t, 200, w.as(account.GroupOwner, post, tokensPath+"/"+listed.ID+"/accessList",
		`[{"ipAddress":"192.0.2.1"}]`))
	for name, c := range map[string]struct {
		token string
		code  int
	}{"another of the same project": {second.Token, 200}, "deleted": {first.Token, 401}, "expired": {expired.Token, 401},
		"of another place": {listed.Token, 403}, "mistyped": {second.Token[:60] + "xyz", 401}, "none": {"weir_", 401},
		"of no project": {"weir_x", 401}, "long": {"weir_" + strings.Repeat("x", 8000), 401}} {
		if rec := w.recordAs("Bearer "+c.token, name); rec.Code != c.code {
			t.Errorf("%s: %d %s, want %d", name, rec.Code, rec.Body, c.code)
		}
	}
}

// A text without the form of a token causes no read of the bucket. Many texts with the form cause few, and at last none
// but a listing now and then.
func TestGuessedIngestTokensCostLittle(t *testing.T) {
	w := newWorld(t, Options{})
	var looks, lists atomic.Int64
	w.faulty.Before = func(_ context.Context, op bucketest.Op, _ string) error {
		if op == bucketest.List {
			lists.Add(1)
		}
		looks.Add(1)
		return nil
	}
	for i := range 100 {
		w.recordAs(fmt.Sprintf("Bearer weir_6a793f48c0eb9e7a17712f%02x%034d", i, i), "u")
	}
	if looks.Load() != 0 {
		t.Errorf("%d looks for what is no token", looks.Load())
	}
	refused := 0
	for range 20_000 { // until the address is limited; some are let through again later
		_, text := account.NewIngestToken(&w.project, nil, "x", now, 0)
		before, listed := looks.Load(), lists.Load()
		if rec := w.recordAs("Splunk "+text, "u"); rec.Code != 429 {
			continue
		}
		if n := looks.Load() - before - (lists.Load() - listed); n != 0 {
			t.Errorf("a guess that is refused as one too many costs %d looks into the bucket", n)
		}
		if lists.Load()-listed > 1 {
			t.Errorf("a guess costs %d listings", lists.Load()-listed)
		}
		if refused++; refused == 10 {
			break
		}
	}
	if refused == 0 {
		t.Error("no guess is refused as one too many")
	}
}

func TestIngestTokensOfAProjectAreBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	w := newWorld(t, Options{})
	for _, body := range []string{`{}`, `{"name":""}`, `{"name":"x","tenantName":"absent"}`,
		`{"name":"x","expiresAfterHours":0}`, `{"name":"x","expiresAfterHours":1000000}`} {
		if rec := w.as(account.GroupOwner, post, tokensPath, body); rec.Code != 400 {
			t.Errorf("%s: %d %s", body, rec.Code, rec.Body)
		}
	}
	for i := range maxIngestTokens {
		c, _ := account.NewIngestToken(&w.project, nil, fmt.Sprint(i), now, 0)
		if err := w.store.CreateCredential(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if rec := w.as(account.GroupOwner, post, tokensPath, `{"name":"x"}`); rec.Code != 400 {
		t.Errorf("one more than the bound: %d %s", rec.Code, rec.Body)
	}
}

// Changes to a token, and failed attempts to use it, are recorded, but never its text.
func TestIngestTokensAreAudited(t *testing.T) {
	w := newWorld(t, Options{})
	made := w.ingestToken(`{"name":"shipper"}`)
	want[any](t, 200, w.as(account.GroupOwner, post, tokensPath+"/"+made.ID+"/accessList",
		`[{"ipAddress":"192.0.2.1"}]`))
	w.recordAs("Bearer "+made.Token, "u")
	if rec := w.as(account.GroupOwner, remove, tokensPath+"/"+made.ID, ""); rec.Code != 204 {
		t.Fatal(rec.Body)
	}
	w.server.Wait()
	text := strings.Join(w.lines(w.do(get, "/api/weir/v1/orgs/"+orgID+"/logs/"+orgLog, "", "Accept: "+download,
		"Authorization: "+w.bearer(account.OrgOwner))), "")
	for _, what := range []string{"createGroupIngestToken", "createGroupIngestTokenAccessList", "deleteGroupIngestToken",
		`"auth_protocol":"Ingest Token"`} {
		if !strings.Contains(text, what) {
			t.Errorf("the log has no %s: %s", what, text)
		}
	}
	if strings.Contains(text, made.Token) {
		t.Error("the log has the token")
	}
}
