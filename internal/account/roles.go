package account

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
	for _, g := range c.Roles {
		if g.Project != p.ID && (g.Project != "" || g.Org != p.Org) {
			continue
		}
		for _, action := range allowed[g.Role] {
			if action == a {
				return true
			}
		}
	}
	return false
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
