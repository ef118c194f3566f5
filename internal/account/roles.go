package account

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Role is an identifier as Atlas's API names it.
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
	GroupAuditLogWriter        Role = "GROUP_AUDIT_LOG_WRITER" // weir's own: may record, nothing else
)

// Action is something that a role may allow on an organization or a project.
type Action int

// Actions on a project.
const (
	See              Action = iota // know that the project exists
	Read                           // its settings, workspaces, keys: what Atlas calls Project Read Only
	Download                       // read a workspace, and its logs
	Record                         // write to the logs
	ManageWorkspaces               // create, change, delete
	Own                            // everything else
)

// Actions on an organization.
const (
	SeeOrg         Action = iota + 100 // know that it exists: what Atlas calls Organization Member
	ReadOrg                            // Organization Read Only
	CreateProjects                     // in it
	OwnOrg                             // everything else
)

// allowed says what each role may do on the project or organization that it is granted for; roles of an organization
// count on all its projects too. Every role that is granted for a project may see it.
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

// MaySignIn tells whether a credential can be used at a time: a service account needs a secret that has not expired.
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

// SecretsEnd returns when the last secret of a service account expires; the zero time if it has none.
func (c *Credential) SecretsEnd() time.Time {
	var end time.Time
	for _, s := range c.Secrets {
		if s.Expires.After(end) {
			end = s.Expires
		}
	}
	return end
}

// Admits tells whether an address is on the credential's access list. An empty one has them all, and none names a zone.
func (c *Credential) Admits(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return len(c.AccessList) == 0 || slices.ContainsFunc(c.AccessList,
		func(e AccessEntry) bool { return e.Block.Contains(addr) })
}

// owns tells whether a credential can sign in so as an owner of an organization.
func (c *Credential) owns(org string, how signIn) bool {
	return c.MayInOrg(OwnOrg, org) && c.MaySignIn(how.at) && (!how.from.IsValid() || c.Admits(how.from))
}

// MayActOn tells whether the credential's roles on a project count on one of its workspaces.
func (c *Credential) MayActOn(w *Workspace) bool {
	return c.Workspace == "" || w != nil && w.ID == c.Workspace
}

// MightSee tells whether one of the credential's roles would let it see a project, were that in its organization:
// without having looked at the project.
func (c *Credential) MightSee(project string) bool {
	return slices.ContainsFunc(c.Roles, func(g Grant) bool {
		return g.Project == project || g.Project == "" && g.Role.isOrg() && slices.Contains(allowed[g.Role], See)
	})
}

// covers tells whether a grant counts on a project. A role of an organization counts only where it is granted in one, a
// role of a project only where it is granted in that: GROUP_OWNER in an organization owns nothing.
func (g Grant) covers(p *Project) bool {
	if g.Role.isOrg() {
		return g.Project == "" && g.Org == p.Org
	}
	return g.Project == p.ID
}

// RolesOn returns the credential's roles of a project (org empty) or of an organization.
func (c *Credential) RolesOn(org, project string) []Role {
	roles := []Role{}
	for _, g := range c.Roles {
		if g.Project == project && (project != "" || g.Org == org) {
			roles = append(roles, g.Role)
		}
	}
	return roles
}

// SetRolesOn replaces the credential's roles of a project (org empty) or of an organization. Each counts once.
func (c *Credential) SetRolesOn(org, project string, roles []Role) {
	var grants []Grant
	for _, g := range c.Roles { // what a cache has handed out is never changed
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

// Projects returns the ids of the projects that the credential has roles on by name, sorted.
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

// Organizations returns the ids of the organizations that the credential has roles in, sorted.
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

// Workspace returns the project's workspace of that name.
func (p *Project) Workspace(name string) (*Workspace, bool) {
	for i := range p.Workspaces {
		if p.Workspaces[i].Name == name {
			return &p.Workspaces[i], true
		}
	}
	return nil, false
}
