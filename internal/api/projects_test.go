package api

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weirlog/weir/internal/account"
)

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

func TestProjectSettingsAreUpdatedAndChecked(t *testing.T) {
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

// A project is found by its name, whatever the name, by callers that may see it, and by no others.
func TestProjectByName(t *testing.T) {
	w := newWorld(t, Options{})
	path := func(name string) string { return base + "/groups/byName/" + url.PathEscape(name) }
	for _, name := range []string{"settings", "apiKeys", "streams", "byName", "a:invite", "Ä(1)", "x&y+z@,'_.-", "..x"} {
		made := want[projectView](t, 200, w.as(account.OrgOwner, "POST", base+"/groups",
			fmt.Sprintf(`{"name":%q,"orgId":%q}`, name, orgID)))
		if got := want[projectView](t, 200, w.as(account.OrgReadOnly, "GET", path(name), "")); !cmp.Equal(got, made) {
			t.Errorf("%s: got %+v, made %+v", name, got, made)
		}
		for _, role := range []account.Role{account.OrgMember, account.GroupOwner, account.OrgGroupCreator} {
			refusedAs(t, 404, "NOT_IN_GROUP", w.as(role, "GET", path(name), ""))
		}
	}
	for _, role := range []account.Role{account.GroupReadOnly, account.OrgStreamProcessingAdmin} {
		if got := want[projectView](t, 200, w.as(role, "GET", path("one"), "")); got.ID != projectID {
			t.Errorf("%s: got %+v", role, got)
		}
	}
	refusedAs(t, 403, "USER_UNAUTHORIZED", w.as(account.GroupAuditLogWriter, "GET", path("one"), ""))
	for _, absent := range []string{"foreign", "missing", "One", "on", "one ", "a/b", strings.Repeat("x", 65)} {
		refusedAs(t, 404, "NOT_IN_GROUP", w.as(account.OrgOwner, "GET", path(absent), ""))
	}
	want[any](t, 200, w.as(account.OrgOwner, "PATCH", groupV2, `{"name":"renamed"}`))
	refusedAs(t, 404, "NOT_IN_GROUP", w.as(account.OrgOwner, "GET", path("one"), ""))
	want[any](t, 200, w.as(account.OrgOwner, "GET", path("renamed"), ""))
}

// Organizations may have projects with the same name. The caller's own comes first. Otherwise the name must be unique.
func TestProjectByNameInSeveralOrganizations(t *testing.T) {
	w := newWorld(t, Options{})
	path := base + "/groups/byName/shared"
	create := func(org string) projectView {
		return want[projectView](t, 200, w.as(account.OrgOwner, "POST", base+"/groups",
			`{"name":"shared","orgId":"`+org+`"}`))
	}
	newOrg := func(name string) string {
		return want[newOrgView](t, 201, w.as(account.OrgOwner, "POST", base+"/orgs", `{"name":"`+name+`"}`)).Organization.ID
	}
	second, third := newOrg("second"), newOrg("third")
	only := create(second)
	if got := want[projectView](t, 200, w.as(account.OrgOwner, "GET", path, "")); got.ID != only.ID {
		t.Errorf("got %+v", got)
	}
	create(third)
	refusedAs(t, 409, "GROUP_NAME_NOT_UNIQUE", w.as(account.OrgOwner, "GET", path, ""))
	mine := create(orgID)
	if got := want[projectView](t, 200, w.as(account.OrgOwner, "GET", path, "")); got.ID != mine.ID {
		t.Errorf("got %+v", got)
	}
}
