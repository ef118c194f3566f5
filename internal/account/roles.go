package account

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Role is the name of a role in Atlas's API.
type Role string

const (
	OrgOwner                   Role = "ORG_OWNER"
	OrgMember                  Role = "ORG_MEMBER"
	OrgReadOnly                Role = "ORG_READ_ONLY"
	OrgGroupCreator            Role = "ORG_GROUP_CREATOR"
	OrgBillingAdmin            Role = "ORG_BILLING_ADMIN"
	OrgBillingReadOnly         Role = "ORG_BILLING_READ_ONLY"
	OrgStreamProcessingAdmin   Role = "ORG_STREAM_PROCESSING_ADMIN"
	GroupOwner                 Role = "GROUP_OWNER"
	GroupReadOnly              Role = "GROUP_READ_ONLY"
	GroupDataAccessAdmin       Role = "GROUP_DATA_ACCESS_ADMIN"
	GroupDataAccessReadWrite   Role = "GROUP_DATA_ACCESS_READ_WRITE"
	GroupDataAccessReadOnly    Role = "GROUP_DATA_ACCESS_READ_ONLY"
	GroupStreamProcessingOwner Role = "GROUP_STREAM_PROCESSING_OWNER"
	GroupClusterManager        Role = "GROUP_CLUSTER_MANAGER"
	GroupSearchIndexEditor     Role = "GROUP_SEARCH_INDEX_EDITOR"
	GroupAuditLogWriter        Role = "GROUP_AUDIT_LOG_WRITER" // weir's own: may only record
)

// Action is an action that a role may allow on an organization or a project.
type Action int

// Actions on a project.
const (
	See              Action = iota // know that the project exists
	Read                           // read its settings, workspaces and keys, like Atlas's Project Read Only
	Download                       // read a workspace and its logs
	Record                         // write to the logs
	ManageWorkspaces               // create, change and delete workspaces
	Own                            // everything else
)

// Actions on an organization.
const (
	SeeOrg         Action = iota + 100 // know that the organization exists, like Atlas's Organization Member
	ReadOrg                            // read it, like Organization Read Only
	CreateProjects                     // create projects in it
	OwnOrg                             // everything else
)

// allowed lists the actions of each role on the project or organization on which it is granted. Roles on an
// organization also count on all its projects. Every role on a project allows See.
var allowed = map[Role][]Action{
	OrgOwner: {See, Read, Download, Record, ManageWorkspaces, Own, SeeOrg, ReadOrg,
		CreateProjects, OwnOrg},
	OrgStreamProcessingAdmin:   {See, Read, Download, ManageWorkspaces, SeeOrg},
	OrgReadOnly:                {See, Read, SeeOrg, ReadOrg},
	OrgMember:                  {SeeOrg},
	OrgGroupCreator:            {SeeOrg, CreateProjects},
	OrgBillingAdmin:            {SeeOrg},
	OrgBillingReadOnly:         {SeeOrg},
	GroupOwner:                 {See, Read, Download, Record, ManageWorkspaces, Own},
	GroupStreamProcessingOwner: {See, Read, Download, Record, ManageWorkspaces},
	GroupDataAccessAdmin:       {See, Read, Download, ManageWorkspaces},
	GroupDataAccessReadWrite:   {See, Read, Download},
	GroupDataAccessReadOnly:    {See, Read, Download},
	GroupReadOnly:              {See, Read},
	GroupClusterManager:        {See, Read},
	GroupSearchIndexEditor:     {See, Read},
	GroupAuditLogWriter:        {See, Record},
}

// Roles returns all roles of organizations, or all of projects, sorted.
func Roles(ofOrganizations bool) []Role {
	var roles []Role
	for r := range allowed {
		if r.isOrg() == ofOrganizations {
			roles = append(roles, r)
		}
	}
	slices.Sort(roles)
	return roles
}

// RolesThatAllow returns the roles that allow an action, sorted. An action on a project is allowed by roles on the
// project and by roles in its organization.
func RolesThatAllow(a Action) []Role {
	var roles []Role
	for r, actions := range allowed {
		if slices.Contains(actions, a) {
			roles = append(roles, r)
		}
	}
	slices.Sort(roles)
	return roles
}

func (r Role) isOrg() bool { return strings.HasPrefix(string(r), "ORG_") }

// May tells whether one of the credential's roles allows an action on a project.
func (c *Credential) May(a Action, p *Project) bool {
	return slices.ContainsFunc(c.Roles, func(g Grant) bool {
		return g.covers(p) &&
			slices.Contains(allowed[g.Role], a)
	})
}

// MayInOrg tells whether one of the credential's roles allows an action on an organization.
func (c *Credential) MayInOrg(a Action, org string) bool {
	return slices.ContainsFunc(c.Roles, func(g Grant) bool {
		return g.Role.isOrg() && g.Project == "" && g.Org == org && slices.Contains(allowed[g.Role], a)
	})
}

// HasSecret tells whether a service account has a secret of that id that has not expired.
func (c *Credential) HasSecret(id string, now time.Time) bool {
	return slices.ContainsFunc(c.Secrets, func(s Secret) bool { return s.ID == id && now.Before(s.Expires) })
}

// MaySignIn tells whether a credential can be used at a time. A service account needs a secret that has not expired.
func (c *Credential) MaySignIn(at time.Time) bool {
	switch {
	case c.Deleted:
		return false
	case c.Kind == APIKey:
		return len(c.HA1.SHA256) > 0
	case c.Kind == IngestToken:
		return len(c.Token.SHA256) > 0 && (c.Token.Expires.IsZero() || at.Before(c.Token.Expires))
	}
	return at.Before(c.SecretsEnd())
}

// SecretsEnd returns when the last secret of a service account expires. It is the zero time if there is no secret.
func (c *Credential) SecretsEnd() time.Time {
	var end time.Time
	for _, s := range c.Secrets {
		if s.Expires.After(end) {
			end = s.Expires
		}
	}
	return end
}

// Admits tells whether a credential's access list admits an address. An empty list admits all. Zones are ignored.
func (c *Credential) Admits(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return len(c.AccessList) == 0 || slices.ContainsFunc(c.AccessList,
		func(e AccessEntry) bool { return e.Block.Contains(addr) })
}

// owns tells whether a credential can sign in, in this way, as an owner of an organization.
func (c *Credential) owns(org string, how signIn) bool {
	return c.MayInOrg(OwnOrg, org) && c.MaySignIn(how.at) && (!how.from.IsValid() || c.Admits(how.from))
}

// MayActOn tells whether the credential's roles on a project count on a workspace of it. w may be nil.
func (c *Credential) MayActOn(w *Workspace) bool {
	return c.Workspace == "" || w != nil && w.ID == c.Workspace
}

// MightSee tells whether one of the credential's roles allows See on a project, if the project belongs to that role's
// organization. It does not read the project.
func (c *Credential) MightSee(project string) bool {
	return slices.ContainsFunc(c.Roles, func(g Grant) bool {
		return g.Project == project || g.Project == "" && g.Role.isOrg() && slices.Contains(allowed[g.Role], See)
	})
}

// covers tells whether a grant counts on a project. A role for organizations counts only if it is granted on one, and a
// role for projects only if it is granted on this project: GROUP_OWNER on an organization owns nothing.
func (g Grant) covers(p *Project) bool {
	if g.Role.isOrg() {
		return g.Project == "" && g.Org == p.Org
	}
	return g.Project == p.ID
}

// RolesOn returns the credential's roles on a project (if org is empty) or on an organization.
func (c *Credential) RolesOn(org, project string) []Role {
	roles := []Role{}
	for _, g := range c.Roles {
		if g.Project == project && (project != "" || g.Org == org) {
			roles = append(roles, g.Role)
		}
	}
	return roles
}

// SetRolesOn replaces the credential's roles on a project (if org is empty) or on an organization. Duplicates are
// ignored.
func (c *Credential) SetRolesOn(org, project string, roles []Role) {
	var grants []Grant
	for _, g := range c.Roles { // the slices that a cache has returned must not change
		if g.Project != project || project == "" && g.Org != org {
			grants = append(grants, g)
		}
	}
	for _, r := range roles {
		g := Grant{Project: project, Role: r}
		if project == "" {
			g.Org = org
		}
		if !slices.Contains(grants, g) {
			grants = append(grants, g)
		}
	}
	c.Roles = grants
}

// Projects returns the ids of the projects on which the credential has roles, sorted. Roles on organizations do not
// count.
func (c *Credential) Projects() []string {
	var ids []string
	for _, g := range c.Roles {
		if g.Project != "" {
			ids = append(ids, g.Project)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Organizations returns the ids of the organizations on which the credential has roles, sorted.
func (c *Credential) Organizations() []string {
	var ids []string
	for _, g := range c.Roles {
		if g.Project == "" && g.Role.isOrg() {
			ids = append(ids, g.Org)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Workspace returns the project's workspace that has a name.
func (p *Project) Workspace(name string) (*Workspace, bool) {
	for i := range p.Workspaces {
		if p.Workspaces[i].Name == name {
			return &p.Workspaces[i], true
		}
	}
	return nil, false
}
