package api

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weirlog/weir/internal/account"
)

// A list of things that weir does not have is empty, in each version of the document.
func TestWhatWeirHasNoneOf(t *testing.T) {
	w := newWorld(t, Options{})
	for path, releases := range map[string][]string{
		groupV2 + "/teams":    {"2023-01-01"},
		groupV2 + "/users":    {"2023-01-01", "2025-02-19"},
		groupV2 + "/clusters": {"2023-01-01", "2023-02-01", "2024-08-05"},
		orgV2 + "/teams":      {"2023-01-01"},
		orgV2 + "/users":      {"2023-01-01", "2025-02-19"},
	} {
		for _, release := range releases {
			rec := w.do("GET", path+"?itemsPerPage=5&pageNum=2", "", "Authorization: "+w.bearer(account.OrgOwner),
				"Accept: application/vnd.atlas."+release+"+json")
			got := want[page[any]](t, 200, rec)
			if got.Results == nil || len(got.Results) != 0 || got.Total == nil || *got.Total != 0 || len(got.Links) != 2 {
				t.Errorf("%s: %s", path, rec.Body)
			}
			if kind := rec.Header().Get("Content-Type"); !strings.Contains(kind, release) {
				t.Errorf("%s of %s: %s", path, release, kind)
			}
		}
	}
	for path, body := range map[string]string{
		"/limits":        `[]`,
		"/managedSlowMs": `false`,
		"/ipAddresses":   `{"groupId":"` + projectID + `","services":{"clusters":[]}}`,
	} {
		if rec := w.as(account.GroupReadOnly, "GET", groupV2+path, ""); rec.Code != 200 || rec.Body.String() != body {
			t.Errorf("%s: %d %s, want %s", path, rec.Code, rec.Body, body)
		}
		enveloped := `{"content":` + body + `,"status":200}`
		if rec := w.as(account.GroupReadOnly, "GET", groupV2+path+"?envelope=true", ""); rec.Body.String() != enveloped {
			t.Errorf("%s: %s, want %s", path, rec.Body, enveloped)
		}
	}
	want[any](t, 200, w.as(account.OrgOwner, "GET", groupV2+"/users?flattenTeams=true&includeOrgUsers=true&"+
		"orgMembershipStatuses=PENDING&orgMembershipStatuses=ACTIVE&username=a%40example.org", ""))
}

// The list of rate limits has weir's only limit, with the operations that it counts.
func TestRateLimits(t *testing.T) {
	w := newWorld(t, Options{DownloadRate: 7})
	got := want[page[endpointSetView]](t, 200, w.as(account.OrgMember, "GET", base+"/rateLimits", ""))
	if len(got.Results) != 1 {
		t.Fatalf("got %+v", got)
	}
	set := got.Results[0]
	limits := []limitValue{set.Capacity, set.Refill, set.Seconds}
	if d := cmp.Diff([]limitValue{{7, 7}, {7, 7}, {60, 60}}, limits); d != "" {
		t.Error(d)
	}
	limited := map[endpointsView]bool{}
	for _, op := range w.server.table {
		if op.limit != "" {
			limited[endpointsView{op.method, op.path}] = true
		}
	}
	for _, e := range set.Endpoints {
		if !limited[e] {
			t.Errorf("%+v has no limit", e)
		}
		delete(limited, e)
	}
	if len(limited) != 0 {
		t.Errorf("not listed: %v", limited)
	}
	for query, n := range map[string]int{"name=LOGS": 1, "name=x": 0, "endpointPath=auditLogs": 1,
		"endpointPath=/teams": 0,
		"groupId=" + missingID + "&orgId=" + orgID + "&ipAddress=%3A%3A1&userId=" + missingID: 1} {
		got := want[page[endpointSetView]](t, 200, w.as(account.OrgMember, "GET", base+"/rateLimits?"+query, ""))
		if len(got.Results) != n || *got.Total != n {
			t.Errorf("%s: %d sets, want %d", query, len(got.Results), n)
		}
	}
	unlimited := newWorld(t, Options{})
	none := want[page[any]](t, 200, unlimited.as(account.OrgMember, "GET", base+"/rateLimits", ""))
	if len(none.Results) != 0 {
		t.Errorf("without a limit: %v", none.Results)
	}
}
