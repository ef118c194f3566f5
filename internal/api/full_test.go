package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/alert"
	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/source"
)

// The number of things that owners may create is bounded, and the refusal of one more says so.
func TestWhatIsFullIsRefused(t *testing.T) {
	w := newWorld(t, Options{})
	ctx := t.Context()
	_, err := w.store.UpdateProject(ctx, w.project.ID, func(p *account.Project) error {
		for i := len(p.Workspaces); i < account.MaxWorkspaces; i++ {
			of, err := account.NewWorkspace(fmt.Sprint("w", i), now)
			if err == nil {
				err = p.AddWorkspace(of)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range account.MaxProjects - 1 {
		p := account.Project{ID: account.NewID(now), Org: w.project.Org, Name: fmt.Sprint("p", i), Created: now}
		if err := w.store.CreateProject(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	for range account.MaxOrganizations {
		if err := w.store.MakeOrganization(ctx, w.project.Org, account.Organization{ID: account.NewID(now)}); err != nil {
			t.Fatal(err)
		}
	}
	for path, one := range map[string]struct {
		as         account.Role
		body, says string
	}{
		"/api/atlas/v2/groups/" + w.project.ID + "/streams": {account.GroupOwner,
			`{"name":"more","dataProcessRegion":{"cloudProvider":"AWS","region":"VIRGINIA_USA"}}`, "1000 workspaces"},
		"/api/atlas/v2/groups": {account.OrgOwner, `{"name":"more","orgId":"` + w.project.Org + `"}`, "1000 projects"},
		"/api/atlas/v2/orgs":   {account.OrgOwner, `{"name":"more"}`, "100 organizations"},
	} {
		rec := w.as(one.as, post, path, one.body)
		if rec.Code != 400 || !strings.Contains(rec.Body.String(), one.says) ||
			!strings.Contains(rec.Body.String(), "Delete one first") {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
	}
}

// As many as there may be are made by requests; one more is refused in words, and nothing is changed.
func TestProjectsKeepUpToABound(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	for _, kind := range []struct {
		path, body, says string
		most             int
	}{
		{notifiersPath, `{"name":"n#","type":"WEBHOOK","url":"https://hooks.example.org/weir"}`, "20 notifiers",
			alert.MaxNotifiers},
		{alertsPath, `{"name":"r#","kind":"threshold","query":"outcome:failure","count":5,"within":"10m"}`, "100 rules",
			alert.MaxRules},
		{sourcesPath, `{"name":"s#","type":"ATLAS","atlas":{"clientId":"a","clientSecret":"b"}}`, "100 sources",
			source.Most},
		{integrationsV2, goodIntegration, "100 log integrations", deliver.MaxDeliveries},
		{tokensPath, `{"name":"t#"}`, "1000 ingest tokens", maxIngestTokens},
	} {
		w := newWorld(t, Options{})
		for i := range kind.most {
			if rec := w.as(account.GroupOwner, post, kind.path, numbered(kind.body, i)); rec.Code/100 != 2 {
				t.Fatalf("%s: number %d of %d: %d %s", kind.path, i+1, kind.most, rec.Code, rec.Body)
			}
		}
		rec := w.as(account.GroupOwner, post, kind.path, numbered(kind.body, kind.most))
		if rec.Code != 400 || !strings.Contains(rec.Body.String(), "A project has at most "+kind.says) ||
			!strings.Contains(rec.Body.String(), "Delete one first") {
			t.Errorf("%s: %d %s", kind.path, rec.Code, rec.Body)
		}
		if all := w.own(get, kind.path, "", 200); all["totalCount"] != float64(kind.most) {
			t.Errorf("%s: %v afterwards, want %d", kind.path, all["totalCount"], kind.most)
		}
	}
}

func numbered(body string, i int) string { return strings.ReplaceAll(body, "#", fmt.Sprint(i)) }
