package api

import (
	"context"
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
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/deliver/places"
	"github.com/weirlog/weir/internal/deliver/setup"
	"github.com/weirlog/weir/internal/deliver/webhook"
	"github.com/weirlog/weir/internal/source"
)

// roleNames are the roles that the document means, by the names that it uses.
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
	"Project Read Only": {account.OrgOwner, account.OrgReadOnly, account.OrgStreamProcessingAdmin, account.GroupOwner,
		account.GroupReadOnly,
		account.GroupDataAccessAdmin, account.GroupDataAccessReadWrite, account.GroupDataAccessReadOnly,
		account.GroupStreamProcessingOwner,
		account.GroupClusterManager, account.GroupSearchIndexEditor},
}

func allRoles() []account.Role { return append(account.Roles(true), account.Roles(false)...) }

// place has values for the variables of an operation's path.
type place map[string]string

// nowhere names things that do not exist. The names are as long as those of existing things, since replies repeat them.
var (
	variable = regexp.MustCompile(`\{(\w+(?:\.\.\.)?)\}`)
	nowhere  = place{"orgId": "6a793f48c0eb9e7a17712caa", "groupId": missingID, "groupName": "missing",
		"tenantName": "demo",
		"apiUserId":  "6a793f48c0eb9e7a17712cab",
		"clientId":   "mdb_sa_id_6a793f48c0eb9e7a17712cac", "secretId": "6a793f48c0eb9e7a17712cad",
		"tokenId": "weir_6a793f48c0eb9e7a17712caf",
		"alertId": "6a793f48c0eb9e7a17712ca1", "notifierId": "6a793f48c0eb9e7a17712ca2",
		"sourceId":      "6a793f48c0eb9e7a17712cba",
		"integrationId": "6a793f48c0eb9e7a17712cb0",
		"ipAddress":     "192.0.2.7", "entryValue": "192.0.2.6",
		"logId": "6a793f48c0eb9e7a17712cae", "tile...": "0/000.p/1"}
)

func (p place) fill(path string) string {
	return variable.ReplaceAllStringFunc(path, func(v string) string { return p[v[1:len(v)-1]] })
}

// with returns p with some variables from other.
func (p place) with(other place, names ...string) place {
	q := maps.Clone(p)
	for _, n := range names {
		q[n] = other[n]
	}
	return q
}

// anonymous returns a reply without the names that the caller sent.
func (p place) anonymous(rec *httptest.ResponseRecorder) string {
	text := fmt.Sprint(rec.Code, " ", rec.Header(), " ", rec.Body)
	for name, value := range p {
		if name != "tenantName" {
			text = strings.ReplaceAll(text, value, name)
		}
	}
	return text
}

// served lists the methods and paths of all operations with authentication, without duplicates.
func (s *Server) served() [][2]string {
	var all [][2]string
	for _, op := range s.table {
		if at := [2]string{op.method, op.path}; op.caller != byClientSecret && !slices.Contains(all, at) {
			all = append(all, at)
		}
	}
	return all
}

// foreign fills an organization in which the callers have no roles with one thing of each kind.
func (w *world) foreign(org, project string) place {
	ctx := w.t.Context()
	sa, _ := account.NewServiceAccount(org, "x", []account.Grant{{Project: project, Role: account.GroupOwner},
		{Org: org, Role: account.OrgOwner}}, now, time.Hour)
	key, _ := account.NewAPIKey(org, "x", sa.Roles, now)
	block, _ := account.ParseBlock("192.0.2.9")
	key.AccessList = []account.AccessEntry{{Block: block}}
	sa.AccessList = key.AccessList
	token, _ := account.NewIngestToken(&account.Project{ID: project, Org: org}, nil, "x", now, 0)
	token.AccessList = key.AccessList
	for _, c := range []account.Credential{sa, key, token} {
		if err := w.store.CreateCredential(ctx, c); err != nil {
			w.t.Fatal(err)
		}
	}
	alertID, notifierID := w.alerts(project)
	from := source.Source{ID: account.NewID(now), Project: project, Name: "x", Type: source.Atlas,
		Atlas: &source.AtlasSettings{URL: "https://example.org", ClientID: "a"}}
	if err := w.options.Sources.Add(ctx, from); err != nil {
		w.t.Fatal(err)
	}
	p, err := w.store.UpdateProject(ctx, project, func(p *account.Project) error {
		p.Network = []account.NetworkEntry{{Block: "192.0.2.8/32"}}
		p.Workspaces[0].OperationalLog = account.NewID(now)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return place{"orgId": org, "groupId": project, "groupName": p.Name, "tenantName": "demo", "apiUserId": key.UserID,
		"clientId": sa.ID,
		"secretId": sa.Secrets[0].ID,
		"tokenId":  token.ID,
		"alertId":  alertID, "notifierId": notifierID,
		"sourceId":      from.ID,
		"integrationId": w.integration(project),
		"ipAddress":     "192.0.2.9", "entryValue": "192.0.2.8", "logId": p.Workspaces[0].AuditLog, "tile...": "0/000.p/1"}
}

// integration creates a log integration in a project, and returns its id.
func (w *world) integration(project string) string {
	w.t.Helper()
	settings := places.Empty("WEBHOOK_LOG_EXPORT").(*webhook.Settings)
	settings.URL, settings.Secret = "https://example.org", testSecret
	d := deliver.Delivery{ID: account.NewID(now), Project: project, Type: "WEBHOOK_LOG_EXPORT",
		LogTypes: []string{setup.StreamsAudit}}
	var err error
	if d.Settings, err = places.Hide(w.deliveries.Box, &d, settings); err == nil {
		err = w.deliveries.Create(w.t.Context(), d, setup.Start{})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return d.ID
}

const testSecret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

// I5: for every role and operation, things that the caller may not see get exactly the same reply as things that do not
// exist, in any form of request, and cause as many writes. Nothing of them is in any reply.
func TestOtherProjectsStayInvisible(t *testing.T) {
	w := newWorld(t, Options{})
	const otherOrg = "6a793f48c0eb9e7a17712c01"
	const sibling = "6a793f48c0eb9e7a17712c9d" // of the callers' organization
	p := account.Project{ID: sibling, Org: orgID, Name: "sibling",
		Workspaces: []account.Workspace{{ID: "y", Name: "demo", AuditLog: "6a793f48c0eb9e7a17712f05"}}}
	if err := w.store.CreateProject(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	elsewhere, beside := w.foreign(otherOrg, otherID), w.foreign(orgID, sibling)
	home := place{"orgId": orgID, "groupId": projectID, "tenantName": "absent"}
	atHome := func(p place) place { return p.with(home, "orgId", "groupId", "tenantName") }
	type pair struct {
		name         string
		there, where place
	}
	turn := 0
	for _, role := range allRoles() {
		own := &account.Credential{Roles: []account.Grant{{Org: orgID, Role: role}}}
		pairs := []pair{
			{"another organization", elsewhere, nowhere},
			{"another organization's things, in one's own", atHome(elsewhere), atHome(nowhere)},
		}
		hidden := []string{otherOrg, otherID, elsewhere["apiUserId"], elsewhere["clientId"], elsewhere["secretId"],
			elsewhere["tokenId"], elsewhere["sourceId"], elsewhere["logId"], elsewhere["alertId"], elsewhere["notifierId"],
			elsewhere["integrationId"]}
		if !own.May(account.See, &p) {
			pairs = append(pairs,
				pair{"another project", beside.with(nowhere, "orgId", "apiUserId", "clientId"), nowhere},
				// An owner may assign any API key of the organization, and so may use its id.
				pair{"another project's things, in one's own", atHome(beside).with(nowhere, "apiUserId"),
					atHome(nowhere)})
			hidden = append(hidden, sibling, beside["logId"])
		}
		for _, pair := range pairs {
			for _, op := range w.server.served() {
				if pair.there.fill(op[1]) != pair.where.fill(op[1]) {
					w.alike(role, "Authorization: "+w.bearer(role), pair.name, op, pair.there, pair.where, turn)
					if role == account.GroupOwner && op[0] != "GET" {
						w.alike(role, w.session(role), pair.name+", in a session", op, pair.there, pair.where, turn)
					}
					turn++
				}
			}
		}
		for _, op := range w.server.served() {
			if op[0] != "GET" || len(variable.FindAllString(op[1], -1)) > 1 {
				continue
			}
			text := w.as(role, "GET", home.fill(op[1]), "").Body.String()
			for _, name := range hidden {
				if strings.Contains(text, name) {
					t.Errorf("%s: %s shows %s, which is not for it: %s", role, op[1], name, text)
				}
			}
		}
		there := w.as(role, "POST", "/api/atlas/v2/groups", `{"name":"x","orgId":"`+otherOrg+`"}`)
		where := w.as(role, "POST", "/api/atlas/v2/groups", `{"name":"x","orgId":"`+nowhere["orgId"]+`"}`)
		if place(place{"orgId": otherOrg}).anonymous(there) != nowhere.anonymous(where) {
			t.Errorf("%s can tell another organization by making a project in it: %s, %s", role, there.Body, where.Body)
		}
	}
}

// ofOthers matches the keys of objects that a caller may not see. Objects of the caller, of its organization and of the
// visible project are read again from time to time, in any request.
var ofOthers = regexp.MustCompile("^(orgs|projects|directory|logs|wal|deliveries|deliverystate)/")

// alike checks that requests for a thing in one place get the same replies as for a thing in another, in all forms.
// With -short it tests a third of the forms, another third each time.
func (w *world) alike(role account.Role, authorization, what string, op [2]string, there, where place, turn int) {
	w.t.Helper()
	any, good := latest+","+download, goodBodies[op]
	own := w.callers[role]
	// If the caller may see neither place, the request is refused before any look-up, except reads and writes of logs,
	// which are recorded.
	blind := !own.MightSee(there["groupId"]) && !own.MayInOrg(account.SeeOrg, there["orgId"]) &&
		!strings.Contains(strings.ToLower(op[1]), "logs")
	for i, form := range []struct{ method, query, body, accept string }{
		{op[0], "", good, any},
		{op[0], "", "", any},
		{op[0], "", "[", any},
		{op[0], "", good, "Accept: */*"},
		{op[0], "?envelope=true&pretty=true", good, any},
		{op[0], "?index=0", good, any},
		{op[0], "?from=0&to=0", good, any},
		{op[0], "?size=0", good, any},
		{op[0], "?pageNum=0&startDate=x", good, any},
		{"HEAD", "", "", any},
	} {
		if testing.Short() && (i+turn)%10 != 0 {
			continue
		}
		ask := func(p place) (reply string, cost int) {
			w.server.refusals.flush() // so that the refusal is not counted as a repeat
			w.faulty.Before = func(_ context.Context, op bucketest.Op, key string) error {
				if op == bucketest.Put || op == bucketest.PutNew || blind && ofOthers.MatchString(key) &&
					!strings.HasPrefix(key, "orgs/"+orgID) && !strings.HasPrefix(key, "projects/"+projectID) {
					cost++
				}
				return nil
			}
			defer func() { w.faulty.Before = nil }()
			rec := w.do(form.method, p.fill(op[1])+form.query, form.body, form.accept, authorization,
				"Content-Type: application/json")
			return p.anonymous(rec), cost
		}
		a, costThere := ask(there)
		b, costWhere := ask(where)
		if a != b || costThere != costWhere {
			w.t.Errorf("%s, %s, %s %s %+v: %d operations on the bucket, %d where nothing is\n%s", role, what, op[0],
				op[1], form, costThere, costWhere, cmp.Diff(b, a))
		}
	}
}

const service = group + "/serviceAccounts/{clientId}"

const goodIntegration = `{"type":"WEBHOOK_LOG_EXPORT","logTypes":["STREAMS_AUDIT"],` +
	`"webhookUrl":"https://example.org/hook","webhookSecret":"` + testSecret + `"}`

// goodBodies are bodies that pass all checks of form, by method and path.
var goodBodies = map[[2]string]string{
	{"PATCH", group}:                          `{"name":"renamed"}`,
	{"PATCH", orgPath}:                        `{"name":"renamed"}`,
	{"POST", group + "/accessList"}:           `[{"ipAddress":"192.0.2.1"}]`,
	{"POST", group + "/apiKeys"}:              `{"desc":"x","roles":["GROUP_OWNER"]}`,
	{"POST", group + "/apiKeys/{apiUserId}"}:  `[{"roles":["GROUP_READ_ONLY"]}]`,
	{"PATCH", group + "/apiKeys/{apiUserId}"}: `{"desc":"x","roles":["GROUP_OWNER"]}`,
	{"POST", group + "/serviceAccounts"}: `{"name":"x","description":"x","roles":["GROUP_OWNER"],` +
		`"secretExpiresAfterHours":8}`,
	{"PATCH", service}:                          `{"name":"x","roles":["GROUP_OWNER"]}`,
	{"POST", service + ":invite"}:               `{"roles":["GROUP_READ_ONLY"]}`,
	{"POST", service + "/secrets"}:              `{"secretExpiresAfterHours":8}`,
	{"POST", service + "/accessList"}:           `[{"ipAddress":"192.0.2.1"}]`,
	{"POST", tenants}:                           `{"name":"made"}`,
	{"PATCH", tenant}:                           `{"streamConfig":{"tier":"SP2"}}`,
	{"POST", tenant + "/auditLogs"}:             `{"time":1786331578000,"class_uid":0}`,
	{"POST", tenant + ":recordOperationalLogs"}: `{"time":1786331578000}`,
	{"POST", ownGroup + "/ingestTokens"}:        `{"name":"x"}`,
	{"POST", ownGroup + "/alerts"}: `{"name":"made","kind":"threshold","query":"outcome:failure","count":5,` +
		`"within":"10m","by":["from"],"notify":["filled"]}`,
	{"PATCH", ownGroup + "/alerts/{alertId}"}: `{"count":6}`,
	{"POST", ownGroup + "/alertNotifiers"}: `{"name":"made","type":"SMTP","address":"mail.example.org:587",` +
		`"from":"weir@example.org","to":["Ops <ops@example.org>"],"username":"weir","secret":"sesame"}`,
	{"PATCH", ownGroup + "/alertNotifiers/{notifierId}"}:                  `{"url":"https://hooks.example.org/2"}`,
	{"POST", ownGroup + "/sources"}:                                       goodSource,
	{"PATCH", ownGroup + "/sources/{sourceId}"}:                           `{"paused":true}`,
	{"POST", ownTenant + "/hec/services/collector"}:                       `{"event":"x"}`,
	{"POST", ownTenant + "/hec/services/collector/event"}:                 `{"event":"x"}`,
	{"POST", ownTenant + "/hec/services/collector/event/1.0"}:             `{"event":"x"}`,
	{"POST", ownTenant + "/hec/services/collector/raw"}:                   `x`,
	{"POST", ownTenant + "/hec/services/collector/raw/1.0"}:               `x`,
	{"POST", ownTenant + "/hec/services/collector/ack"}:                   `{"acks":[1]}`,
	{"POST", group + "/logIntegrations"}:                                  goodIntegration,
	{"PUT", group + "/logIntegrations/{integrationId}"}:                   goodIntegration,
	{"POST", ownGroup + "/logIntegrations/{integrationId}:pause"}:         `{}`,
	{"POST", ownGroup + "/logIntegrations/{integrationId}:resume"}:        `{}`,
	{"POST", ownGroup + "/logIntegrations/{integrationId}:replay"}:        `{"from":"beginning"}`,
	{"POST", ownGroup + "/logIntegrations/{integrationId}:retryParked"}:   `{}`,
	{"POST", ownGroup + "/logIntegrations/{integrationId}:discardParked"}: `{}`,
	{"POST", ownTenant + "/otlp/v1/logs"}: `{"resourceLogs":[{"scopeLogs":[{"logRecords":[` +
		`{"timeUnixNano":"1786331578000000000","body":{"stringValue":"x"}}]}]}]}`,
	{"PATCH", ownGroup + "/settings"}:         `{"legalHold":true}`,
	{"POST", group + "/managedSlowMs/enable"}: `{}`,
	{"PATCH", group + "/settings"}:            `{"isDataExplorerEnabled":true}`,
	{"PATCH", orgPath + "/settings"}:          `{"genAIFeaturesEnabled":false}`,

	{"PATCH", ownGroup + "/logs/{logId}/document"}: `{"public":true}`,
	{"PATCH", ownOrg + "/logs/{logId}/document"}:   `{"public":true}`,

	{"POST", ownGroup + "/ingestTokens/{tokenId}/accessList"}: `[{"ipAddress":"192.0.2.1"}]`,

	{"POST", ownOrg + "/failedSignIns:forget"}:            `{"ipAddress":"192.0.2.1"}`,
	{"POST", orgPath + "/apiKeys"}:                        `{"desc":"x","roles":["ORG_OWNER"]}`,
	{"PATCH", orgPath + "/apiKeys/{apiUserId}"}:           `{"desc":"x"}`,
	{"POST", orgPath + "/apiKeys/{apiUserId}/accessList"}: `[{"ipAddress":"192.0.2.1"}]`,
	{"POST", orgPath + "/serviceAccounts"}: `{"name":"x","description":"x",` +
		`"roles":["ORG_OWNER"],"secretExpiresAfterHours":8}`,
	{"PATCH", orgPath + "/serviceAccounts/{clientId}"}:           `{"name":"x"}`,
	{"POST", orgPath + "/serviceAccounts/{clientId}/secrets"}:    `{"secretExpiresAfterHours":8}`,
	{"POST", orgPath + "/serviceAccounts/{clientId}/accessList"}: `[{"ipAddress":"192.0.2.1"}]`,
}

// Every operation that changes something has a good body.
func TestGoodBodiesAreComplete(t *testing.T) {
	w := newWorld(t, Options{})
	for _, op := range w.server.served() {
		_, ok := goodBodies[op]
		if needs := (op[0] == "POST" || op[0] == "PUT" || op[0] == "PATCH") && variable.MatchString(op[1]); needs != ok {
			t.Errorf("%s %s: has a body %t, needs one %t", op[0], op[1], ok, needs)
		}
	}
}

// TestRolesAsPublished checks that each operation is refused to exactly those roles that the document does not name.
func TestRolesAsPublished(t *testing.T) {
	w := newWorld(t, Options{})
	home := nowhere.with(place{"orgId": orgID, "groupId": projectID, "tenantName": "absent"}, "orgId", "groupId",
		"tenantName")
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
			for _, authorization := range []string{"Authorization: " + w.bearer(role), w.session(role)} {
				rec := w.do(op[0], path, "", accept, authorization)
				code := rec.Header().Get("X-Error-Code")
				refused := code == "USER_UNAUTHORIZED" || code == "GROUP_NOT_FOUND" || code == "ORG_NOT_FOUND"
				if refused == slices.Contains(may, role) && code != "SESSION_RECORDS_NOTHING" {
					t.Errorf("%s by %s: %d %s", o.OperationID, role, rec.Code, code)
				}
			}
		}
	}
	if checked < 45 {
		t.Errorf("only %d operations checked", checked)
	}
}
