package account

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// Maximum numbers of things that callers create, so that a node's memory for them, and its reads to list them, are
// bounded. Projects and credentials that are created at the same moment may exceed them.
const (
	MaxWorkspaces  = 1000   // of a project
	MaxProjects    = 1000   // of an organization
	MaxCredentials = 10_000 // of an organization, those of its projects and ingest tokens included

	// MaxOrganizations is the maximum number of organizations that the owners of one may create, together with the owners
	// of these.
	MaxOrganizations = 100
)

// Full is returned (wrapped) where no more may be made. Nothing was changed.
type Full struct {
	Of   string // such as "A project"
	What string // such as "workspaces"
	Most int
}

func (e *Full) Error() string { return fmt.Sprintf("%s has at most %d %s", e.Of, e.Most, e.What) }

// AddWorkspace adds a workspace. If there is one with its name, it returns ErrExists (wrapped), if there is no room for
// one more, a *Full.
func (p *Project) AddWorkspace(w Workspace) error {
	if _, ok := p.Workspace(w.Name); ok {
		return fmt.Errorf("workspace %s: %w", w.Name, ErrExists)
	}
	if len(p.Workspaces) >= MaxWorkspaces {
		return &Full{"A project", "workspaces", MaxWorkspaces}
	}
	p.Workspaces = append(slices.Clip(p.Workspaces), w)
	return nil
}

// Listed is a kind of thing that an organization has, with its maximum number.
type Listed struct {
	kind string
	full Full
}

// The kinds of things that an organization has.
var (
	ListedProjects    = Listed{projectNames, Full{"An organization", "projects", MaxProjects}}
	ListedCredentials = Listed{userIDs, Full{"An organization", "credentials", MaxCredentials}}
)

// Room returns a *Full if an organization may have no more of something. The recovery of an owner's rights (weir init
// --recover-owner) does not call it.
func (s *Directory) Room(ctx context.Context, org string, of Listed) error {
	entries, err := s.list(ctx, org, of.kind)
	if err == nil && len(entries) >= of.full.Most {
		err = &of.full
	}
	return err
}

// MakeOrganization stores a new organization that an owner of another one makes. It sets Root. If there are too many,
// it returns a *Full.
func (s *Directory) MakeOrganization(ctx context.Context, maker string, o Organization) error {
	by, err := s.Organization(ctx, maker)
	if err != nil {
		return err
	}
	o.Root = cmp.Or(by.Root, by.ID)
	_, err = s.orgs.Update(ctx, o.Root, func(root *Organization) error {
		made := root.Made
		if len(made) >= MaxOrganizations {
			there, err := fetch(ctx, made, s.Organization)
			if err != nil {
				return err
			}
			made = nil
			for _, o := range there {
				made = append(made, o.ID)
			}
		}
		if len(made) >= MaxOrganizations {
			return &Full{"An organization", "organizations that its owners have made", MaxOrganizations}
		}
		root.Made = append(slices.Clip(made), o.ID)
		return nil
	})
	if err != nil {
		return err
	}
	return s.CreateOrganization(ctx, o)
}
