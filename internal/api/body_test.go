package api

import (
	"slices"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/account"
)

func TestBadBodies(t *testing.T) {
	w := newWorld(t, Options{})
	owner := account.OrgOwner
	for _, tt := range []struct {
		method, path, body string
		code               string
		fields             []string
	}{
		{"POST", "/api/atlas/v2/groups", `{"name":"x"`, "INVALID_JSON", nil},
		{"POST", "/api/atlas/v2/groups", "{\"name\":\"\xff\"}", "INVALID_JSON", nil},
		{"POST", "/api/atlas/v2/groups", `{}`, "MISSING_ATTRIBUTE", []string{"name", "orgId"}},
		{"POST", "/api/atlas/v2/groups", `null`, "MISSING_ATTRIBUTE", []string{"name", "orgId"}},
		{"POST", "/api/atlas/v2/groups", `{"name":7,"orgId":"` + orgID + `"}`, "INVALID_ATTRIBUTE", []string{"name"}},
		{"POST", "/api/atlas/v2/groups", `{"name":"a b","orgId":"x"}`, "INVALID_ATTRIBUTE", []string{"name", "orgId"}},
		{"POST", "/api/atlas/v2/groups", `{"name":"a","orgId":"` + orgID + `","tags":[{"key":""}]}`,
			"INVALID_ATTRIBUTE", []string{"tags"}},
		{"PATCH", groupV2, `{"name":""}`, "INVALID_ATTRIBUTE", []string{"name"}},
		{"PATCH", groupV2, `[]`, "INVALID_ATTRIBUTE", []string{"body"}},
		{"PATCH", orgV2, `{}`, "MISSING_ATTRIBUTE", []string{"name"}},
		{"POST", "/api/atlas/v2/orgs", `{"name":"x","apiKey":{}}`, "MISSING_ATTRIBUTE",
			[]string{"apiKey.desc", "apiKey.roles"}},
		{"POST", groupV2 + "/streams", `{}`, "MISSING_ATTRIBUTE", []string{"name"}},
		{"POST", groupV2 + "/streams", `{"name":"a/b"}`, "INVALID_ATTRIBUTE", []string{"name"}},
		{"POST", groupV2 + "/streams", `{"name":"` + strings.Repeat("x", 65) + `"}`, "INVALID_ATTRIBUTE",
			[]string{"name"}},
		{"POST", groupV2 + "/streams", `{"name":"a","dataProcessRegion":{"cloudProvider":"AWS","region":"eastus"}}`,
			"INVALID_ATTRIBUTE", []string{"dataProcessRegion.region"}},
		{"POST", groupV2 + "/streams", `{"name":"a","dataProcessRegion":{"cloudProvider":"AWS"}}`, "MISSING_ATTRIBUTE",
			[]string{"dataProcessRegion.region"}},
		{"POST", groupV2 + "/streams", `{"name":"a","streamConfig":{"tier":"SP99"}}`, "INVALID_ATTRIBUTE",
			[]string{"streamConfig.tier"}},
		{"POST", groupV2 + "/streams", `{"name":"a","streamConfig":{"tier":1}}`, "INVALID_ATTRIBUTE",
			[]string{"streamConfig.tier"}},
		{"PATCH", groupV2 + "/streams/demo", `{"processorStatus":{"status":"STARTED"}}`, "INVALID_ATTRIBUTE",
			[]string{"processorStatus"}},
		{"POST", orgV2 + "/apiKeys", `{"desc":"x","roles":["GROUP_OWNER"]}`, "INVALID_ATTRIBUTE", []string{"roles"}},
		{"POST", orgV2 + "/apiKeys", `{"desc":"x","roles":[]}`, "MISSING_ATTRIBUTE", []string{"roles"}},
		{"POST", groupV2 + "/apiKeys", `{"desc":"x","roles":["ORG_OWNER"]}`, "INVALID_ATTRIBUTE", []string{"roles"}},
		{"POST", groupV2 + "/apiKeys", `{"desc":"x","roles":"GROUP_OWNER"}`, "INVALID_ATTRIBUTE", []string{"roles"}},
		{"POST", orgV2 + "/serviceAccounts",
			`{"name":"a;b","description":"","roles":["ORG_OWNER"],"secretExpiresAfterHours":0}`, "INVALID_ATTRIBUTE",
			[]string{"secretExpiresAfterHours", "name", "description"}},
		{"POST", groupV2 + "/accessList", `[{"ipAddress":"192.0.2.1","deleteAfterDate":"tomorrow"}]`,
			"INVALID_ATTRIBUTE", []string{"deleteAfterDate"}},
		{"POST", groupV2 + "/accessList", `[{"ipAddress":"192.0.2.1","deleteAfterDate":5}]`, "INVALID_ATTRIBUTE",
			[]string{"deleteAfterDate"}},
		{"POST", groupV2 + "/accessList", `[{"ipAddress":"fe80::1%eth0"}]`, "INVALID_ATTRIBUTE", []string{"ipAddress"}},
	} {
		rec := w.as(owner, tt.method, tt.path, tt.body)
		refusedAs(t, 400, tt.code, rec)
		got := want[struct {
			BadRequestDetail struct{ Fields []field }
		}](t, 400, rec)
		var fields []string
		for _, f := range got.BadRequestDetail.Fields {
			fields = append(fields, f.Field)
		}
		if !slices.Equal(fields, tt.fields) {
			t.Errorf("%s: fields %q: %s", tt.body, fields, rec.Body)
		}
	}
	rec := w.do("POST", groupV2+"/streams", "name=x", latest, "Authorization: "+w.bearer(owner),
		"Content-Type: application/x-www-form-urlencoded")
	refusedAs(t, 415, "UNSUPPORTED_MEDIA_TYPE", rec)
	rec = w.do("POST", groupV2+"/streams", `{"name":"typed"}`, latest, "Authorization: "+w.bearer(owner),
		"Content-Type: application/vnd.atlas.2023-02-01+json")
	want[workspaceView](t, 200, rec)
	refusedAs(t, 413, "REQUEST_TOO_LARGE", w.as(owner, "POST", groupV2+"/streams", `{"name":"`+strings.Repeat("x",
		maxBody)+`"}`))
}
