package account

import (
	"slices"
	"strings"
)

// Action is something that a role may allow on a project.
type Action int

const (
	See      Action = iota // know that the project exists
	Download               // read the logs of its workspaces
	Record                 // write to them
)

// allowed says what each role may do on the project that it is granted for; roles of an organization count on all its
// projects. Every role that is granted for a project may see it.
var allowed = map[Role][]Action{
	OrgOwner:                   {See, Download, Record},
	OrgStreamProcessingAdmin:   {See, Download},
	OrgReadOnly:                {See},
	GroupOwner:                 {See, Download, Record},
	GroupStreamProcessingOwner: {See, Download, Record},
	GroupDataAccessAdmin:       {See, Download},
	GroupDataAccessReadWrite:   {See, Download},
	GroupDataAccessReadOnly:    {See, Download},
	GroupReadOnly:              {See},
	GroupClusterManager:        {See},
	GroupSearchIndexEditor:     {See},
	GroupAuditLogWriter:        {See, Record},
}

// May tells whether one of the credential's roles allows an action on a project.
func (c *Credential) May(a Action, p *Project) bool {
	return slices.ContainsFunc(c.Roles, func(g Grant) bool { return g.covers(p) && slices.Contains(allowed[g.Role], a) })
}

// covers tells whether a grant counts on a project. A role of an organization counts only where it is granted in one, a
// role of a project only where it is granted in that: GROUP_OWNER in an organization owns nothing.
func (g Grant) covers(p *Project) bool {
	if strings.HasPrefix(string(g.Role), "ORG_") {
		return g.Project == "" && g.Org == p.Org
	}
	return g.Project == p.ID
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
