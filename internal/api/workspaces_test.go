package api

import (
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/account"
)

func TestWorkspaces(t *testing.T) {
	w := newWorld(t, Options{})
	owner := account.GroupOwner
	made := want[workspaceView](t, 200, w.as(owner, "POST", groupV2+"/streams",
		`{"name":"new","dataProcessRegion":{"cloudProvider":"AZURE","region":"eastus"},
		"streamConfig":{"tier":"SP10","maxTierSize":"SP50"},
		"failoverRegions":[{"cloudProvider":"AWS","region":"OHIO_USA"}],"sampleConnections":{"solar":true}}`))
	if made.Region != (regionView{"AZURE", "eastus"}) || *made.StreamConfig.Tier != "SP10" ||
		*made.StreamConfig.MaxTier != "SP50" || len(made.Failover) != 1 {
		t.Errorf("made %+v", made)
	}
	refusedAs(t, 409, "STREAM_TENANT_ALREADY_EXISTS_FOR_NAME", w.as(owner, "POST", groupV2+"/streams",
		`{"name":"new"}`))
	got := want[workspaceView](t, 200, w.as(account.GroupDataAccessReadOnly, "GET",
		groupV2+"/streams/new?includeConnections=true", ""))
	if got.ID != made.ID || got.Connections == nil {
		t.Errorf("got %+v", got)
	}
	refusedAs(t, 403, "USER_UNAUTHORIZED", w.as(account.GroupReadOnly, "GET", groupV2+"/streams/new", ""))
	if got := want[page[workspaceView]](t, 200, w.as(account.GroupReadOnly, "GET",
		groupV2+"/streams?itemsPerPage=100&pageNum=1", "")); len(got.Results) != 3 {
		t.Errorf("got %+v", got)
	}
	got = want[workspaceView](t, 200, w.as(account.GroupDataAccessAdmin, "PATCH", groupV2+"/streams/new",
		`{"cloudProvider":"AWS","region":"TOKYO_JPN","streamConfig":{"tier":"SP2"}}`))
	if got.Region != (regionView{"AWS", "TOKYO_JPN"}) || *got.StreamConfig.Tier != "SP2" ||
		*got.StreamConfig.MaxTier != "SP50" || got.Name != "new" {
		t.Errorf("got %+v", got)
	}
	if rec := w.as(account.GroupStreamProcessingOwner, "DELETE", groupV2+"/streams/new", ""); rec.Code != 202 ||
		rec.Body.String() != "{}" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	refusedAs(t, 404, "STREAM_TENANT_NOT_FOUND_FOR_NAME", w.as(owner, "GET", groupV2+"/streams/new", ""))
	for _, path := range []string{"/connections", "/connections/c", "/processor/p", "/processors",
		"/processor/p:start"} {
		rec := w.as(owner, "GET", groupV2+"/streams/demo"+path, "")
		refusedAs(t, 404, "RESOURCE_NOT_FOUND", rec)
		if !strings.Contains(rec.Body.String(), "stream engine") {
			t.Errorf("%s: %s", path, rec.Body)
		}
	}
}
