// Package atlas collects from MongoDB Atlas, or from a weir, by its Admin API: what is kept there for a while.
package atlas

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/collect"
	"github.com/weirlog/weir/internal/failures"
)

// Kind is one of the things that can be collected.
type Kind string

// The kinds.
const (
	Audit       Kind = "AUDIT"       // of Stream Processing workspaces
	Operational Kind = "OPERATIONAL" // of Stream Processing workspaces
)

// Kinds returns all kinds.
func Kinds() []Kind { return []Kind{Audit, Operational} }

// IsKind tells whether there is a kind.
func IsKind(k Kind) bool { return slices.Contains(Kinds(), k) }

// Options say what is collected.
type Options struct {
	Client     *client.Client
	Pace       *Pace
	Kinds      []Kind
	Projects   []string // ids; if empty, all that the credential may see
	Workspaces []string // names; if empty, all
}

// Source is what a credential of Atlas may see.
type Source struct {
	options Options
	client  *client.Client
	pace    *Pace
}

// New returns a Source. It sends nothing.
func New(o Options) *Source { return &Source{o, o.Client, o.Pace} }

// project is a project of Atlas.
type project struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// workspace is a Stream Processing workspace of Atlas.
type workspace struct {
	ID   string `json:"_id"`
	Name string `json:"name"`
}

// Bounds on what a server lists, whatever it says.
const (
	maxUnits  = 2000   // as a round has
	maxListed = 10_000 // items of a list
)

// Units implements collect.Source. It asks for the projects and their workspaces anew.
func (s *Source) Units(ctx context.Context) ([]collect.Unit, error) {
	var units []collect.Unit
	var errs failures.Brief
	projects, err := s.projects(ctx)
	errs.Add(doing("list the projects", err))
	listed := map[string]bool{}
	for _, p := range projects {
		all, err := s.workspaces(ctx, p)
		errs.Add(doing("list the workspaces of project "+p.ID, err))
		if errors.Is(err, collect.ErrAway) || ctx.Err() != nil {
			break
		}
		for _, w := range all {
			for _, u := range s.logsOf(p, w) {
				if listed[u.ID] {
					continue
				}
				if len(units) == maxUnits {
					errs.Add(doing("list the logs", errTooMany))
					return units, errs.Err()
				}
				listed[u.ID] = true
				units = append(units, u)
			}
		}
	}
	return units, errs.Err()
}

// errTooMany is returned for a server that has more logs than a source may have.
var errTooMany = fmt.Errorf("there are more than %d logs to collect: leave some out, or make another source for them",
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
				return fmt.Errorf("%w: an item of the list %s is not what it should be", collect.ErrIncomplete, path)
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

// Bounds on what names may be, so that they can be parts of paths, keys and messages.
const maxName = 256

func validID(id string) bool {
	return len(id) == 24 && strings.Trim(id, "0123456789abcdef") == ""
}

func (p project) valid() bool { return validID(p.ID) && len(p.Name) <= maxName }
func (w workspace) valid() bool {
	return w.Name != "" && len(w.Name) <= maxName && (w.ID == "" || validID(w.ID))
}

// logsOf returns the logs of a workspace.
func (s *Source) logsOf(p project, w workspace) (units []collect.Unit) {
	for _, kind := range s.options.Kinds {
		id := strings.Join([]string{string(kind), p.ID, cmp.Or(w.ID, w.Name)}, "/")
		units = append(units, s.unit(kind, id, collect.Place{ProjectID: p.ID, Project: p.Name, Name: w.Name}))
	}
	return units
}

// Again implements collect.Source.
func (s *Source) Again(id string, at collect.Place) (collect.Unit, bool) {
	text, _, _ := strings.Cut(id, "/")
	kind, o := Kind(text), s.options
	if !slices.Contains(o.Kinds, kind) || len(o.Projects) > 0 && !slices.Contains(o.Projects, at.ProjectID) ||
		len(o.Workspaces) > 0 && !slices.Contains(o.Workspaces, at.Name) {
		return collect.Unit{}, false
	}
	return s.unit(kind, id, at), true
}

// unit returns the unit of a kind at a place.
func (s *Source) unit(kind Kind, id string, at collect.Place) collect.Unit {
	operational, text := kind == Operational, "audit log"
	if operational {
		text = "operational log"
	}
	return collect.Unit{
		ID:          id,
		Label:       fmt.Sprintf("the %s of workspace %s in project %s", text, at.Name, at.Project),
		Place:       at,
		Operational: operational,
		Feed:        &download{s, client.Source{Project: at.ProjectID, Workspace: at.Name, Operational: operational}},
		Format:      collect.Lines{},
	}
}
