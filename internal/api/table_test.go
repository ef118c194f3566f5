package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	diff "github.com/google/go-cmp/cmp"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket/bucketest"
)

var resultNames = map[resultKind]string{noResult: "nothing", jsonResult: "JSON", fileResult: "file",
	streamResult: "stream", textResult: "text"}

// roles lists the roles that may call an operation.
func (op *operation) roles() string {
	if op.caller == byClientSecret {
		return "by client secret"
	}
	if op.needs == anyRole {
		return "any"
	}
	var may []string
	p := account.Project{ID: projectID, Org: orgID}
	for _, role := range allRoles() {
		c := account.Credential{Roles: []account.Grant{{Org: orgID, Role: role}}}
		if strings.HasPrefix(string(role), "GROUP_") {
			c.Roles = []account.Grant{{Project: projectID, Role: role}}
		}
		if variablesOf(op.path)["orgId"] && c.MayInOrg(op.needs, orgID) || variablesOf(op.path)["groupId"] &&
			c.May(op.needs, &p) {
			may = append(may, string(role))
		}
	}
	if op.caller == orPublic {
		may = append(may, "(anybody, of a public log)")
	}
	if op.caller == orIngestToken {
		may = append(may, "(ingest tokens)")
	}
	return strings.Join(may, " ")
}

// TestTableOfOperations compares the whole table with a golden file. -update writes the file.
func TestTableOfOperations(t *testing.T) {
	var b strings.Builder
	for _, op := range new(Server).operations() {
		fmt.Fprintf(&b, "%s %s\n\tid: %s\n\tversions: %s\n\troles: %s\n\tresult: %s\n", op.method, op.path, op.id,
			cmp.Or(strings.Join(op.media.releases, ", "), "none"), op.roles(), resultNames[op.run.kind])
		if op.audit.needed() {
			fmt.Fprintf(&b, "\taudited as %s: %s\n", op.audit.event, op.audit.why)
		} else {
			fmt.Fprintf(&b, "\tnot audited: %s\n", op.audit.why)
		}
		var names []string
		for _, p := range slices.Concat(op.query, op.form.parameters) {
			names = append(names, p.name)
		}
		fmt.Fprintf(&b, "\tparameters: %s\n\tlimit: %s\n\n", cmp.Or(strings.Join(names, ", "), "none"),
			cmp.Or(op.limit, "none"))
	}
	file := filepath.Join("testdata", "operations.txt")
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := diff.Diff(string(want), b.String()); d != "" {
		t.Errorf("the table has changed (-want +got):\n%s", d)
	}
}

func TestEachRowIsComplete(t *testing.T) {
	ids := map[string]bool{}
	for _, op := range new(Server).operations() {
		if op.audit.why == "" || op.form == nil || op.run.run == nil || op.status == 0 || ids[op.id] {
			t.Errorf("%s: the row is incomplete, or its id is there twice", op.id)
		}
		ids[op.id] = true
		for name := range variablesOf(op.path) {
			if !slices.ContainsFunc(identifiers, func(i identifier) bool { return i.name == name }) {
				t.Errorf("%s: the form of {%s} is not known", op.id, name)
			}
		}
		if content := op.run.kind == fileResult || op.run.kind == streamResult; content && !op.audit.needed() {
			t.Errorf("%s: sends what a log holds, and is not audited", op.id)
		}
		if op.audit.needed() && (op.method != get || op.limit == "") {
			t.Errorf("%s: an audited read is a GET that has a limit", op.id)
		}
	}
}

// target returns the path of an operation, with the query that it needs.
func (op *operation) target(p place) string {
	query := map[string]string{"index": "?index=0", "from": "?from=0&to=0",
		"channel": "?channel=00000000-0000-0000-0000-000000000001"}[op.with]
	if op.audit.event == "proveDownload" {
		query = "?size=0"
	}
	if strings.HasPrefix(op.path, ownOrg) && p["orgId"] == orgID && p["logId"] == demoLog { // its log is another
		p = p.with(place{"logId": orgLog}, "logId")
	}
	return p.fill(op.path) + query
}

// home is a place in the callers' own organization with one thing of each kind.
func (w *world) home() place { return w.foreign(orgID, projectID) }

// filled is home, with an event in the audit log of the workspace and in that of the organization, and no waiting
// events.
func (w *world) filled() place {
	home := w.home()
	w.bearer(account.OrgOwner)
	w.fill(1)
	want[orgView](w.t, 200, w.as(account.OrgOwner, patch, orgV2, `{"name":"filled"}`))
	w.sequence()
	return home
}

// call calls an operation as a caller that may, or with other headers.
func (w *world) call(op operation, target string, headers ...string) *httptest.ResponseRecorder {
	owner := w.bearer(account.OrgOwner)
	if op.caller == byClientSecret {
		body := url.Values{"grant_type": {"client_credentials"}, "token": {strings.TrimPrefix(owner, "Bearer ")},
			"client_id": {w.callers[account.OrgOwner].ID}, "client_secret": {w.secrets[account.OrgOwner]},
			"redirect_uri": {"https://audit.example.com/"}}
		return w.do(op.method, target, body.Encode(),
			append(headers, "Content-Type: application/x-www-form-urlencoded")...)
	}
	headers = append(headers, "Authorization: "+owner, "Content-Type: application/json")
	if !slices.ContainsFunc(headers, func(h string) bool { return strings.HasPrefix(h, "Accept: ") }) {
		headers = append(headers, latest+","+download)
	}
	return w.do(op.method, target, op.goodBody(), headers...)
}

func (op *operation) goodBody() string {
	return cmp.Or(goodBodies[[2]string{op.method, op.path}], map[string]string{
		"createOrg": `{"name":"x"}`, "createGroup": `{"name":"x","orgId":"` + orgID + `"}`}[op.id])
}

// addQuery adds parameters to a target.
func addQuery(target, query string) string {
	if strings.Contains(target, "?") {
		return target + "&" + query
	}
	return target + "?" + query
}

// namesParameter tells whether an error names a parameter of the query.
func namesParameter(rec *httptest.ResponseRecorder, name string) bool {
	return rec.Code == 400 && strings.Contains(rec.Body.String(), name)
}

// Each operation refuses unknown parameters, which may be misspelt.
func TestUnknownParametersAreRefused(t *testing.T) {
	w := newWorld(t, Options{})
	home := w.home()
	all := []string{"startdate", "start_date", "dryRun", "Pretty", "index", "from", "size", "pageNum", "partial",
		"startDate", "client_secret", strings.Repeat("x", 60_000)}
	for _, op := range w.server.table {
		known := slices.Concat(op.query, op.form.parameters)
		for _, name := range all {
			if slices.ContainsFunc(known, func(p parameter) bool { return p.name == name }) ||
				strings.HasSuffix(op.path, "/proof") && len(name) < 6 {
				continue // it is known, or it selects another row
			}
			rec := w.call(op, addQuery(op.target(home), name+"=1"))
			if !namesParameter(rec, cut(name, maxName)) || rec.Body.Len() > 4096 {
				t.Errorf("%s with %.20s: %d, %d bytes: %.500s", op.id, name, rec.Code, rec.Body.Len(), rec.Body)
			}
			if code := rec.Header().Get("X-Error-Code"); op.form == atlasForm && code != "INVALID_QUERY_PARAMETER" {
				t.Errorf("%s with %.20s: %s", op.id, name, code)
			}
		}
	}
}

// Each operation refuses bad values of its parameters, and duplicates.
func TestBadParametersAreRefused(t *testing.T) {
	w := newWorld(t, Options{})
	home := w.home()
	bad := map[string]string{"integrationType": strings.Repeat("x", 65),
		"name": strings.Repeat("x", 65), "includeCount": "1",
		"q": "a+and", "facets": "who,", "columns": "who,",
		"endpointPath": strings.Repeat("x", maxName+1), "userId": strings.Repeat("x", maxName+1),
		"host": strings.Repeat("x", maxName+1), "source": strings.Repeat("x", maxName+1),
		"sourcetype": strings.Repeat("x", maxName+1), "index": strings.Repeat("x", maxName+1)}
	anything := []string{processorName.name, readBefore.name}
	for _, op := range w.server.table {
		for _, p := range slices.Concat(op.query, op.form.parameters) {
			target, _, _ := strings.Cut(op.target(home), "?")
			for _, query := range []string{p.name + "=" + cmp.Or(bad[p.name], "maybe"),
				p.name + "=1&" + p.name + "=1"} {
				once := strings.Count(query, p.name+"=") == 1
				if once && slices.Contains(anything, p.name) || !once && p.many {
					continue
				}
				if op.audit.event == "proveDownload" && p.name != treeSize.name {
					query += "&size=0"
				}
				if rec := w.call(op, addQuery(target, query)); !namesParameter(rec, p.name) {
					t.Errorf("%s?%s: %d %s", op.id, query, rec.Code, rec.Body)
				}
			}
		}
	}
}

// Each operation has the parameters of the document. It may also have weir's own, and those that most of Atlas's
// operations have.
func TestParametersAsPublished(t *testing.T) {
	more := map[string]bool{"partial": true, "conformance": true, "validate": true, "pretty": true, "includeCount": true}
	for _, o := range published().operations {
		var want, got []string
		for _, p := range o.Parameters {
			if p.Value.In == "query" && !more[p.Value.Name] {
				want = append(want, p.Value.Name)
			}
		}
		for _, op := range new(Server).operations() {
			if op.method != o.method || !sameTemplate(op.path, o.template) {
				continue
			}
			for _, p := range slices.Concat(op.query, op.form.parameters) {
				if !more[p.name] {
					got = append(got, p.name)
				}
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if d := diff.Diff(want, got); d != "" {
			t.Errorf("%s (-document +table):\n%s", o.OperationID, d)
		}
	}
}

// An attempt at an audited read is recorded once, with any outcome. Other reads write nothing.
func TestReadsAreAuditedAsTheTableSays(t *testing.T) {
	w := newWorld(t, Options{})
	home, malformed := w.filled(), place{}
	for name := range home {
		malformed[name] = "_%21"
	}
	for _, op := range w.server.table {
		if op.method != get {
			continue
		}
		want := 0
		if op.audit.needed() {
			want = 1
		}
		for name, ask := range map[string]func(){
			"good": func() {
				if rec := w.call(op, op.target(home)); rec.Code != op.status {
					t.Errorf("%s: %d %s", op.id, rec.Code, rec.Body)
				}
			},
			"a bad parameter": func() { w.call(op, addQuery(op.target(home), "x=1")) },
			"no such project": func() { w.call(op, op.target(home.with(nowhere, "groupId", "orgId"))) },
			"a bad name":      func() { w.call(op, op.target(malformed)) },
			"no role": func() {
				w.do(get, op.target(home), "", latest+","+download, "Authorization: "+w.bearer(account.OrgMember))
			},
		} {
			writes := 0
			w.faulty.Before = func(_ context.Context, did bucketest.Op, key string) error {
				if did == bucketest.PutNew && strings.HasPrefix(key, "wal/") {
					writes++
				}
				return nil
			}
			ask()
			if w.faulty.Before = nil; writes != want {
				t.Errorf("%s, %s: %d events, want %d", op.id, name, writes, want)
			}
		}
	}
}
