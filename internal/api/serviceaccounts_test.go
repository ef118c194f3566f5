package api

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/account"
)

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
	// The callers are service accounts too.
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
	// A project owner must not get a secret of an organization owner.
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
