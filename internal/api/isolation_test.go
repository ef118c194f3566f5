package api

import (
	"fmt"
	"maps"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weirlog/weir/internal/account"
)

// roleNames are the roles that have what the document calls a role, by the names that it uses.
var roleNames = map[string][]account.Role{
	"Organization Owner":                   {account.OrgOwner},
	"Organization Member":                  account.Roles(true),
	"Organization Read Only":               {account.OrgOwner, account.OrgReadOnly},
	"Organization Stream Processing Admin": {account.OrgOwner, account.OrgStreamProcessingAdmin},
	"Project Owner":                        {account.OrgOwner, account.GroupOwner},
	"Project Access Manager":               {account.OrgOwner, account.GroupOwner},
	"Project Network Access Manager":       {account.OrgOwner, account.GroupOwner},
	"Project Stream Processing Manager":    {account.OrgOwner, account.GroupOwner, account.GroupStreamProcessingOwner},
	"Project Data Access Admin":            {account.OrgOwner, account.GroupOwner, account.GroupDataAccessAdmin},
	"Project Data Access Read Write":       {account.OrgOwner, account.GroupOwner, account.GroupDataAccessReadWrite},
	"Project Data Access Read Only":        {account.OrgOwner, account.GroupOwner, account.GroupDataAccessReadOnly},
	"Project Read Only": {account.OrgOwner, account.OrgReadOnly, account.OrgStreamProcessingAdmin, account.GroupOwner, account.GroupReadOnly,
		account.GroupDataAccessAdmin, account.GroupDataAccessReadWrite, account.GroupDataAccessReadOnly, account.GroupStreamProcessingOwner,
		account.GroupClusterManager, account.GroupSearchIndexEditor},
}

func allRoles() []account.Role { return append(account.Roles(true), account.Roles(false)...) }

// place fills in what an operation's path names.
type place map[string]string

var (
	variable = regexp.MustCompile(`\{(\w+(?:\.\.\.)?)\}`)
	nowhere  = place{"orgId": "6a793f48c0eb9e7a17712caa", "groupId": missingID, "tenantName": "demo", "apiUserId": "6a793f48c0eb9e7a17712cab",
		"clientId": "mdb_sa_id_6a793f48c0eb9e7a17712cac", "secretId": "6a793f48c0eb9e7a17712cad", "ipAddress": "192.0.2.7", "entryValue": "192.0.2.6",
		"logId": "6a793f48c0eb9e7a17712cae", "tile...": "0/000.p/1"}
)

func (p place) fill(path string) string {
	return variable.ReplaceAllStringFunc(path, func(v string) string { return p[v[1:len(v)-1]] })
}

// with returns p with some variables as in other.
func (p place) with(other place, names ...string) place {
	q := maps.Clone(p)
	for _, n := range names {
		q[n] = other[n]
	}
	return q
}

// anonymous returns a reply without the names that the caller itself sent.
func (p place) anonymous(rec *httptest.ResponseRecorder) string {
	text := fmt.Sprint(rec.Code, " ", rec.Header(), " ", rec.Body)
	for name, value := range p {
		if name != "tenantName" {
			text = strings.ReplaceAll(text, value, name)
		}
	}
	return text
}

// served lists method and path of all that is served for somebody authenticated.
func (s *Server) served() [][2]string {
	var all [][2]string
	for _, op := range s.operations() {
		all = append(all, [2]string{op.method, op.path})
	}
	add := func(method, path string, _ handler) { all = append(all, [2]string{method, path}) }
	s.addLogs(add)
	s.addProofs(add)
	return all
}

// foreign fills an organization, which the callers have nothing to do with, with one of everything.
func (w *world) foreign(org, project string) place {
	ctx := w.t.Context()
	sa, _ := account.NewServiceAccount(org, "x", []account.Grant{{Project: project, Role: account.GroupOwner}, {Org: org, Role: account.OrgOwner}}, now, time.Hour)
	key, _ := account.NewAPIKey(org, "x", sa.Roles, now)
	block, _ := account.ParseBlock("192.0.2.9")
	key.AccessList = []account.AccessEntry{{Block: block}}
	sa.AccessList = key.AccessList
	for _, c := range []account.Credential{sa, key} {
		if err := w.store.CreateCredential(ctx, c); err != nil {
			w.t.Fatal(err)
		}
	}
	p, err := w.store.UpdateProject(ctx, project, func(p *account.Project) error {
		p.Network = []account.NetworkEntry{{Block: "192.0.2.8/32"}}
		p.Workspaces[0].OperationalLog = account.NewID(now)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return place{"orgId": org, "groupId": project, "tenantName": "demo", "apiUserId": key.UserID, "clientId": sa.ID, "secretId": sa.Secrets[0].ID,
		"ipAddress": "192.0.2.9", "entryValue": "192.0.2.8", "logId": p.Workspaces[0].AuditLog, "tile...": "0/000.p/1"}
}

// TestI5Everywhere: for every role and everything that is served, what exists and is not the caller's to see looks exactly
// as what does not exist; and nothing of it is in any list.
func TestI5Everywhere(t *testing.T) {
	w := newWorld(t, Options{})
	const otherOrg = "6a793f48c0eb9e7a17712c01"
	const sibling = "6a793f48c0eb9e7a17712c9d" // of the callers' organization
	for _, p := range []account.Project{{ID: sibling, Org: orgID, Name: "sibling", Workspaces: []account.Workspace{{ID: "y", Name: "demo", AuditLog: "6a793f48c0eb9e7a17712f05"}}}} {
		if err := w.store.CreateProject(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	elsewhere, beside := w.foreign(otherOrg, otherID), w.foreign(orgID, sibling)
	home := place{"orgId": orgID, "groupId": projectID, "tenantName": "absent"}
	for _, role := range allRoles() {
		var own = &account.Credential{Roles: grants(orgID, "", []account.Role{role})}
		pairs := []struct {
			name         string
			there, where place
		}{
			{"another organization", elsewhere, nowhere},
			{"another organization's things, in one's own", elsewhere.with(home, "orgId", "groupId", "tenantName"), nowhere.with(home, "orgId", "groupId", "tenantName")},
		}
		if !strings.HasPrefix(string(role), "ORG_") || !own.May(account.See, &account.Project{ID: sibling, Org: orgID}) {
			pairs = append(pairs, struct {
				name         string
				there, where place
			}{"another project", beside.with(nowhere, "orgId", "apiUserId", "clientId"), nowhere})
		}
		for _, pair := range pairs {
			for _, op := range w.server.served() {
				for _, body := range []string{"", goodBodies[op[1]]} {
					if len(variable.FindAllString(op[1], -1)) == 0 {
						continue
					}
					there := pair.there.anonymous(w.as(role, op[0], pair.there.fill(op[1]), body))
					where := pair.where.anonymous(w.as(role, op[0], pair.where.fill(op[1]), body))
					if there != where {
						t.Errorf("%s, %s, %s %s:\n%s", role, pair.name, op[0], op[1], cmp.Diff(where, there))
					}
				}
			}
		}
		for _, list := range []string{"/api/atlas/v2/orgs", "/api/atlas/v2/groups", orgV2 + "/groups", orgV2 + "/apiKeys", groupV2 + "/apiKeys", groupV2 + "/serviceAccounts"} {
			rec := w.as(role, "GET", list, "")
			if strings.Contains(rec.Body.String(), otherOrg) || strings.Contains(rec.Body.String(), otherID) {
				t.Errorf("%s: %s shows another organization: %s", role, list, rec.Body)
			}
			if !own.May(account.See, &account.Project{ID: sibling, Org: orgID}) && strings.Contains(rec.Body.String(), sibling) {
				t.Errorf("%s: %s shows another project: %s", role, list, rec.Body)
			}
		}
	}
}

// goodBodies are bodies that get far.
var goodBodies = map[string]string{
	group:                            `{"name":"renamed"}`,
	orgPath:                          `{"name":"renamed"}`,
	group + "/apiKeys/{apiUserId}":   `[{"roles":["GROUP_READ_ONLY"]}]`,
	orgPath + "/apiKeys/{apiUserId}": `{"desc":"x"}`,
	group + "/serviceAccounts/{clientId}:invite":    `{"roles":["GROUP_READ_ONLY"]}`,
	group + "/serviceAccounts/{clientId}/secrets":   `{"secretExpiresAfterHours":8}`,
	orgPath + "/serviceAccounts/{clientId}/secrets": `{"secretExpiresAfterHours":8}`,
	ownGroup + "/logs/{logId}/document":             `{"public":true}`,
	ownOrg + "/logs/{logId}/document":               `{"public":true}`,
}

// TestRolesAsPublished: each operation is refused to exactly those roles that the document does not name.
func TestRolesAsPublished(t *testing.T) {
	w := newWorld(t, Options{})
	home := nowhere.with(place{"orgId": orgID, "groupId": projectID, "tenantName": "absent"}, "orgId", "groupId", "tenantName")
	checked := 0
	for _, op := range w.server.served() {
		path := home.fill(op[1])
		o, ok := published().find(op[0], path)
		if !ok {
			continue
		}
		names, _ := o.Extensions["x-rolesRequirements"].([]any)
		if len(names) == 0 {
			continue
		}
		checked++
		var may []account.Role
		for _, name := range names {
			roles, ok := roleNames[name.(string)]
			if !ok {
				t.Fatalf("%s: what is %s?", o.OperationID, name)
			}
			may = append(may, roles...)
		}
		for _, role := range allRoles() {
			accept := latest
			if strings.HasSuffix(o.OperationID, "Logs") {
				accept = "Accept: " + download
			}
			rec := w.do(op[0], path, "", accept, "Authorization: "+w.bearer(role))
			code := rec.Header().Get("X-Error-Code")
			refused := code == "USER_UNAUTHORIZED" || code == "GROUP_NOT_FOUND" || code == "ORG_NOT_FOUND"
			if refused == slices.Contains(may, role) {
				t.Errorf("%s by %s: %d %s", o.OperationID, role, rec.Code, code)
			}
		}
	}
	if checked < 45 {
		t.Errorf("only %d operations checked", checked)
	}
}
