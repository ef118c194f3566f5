package account

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// CreateProject stores a new project. If its organization has another project with this name, it returns ErrExists
// (wrapped). If there is no such organization, it returns ErrNotFound (wrapped).
func (s *Directory) CreateProject(ctx context.Context, p Project) error {
	if err := s.projects.Create(ctx, p.ID, p); err != nil {
		return err
	}
	err := s.claim(ctx, &p, p.Name)
	if err == nil { // the organization may have been deleted since the caller was authorized
		s.orgs.Invalidate(p.Org)
		if _, err = s.Organization(ctx, p.Org); errors.Is(err, ErrNotFound) {
			err = errors.Join(err, s.leave(ctx, p.Org, projectNames, p.Name, p.ID))
		}
	}
	if errors.Is(err, ErrExists) || errors.Is(err, ErrNotFound) {
		_, gone := s.UpdateProject(ctx, p.ID, func(p *Project) error { p.Deleted = time.Now().UTC(); return nil })
		err = errors.Join(err, gone)
	}
	return err
}

// claimed is how long an entry keeps a name for a project that does not have it yet.
const claimed = time.Minute

// claim enters the project under a name, unless another project has that name.
func (s *Directory) claim(ctx context.Context, p *Project, name string) error {
	return s.enter(ctx, p.Org, projectNames, name, p.ID, func(have Entry) (bool, error) {
		holder, err := s.projects.Get(ctx, have.ID)
		if errors.Is(err, ErrNotFound) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		return !holder.Deleted.IsZero() || holder.Name != name && time.Since(have.Since) > claimed, nil
	})
}

// RenameProject changes a project's name. If its organization has another project with this name, it returns ErrExists
// (wrapped). It also calls change, which may change more of the project, or refuse by an error.
func (s *Directory) RenameProject(ctx context.Context, id, name string, change func(*Project) error) (*Project, error) {
	ctx, cancel := context.WithTimeout(ctx, claimed/2) // so that no claim takes effect after it has expired
	defer cancel()
	p, err := s.Project(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := s.claim(ctx, p, name); err != nil {
		return nil, err
	}
	old := ""
	renamed, err := s.UpdateProject(ctx, id, func(p *Project) error {
		old, p.Name = p.Name, name
		return change(p)
	})
	if err != nil || old == name {
		return renamed, err // an unused claim expires
	}
	return renamed, s.leave(ctx, p.Org, projectNames, old, id)
}

// DeleteProject deletes a project and the roles on it, unless check returns an error. Its document stays, and its logs
// are kept as retention says.
func (s *Directory) DeleteProject(ctx context.Context, id string, check func(*Project) error) (*Project, error) {
	p, err := s.UpdateProject(ctx, id, func(p *Project) error {
		p.Deleted = time.Now().UTC()
		return check(p)
	})
	if err != nil {
		return nil, err
	}
	errs := []error{s.leave(ctx, p.Org, projectNames, p.Name, id)}
	for _, member := range p.Members {
		if err := s.dismiss(ctx, member, id); !errors.Is(err, ErrNotFound) {
			errs = append(errs, err)
		}
	}
	return p, errors.Join(errs...)
}

// dismiss removes a credential's roles on a deleted project. It deletes an ingest token, which has no other roles.
func (s *Directory) dismiss(ctx context.Context, id, project string) error {
	c, err := s.Credential(ctx, id)
	if err != nil {
		return err
	}
	if c.Kind == IngestToken {
		return s.DeleteCredential(ctx, id)
	}
	_, err = s.UpdateCredential(ctx, id, func(c *Credential) error { c.SetRolesOn("", project, nil); return nil })
	return err
}

// ErrNotEmpty is returned (wrapped) if an organization to delete still has projects.
var ErrNotEmpty = errors.New("it still holds something")

// DeleteOrganization deletes an organization without projects, and its credentials. If it has projects, it returns
// ErrNotEmpty (wrapped). If another organization would have no owner, it returns ErrLastOwner (wrapped). Its document
// stays. If a project is created at the same time, either it is found here, or its creation fails since the
// organization is deleted. So projects are looked for again after the deletion. An organization that has projects
// before is never deleted, not even for a moment.
func (s *Directory) DeleteOrganization(ctx context.Context, id string) error {
	if err := s.checkEmpty(ctx, id); err != nil {
		return err
	}
	if err := s.checkOthers(ctx, id); err != nil {
		return err
	}
	setDeleted := func(at time.Time) error {
		_, err := s.orgs.Update(ctx, id, func(o *Organization) error { o.Deleted = at; return nil })
		return err
	}
	if err := setDeleted(time.Now().UTC()); err != nil {
		return err
	}
	if err := s.checkEmpty(ctx, id); err != nil {
		return errors.Join(err, setDeleted(time.Time{}))
	}
	return nil
}

// checkOthers returns ErrLastOwner (wrapped) if a credential of an organization is the last owner of another one.
func (s *Directory) checkOthers(ctx context.Context, org string) error {
	entries, err := NewDirectory(s.bucket).list(ctx, org, userIDs)
	if err != nil {
		return err
	}
	for _, e := range entries {
		c, err := s.Credential(ctx, e.id)
		if err == nil {
			left, now := *c, signIn{at: time.Now()}
			left.Roles = []Grant{{Org: org, Role: OrgOwner}}
			err = s.checkOwners(ctx, lost(c, &left, now), c.ID, now)
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}

// checkEmpty returns ErrNotEmpty (wrapped) if an organization has a project. It does not use the cache.
func (s *Directory) checkEmpty(ctx context.Context, org string) error {
	fresh := NewDirectory(s.bucket)
	ids, err := fresh.ProjectIDs(ctx, org, "")
	if err != nil {
		return err
	}
	for _, id := range ids {
		_, err := fresh.Project(ctx, id)
		if err == nil {
			err = fmt.Errorf("organization %s: %w", org, ErrNotEmpty)
		}
		if !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}

// ProjectIDs returns the ids of an organization's projects in the order of their creation. If named is not empty, it
// returns only those whose names begin with it, ignoring case.
func (s *Directory) ProjectIDs(ctx context.Context, org, named string) ([]string, error) {
	entries, err := s.list(ctx, org, projectNames)
	ids, prefix := make([]string, 0, len(entries)), strings.ToLower(named)
	for _, e := range entries {
		if named == "" || strings.HasPrefix(strings.ToLower(e.key), prefix) {
			ids = append(ids, e.id)
		}
	}
	return slices.Compact(ids), err
}

// ProjectNamed returns the project of an organization that has a name.
func (s *Directory) ProjectNamed(ctx context.Context, org, name string) (*Project, error) {
	id, ok, err := s.lookup(ctx, org, projectNames, name)
	if err != nil {
		return nil, err
	}
	var p *Project
	if ok {
		if p, err = s.Project(ctx, id); err != nil {
			return nil, err
		}
	}
	if p == nil || p.Name != name { // the project is being renamed, and does not have the name yet
		return nil, fmt.Errorf("project %q of organization %s: %w", name, org, ErrNotFound)
	}
	return p, nil
}

// ProjectWithLogs returns a project by its id, even if it is deleted, since its logs may still be kept.
func (s *Directory) ProjectWithLogs(ctx context.Context, id string) (*Project, error) {
	return s.projects.Get(ctx, id)
}

// LatestProject returns the stored version of a project, even if it is deleted. It does not use the cache.
func (s *Directory) LatestProject(ctx context.Context, id string) (*Project, error) {
	s.projects.Invalidate(id)
	return s.projects.Get(ctx, id)
}

// AllProjects yields all projects of all organizations, including deleted ones, in the order of their ids. An error
// concerns one project; an error of the listing ends the sequence.
func (s *Directory) AllProjects(ctx context.Context) iter.Seq2[*Project, error] {
	return s.projects.All(ctx)
}

// AllOrganizations yields all organizations, including deleted ones, in the order of their ids. Errors are as for
// AllProjects.
func (s *Directory) AllOrganizations(ctx context.Context) iter.Seq2[*Organization, error] {
	return s.orgs.All(ctx)
}

// AllLogs yields the ids of all logs of projects, as Logs does, and then those of organizations. An error stands for
// logs that cannot be listed, as for AllProjects.
func (s *Directory) AllLogs(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for p, err := range s.AllProjects(ctx) {
			if err != nil {
				if !yield("", err) {
					return
				}
				continue
			}
			for log := range p.Logs() {
				if !yield(log, nil) {
					return
				}
			}
		}
		for o, err := range s.AllOrganizations(ctx) {
			log := ""
			if err == nil {
				log = o.Log
			}
			if !yield(log, err) {
				return
			}
		}
	}
}

// ForgetWorkspace removes a deleted workspace, whose logs are removed, from its project.
func (s *Directory) ForgetWorkspace(ctx context.Context, project, workspace string) (*Project, error) {
	return s.projects.Update(ctx, project, func(p *Project) error {
		p.Gone = slices.DeleteFunc(p.Gone, func(w DeletedWorkspace) bool { return w.ID == workspace })
		return nil
	})
}

// Logs yields the ids of a project's logs: its own, those of its workspaces, and those of deleted workspaces.
func (p *Project) Logs() iter.Seq[string] {
	return func(yield func(string) bool) {
		if !yield(p.ID) {
			return
		}
		for i := range p.Workspaces {
			if w := &p.Workspaces[i]; !yield(w.AuditLog) || !yield(w.OperationalLog) {
				return
			}
		}
		for i := range p.Gone {
			if w := &p.Gone[i]; !yield(w.AuditLog) || !yield(w.OperationalLog) {
				return
			}
		}
	}
}
