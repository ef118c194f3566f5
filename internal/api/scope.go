package api

import (
	"errors"
	"slices"

	"github.com/weirlog/weir/internal/account"
)

// scope is the things that a path names, as far as they exist. It does not say whether the caller may know of them.
type scope struct {
	groupID   string
	tenant    string
	org       *account.Organization // nil if the path names none
	project   *account.Project      // nil if the path names none, or it does not exist
	workspace *account.Workspace    // nil if the path names none, or it does not exist
	log       keptLog               // zero if the path names none, or it does not exist
}

// within returns the organization in the path, or that of the project in the path, and the project (nil if the path
// names none).
func (s *scope) within() (org string, p *account.Project) {
	if s.project != nil {
		return s.project.Org, s.project
	}
	return s.org.ID, nil
}

// visible tells whether the caller may know that the project exists.
func (c *call) visible() bool {
	return c.scope.project != nil && c.caller.May(account.See, c.scope.project)
}

// loadScope finds the things that the path names. If the caller may not do there what the operation does, it returns an
// error. A caller without a role learns nothing, not even from the time of the reply: nothing is looked up, unless the
// attempt must be recorded in the log that the path names.
//
// BUG(weir): a project that this node has in memory is found sooner than that there is none. A caller that has a role
// of an organization that counts on its projects, and knows the id of another's, can tell from the time whether it is
// in use.
func (s *Server) loadScope(c *call) error {
	if id := c.path("orgId"); id != "" {
		if err := s.loadOrg(c, id, c.operation.needs); err != nil {
			return err
		}
		return c.findLog([]keptLog{{id: c.scope.org.Log, kind: "organization"}})
	}
	c.scope.groupID, c.scope.tenant = c.path("groupId"), c.path("tenantName")
	if c.scope.groupID == "" {
		return nil
	}
	recordedThere := c.operation.audit.needed() && (c.names("tenantName") || c.names("logId"))
	if !recordedThere && !c.caller.MightSee(c.scope.groupID) {
		return groupNotFound(c.scope.groupID)
	}
	if err := s.loadProject(c); err != nil {
		return err
	}
	if err := c.requireRole(c.operation.needs); err != nil {
		return err
	}
	if c.path("logId") == "" {
		return nil
	}
	return c.findLog(projectLogs(c.scope.project))
}

// loadOrg finds an organization and checks the caller's role in it.
func (s *Server) loadOrg(c *call, id string, needs account.Action) error {
	org, err := enterOrg(c, s.accounts, id, needs)
	if err == nil {
		c.scope.org = org
	}
	return err
}

// enterOrg returns an organization if the caller may do what needs says in it.
func enterOrg(c *call, accounts *account.Directory, id string, needs account.Action) (*account.Organization, error) {
	if !c.caller.MayInOrg(account.SeeOrg, id) {
		return nil, orgNotFound(id)
	}
	org, err := accounts.Organization(c.context(), id)
	if errors.Is(err, account.ErrNotFound) {
		return nil, orgNotFound(id)
	}
	if err == nil && !c.caller.MayInOrg(needs, id) {
		err = forbidden(needs)
	}
	return org, err
}

// loadProject finds the project and the workspace in the path.
func (s *Server) loadProject(c *call) error {
	find := s.accounts.Project
	if c.operation.kept {
		find = s.accounts.ProjectWithLogs
	}
	p, err := find(c.context(), c.scope.groupID)
	switch {
	case errors.Is(err, account.ErrNotFound):
		return nil
	case err != nil:
		return err
	case !p.Deleted.IsZero() && !c.caller.MayInOrg(account.OwnOrg, p.Org):
		return nil // only the owners of its organization may know of a deleted project
	}
	c.scope.project = p
	c.scope.workspace, _ = p.Workspace(c.scope.tenant)
	return nil
}

// requireRole returns an error if the caller may not do something to the things in the path.
func (c *call) requireRole(needs account.Action) error {
	switch {
	case !c.visible():
		return groupNotFound(c.scope.groupID)
	case needs != anyRole && !c.caller.May(needs, c.scope.project):
		return forbidden(needs)
	case c.scope.tenant != "" && (c.scope.workspace == nil || !c.caller.MayActOn(c.scope.workspace)):
		return tenantNotFound(c.scope.tenant, c.scope.groupID)
	}
	return nil
}

// findLog finds the log in the path, if there is one, among those that the caller may read.
func (c *call) findLog(logs []keptLog) error {
	id := c.path("logId")
	if id == "" {
		return nil
	}
	i := slices.IndexFunc(logs, func(l keptLog) bool { return l.id == id && c.mayRead(l) })
	if i < 0 {
		return logNotFound(id)
	}
	c.scope.log = logs[i]
	return nil
}

// mayRead tells whether the caller, which may download logs of the project, may read this one. A project's own log, and
// logs of deleted workspaces, are for owners.
func (c *call) mayRead(l keptLog) bool {
	return l.kind != "project" && l.deleted.IsZero() || c.scope.project == nil ||
		c.caller.May(account.Own, c.scope.project)
}
