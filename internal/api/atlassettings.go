package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/event"
)

// atlasSettings are the operations on Atlas's settings of organizations and projects. weir stores and shows most of
// them, and does not use them.
type atlasSettings struct{ control }

// atlasSetting is one of these settings.
type atlasSetting struct {
	name     string
	standard any                          // shown if the setting was never set; if nil, nothing is shown
	want     func(json.RawMessage) string // returns what the value must be, or "" if it is valid
}

// A setting without a default in the document is shown as false, since weir has no such feature.
var groupSettings = []atlasSetting{
	{"isClusterAiAssistantEnabled", false, wantBoolean},
	{"isCollectDatabaseSpecificsStatisticsEnabled", false, wantBoolean},
	{"isDataExplorerEnabled", false, wantBoolean},
	{"isDataExplorerGenAIFeaturesEnabled", false, wantBoolean},
	{"isDataExplorerGenAISampleDocumentPassingEnabled", false, wantBoolean},
	{"isDataValidationEnabled", false, wantBoolean},
	{"isExtendedStorageSizesEnabled", false, wantBoolean},
	{"isNativeRerankingEnabled", false, wantBoolean},
	{"isPerformanceAdvisorEnabled", false, wantBoolean},
	{"isRealtimePerformancePanelEnabled", false, wantBoolean},
	{"isSchemaAdvisorEnabled", false, wantBoolean},
}

// maxSecretLife is the setting that weir uses.
const maxSecretLife = "maxServiceAccountSecretValidityInHours"

var orgSettings = []atlasSetting{
	{"apiAccessListRequired", false, wantNoAccessList},
	{"customSessionTimeouts", nil, wantTimeouts},
	{"genAIFeaturesEnabled", true, wantBoolean},
	{maxSecretLife, nil, wantHours(8, maxSecretHours)},
	{"multiFactorAuthRequired", false, wantBoolean},
	{"operationsContact", nil, orNull(wantContact)},
	{"restrictEmployeeAccess", false, wantBoolean},
	{"securityContact", nil, wantContact},
	{"streamsCrossGroupEnabled", false, wantBoolean},
}

func wantBoolean(raw json.RawMessage) string {
	if text := string(raw); text == "true" || text == "false" {
		return ""
	}
	return "must be true or false"
}

// wantNoAccessList refuses true, since weir does not do this.
func wantNoAccessList(raw json.RawMessage) string {
	if string(raw) == "true" {
		return "cannot be true: weir does not require that credentials have access lists"
	}
	return wantBoolean(raw)
}

func wantHours(least, most int) func(json.RawMessage) string {
	return func(raw json.RawMessage) string {
		var n *int
		if err := json.Unmarshal(raw, &n); err != nil || n == nil || *n < least || *n > most {
			return fmt.Sprintf("must be an integer from %d to %d", least, most)
		}
		return ""
	}
}

// wantTimeouts checks the timeouts of sessions on Atlas's pages, as the document defines them.
func wantTimeouts(raw json.RawMessage) string {
	in := json.NewDecoder(bytes.NewReader(raw))
	in.DisallowUnknownFields()
	var v *struct {
		Absolute *int32 `json:"absoluteSessionTimeoutInSeconds"`
		Idle     *int32 `json:"idleSessionTimeoutInSeconds"`
	}
	if err := in.Decode(&v); err != nil || v == nil {
		return "must be an object with absoluteSessionTimeoutInSeconds and idleSessionTimeoutInSeconds, " +
			"which are integers"
	}
	return ""
}

const maxContact = 320 // characters, the maximum of an e-mail address

func wantContact(raw json.RawMessage) string {
	var text *string
	if err := json.Unmarshal(raw, &text); err != nil || text == nil || utf8.RuneCountInString(*text) > maxContact {
		return fmt.Sprintf("must be a string of at most %d characters", maxContact)
	}
	return ""
}

func orNull(want func(json.RawMessage) string) func(json.RawMessage) string {
	return func(raw json.RawMessage) string {
		if string(raw) == "null" {
			return ""
		}
		return want(raw)
	}
}

// decodeSettings decodes the settings in a body. Unlike other attributes, an unknown setting is refused, since the
// caller would believe that it is in force.
func decodeSettings(c *call, known []atlasSetting) (account.Kept, error) {
	in, err := decode[map[string]json.RawMessage](c)
	if err != nil {
		return nil, err
	}
	var k checks
	kept := account.Kept{}
	for _, name := range slices.Sorted(maps.Keys(in)) {
		i := slices.IndexFunc(known, func(s atlasSetting) bool { return strings.EqualFold(s.name, name) })
		if i < 0 {
			k.check(false, name, "is not the name of a setting")
			continue
		}
		bad := known[i].want(in[name])
		k.check(bad == "", known[i].name, "%s", bad)
		kept[known[i].name] = in[name]
	}
	return kept, k.err()
}

// showAtlasSettings returns all settings that have a value or a default.
func showAtlasSettings(known []atlasSetting, kept account.Kept) map[string]any {
	v := map[string]any{}
	for _, s := range known {
		if raw, ok := kept[s.name]; ok {
			v[s.name] = raw
		} else if s.standard != nil {
			v[s.name] = s.standard
		}
	}
	return v
}

func (h atlasSettings) ofProject(c *call) (any, error) {
	return showAtlasSettings(groupSettings, c.scope.project.Kept), nil
}

func (h atlasSettings) ofOrg(c *call) (any, error) {
	return showAtlasSettings(orgSettings, c.scope.org.Kept), nil
}

func (h atlasSettings) updateProject(c *call) (any, error) {
	in, err := decodeSettings(c, groupSettings)
	if err != nil {
		return nil, err
	}
	return h.changeProject(c, groupSettings, in)
}

// slowOperations is the setting that tells whether Atlas manages the threshold of slow operations. It has operations of
// its own. Terraform's provider turns it off whenever it changes a project.
var slowOperations = []atlasSetting{{"managedSlowMs", false, wantBoolean}}

func (h atlasSettings) managedSlowMs(c *call) (any, error) {
	return showAtlasSettings(slowOperations, c.scope.project.Kept)[slowOperations[0].name], nil
}

func (h atlasSettings) setManagedSlowMs(value string) func(*call) (any, error) {
	return func(c *call) (any, error) {
		return h.changeProject(c, slowOperations, account.Kept{slowOperations[0].name: json.RawMessage(value)})
	}
}

func (h atlasSettings) changeProject(c *call, known []atlasSetting, in account.Kept) (any, error) {
	p := c.scope.project
	var view map[string]any
	err := h.change(c, changed{activity: event.Update, kind: "Project Settings", id: p.ID, name: p.Name, project: p},
		func() (before, after any, err error) {
			p, err := h.accounts.UpdateProject(c.detached(), p.ID, func(p *account.Project) error {
				before = showAtlasSettings(known, p.Kept)
				p.Kept = p.Kept.With(in)
				return nil
			})
			if err == nil {
				view = showAtlasSettings(known, p.Kept)
			}
			return before, view, err
		})
	return view, err
}

func (h atlasSettings) updateOrg(c *call) (any, error) {
	in, err := decodeSettings(c, orgSettings)
	if err != nil {
		return nil, err
	}
	var view map[string]any
	what := changed{activity: event.Update, kind: "Organization Settings", id: c.scope.org.ID, name: c.scope.org.Name}
	err = h.change(c, what, func() (before, after any, err error) {
		o, err := h.accounts.UpdateOrganization(c.detached(), c.scope.org.ID, func(o *account.Organization) error {
			before = showAtlasSettings(orgSettings, o.Kept)
			o.Kept = o.Kept.With(in)
			return nil
		})
		if err == nil {
			view = showAtlasSettings(orgSettings, o.Kept)
		}
		return before, view, err
	})
	return view, err
}

// checkLife refuses a secret with a lifetime longer than the organization allows.
func (h credentials) checkLife(c *call, hours int) error {
	id, _ := c.scope.within()
	org, err := h.accounts.Organization(c.context(), id)
	if err != nil {
		return fmt.Errorf("the settings of the organization: %v", err) // %v: the path does not name it
	}
	raw, ok := org.Kept[maxSecretLife]
	if !ok {
		return nil
	}
	var most int
	if err := json.Unmarshal(raw, &most); err != nil {
		return fmt.Errorf("%s of organization %s: %w", maxSecretLife, id, err)
	}
	var k checks
	k.check(hours <= most, "secretExpiresAfterHours", "may be at most %d: %s of the organization", most, maxSecretLife)
	return k.err()
}
