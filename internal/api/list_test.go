package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/account"
)

func TestPages(t *testing.T) {
	w := newWorld(t, Options{})
	for i := range 4 {
		want[projectView](t, 200, w.as(account.OrgOwner, "POST", "/api/atlas/v2/groups",
			fmt.Sprintf(`{"name":"p%d","orgId":%q}`, i, orgID)))
	}
	const list = orgV2 + "/groups"
	for query, tt := range map[string]struct {
		results int
		links   string
	}{
		"": {5, "self " + list + "?itemsPerPage=100&pageNum=1"},
		"?itemsPerPage=2": {2, "self " + list + "?itemsPerPage=2&pageNum=1; next " + list +
			"?itemsPerPage=2&pageNum=2"},
		"?itemsPerPage=2&pageNum=3": {1, "self " + list + "?itemsPerPage=2&pageNum=3; previous " + list +
			"?itemsPerPage=2&pageNum=2"},
		"?pageNum=9": {0, "self " + list + "?itemsPerPage=100&pageNum=9; previous " + list +
			"?itemsPerPage=100&pageNum=8"},
	} {
		got := want[page[projectView]](t, 200, w.as(account.OrgOwner, "GET", list+query, ""))
		if len(got.Results) != tt.results || got.rels() != tt.links || *got.Total != 5 {
			t.Errorf("%s: %d results, %s", query, len(got.Results), got.rels())
		}
	}
	if got := want[page[projectView]](t, 200, w.as(account.OrgOwner, "GET",
		list+"?includeCount=false", "")); got.Total != nil {
		t.Errorf("counted: %+v", got)
	}
	for _, query := range []string{"itemsPerPage=0", "itemsPerPage=501", "pageNum=0", "pageNum=x", "includeCount=1",
		"envelope=yes", "pretty=2", "%zz"} {
		refusedAs(t, 400, "INVALID_QUERY_PARAMETER", w.as(account.OrgOwner, "GET", list+"?"+query, ""))
	}
	rec := w.as(account.OrgOwner, "GET", list+"?envelope=true&itemsPerPage=1", "")
	if got := want[map[string]any](t, 200, rec); got["status"] != 200.0 || got["totalCount"] != 5.0 ||
		got["results"] == nil || got["links"] == nil {
		t.Errorf("in an envelope: %v", got)
	}
	rec = w.as(account.OrgOwner, "GET", groupV2+"?envelope=true", "")
	if got := want[struct {
		Status  int
		Content projectView
	}](t, 200, rec); got.Status != 200 || got.Content.ID != projectID {
		t.Errorf("in an envelope: %s", rec.Body)
	}
	rec = w.as(account.OrgOwner, "GET", "/api/atlas/v2/groups/"+missingID+"?envelope=true&pretty=true", "")
	if rec.Code != 200 || !strings.Contains(rec.Body.String(), "\n  \"status\": 404") {
		t.Errorf("in an envelope: %s", rec.Body)
	}
	refusedAs(t, 406, "INVALID_VERSION_DATE", w.do("GET", list, "", "Authorization: "+w.bearer(account.OrgOwner)))
	refusedAs(t, 405, "METHOD_NOT_ALLOWED", w.as(account.OrgOwner, "PUT", list, "{}"))
}
