package once

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/collect"
	"github.com/weirlog/weir/internal/source"
)

// workspaces finds the workspaces that take what comes from a place, and makes those that are missing.
type workspaces struct {
	client  *client.Client
	retry   client.RetryOptions
	project string
	naming  string
	state   *collect.State
	there   map[string]bool // by name
}

// of returns the log for a unit, in the workspace that it had, or in the one that is named for its place. Workspaces
// are told apart by their names.
func (w *workspaces) of(ctx context.Context, u collect.Unit, had string) (collect.Target, error) {
	name := had
	if name == "" {
		if name = source.WorkspaceName(w.naming, u.Place); w.state.Taken(name, u.Place) {
			name = source.DistinctName(name, u.Place)
		}
	}
	if !w.there[name] {
		if err := client.Retry(ctx, w.retry, func() error { return w.ensure(ctx, name) }); err != nil {
			return collect.Target{}, fmt.Errorf("workspace %s: %w", name, err)
		}
		w.there[name] = true
	}
	return collect.Target{WorkspaceID: name, Workspace: name, Operational: u.Operational}, nil
}

// ensure makes a workspace if it is missing. A credential that may only record cannot tell; then recording will.
func (w *workspaces) ensure(ctx context.Context, name string) error {
	path := "/api/atlas/v2/groups/" + url.PathEscape(w.project) + "/streams"
	_, err := w.client.Call(ctx, http.MethodGet, path+"/"+url.PathEscape(name), nil, nil)
	refused := new(client.Error)
	switch {
	case !errors.As(err, &refused):
		return err
	case refused.Status == http.StatusUnauthorized, refused.Status == http.StatusForbidden:
		return nil
	case refused.Status != http.StatusNotFound:
		return err
	}
	_, err = w.client.Call(ctx, http.MethodPost, path, nil, map[string]any{"name": name,
		"dataProcessRegion": map[string]string{"cloudProvider": "AWS", "region": "VIRGINIA_USA"}})
	if errors.As(err, &refused) && refused.Status == http.StatusConflict {
		return nil // Somebody else has made it.
	}
	return err
}
