package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/account"
)

// What owners make has bounds, and one more is refused in words.
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
