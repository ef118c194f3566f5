package api

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/tlog"
)

// logKind is a kind of log, and how it is served.
type logKind struct {
	name        string
	file        versioned // media type of its download
	ending      string    // of the file's name
	operation   string    // of a download, in the event of the attempt
	endpoint    string    // of the rate limit
	operational bool      // its lines are free, not OCSF
}

var (
	auditLog = logKind{name: "audit", file: versioned{[]string{"2023-02-01"}, "gzip"}, ending: "audit.log.gz",
		operation: "downloadAuditLogs", endpoint: "api/atlas/v2/groups/streams/auditLogs"}
	operationalLog = logKind{name: "operational", file: versioned{[]string{"2025-03-12"}, "gzip"}, ending: "queries.gz",
		operation: "downloadOperationalLogs", endpoint: "api/atlas/v2/groups/streams/downloadOperationalLogs", operational: true}
	anyLog = logKind{file: versioned{nil, "gzip"}, ending: "log.gz", operation: "downloadLog", endpoint: "api/weir/v1/logs"}
)

// of returns the id of the workspace's log of this kind.
func (k logKind) of(w *account.Workspace) string {
	if k.operational {
		return w.OperationalLog
	}
	return w.AuditLog
}

// addLogs adds the handlers that record and download logs.
func (s *Server) addLogs(add func(method, path string, h handler)) {
	add("GET", tenant+"/auditLogs", s.reading(func(c *call) error { return c.downloadOf(auditLog) }))
	add("POST", tenant+"/auditLogs", s.ingesting(func(c *call) error { return c.recordIn(auditLog) }))
	add("GET", tenant+":downloadOperationalLogs", s.reading(func(c *call) error { return c.downloadOf(operationalLog) }))
	add("POST", tenant+":recordOperationalLogs", s.ingesting(func(c *call) error { return c.recordIn(operationalLog) }))
	add("GET", ownGroup+"/logs/{logId}", s.reading((*call).downloadGroupLog))
	add("GET", ownOrg+"/logs/{logId}", s.reading((*call).downloadOrgLog))
}

// ingesting returns the handler of a request that only a node answers that takes events. Others say so before they know who
// asks.
func (s *Server) ingesting(h handler) handler {
	if s.options.NoIngest {
		return func(*call) error { return elsewhere("ingest") }
	}
	return h
}

// reading returns the handler of a request that only a node answers that serves logs.
func (s *Server) reading(h handler) handler {
	if s.options.NoRead {
		return func(*call) error { return elsewhere("read") }
	}
	return h
}

// logView is a log in a list.
type logView struct {
	ID          string     `json:"logId"`
	Kind        string     `json:"kind"` // audit, operational, project, organization
	Workspace   string     `json:"workspaceName,omitempty"`
	WorkspaceID string     `json:"workspaceId,omitempty"`
	State       string     `json:"state"` // active, deleted
	Deleted     *time.Time `json:"deletedAt,omitempty"`
	DaysLeft    *int       `json:"daysLeft,omitempty"` // until it is removed
	Events      int64      `json:"events"`
	Bytes       int64      `json:"sizeBytes"`
	First       *time.Time `json:"firstEvent,omitempty"`
	Last        *time.Time `json:"lastEvent,omitempty"`
	Removed     int64      `json:"removedEvents,omitempty"` // by retention
	Links       []link     `json:"links"`
}

// keptLog is a log that a project or an organization has.
type keptLog struct {
	id, kind  string
	workspace *account.Workspace // nil: none
	deleted   time.Time          // of the workspace, or what else the log belongs to; zero: it lives
}

// projectLogs returns the logs of a project: its own, those of its workspaces, and of those that were deleted.
func projectLogs(p *account.Project) []keptLog {
	logs := []keptLog{{id: p.ID, kind: "project", deleted: p.Deleted}}
	add := func(w *account.Workspace, deleted time.Time) {
		logs = append(logs, keptLog{w.AuditLog, "audit", w, deleted}, keptLog{w.OperationalLog, "operational", w, deleted})
	}
	for i := range p.Workspaces {
		add(&p.Workspaces[i], time.Time{})
	}
	for i := range p.Gone {
		add(&p.Gone[i].Workspace, p.Gone[i].Deleted)
	}
	return logs
}

// projectWithLogs finds the project that the path names, even a deleted one, which only the owners of its organization
// may know of; and returns its logs that the caller may read.
func (c *call) projectWithLogs() ([]keptLog, error) {
	id, own := c.r.PathValue("groupId"), c.caller.Credential
	if !account.ValidID(id) {
		return nil, invalidGroupID(id)
	}
	p, err := c.server.accounts.ProjectWithLogs(c.context(), id)
	if errors.Is(err, account.ErrNotFound) ||
		err == nil && (!own.May(account.See, p) || !p.Deleted.IsZero() && !own.MayInOrg(account.OwnOrg, p.Org)) {
		return nil, groupNotFound(id)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	if !own.May(account.Download, p) {
		return nil, forbidden()
	}
	c.target = target{groupID: id, project: p}
	return slices.DeleteFunc(projectLogs(p), func(l keptLog) bool {
		return (l.kind == "project" || !l.deleted.IsZero()) && !own.May(account.Own, p)
	}), nil
}

// listGroupLogs lists the logs of a project. Those of deleted workspaces, and its own, are its owners' to see.
func (c *call) listGroupLogs() (any, error) {
	logs, err := c.projectWithLogs()
	if err != nil {
		return nil, err
	}
	return paginate(c, logs, func(page []keptLog) ([]logView, error) {
		return c.showLogs(page, "/api/weir/v1/groups/%s/logs/%s", c.target.project.ID, c.target.project.Retention)
	})
}

func (c *call) listOrgLogs() (any, error) {
	logs, err := c.orgLogs()
	if err != nil {
		return nil, err
	}
	return paginate(c, logs, func(page []keptLog) ([]logView, error) {
		return c.showLogs(page, "/api/weir/v1/orgs/%s/logs/%s", c.org.ID, account.Retention{})
	})
}

func (c *call) showLogs(logs []keptLog, path, owner string, r account.Retention) ([]logView, error) {
	infos := make([]tlog.Info, len(logs))
	group, ctx := errgroup.WithContext(c.context())
	group.SetLimit(16)
	for i, l := range logs {
		group.Go(func() (err error) {
			infos[i], err = c.server.logs.Info(ctx, l.id)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, unavailable(err)
	}
	views := make([]logView, len(logs))
	for i, l := range logs {
		info := infos[i]
		v := logView{ID: l.id, Kind: l.kind, State: "active", Events: info.Entries, Bytes: info.Bytes, Removed: info.Pruned.Entries,
			Links: c.self(path, owner, l.id)}
		if l.workspace != nil {
			v.Workspace, v.WorkspaceID = l.workspace.Name, l.workspace.ID
		}
		if info.Entries > 0 {
			first, last := time.UnixMilli(info.MinTime).UTC(), time.UnixMilli(info.MaxTime).UTC()
			v.First, v.Last = &first, &last
		}
		if !l.deleted.IsZero() {
			deleted := l.deleted.UTC().Truncate(time.Second)
			v.State, v.Deleted = "deleted", &deleted
			if !r.Hold {
				left := max(0, int(math.Ceil(l.deleted.AddDate(0, 0, r.Kept()).Sub(c.now).Hours()/24)))
				v.DaysLeft = &left
			}
		}
		views[i] = v
	}
	return views, nil
}

// downloadGroupLog answers GET …/logs/{logId} of a project.
func (c *call) downloadGroupLog() error {
	if err := c.authenticate(); err != nil {
		return err
	}
	c.target.groupID = c.r.PathValue("groupId")
	logs, err := c.projectWithLogs()
	return c.downloadByID(logs, err)
}

// downloadOrgLog answers GET …/logs/{logId} of an organization.
func (c *call) downloadOrgLog() error {
	if err := c.authenticate(); err != nil {
		return err
	}
	logs, err := c.orgLogs()
	return c.downloadByID(logs, err)
}

// downloadByID downloads the log that the path names, if it is among those that the caller may read.
func (c *call) downloadByID(logs []keptLog, refusal error) error {
	id := c.r.PathValue("logId")
	r := reading{kind: anyLog, id: id, name: id}
	i := slices.IndexFunc(logs, func(l keptLog) bool { return l.id == id })
	switch {
	case refusal != nil:
	case i < 0:
		refusal = logNotFound(id)
	case logs[i].workspace != nil:
		r.log, r.attempts, r.workspace = id, logs[i].workspace.AuditLog, logs[i].workspace.Name
		r.name = cmp.Or(r.workspace, id) + "_" + logs[i].kind
	default:
		r.log, r.attempts = id, id
	}
	return c.read(r, refusal)
}

// downloadOf answers a download of the log of a kind of the workspace that the path names.
func (c *call) downloadOf(kind logKind) error {
	if err := c.authenticate(); err != nil {
		return err
	}
	t, err := c.find()
	if err != nil {
		return err
	}
	c.target = t
	r := reading{kind: kind, workspace: t.tenant, name: t.tenant}
	if t.workspace != nil {
		r.log, r.attempts = kind.of(t.workspace), t.workspace.AuditLog
	}
	if _, ok := kind.file.release(c.r.Header.Values("Accept")); !ok {
		return c.read(r, invalidVersion())
	}
	return c.read(r, c.permit(t, account.Download))
}

// reading is an attempt to read a log.
type reading struct {
	kind      logKind
	log       string // empty: there is none such
	attempts  string // the log that has a record of attempts to read it; empty: none
	workspace string // as it was named
	id        string // of the log, if it was named so
	name      string // that the file's name begins with
}

// read carries an attempt out, unless it is refused already. Every attempt by somebody authenticated is recorded before
// anything is sent.
func (c *call) read(r reading, refusal error) error {
	var q tlog.Query
	if refusal == nil {
		refusal = c.server.limits.take(c.w.Header(), c.caller.Credential.ID, r.kind.endpoint, c.now)
	}
	if refusal == nil {
		q, refusal = parseRange(c.r.URL.RawQuery, c.now)
	}
	var d *tlog.Download
	if refusal == nil {
		var err error
		// The view is taken before the attempt is recorded, so a download never contains its own event.
		if d, err = c.server.logs.Download(c.context(), r.log, q); err != nil {
			refusal = unavailable(err)
		}
	}
	if err := c.auditWhilePreparing(d, r, q, refusal); err != nil {
		return err
	}
	if refusal != nil {
		return refusal
	}
	c.describe(r.log, q, d.Head())
	return c.send(d, r.kind.file, fileName(r.name, q, r.kind.ending))
}

// auditWhilePreparing has a small download (nil: there is none) made while the attempt is being recorded.
func (c *call) auditWhilePreparing(d *tlog.Download, r reading, q tlog.Query, refusal error) error {
	var prepared sync.WaitGroup
	var panicked any
	if d != nil {
		prepared.Go(func() {
			defer func() { panicked = recover() }()
			d.Prepare(c.context())
		})
	}
	err := c.auditRead(r, q, refusal)
	prepared.Wait()
	if panicked != nil {
		panic(panicked) // where requests' panics are caught
	}
	return err
}

// auditRead makes the attempt to read a log an event in the log that is for that, durably. An attempt at something that
// does not exist, or that the caller may not know of, is an event in the log of the caller's own organization, whether or
// not there is a log too: so it takes the same time.
func (c *call) auditRead(r reading, q tlog.Query, refusal error) error {
	a := event.Access{Act: c.act(c.caller.Credential), Operation: r.kind.operation, Log: cut(r.id), Processor: cut(q.Processor)}
	a.Project, a.Workspace = cut(c.target.groupID), cut(r.workspace)
	if q.End != 0 {
		a.Start, a.End = q.Start/1000, q.End/1000-1
	}
	var p *problem
	if errors.As(refusal, &p) {
		a.Status, a.ErrorCode = p.status, p.code
	}
	var logs []string
	if r.attempts != "" {
		logs = append(logs, r.attempts)
	}
	if r.attempts == "" || c.org == nil && !c.visible(c.target) {
		org, err := c.server.accounts.Organization(c.context(), c.caller.Credential.Org)
		if err != nil {
			return unavailable(err)
		}
		logs = append(logs, org.Log)
	}
	// An attempt counts even if its client does not wait for the answer.
	if err := c.server.recorder.RecordOwn(context.WithoutCancel(c.context()), logs, event.Accessed(a)); err != nil {
		return unavailable(err)
	}
	return nil
}
