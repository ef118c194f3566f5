package api

import (
	"slices"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/account"
)

// Atlas's CLI assigns an API key of the organization to a project by changing its roles there.
func TestAKeyIsAssignedByItsRoles(t *testing.T) {
	w := newWorld(t, Options{})
	key := want[keyView](t, 200, w.as(account.OrgOwner, "POST", orgV2+"/apiKeys",
		`{"desc":"ci","roles":["ORG_MEMBER","ORG_MEMBER"]}`))
	if len(key.Roles) != 1 {
		t.Errorf("a role counts once: %+v", key.Roles)
	}
	path := groupV2 + "/apiKeys/" + key.ID
	got := want[keyView](t, 200, w.as(account.GroupOwner, "PATCH", path,
		`{"roles":["GROUP_READ_ONLY","GROUP_READ_ONLY"]}`))
	if !slices.Equal(got.Roles, []account.Grant{{Project: projectID, Role: account.GroupReadOnly}}) {
		t.Errorf("got %+v", got.Roles)
	}
	if list := want[page[keyView]](t, 200, w.as(account.GroupReadOnly, "GET",
		groupV2+"/apiKeys", "")); len(list.Results) != 1 || list.Results[0].ID != key.ID {
		t.Errorf("got %+v", list)
	}
	refusedAs(t, 404, "API_KEY_NOT_FOUND", w.as(account.GroupOwner, "PATCH",
		groupV2+"/apiKeys/6a793f48c0eb9e7a17712cab", `{"roles":["GROUP_OWNER"]}`))
}

// Atlas's Terraform provider deletes an API key that was created in a project through the organization. It gets the id
// of the organization from the roles of the key in the project.
func TestAKeyOfAProjectIsAMemberOfItsOrganization(t *testing.T) {
	w := newWorld(t, Options{})
	want[keyView](t, 200, w.as(account.GroupOwner, "POST", groupV2+"/apiKeys", `{"desc":"ci","roles":["GROUP_OWNER"]}`))
	shown := func(role account.Role) []account.Grant {
		return want[page[keyView]](t, 200, w.as(role, "GET", groupV2+"/apiKeys", "")).Results[0].Roles
	}
	roles := shown(account.OrgOwner)
	i := slices.IndexFunc(roles, func(g account.Grant) bool { return g.Role == account.OrgMember })
	if i < 0 || roles[i].Org != orgID {
		t.Fatalf("got %+v", roles)
	}
	if roles := shown(account.GroupReadOnly); !slices.Equal(roles,
		[]account.Grant{{Project: projectID, Role: account.GroupOwner}}) {
		t.Errorf("who has no role in the organization sees %+v", roles)
	}
	writer := want[keyView](t, 200, w.as(account.GroupOwner, "POST", groupV2+"/apiKeys",
		`{"desc":"producer","roles":["GROUP_AUDIT_LOG_WRITER"]}`))
	if len(writer.Roles) != 1 {
		t.Errorf("who may only record has %+v", writer.Roles)
	}
}

// No credential has roles on a deleted project, since the provider would try to remove them.
func TestRolesGoWithTheirProject(t *testing.T) {
	w := newWorld(t, Options{})
	p := want[projectView](t, 200, w.as(account.OrgOwner, "POST", "/api/atlas/v2/groups",
		`{"name":"short","orgId":"`+orgID+`"}`))
	path := "/api/atlas/v2/groups/" + p.ID
	key := want[keyView](t, 200, w.as(account.OrgOwner, "POST", path+"/apiKeys",
		`{"desc":"ci","roles":["GROUP_OWNER"]}`))
	sa := want[serviceAccountView](t, 201, w.as(account.OrgOwner, "POST", path+"/serviceAccounts",
		`{"name":"ci","description":"d","roles":["GROUP_OWNER"],"secretExpiresAfterHours":8}`))
	want[any](t, 204, w.as(account.OrgOwner, "DELETE", path, ""))
	if got := want[keyView](t, 200, w.as(account.OrgOwner, "GET", orgV2+"/apiKeys/"+key.ID, "")); len(got.Roles) != 1 ||
		got.Roles[0].Role != account.OrgMember {
		t.Errorf("got %+v", got.Roles)
	}
	if got := want[page[serviceAccountGroup]](t, 200, w.as(account.OrgOwner, "GET",
		orgV2+"/serviceAccounts/"+sa.ClientID+"/groups", "")); len(got.Results) != 0 {
		t.Errorf("got %+v", got.Results)
	}
}

// A service account of an organization has an access list for all of its projects.
func TestAccessListOfAnOrganizationsServiceAccount(t *testing.T) {
	w := newWorld(t, Options{})
	sa := want[serviceAccountView](t, 201, w.as(account.OrgOwner, "POST", orgV2+"/serviceAccounts",
		`{"name":"ci","description":"d","roles":["ORG_MEMBER"],"secretExpiresAfterHours":8}`))
	token := w.signIn(sa.ClientID, sa.Secrets[0].Secret)
	path := orgV2 + "/serviceAccounts/" + sa.ClientID + "/accessList"
	added := want[page[accessView]](t, 200, w.as(account.OrgOwner, "POST", path+"?itemsPerPage=500",
		`[{"cidrBlock":"10.0.0.0/8"},{"ipAddress":"192.0.2.1"}]`))
	if len(added.Results) != 2 || added.Results[1].Address != "192.0.2.1" {
		t.Errorf("got %+v", added)
	}
	refusedAs(t, 403, "IP_ADDRESS_NOT_ON_ACCESS_LIST", w.by(token, "GET", orgV2, ""))
	refusedAs(t, 403, "USER_UNAUTHORIZED", w.as(account.OrgReadOnly, "DELETE", path+"/192.0.2.1", ""))
	want[any](t, 204, w.as(account.OrgOwner, "DELETE", path+"/10.0.0.0%2F8", ""))
	if got := want[page[accessView]](t, 200, w.as(account.OrgReadOnly, "GET", path, "")); len(got.Results) != 1 {
		t.Errorf("got %+v", got)
	}
}

// If the reply would be an error, nothing is changed.
func TestAWrongPageChangesNothing(t *testing.T) {
	w := newWorld(t, Options{})
	key := want[keyView](t, 200, w.as(account.OrgOwner, "POST", orgV2+"/apiKeys",
		`{"desc":"ci","roles":["ORG_MEMBER"]}`))
	for _, path := range []string{groupV2 + "/accessList", orgV2 + "/apiKeys/" + key.ID + "/accessList"} {
		refusedAs(t, 400, "INVALID_QUERY_PARAMETER", w.as(account.OrgOwner, "POST", path+"?itemsPerPage=0",
			`[{"ipAddress":"192.0.2.1"}]`))
		if got := want[page[any]](t, 200, w.as(account.OrgOwner, "GET", path, "")); len(got.Results) != 0 {
			t.Errorf("%s has %v", path, got.Results)
		}
	}
}

// An update of a workspace may contain only one attribute of its region.
func TestUpdateKeepsTheOtherPartOfARegion(t *testing.T) {
	w := newWorld(t, Options{})
	path := groupV2 + "/streams/demo"
	if got := want[workspaceView](t, 200, w.as(account.GroupOwner, "PATCH", path,
		`{"region":"OHIO_USA"}`)); got.Region != (regionView{"AWS", "OHIO_USA"}) {
		t.Errorf("got %+v", got)
	}
	refusedAs(t, 400, "INVALID_ATTRIBUTE", w.as(account.GroupOwner, "PATCH", path, `{"cloudProvider":"GCP"}`))
	refusedAs(t, 400, "INVALID_ATTRIBUTE", w.as(account.GroupOwner, "PATCH", path, `{"region":"eastus"}`))
}

// If a credential gets roles, also by creating something, that is recorded in the log of the credential's organization.
func TestRolesOfTheCallerAreRecorded(t *testing.T) {
	w := newWorld(t, Options{})
	want[newOrgView](t, 201, w.as(account.OrgOwner, "POST", "/api/atlas/v2/orgs", `{"name":"second"}`))
	want[projectView](t, 200, w.as(account.OrgGroupCreator, "POST", "/api/atlas/v2/groups",
		`{"name":"mine","orgId":"`+orgID+`"}`))
	lines := w.lines(w.get("/api/weir/v1/orgs/"+orgID+"/logs/"+orgLog, account.OrgOwner))
	for _, role := range []account.Role{account.OrgOwner, account.OrgGroupCreator} {
		if !slices.ContainsFunc(lines, func(l string) bool {
			return strings.Contains(l, `"type_uid":300403`) &&
				strings.Contains(l, `"type":"Service Account","type_id":99,"data"`) &&
				strings.Contains(l, w.callers[role].ID)
		}) {
			t.Errorf("what %s was given is not in %q", role, lines)
		}
	}
}

// weir's own settings are recorded too.
func TestRequireOCSFIsShown(t *testing.T) {
	w := newWorld(t, Options{})
	if got := want[workspaceView](t, 200, w.as(account.GroupOwner, "PATCH", groupV2+"/streams/demo",
		`{"requireOCSF":true}`)); !got.RequireOCSF {
		t.Errorf("got %+v", got)
	}
	lines := w.lines(w.get("/api/weir/v1/orgs/"+orgID+"/logs/"+orgLog, account.OrgOwner))
	if len(lines) != 1 || strings.Count(lines[0], `"requireOCSF":true`) != 1 {
		t.Errorf("got %q", lines)
	}
}
