package api

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/account"
)

func TestAccessLists(t *testing.T) {
	w := newWorld(t, Options{})
	owner := account.OrgOwner
	key := want[keyView](t, 200, w.as(owner, "POST", orgV2+"/apiKeys", `{"desc":"ci","roles":["ORG_MEMBER"]}`))
	path := orgV2 + "/apiKeys/" + key.ID + "/accessList"
	got := want[page[accessView]](t, 200,
		w.as(owner, "POST", path, `[{"ipAddress":"192.0.2.1"},{"cidrBlock":"198.51.100.7/24"},`+
			`{"ipAddress":"2001:db8::1"},{"cidrBlock":"192.0.2.1/32"}]`))
	if len(got.Results) != 3 || got.Results[0].Address != "192.0.2.1" || got.Results[0].Block != "192.0.2.1/32" ||
		got.Results[1].Block != "198.51.100.7/24" {
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

// If owners change access lists, their own and each other's, and delete owners, one owner can always still sign in from
// where they are.
func TestAccessListsLeaveAnOwnerIn(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, Options{})
		var owners []account.Credential
		tokens := map[string]string{}
		for range rapid.IntRange(1, 3).Draw(rt, "owners") {
			sa, secret := account.NewServiceAccount(orgID, "owner", []account.Grant{{Org: orgID, Role: account.OrgOwner}},
				time.Now(), time.Hour)
			if err := w.store.CreateCredential(t.Context(), sa); err != nil {
				rt.Fatal(err)
			}
			owners, tokens[sa.ID] = append(owners, sa), w.signIn(sa.ID, secret)
		}
		in := func() (able []account.Credential) {
			for _, o := range owners {
				if w.by(tokens[o.ID], "PATCH", orgV2, `{"name":"o"}`).Code == 200 {
					able = append(able, o)
				}
			}
			return able
		}
		blocks := rapid.SampledFrom([]string{"203.0.113.24/32", "203.0.113.0/24", "198.51.100.0/24", "::/0"})
		for range rapid.IntRange(1, 12).Draw(rt, "changes") {
			caller := rapid.SampledFrom(in()).Draw(rt, "caller")
			which := rapid.SampledFrom(owners).Draw(rt, "which")
			path := orgV2 + "/serviceAccounts/" + which.ID
			var rec *httptest.ResponseRecorder
			switch rapid.SampledFrom([]string{"add", "add", "add", "remove", "delete", "step down", "lose the secret"}).
				Draw(rt, "change") {
			case "add":
				rec = w.by(tokens[caller.ID], "POST", path+"/accessList",
					fmt.Sprintf(`[{"cidrBlock":%q}]`, blocks.Draw(rt, "block")))
			case "remove":
				rec = w.by(tokens[caller.ID], "DELETE", path+"/accessList/"+url.PathEscape(blocks.Draw(rt, "block")), "")
			case "delete":
				rec = w.by(tokens[caller.ID], "DELETE", path, "")
			case "step down":
				rec = w.by(tokens[caller.ID], "PATCH", path, `{"roles":["ORG_MEMBER"]}`)
			case "lose the secret":
				rec = w.by(tokens[caller.ID], "DELETE", path+"/secrets/"+which.Secrets[0].ID, "")
			}
			if len(in()) == 0 {
				rt.Fatalf("%d %s, and no owner can sign in", rec.Code, rec.Body)
			}
		}
	})
}
