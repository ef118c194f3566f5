package atlas

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/collect"
	"github.com/weirlog/weir/internal/connect/mongodb"
)

// Kind is one of the things that can be collected.
type Kind string

// The kinds.
const (
	Audit              Kind = "AUDIT"       // of Stream Processing workspaces
	Operational        Kind = "OPERATIONAL" // of Stream Processing workspaces
	ProjectEvents      Kind = "PROJECT_EVENTS"
	OrganizationEvents Kind = "ORGANIZATION_EVENTS"
	DatabaseAccess     Kind = "DATABASE_ACCESS" // to clusters
	ClusterAudit       Kind = "CLUSTER_AUDIT"   // of the hosts of clusters
)

// Kinds returns all kinds.
func Kinds() []Kind {
	return []Kind{Audit, Operational, ProjectEvents, OrganizationEvents, DatabaseAccess, ClusterAudit}
}

// IsKind tells whether there is a kind.
func IsKind(k Kind) bool { return slices.Contains(Kinds(), k) }

// Suffixes of the name of a place, behind the name of a cluster or a host.
const (
	accessSuffix = "-access"
	auditSuffix  = "-audit"

	mongod = "mongodb-audit-log" // names of logs at a host
	mongos = "mongos-audit-log"
)

const accessKept = 7 * 24 * time.Hour // accesses, by Atlas

// found has the lists of a project from which units are made. Each list is requested once in a round, and only if a
// kind needs it.
type found struct {
	project    project
	workspaces []workspace
	clusters   []cluster
	hosts      []host
}

// find requests the lists of a project that the collected kinds need. With an error it returns a part.
func (s *Source) find(ctx context.Context, p project) (f found, errs []error) {
	f.project = p
	note := func(what string, err error) {
		if err != nil {
			errs = append(errs, doing("list the "+what+" of project "+p.ID, err))
		}
	}
	path := "/api/atlas/v2/groups/" + p.ID
	if s.collects(Audit) || s.collects(Operational) {
		var err error
		f.workspaces, err = s.workspaces(ctx, p)
		note("workspaces", err)
	}
	if s.collects(DatabaseAccess) {
		var err error
		f.clusters, err = list[cluster](ctx, s, path+"/clusters")
		note("clusters", err)
	}
	if s.collects(ClusterAudit) {
		var err error
		f.hosts, err = list[host](ctx, s, path+"/processes")
		note("hosts", err)
	}
	return f, errs
}

func (s *Source) collects(k Kind) bool { return slices.Contains(s.options.Kinds, k) }

// units returns the units of a kind in the lists of a project.
func (s *Source) units(kind Kind, f found) (all []collect.Unit) {
	p := f.project
	add := func(id string, at collect.Place) {
		at.ProjectID, at.Project = p.ID, p.Name
		all = append(all, s.unit(kind, strings.Join([]string{string(kind), p.ID, id}, "/"), at))
	}
	switch kind {
	case Audit, Operational:
		for _, w := range f.workspaces {
			add(cmp.Or(w.ID, w.Name), collect.Place{Name: w.Name})
		}
	case ProjectEvents:
		add("events", collect.Place{Name: "events", Kind: string(kind)})
	case DatabaseAccess:
		for _, c := range f.clusters {
			add(cmp.Or(c.ID, c.Name), collect.Place{Name: c.Name + accessSuffix, Kind: string(kind)})
		}
	case ClusterAudit:
		for _, h := range f.hosts {
			add(h.Name+"/"+h.log(), collect.Place{Name: h.place(), Kind: string(kind)})
		}
	}
	return all
}

// organizationUnit returns the unit of an organization's events.
func (s *Source) organizationUnit(o project) collect.Unit {
	return s.unit(OrganizationEvents, string(OrganizationEvents)+"/"+o.ID, collect.Place{ProjectID: o.ID, Project: o.Name,
		Name: "organization-events", Kind: string(OrganizationEvents)})
}

// unit returns the unit of a kind at a place.
func (s *Source) unit(kind Kind, id string, at collect.Place) collect.Unit {
	u := collect.Unit{ID: id, Place: at}
	label := func(format string, args ...any) { u.Label = fmt.Sprintf(format, args...) + " in project " + at.Project }
	group := "/api/atlas/v2/groups/" + at.ProjectID
	switch kind {
	case Operational:
		label("the operational log of workspace %s", at.Name)
		u.Operational = true
		u.Feed, u.Format = s.workspaceLog(at, true), collect.Lines{}
	case ProjectEvents:
		u.Label = "the events of project " + at.Project
		u.Feed, u.Format = &sliced{s, &eventList{s, group + "/events"}}, mongodb.Event{}
	case OrganizationEvents:
		u.Label = "the events of organization " + at.Project
		u.Feed, u.Format = &sliced{s, &eventList{s, "/api/atlas/v2/orgs/" + at.ProjectID + "/events"}}, mongodb.Event{}
	case DatabaseAccess:
		name := strings.TrimSuffix(at.Name, accessSuffix)
		label("the accesses to cluster %s", name)
		u.Back = accessKept
		u.Feed = &sliced{s, &accessList{s, group + "/dbAccessHistory/clusters/" + url.PathEscape(name)}}
		u.Format = mongodb.Access{}
	case ClusterAudit:
		parts := strings.Split(id, "/")
		name, log := parts[len(parts)-2], parts[len(parts)-1]
		label("the audit log of %s on %s", strings.TrimSuffix(log, "-audit-log"), name)
		u.Feed, u.Format = s.hostLog(at.ProjectID, name, log), mongodb.Audit{}
	default:
		label("the audit log of workspace %s", at.Name)
		u.Feed, u.Format = s.workspaceLog(at, false), collect.Lines{}
	}
	return u
}

// Again implements collect.Source.
func (s *Source) Again(_ context.Context, id string, at collect.Place) (collect.Unit, error) {
	text, rest, _ := strings.Cut(id, "/")
	kind, o := Kind(text), s.options
	if !slices.Contains(o.Kinds, kind) {
		return collect.Unit{}, collect.ErrNotChosen
	}
	isChosen := func(chosen []string, name string) bool { return len(chosen) == 0 || slices.Contains(chosen, name) }
	ok := kind == OrganizationEvents || isChosen(o.Projects, at.ProjectID)
	switch kind {
	case Audit, Operational:
		ok = ok && isChosen(o.Workspaces, at.Name)
	case ClusterAudit:
		ok = ok && strings.Count(rest, "/") == 2
	}
	if !ok {
		return collect.Unit{}, collect.ErrNotChosen
	}
	return s.unit(kind, id, at), nil
}

// workspaceLog returns the feed of a workspace's log.
func (s *Source) workspaceLog(at collect.Place, operational bool) collect.Feed {
	log := client.Source{Project: at.ProjectID, Workspace: at.Name, Operational: operational}
	return &download{s, func(ctx context.Context, w collect.Window) (*client.Download, error) {
		q := client.Query{Start: &w.Start}
		if w.End > 0 {
			q.End = &w.End
		}
		return s.client.Download(ctx, log, q)
	}}
}

// hostLog returns the feed of an audit log at a host.
func (s *Source) hostLog(project, host, log string) collect.Feed {
	path := "/api/atlas/v2/groups/" + project + "/clusters/" + url.PathEscape(host) + "/logs/" + log + ".gz"
	return &download{s, func(ctx context.Context, w collect.Window) (*client.Download, error) {
		q := url.Values{"startDate": {fmt.Sprint(w.Start)}}
		if w.End > 0 {
			q.Set("endDate", fmt.Sprint(w.End))
		}
		return s.client.GetFile(ctx, path, q)
	}}
}
