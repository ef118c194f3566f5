package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weirlog/weir/internal/account"
)

func settingsIn(t *testing.T, text string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestSettingsAreKept checks that an updated setting is shown from then on, by other nodes too, and that others stay.
func TestSettingsAreKept(t *testing.T) {
	for _, tt := range []struct {
		path    string
		unset   string
		updates []string
	}{
		{groupV2 + "/settings", `{"isClusterAiAssistantEnabled":false,
			"isCollectDatabaseSpecificsStatisticsEnabled":false,"isDataExplorerEnabled":false,
			"isDataExplorerGenAIFeaturesEnabled":false,"isDataExplorerGenAISampleDocumentPassingEnabled":false,
			"isDataValidationEnabled":false,"isExtendedStorageSizesEnabled":false,"isNativeRerankingEnabled":false,
			"isPerformanceAdvisorEnabled":false,"isRealtimePerformancePanelEnabled":false,
			"isSchemaAdvisorEnabled":false}`,
			[]string{`{}`, `{"isDataExplorerEnabled":true}`, `{"isSchemaAdvisorEnabled":true,"isDataExplorerEnabled":false}`}},
		{orgV2 + "/settings", `{"apiAccessListRequired":false,"genAIFeaturesEnabled":true,
			"multiFactorAuthRequired":false,"restrictEmployeeAccess":false,"streamsCrossGroupEnabled":false}`,
			[]string{`{"securityContact":"","apiAccessListRequired":false}`,
				`{"genAIFeaturesEnabled":false,"securityContact":" Ä<\"@example.org "}`,
				`{"customSessionTimeouts":{"absoluteSessionTimeoutInSeconds":43200}}`,
				`{"customSessionTimeouts":{"idleSessionTimeoutInSeconds":600}}`,
				`{"operationsContact":"ops@example.org","maxServiceAccountSecretValidityInHours":8}`,
				`{"operationsContact":null,"multiFactorAuthRequired":true,"maxServiceAccountSecretValidityInHours":8760}`}},
	} {
		w := newWorld(t, Options{})
		model := settingsIn(t, tt.unset)
		for _, update := range append([]string{""}, tt.updates...) {
			if update != "" {
				maps.Copy(model, settingsIn(t, update))
				if d := cmp.Diff(model, want[map[string]any](t, 200, w.as(account.OrgOwner, "PATCH", tt.path, update))); d != "" {
					t.Errorf("PATCH %s %s (-want +got):\n%s", tt.path, update, d)
				}
			}
			for _, node := range []*Server{w.server, w.another()} {
				w.server = node
				if d := cmp.Diff(model, want[map[string]any](t, 200, w.as(account.OrgOwner, "GET", tt.path, ""))); d != "" {
					t.Errorf("GET %s after %s (-want +got):\n%s", tt.path, update, d)
				}
			}
		}
	}
}

// An unknown setting, or one that weir could not fulfil, is refused, and nothing changes.
func TestSettingsThatAreRefused(t *testing.T) {
	w := newWorld(t, Options{})
	for _, tt := range []struct{ path, body, field string }{
		{groupV2, `{"isDataExplorerEnabled":true,"isUnknown":true}`, "isUnknown"},
		{groupV2, `{"isDataExplorerEnabled":"true"}`, "isDataExplorerEnabled"},
		{groupV2, `{"isDataExplorerEnabled":null}`, "isDataExplorerEnabled"},
		{groupV2, `{"legalHold":true}`, "legalHold"},
		{groupV2, `[]`, "body"},
		{orgV2, `{"genAIFeaturesEnabled":false,"apiAccessListRequired":true}`, "apiAccessListRequired"},
		{orgV2, `{"securityContact":null}`, "securityContact"},
		{orgV2, `{"securityContact":"` + strings.Repeat("x", maxContact+1) + `"}`, "securityContact"},
		{orgV2, `{"maxServiceAccountSecretValidityInHours":7}`, maxSecretLife},
		{orgV2, `{"maxServiceAccountSecretValidityInHours":8761}`, maxSecretLife},
		{orgV2, `{"maxServiceAccountSecretValidityInHours":8.5}`, maxSecretLife},
		{orgV2, `{"customSessionTimeouts":{"idle":1}}`, "customSessionTimeouts"},
		{orgV2, `{"customSessionTimeouts":null}`, "customSessionTimeouts"},
		{orgV2, `{"operationsContact":5}`, "operationsContact"},
	} {
		before := w.as(account.OrgOwner, "GET", tt.path+"/settings", "").Body.String()
		rec := w.as(account.OrgOwner, "PATCH", tt.path+"/settings", tt.body)
		refusedAs(t, 400, "INVALID_ATTRIBUTE", rec)
		if !strings.Contains(rec.Body.String(), `"field":"`+tt.field+`"`) {
			t.Errorf("%s: %s", tt.body, rec.Body)
		}
		if after := w.as(account.OrgOwner, "GET", tt.path+"/settings", "").Body.String(); after != before {
			t.Errorf("%s changed %s to %s", tt.body, before, after)
		}
	}
	many := make([]string, 100_000)
	for i := range many {
		many[i] = fmt.Sprintf(`"%d":1`, i)
	}
	if rec := w.as(account.OrgOwner, "PATCH", orgV2+"/settings", "{"+strings.Join(many, ",")+"}"); rec.Code != 400 ||
		rec.Body.Len() > 64<<10 {
		t.Errorf("%d, %d bytes", rec.Code, rec.Body.Len())
	}
}

// A change of settings is recorded with the settings before and after, in the logs that it concerns.
func TestChangesOfSettingsAreRecorded(t *testing.T) {
	w := newWorld(t, Options{})
	want[any](t, 200, w.as(account.OrgOwner, "PATCH", orgV2+"/settings", `{"genAIFeaturesEnabled":false}`))
	want[any](t, 200, w.as(account.GroupOwner, "PATCH", groupV2+"/settings", `{"isDataExplorerEnabled":true}`))
	for path, operations := range map[string][]string{
		ownOrg:   {"updateOrgSettings", "updateGroupSettings"},
		ownGroup: {"updateGroupSettings"},
	} {
		log := place{"orgId": orgID, "groupId": projectID}.fill(path + "/logs/")
		lines := w.lines(w.get(log+map[string]string{ownOrg: orgLog, ownGroup: projectID}[path], account.OrgOwner))
		for _, operation := range operations {
			attribute := map[string]string{"updateOrgSettings": `"genAIFeaturesEnabled":`,
				"updateGroupSettings": `"isDataExplorerEnabled":`}[operation]
			if !slices.ContainsFunc(lines, func(l string) bool {
				return strings.Contains(l, `"`+operation+`"`) && strings.Contains(l, attribute+"true") &&
					strings.Contains(l, attribute+"false")
			}) {
				t.Errorf("%s: no event of %s in %q", path, operation, lines)
			}
		}
	}
}

// The longest lifetime of secrets in an organization applies to all secrets that are created afterwards.
func TestSecretsLiveNoLongerThanTheOrganizationAllows(t *testing.T) {
	w := newWorld(t, Options{})
	want[any](t, 200, w.as(account.OrgOwner, "PATCH", orgV2+"/settings", `{"maxServiceAccountSecretValidityInHours":24}`))
	const body = `{"name":"s","description":"d","roles":["%s"],"secretExpiresAfterHours":%d}`
	for path, role := range map[string]account.Role{orgV2: account.OrgMember, groupV2: account.GroupReadOnly} {
		refusedAs(t, 400, "INVALID_ATTRIBUTE", w.as(account.OrgOwner, "POST", path+"/serviceAccounts",
			fmt.Sprintf(body, role, 25)))
		sa := want[serviceAccountView](t, 201, w.as(account.OrgOwner, "POST", path+"/serviceAccounts",
			fmt.Sprintf(body, role, 24)))
		secrets := path + "/serviceAccounts/" + sa.ClientID + "/secrets"
		refusedAs(t, 400, "INVALID_ATTRIBUTE", w.as(account.OrgOwner, "POST", secrets, `{"secretExpiresAfterHours":25}`))
		want[secretView](t, 201, w.as(account.OrgOwner, "POST", secrets, `{"secretExpiresAfterHours":8}`))
	}
}

// Terraform's provider asks whether Atlas manages the threshold of slow operations, and sets that, without a body.
func TestManagedSlowMsIsKept(t *testing.T) {
	w := newWorld(t, Options{})
	path := groupV2 + "/managedSlowMs"
	for _, step := range []struct{ method, verb, want string }{
		{"DELETE", "/disable", "false"}, {"POST", "/enable", "true"}, {"POST", "/enable", "true"},
		{"DELETE", "/disable", "false"},
	} {
		rec := w.do(step.method, path+step.verb, "", latest, "Authorization: "+w.bearer(account.GroupOwner))
		if rec.Code != 204 || rec.Body.Len() != 0 {
			t.Errorf("%s: %d %s", step.verb, rec.Code, rec.Body)
		}
		if got := w.as(account.GroupReadOnly, "GET", path, "").Body.String(); got != step.want {
			t.Errorf("after %s: %s, want %s", step.verb, got, step.want)
		}
	}
	lines := w.lines(w.get(place{"groupId": projectID}.fill(ownGroup+"/logs/")+projectID, account.OrgOwner))
	if len(lines) != 4 || !strings.Contains(lines[1], `"enableGroupManagedSlowMs"`) ||
		!strings.Contains(lines[1], `"managedSlowMs":true`) {
		t.Errorf("got %q", lines)
	}
	if got := w.as(account.GroupReadOnly, "GET", groupV2+"/settings", "").Body.String(); strings.Contains(got, "SlowMs") {
		t.Errorf("it is among the settings: %s", got)
	}
}
