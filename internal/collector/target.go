package collector

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/collect"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/record"
	"github.com/weirlog/weir/internal/source"
)

// targets finds the logs that the lines of a source go to, and makes their workspaces.
type targets struct {
	accounts *account.Directory
	recorder *record.Recorder
	source   *source.Source
	naming   string
	state    *collect.State
}

// of returns the log for a unit: of the workspace that it had, or of the one that is named for its place.
func (t *targets) of(ctx context.Context, u collect.Unit, had string) (collect.Target, error) {
	p, err := t.accounts.Project(ctx, t.source.Project)
	if err != nil {
		return collect.Target{}, err
	}
	i := slices.IndexFunc(p.Workspaces, func(w account.Workspace) bool { return had != "" && w.ID == had })
	if i >= 0 {
		return target(&p.Workspaces[i], u.Operational), nil
	}
	name := source.WorkspaceName(t.naming, u.Place)
	w, ok := p.Workspace(name)
	if ok && t.state.Taken(w.ID, u.Place) {
		name = source.DistinctName(name, u.Place)
		w, ok = p.Workspace(name)
	}
	if !ok {
		if w, err = t.create(ctx, p, name); err != nil {
			return collect.Target{}, err
		}
	}
	return target(w, u.Operational), nil
}

func target(w *account.Workspace, operational bool) collect.Target {
	t := collect.Target{WorkspaceID: w.ID, Workspace: w.Name, Log: w.AuditLog, Operational: operational}
	if operational {
		t.Log = w.OperationalLog
	}
	return t
}

// create makes a workspace. It is announced before and reported after, as every change is.
func (t *targets) create(ctx context.Context, p *account.Project, name string) (*account.Workspace, error) {
	w, err := account.NewWorkspace(name, time.Now())
	if err != nil {
		return nil, err
	}
	org, err := t.accounts.Organization(ctx, p.Org)
	if err != nil {
		return nil, err
	}
	change := event.Change{Act: event.Act{UID: rand.Text(), Time: time.Now(), Project: p.ID, Workspace: w.Name,
		CallerID: t.source.By(), CallerName: t.source.Name, CallerKind: "Source"},
		Operation: "createGroupStreamWorkspace", Activity: event.Create, EntityType: "Stream Workspace", EntityID: w.ID,
		EntityName: w.Name}
	unknown := change
	unknown.Unknown = true
	intent, err := t.recorder.Intend(ctx, []string{org.Log, p.ID, w.AuditLog}, event.Changed(unknown))
	if err != nil {
		return nil, err
	}
	made, err := t.accounts.UpdateProject(ctx, p.ID, func(p *account.Project) error {
		return p.AddWorkspace(w)
	})
	switch {
	case errors.Is(err, account.ErrExists), errors.Is(err, account.ErrNotFound), errors.As(err, new(*account.Full)):
		return nil, errors.Join(fmt.Errorf("workspace %s: %w", name, err), intent.Withdraw(ctx))
	case err != nil:
		return nil, err // What became of it is not known, and the logs will say so.
	}
	if change.After, err = json.Marshal(map[string]string{"_id": w.ID, "groupId": p.ID, "name": name}); err != nil {
		return nil, err
	}
	if err := intent.Done(ctx, event.Changed(change)); err != nil {
		return nil, err
	}
	found, _ := made.Workspace(name)
	return found, nil
}
