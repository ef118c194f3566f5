package api

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/weirlog/weir/internal/account"
)

// Each change is recorded in the logs that it concerns, with the state before and after it, without secrets.
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

// Concurrent changes through nodes that do not know of each other all take effect.
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
	w.server = w.another() // it has no old copy
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
