package api

import (
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/account"
)

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
		"apiKey":{"desc":"first","roles":["ORG_OWNER"]},
		"serviceAccount":{"name":"sa","description":"d","roles":["ORG_OWNER"],"secretExpiresAfterHours":8}}`))
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
	refusedAs(t, 401, "UNEXPECTED_ERROR", w.by(sa, "GET", second, "")) // its credentials were deleted with it

	own := want[newOrgView](t, 201, w.as(owner, "POST", "/api/atlas/v2/orgs", `{"name":"third"}`))
	want[orgView](t, 200, w.as(owner, "GET", "/api/atlas/v2/orgs/"+own.Organization.ID, "")) // the caller owns it
}

// An organization without a possible owner is not created.
func TestNoOrganizationWithoutAnOwner(t *testing.T) {
	w := newWorld(t, Options{})
	const key, sa = `"apiKey":{"desc":"x","roles":["%s"]}`, `"serviceAccount":{"name":"x","description":"x",` +
		`"secretExpiresAfterHours":8,"roles":["%s"]}`
	with := func(members ...string) string { return `{` + strings.Join(append(members, `"name":"x"`), ",") + `}` }
	of := func(form, role string) string { return strings.Replace(form, "%s", role, 1) }
	for name, tt := range map[string]struct {
		body string
		ok   bool
	}{
		"nobody named":              {with(), true},
		"a key":                     {with(of(key, "ORG_OWNER")), true},
		"a key that is a member":    {with(of(key, "ORG_MEMBER")), false},
		"an account":                {with(of(sa, "ORG_OWNER")), true},
		"an account that reads":     {with(of(sa, "ORG_READ_ONLY")), false},
		"a member and an owner":     {with(of(key, "ORG_MEMBER"), of(sa, "ORG_OWNER")), true},
		"two that do not own":       {with(of(key, "ORG_MEMBER"), of(sa, "ORG_GROUP_CREATOR")), false},
		"an owner that is no user":  {with(of(key, "ORG_MEMBER"), `"orgOwnerId":"6a793f48c0eb9e7a17712c99"`), false},
		"a key without roles":       {with(`"apiKey":{"desc":"x","roles":[]}`), false},
		"an account without secret": {with(`"serviceAccount":{"name":"x","description":"x","roles":["ORG_OWNER"]}`), false},
	} {
		before := w.organizations()
		rec := w.as(account.OrgOwner, "POST", "/api/atlas/v2/orgs", tt.body)
		if tt.ok && rec.Code != 201 || !tt.ok && rec.Code != 400 {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
		if made := w.organizations() - before; tt.ok && made != 1 || !tt.ok && made != 0 {
			t.Errorf("%s: %d organizations were made", name, made)
		}
	}
}

// organizations returns the number of organizations.
func (w *world) organizations() (n int) {
	for _, err := range w.store.AllOrganizations(w.t.Context()) {
		if err != nil {
			w.t.Fatal(err)
		}
		n++
	}
	return n
}
