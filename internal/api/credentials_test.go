package api

import (
	"slices"
	"testing"

	"github.com/weirlog/weir/internal/account"
)

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
