package api

import (
	"errors"
	"strings"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/event"
)

// target is the workspace that a path names, as far as it exists.
type target struct {
	groupID, tenant string
	project         *account.Project   // nil: there is none
	workspace       *account.Workspace // nil: there is none
}

// find looks for the workspace that the path names, whether or not the caller may know of it.
//
// BUG(weir): a project that this node has in memory is found sooner than that there is none. Who has a role of an
// organization that counts on its projects, and knows the id of another's, can tell from the time whether it is in use.
func (c *call) find() (target, error) {
	t := target{groupID: c.r.PathValue("groupId"), tenant: c.r.PathValue("tenantName")}
	if !account.ValidID(t.groupID) {
		return t, nil
	}
	project, err := c.server.accounts.Project(c.context(), t.groupID)
	if errors.Is(err, account.ErrNotFound) {
		return t, nil
	}
	if err != nil {
		return t, unavailable(err)
	}
	t.project = project
	t.workspace, _ = project.Workspace(t.tenant)
	return t, nil
}

// visible tells whether the caller may know that the project exists.
func (c *call) visible(t target) bool {
	return t.project != nil && c.caller.Credential.May(account.See, t.project)
}

// permit returns why the caller may not do something to the target; nil if it may. Who has no role on the project learns
// nothing of it.
func (c *call) permit(t target, a account.Action) error {
	switch {
	case !account.ValidID(t.groupID):
		return invalidGroupID(t.groupID)
	case !c.visible(t):
		return groupNotFound(t.groupID)
	case !c.caller.Credential.May(a, t.project):
		return forbidden()
	case t.tenant != "" && t.workspace == nil:
		return tenantNotFound(t.tenant, t.groupID)
	}
	return nil
}

// act returns what a credential does now.
func (c *call) act(by *account.Credential) event.Act {
	a := event.Act{Time: c.now, RequestID: c.id, CallerID: by.ID, CallerName: by.Name, CallerKind: "Service Account", Address: c.address}
	if by.Kind == account.APIKey {
		a.CallerName, a.CallerKind = by.Description, "API Key"
	}
	return a
}

// maxAudited bounds, in bytes, what a caller can make weir write of a name in one attempt.
const maxAudited = 256

func cut(name string) string {
	if len(name) <= maxAudited {
		return name
	}
	return strings.ToValidUTF8(name[:maxAudited], "") + "…"
}
