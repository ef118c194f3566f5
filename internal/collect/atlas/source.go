// Package atlas collects from MongoDB Atlas, or from a weir, by its Admin API: what is kept there for a while.
package atlas

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/collect"
	"github.com/weirlog/weir/internal/failures"
	"github.com/weirlog/weir/internal/limit"
)

// Options say what is collected.
type Options struct {
	Client     *client.Client // whose requests go by Pace.Transport
	Pace       *Pace
	Kinds      []Kind
	Projects   []string // ids; if empty, all that the credential may see
	Workspaces []string // names; if empty, all

	// Memory bounds the memory of replies, in bytes. Holder has a share of it. If nil, nothing is counted.
	Memory *limit.Shares[string]
	Holder string
}

// AnswersWithin is how long a server may take until it begins to answer.
const AnswersWithin = 2 * time.Minute

// Source collects everything that a credential of Atlas may see.
type Source struct {
	options Options
	client  *client.Client
	pace    *Pace

	accesses accesses
}

// New returns a Source. It sends nothing.
func New(o Options) *Source {
	return &Source{o, o.Client, o.Pace, accesses{usualAccesses, mostAccesses}}
}

// project is a project of Atlas, or an organization.
type project struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// workspace is a Stream Processing workspace of Atlas.
type workspace struct {
	ID   string `json:"_id"`
	Name string `json:"name"`
}

// cluster is a cluster of Atlas.
type cluster struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// host is a process of a cluster on a host.
type host struct {
	Name string `json:"hostname"`
	Type string `json:"typeName"`
}

// log returns the name of the audit log that a process has.
func (h host) log() string {
	if h.Type == "SHARD_MONGOS" {
		return mongos
	}
	return mongod
}

// place returns a name for the place of the log, which no other host of the project has.
func (h host) place() string {
	name := strings.TrimSuffix(h.Name, ".mongodb.net")
	if h.log() == mongos {
		name += "-mongos"
	}
	return name + auditSuffix
}

// Bounds on the lists of a server.
const (
	maxUnits  = 2000   // as a round has
	maxListed = 10_000 // items of a list
)

// Units implements collect.Source. It requests the projects and their lists again.
func (s *Source) Units(ctx context.Context) ([]collect.Unit, error) {
	all := unitList{listed: map[string]bool{}}
	if s.collects(OrganizationEvents) {
		organizations, err := list[project](ctx, s, "/api/atlas/v2/orgs")
		all.errs.Add(doing("list the organizations", err))
		for _, o := range organizations {
			if !all.add(s.organizationUnit(o)) {
				return all.units, all.errs.Err()
			}
		}
	}
	if len(s.options.Kinds) == 1 && s.collects(OrganizationEvents) {
		return all.units, all.errs.Err()
	}
	projects, err := s.projects(ctx)
	all.errs.Add(doing("list the projects", err))
	for _, p := range projects {
		f, errs := s.find(ctx, p)
		all.errs.Add(errors.Join(errs...))
		if slices.ContainsFunc(errs, func(err error) bool { return errors.Is(err, collect.ErrAway) }) || ctx.Err() != nil {
			break
		}
		for _, kind := range s.options.Kinds {
			if !all.add(s.units(kind, f)...) {
				return all.units, all.errs.Err()
			}
		}
	}
	return all.units, all.errs.Err()
}

// unitList is the units that are known so far.
type unitList struct {
	units  []collect.Unit
	listed map[string]bool // by id
	errs   failures.Brief
}

// add adds units, each once. It is false if there are more than a source may have.
func (l *unitList) add(units ...collect.Unit) bool {
	for _, u := range units {
		if l.listed[u.ID] {
			continue
		}
		if len(l.units) == maxUnits {
			l.errs.Add(doing("list the logs", errTooMany))
			return false
		}
		l.listed[u.ID] = true
		l.units = append(l.units, u)
	}
	return true
}

// errTooMany is returned for a server that has more logs than a source may have.
var errTooMany = fmt.Errorf("there are more than %d logs to collect: leave some out, or create another source for them",
	maxUnits)

// doing says of an error what was being done; it returns nil if there is none.
func doing(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// projects returns those that are to be collected.
func (s *Source) projects(ctx context.Context) ([]project, error) {
	all, err := list[project](ctx, s, "/api/atlas/v2/groups")
	if err != nil {
		return nil, err
	}
	if len(s.options.Projects) == 0 {
		return all, nil
	}
	chosen := slices.DeleteFunc(all, func(p project) bool { return !slices.Contains(s.options.Projects, p.ID) })
	if len(chosen) < len(s.options.Projects) {
		err = fmt.Errorf("%w: %d of %d projects that are to be collected", collect.ErrGone,
			len(s.options.Projects)-len(chosen), len(s.options.Projects))
	}
	return chosen, err
}

func (s *Source) workspaces(ctx context.Context, p project) ([]workspace, error) {
	all, err := list[workspace](ctx, s, "/api/atlas/v2/groups/"+p.ID+"/streams")
	if len(s.options.Workspaces) > 0 {
		all = slices.DeleteFunc(all, func(w workspace) bool { return !slices.Contains(s.options.Workspaces, w.Name) })
	}
	return all, err
}

// list returns the items of a list. Each is looked at before the next one is read.
func list[T interface{ valid() bool }](ctx context.Context, s *Source, path string) (all []T, err error) {
	err = s.pace.do(ctx, func() error {
		all = nil
		return s.client.Each(ctx, path, nil, func(item json.RawMessage) error {
			var v T
			if err := json.Unmarshal(item, &v); err != nil || !v.valid() {
				return fmt.Errorf("%w: the list %s has a malformed item", collect.ErrIncomplete, path)
			}
			if len(all) == maxListed {
				return fmt.Errorf("%w: the list %s has more than %d items", collect.ErrTooMuch, path, maxListed)
			}
			all = append(all, v)
			return nil
		})
	})
	return all, err
}

// Bounds on names, so that they can be parts of paths, keys and messages.
const maxName = 256

func validID(id string) bool {
	return len(id) == 24 && strings.Trim(id, "0123456789abcdef") == ""
}

func (p project) valid() bool { return validID(p.ID) && len(p.Name) <= maxName }
func (w workspace) valid() bool {
	return w.Name != "" && len(w.Name) <= maxName && (w.ID == "" || validID(w.ID))
}
func (c cluster) valid() bool { return workspace(c).valid() && !strings.HasPrefix(c.Name, ".") }
func (h host) valid() bool {
	return h.Name != "" && len(h.Name) <= maxName && len(h.Type) <= maxName && !strings.HasPrefix(h.Name, ".") &&
		!strings.Contains(h.Name, "/")
}
