package account

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/doc"
	"github.com/weirlog/weir/internal/seal"
)

// Inconsistency is a fact that one document states and another does not, although it should.
type Inconsistency struct {
	Object string // key of the document that does not state it, without the version
	What   string
	// Certain tells that no crash can have this effect: a version was deleted, or put back to an earlier one. If it is
	// false, an interrupted change may be the cause.
	Certain bool
}

// looks is how often documents are read before they count as inconsistent, since they may be changing.
const looks = 3

// CrossCheck compares documents that refer to each other, and calls report for each inconsistency. Damaged and forged
// documents are skipped. An error means that the check could not be carried out.
func (s *Directory) CrossCheck(ctx context.Context, report func(Inconsistency)) error {
	check := func(look func(crossCheck) ([]Inconsistency, error)) error { return lookAgain(s.bucket, report, look) }
	for p, err := range s.AllProjects(ctx) {
		if err == nil {
			err = check(func(fresh crossCheck) ([]Inconsistency, error) { return fresh.project(ctx, p.ID) })
		}
		if err = failed(err); err != nil {
			return err
		}
	}
	for c, err := range s.credentials.All(ctx) {
		if err == nil {
			err = check(func(fresh crossCheck) ([]Inconsistency, error) { return fresh.credential(ctx, c.ID) })
		}
		if err = failed(err); err != nil {
			return err
		}
	}
	for o, err := range s.AllOrganizations(ctx) {
		if err == nil {
			err = check(func(fresh crossCheck) ([]Inconsistency, error) { return fresh.entries(ctx, o.ID) })
		}
		if err = failed(err); err != nil {
			return err
		}
	}
	return nil
}

// failed returns nil if the error is that a document does not exist, or is not as a node wrote it.
func failed(err error) error {
	if errors.Is(err, ErrNotFound) || errors.Is(err, seal.ErrForged) || errors.Is(err, doc.ErrDamaged) {
		return nil
	}
	return err
}

// crossCheck compares documents in their current versions.
type crossCheck struct{ *Directory }

// lookAgain reports the inconsistencies that are found each time.
func lookAgain(b bucket.Bucket, report func(Inconsistency),
	look func(crossCheck) ([]Inconsistency, error)) error {
	found, err := look(crossCheck{NewDirectory(b)})
	for range looks - 1 {
		if err != nil || len(found) == 0 {
			return err
		}
		var again []Inconsistency
		again, err = look(crossCheck{NewDirectory(b)})
		found = slices.DeleteFunc(found, func(x Inconsistency) bool { return !slices.Contains(again, x) })
	}
	for _, x := range found {
		report(x)
	}
	return err
}

// project compares a project with its organization and the directory.
func (s crossCheck) project(ctx context.Context, id string) (found []Inconsistency, err error) {
	p, err := s.Project(ctx, id)
	if err != nil {
		return nil, failed(err)
	}
	_, err = s.orgs.Get(ctx, p.Org)
	if errors.Is(err, ErrNotFound) {
		found = append(found, Inconsistency{s.orgs.Prefix(p.Org),
			fmt.Sprintf("project %s is of an organization that has no document", p.ID), true})
	}
	if failed(err) != nil {
		return nil, err
	}
	listed, _, err := s.lookup(ctx, p.Org, projectNames, p.Name)
	if err == nil && listed != p.ID {
		found = append(found, Inconsistency{s.directory.Prefix(directoryID(p.Org, projectNames, p.Name)),
			fmt.Sprintf("project %s is not listed under its name", p.ID), false})
	}
	return found, failed(err)
}

// credential compares a credential with its organization, the directory, and the projects on which it has roles.
func (s crossCheck) credential(ctx context.Context, id string) (found []Inconsistency, err error) {
	c, err := s.Credential(ctx, id)
	if err != nil {
		return nil, failed(err)
	}
	lacks := func(object, what string) {
		found = append(found, Inconsistency{object, fmt.Sprintf("credential %s %s", c.ID, what), true})
	}
	_, err = s.orgs.Get(ctx, c.Org)
	if errors.Is(err, ErrNotFound) {
		lacks(s.orgs.Prefix(c.Org), "is of an organization that has no document")
	}
	if failed(err) != nil {
		return nil, err
	}
	listed, _, err := s.lookup(ctx, c.Org, userIDs, c.UserID)
	if err == nil && listed != c.ID {
		lacks(s.directory.Prefix(directoryID(c.Org, userIDs, c.UserID)), "is not listed")
	}
	if failed(err) != nil {
		return nil, err
	}
	for _, project := range c.Projects() {
		p, err := s.ProjectWithLogs(ctx, project)
		switch {
		case errors.Is(err, ErrNotFound):
			lacks(s.projects.Prefix(project), "has a role on a project that has no document")
		case err == nil && p.Deleted.IsZero() && !slices.Contains(p.Members, c.ID):
			lacks(s.projects.Prefix(project), "has a role on a project that does not list it")
		case failed(err) != nil:
			return nil, err
		}
	}
	return found, nil
}

// entries finds entries in the directory of an organization that have no document.
func (s crossCheck) entries(ctx context.Context, org string) (found []Inconsistency, err error) {
	for kind, get := range map[string]func(id string) (object string, err error){
		projectNames: func(id string) (string, error) {
			_, err := s.projects.Get(ctx, id)
			return s.projects.Prefix(id), err
		},
		userIDs: func(id string) (string, error) {
			_, err := s.credentials.Get(ctx, id)
			return s.credentials.Prefix(id), err
		},
	} {
		entries, err := s.list(ctx, org, kind)
		if err != nil {
			return nil, failed(err)
		}
		for _, e := range entries {
			object, err := get(e.id)
			if errors.Is(err, ErrNotFound) {
				found = append(found, Inconsistency{object, "it is listed, and has no document", false})
			}
			if failed(err) != nil {
				return nil, err
			}
		}
	}
	return found, nil
}
