package api

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/wal"
)

// target is the workspace that a path names, as far as it exists.
type target struct {
	groupID, tenant string
	project         *account.Project   // nil: there is none
	workspace       *account.Workspace // nil: there is none
}

// find looks for the workspace that the path names, whether or not the caller may know of it.
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
	case t.workspace == nil:
		return tenantNotFound(t.tenant, t.groupID)
	}
	return nil
}

// audit makes the attempt to read the target's log an event in that log, durably. An attempt at something that does not
// exist, or that the caller may not know of, is an event in the log of the caller's own organization, whether or not
// there is a target too: so it takes the same time.
func (c *call) audit(t target, q tlog.Query, refusal error) error {
	a := event.Access{Act: c.act(c.caller.Credential), Operation: "downloadAuditLogs", Processor: cut(q.Processor)}
	a.Project, a.Workspace = cut(t.groupID), cut(t.tenant)
	if q.End != 0 {
		a.Start, a.End = q.Start/1000, q.End/1000-1
	}
	var p *problem
	if errors.As(refusal, &p) {
		a.Status, a.ErrorCode = p.status, p.code
	}
	line := event.Accessed(a)
	var batches []wal.Batch
	if t.workspace != nil {
		batches = append(batches, ownBatch(t.workspace.AuditLog, line, c.now))
	}
	if !c.visible(t) || t.workspace == nil {
		org, err := c.server.accounts.Organization(c.context(), c.caller.Credential.Org)
		if err != nil {
			return unavailable(err)
		}
		batches = append(batches, ownBatch(org.Log, line, c.now))
	}
	// An attempt counts even if its client does not wait for the answer.
	if _, err := c.server.recorder.Record(context.WithoutCancel(c.context()), batches...); err != nil {
		return unavailable(err)
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

// ownBatch makes a batch of an event that weir itself writes.
func ownBatch(log string, own []byte, now time.Time) wal.Batch {
	var p event.Parser
	line, fields, err := p.Append(nil, own, event.Origin{Received: now})
	if err != nil {
		panic(err) // weir's own events are right
	}
	return wal.Batch{Log: log, Lines: line, Entries: []wal.Entry{{Time: fields.Time, Key: event.KeyOf(fields.Time, fields.UID)}}}
}
