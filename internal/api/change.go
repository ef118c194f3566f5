package api

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/auth"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/record"
)

// changed describes what a request is about to change.
type changed struct {
	activity  event.Activity
	kind      string // kind of thing: "Project", "API Key", …
	id, name  string
	org       string             // its organization; if empty, the project's, the path's, or the caller's
	project   *account.Project   // its project; nil if there is none
	workspace *account.Workspace // its workspace; nil if there is none
}

// control is the state of handlers that change the configuration.
type control struct {
	accounts *account.Directory
	recorder *record.Recorder
}

// change makes a change, and records it in the logs that it concerns. do makes the change, and returns how the thing is
// shown before and after it, without secrets. The change is announced before it is made and reported afterwards, so
// that the logs have it even if this process dies in between.
func (h control) change(c *call, what changed, do func() (before, after any, err error)) error {
	ctx := c.detached()
	e := event.Change{Act: c.actor(c.caller), Operation: c.operation.id, Activity: what.activity,
		EntityType: what.kind, EntityID: what.id, EntityName: what.name}
	e.UID = rand.Text()
	logs, err := h.logsOf(c, what, &e)
	if err != nil {
		return err
	}
	unknown := e
	unknown.Unknown = true
	intent, err := h.recorder.Intend(ctx, logs, event.Changed(unknown))
	if err != nil {
		return err
	}
	before, after, err := do()
	if err != nil {
		if isRefusal(err) {
			return errors.Join(err, intent.Withdraw(ctx))
		}
		return err // the outcome is unknown, and the logs will say so
	}
	if e.Before, err = jsonOf(before); err == nil {
		e.After, err = jsonOf(after)
	}
	if err == nil {
		err = intent.Done(ctx, event.Changed(e))
	}
	return err
}

// logsOf returns the logs for a change: its organization's, its project's own log, and its workspace's audit log. It
// adds their names to the event.
func (h control) logsOf(c *call, what changed, e *event.Change) ([]string, error) {
	org, id := c.scope.org, what.org
	switch {
	case id != "":
	case what.project != nil:
		id = what.project.Org
	case org == nil:
		id = c.caller.Org
	}
	if org == nil || id != "" && id != org.ID {
		var err error
		if org, err = h.accounts.Organization(c.context(), id); err != nil {
			return nil, fmt.Errorf("the organization of the change: %v", err) // %v: the path does not name it
		}
	}
	logs := []string{org.Log}
	if what.project != nil {
		e.Project = what.project.ID
		logs = append(logs, what.project.ID)
	}
	if what.workspace != nil {
		e.Workspace = what.workspace.Name
		logs = append(logs, what.workspace.AuditLog)
	}
	return logs, nil
}

// isRefusal tells whether an error means that nothing was changed.
func isRefusal(err error) bool {
	p := new(problem)
	return errors.As(err, &p) && p.status < http.StatusInternalServerError ||
		errors.Is(err, account.ErrNotFound) || errors.Is(err, account.ErrExists) || errors.As(err, new(*account.Full))
}

func jsonOf(v any) (json.RawMessage, error) {
	if v == nil {
		return nil, nil
	}
	return json.Marshal(v)
}

// maxFailing is the number of failed authentications that are recorded concurrently before replies wait for it.
const maxFailing = 64

// signInFailed records in the organization's log that authentication with an existing credential failed. It does not
// wait for that, since the time of the reply must not reveal whether the credential exists.
func (s *Server) signInFailed(c *call, err error) {
	var wrong *auth.Unauthorized
	var elsewhere *auth.NotOnAccessList
	var by *account.Credential
	why := "wrong secret"
	switch {
	case errors.As(err, &wrong) && !wrong.Stale:
		by, why = wrong.Known, cmp.Or(wrong.Why, why)
	case errors.As(err, &elsewhere):
		by, why = elsewhere.Credential, "address not on the access list"
	}
	if by == nil {
		return
	}
	act, protocol := c.actor(by), "OAUTH 2.0"
	switch by.Kind {
	case account.APIKey:
		protocol = "Digest"
	case account.IngestToken:
		protocol = "Ingest Token"
	case account.Person:
		protocol = byProvider
	}
	ctx := c.detached()
	s.failing <- struct{}{}
	s.background.Go(func() {
		defer func() { <-s.failing }()
		org, err := s.accounts.Organization(ctx, by.Org)
		if err == nil {
			kind := repeat{caller: by.ID, operation: "authenticate", code: why, address: c.address.Addr()}
			err = s.refusals.refused(ctx, kind, c.now, []string{org.Log}, func(r event.Repeats) []byte {
				act.Repeat(r)
				return event.SignInFailed(act, protocol, why)
			})
		}
		if err != nil {
			s.options.Logger.Error("cannot record a failed authentication in the organization's log", "credential", by.ID,
				"address", act.Address, "err", err)
		}
	})
}

// grants returns roles on an organization or on a project.
func grants(org, project string, roles []account.Role) []account.Grant {
	var c account.Credential
	c.SetRolesOn(org, project, roles)
	return c.Roles
}

// memberGrants returns roles on the project of the path, and membership of its organization. A credential that may only
// record does not become a member, since it needs nothing there.
func memberGrants(c *call, roles []account.Role) []account.Grant {
	p := c.scope.project
	all := grants("", p.ID, roles)
	if slices.ContainsFunc(roles, func(r account.Role) bool { return r != account.GroupAuditLogWriter }) {
		all = append(all, grants(p.Org, "", []account.Role{account.OrgMember})...)
	}
	return all
}

// roles checks that roles can be assigned on an organization, or on a project.
func (k *checks) roles(name string, roles []account.Role, ofOrganization bool) {
	for _, r := range roles {
		k.check(slices.Contains(account.Roles(ofOrganization), r), name, "%q is not one of %v", r,
			account.Roles(ofOrganization))
	}
}
