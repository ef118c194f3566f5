package api

import (
	"cmp"
	"math"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/tlog"
)

// logKind is a kind of log, with its properties in the API.
type logKind struct {
	name        string
	file        versioned // media type of its download
	ending      string    // of the file's name
	operation   string    // operation in the event of a download
	endpoint    string    // name of the endpoint for the rate limit
	operational bool      // whether its lines need not be OCSF
}

var (
	auditLog = logKind{name: "audit", file: versioned{releases: []string{"2023-02-01"}, format: "gzip"},
		ending:    "audit.log.gz",
		operation: "downloadAuditLogs", endpoint: "api/atlas/v2/groups/streams/auditLogs"}
	operationalLog = logKind{name: "operational", file: versioned{releases: []string{"2025-03-12"}, format: "gzip"},
		ending:    "queries.gz",
		operation: "downloadOperationalLogs", endpoint: "api/atlas/v2/groups/streams/downloadOperationalLogs",
		operational: true}
	anyLog = logKind{file: versioned{format: "gzip"}, ending: "log.gz", operation: "downloadLog",
		endpoint: "api/weir/v1/logs"}
)

// of returns the id of the workspace's log of this kind.
func (k logKind) of(w *account.Workspace) string {
	if k.operational {
		return w.OperationalLog
	}
	return w.AuditLog
}

// logs are the operations that list, show and download logs.
type logs struct {
	control
	logs *tlog.Logs
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
	Removed     int64      `json:"removedEvents,omitempty"` // removed by retention
	Links       []link     `json:"links"`

	Retention retentionView `json:"retention"`
}

// keptLog is a log of a project or an organization.
type keptLog struct {
	id, kind  string
	workspace *account.Workspace // nil if the log is not of a workspace
	deleted   time.Time          // when the workspace, project or organization was deleted; zero if it was not
}

// projectLogs returns the logs of a project: its own, those of its workspaces, and those of deleted workspaces.
func projectLogs(p *account.Project) []keptLog {
	logs := []keptLog{{id: p.ID, kind: "project", deleted: p.Deleted}}
	add := func(w *account.Workspace, deleted time.Time) {
		logs = append(logs, keptLog{w.AuditLog, "audit", w, deleted}, keptLog{w.OperationalLog, "operational",
			w, deleted})
	}
	for i := range p.Workspaces {
		add(&p.Workspaces[i], time.Time{})
	}
	for i := range p.Gone {
		add(&p.Gone[i].Workspace, p.Gone[i].Deleted)
	}
	return logs
}

// listOfProject lists the logs of a project that the caller may read.
func (h logs) listOfProject(c *call) (any, error) {
	p := c.scope.project
	all := slices.DeleteFunc(projectLogs(p), func(l keptLog) bool { return !c.mayRead(l) })
	return paginate(c, all, func(page []keptLog) ([]logView, error) {
		return h.show(c, page, "/api/weir/v1/groups/%s/logs/%s", p.ID, p.Retention)
	})
}

// listOfOrg lists an organization's own log.
func (h logs) listOfOrg(c *call) (any, error) {
	org := c.scope.org
	return paginate(c, []keptLog{{id: org.Log, kind: "organization"}}, func(page []keptLog) ([]logView, error) {
		return h.show(c, page, "/api/weir/v1/orgs/%s/logs/%s", org.ID, account.Retention{})
	})
}

func (h logs) show(c *call, logs []keptLog, path, owner string, r account.Retention) ([]logView, error) {
	infos := make([]tlog.Info, len(logs))
	group, ctx := errgroup.WithContext(c.context())
	group.SetLimit(16)
	for i, l := range logs {
		group.Go(func() (err error) {
			before, _ := l.limit(r, c.now)
			infos[i], err = h.logs.Info(ctx, l.id, before)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	views := make([]logView, len(logs))
	for i, l := range logs {
		info := infos[i]
		v := logView{ID: l.id, Kind: l.kind, State: "active", Events: info.Entries, Bytes: info.Bytes,
			Removed: info.Pruned.Entries, Retention: l.retention(r, info, c.now),
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
				left := max(0, int(math.Ceil(l.end(r).Sub(c.now).Hours()/24)))
				v.DaysLeft = &left
			}
		}
		views[i] = v
	}
	return views, nil
}

// downloadOf returns the handler of a download of a workspace's log of this kind.
func (h logs) downloadOf(kind logKind) func(*call) (*file, error) {
	return func(c *call) (*file, error) {
		return h.download(c, kind, kind.of(c.scope.workspace), c.scope.tenant)
	}
}

// downloadByID downloads the log in the path.
func (h logs) downloadByID(c *call) (*file, error) {
	l := c.scope.log
	name := l.id
	if l.workspace != nil {
		name = cmp.Or(l.workspace.Name, l.id) + "_" + l.kind
	}
	return h.download(c, anyLog, l.id, name)
}

// download returns the file of a log. It takes its view of the log here, before the attempt is recorded, so that a
// download never contains its own event.
func (h logs) download(c *call, kind logKind, log, name string) (*file, error) {
	q, err := rangeOf(c.query, c.now)
	if err != nil {
		return nil, err
	}
	d, err := h.logs.Download(c.context(), log, q)
	if err != nil {
		return nil, err
	}
	return &file{name: fileName(name, q, kind.ending), size: d.Size(), headers: describe(log, q, d.Head()),
		ahead: d.Prepare, write: d.WriteTo}, nil
}
