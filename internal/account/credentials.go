package account

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// CreateCredential stores a new credential. It is listed before it can be used, so that no usable credential is hidden.
func (s *Directory) CreateCredential(ctx context.Context, c Credential) error {
	if err := s.enter(ctx, c.Org, userIDs, c.UserID, c.ID,
		func(Entry) (bool, error) { return false, nil }); err != nil {
		return err
	}
	for _, project := range c.Projects() {
		if err := s.join(ctx, project, c.ID); err != nil {
			return err
		}
	}
	return s.credentials.Create(ctx, c.ID, c)
}

// UpdateCredential calls change with a credential and stores the result. If change returns an error, nothing changes.
// If an organization would have no owner that can sign in (see ChangedFrom), UpdateCredential returns ErrLastOwner
// (wrapped).
func (s *Directory) UpdateCredential(ctx context.Context, id string,
	change func(*Credential) error) (*Credential, error) {
	var before Credential
	now := signIn{time.Now(), s.from}
	c, err := s.credentials.Update(ctx, id, func(c *Credential) error {
		if c.Deleted {
			return fmt.Errorf("credential %s: %w", id, ErrNotFound)
		}
		before = *c
		before.Secrets, before.AccessList = slices.Clone(c.Secrets), slices.Clone(c.AccessList) // change may edit these
		if err := change(c); err != nil {
			return err
		}
		return s.checkOwners(ctx, lost(&before, c, now), id, now)
	})
	if err != nil {
		return nil, err
	}
	// If two owners step down at the same time, each has still seen the other one. So each checks again after its
	// change, and undoes it if no owner is left.
	orgs := lost(&before, c, now)
	if err := s.checkOwners(ctx, orgs, id, now); err != nil {
		_, undone := s.credentials.Update(ctx, id, func(c *Credential) error {
			c.Deleted = false
			for _, had := range before.Secrets {
				if !c.MaySignIn(now.at) {
					c.Secrets = append(c.Secrets, had)
				}
			}
			if now.from.IsValid() && !c.Admits(now.from) {
				c.AccessList = before.AccessList
			}
			for _, org := range orgs {
				c.SetRolesOn(org, "", append(c.RolesOn(org, ""), OrgOwner))
			}
			return nil
		})
		if undone != nil {
			return nil, fmt.Errorf("ownership of %v was not given back to %s: %w", orgs, id, undone)
		}
		return nil, err
	}
	return c, nil
}

// ErrLastOwner is returned (wrapped) if an organization would have no owner, so that nobody could manage it any more.
var ErrLastOwner = errors.New("the last owner of the organization")

// ChangedFrom returns the directory for changes by a caller at an address. Owners then count as able to sign in only if
// their access lists admit this address. Otherwise an owner counts if its access list admits any address. So owners
// cannot lose their organization by limiting themselves, one after the other, to addresses that nobody has.
func (s *Directory) ChangedFrom(addr netip.Addr) *Directory {
	from := *s
	from.from = addr
	return &from
}

// signIn is the time and the address of a possible sign-in.
type signIn struct {
	at   time.Time
	from netip.Addr // if zero, any address of the credential's access list
}

// lost returns the organizations that a credential could own before a change, and cannot own after it.
func lost(before, after *Credential, now signIn) []string {
	return slices.DeleteFunc(before.Organizations(), func(org string) bool {
		return !before.owns(org, now) || after.owns(org, now)
	})
}

// checkOwners returns ErrLastOwner (wrapped) if one of the organizations has no owner that can sign in in this way,
// apart from the credential besides.
func (s *Directory) checkOwners(ctx context.Context, orgs []string, besides string, how signIn) error {
	if len(orgs) == 0 {
		return nil
	}
	fresh := NewDirectory(s.bucket) // does not use the cache
	for _, org := range orgs {
		_, err := fresh.Organization(ctx, org)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err == nil {
			err = fresh.checkOwner(ctx, org, besides, how)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Directory) checkOwner(ctx context.Context, org, besides string, how signIn) error {
	entries, err := s.list(ctx, org, userIDs)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.id == besides {
			continue
		}
		c, err := s.Credential(ctx, e.id)
		if err == nil && c.owns(org, how) {
			return nil
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return fmt.Errorf("organization %s: %w", org, ErrLastOwner)
}

// join adds a credential to the list of those that may have roles on a project.
func (s *Directory) join(ctx context.Context, project, id string) error {
	p, err := s.Project(ctx, project)
	if err != nil || slices.Contains(p.Members, id) {
		return err
	}
	_, err = s.UpdateProject(ctx, project, func(p *Project) error {
		if !slices.Contains(p.Members, id) {
			p.Members = append(p.Members, id)
		}
		return nil
	})
	return err
}

// Assign replaces a credential's roles on a project. It also calls change, which may change more of the credential, or
// refuse by an error.
func (s *Directory) Assign(ctx context.Context, id, project string, roles []Role,
	change func(*Credential) error) (*Credential, error) {
	if len(roles) > 0 {
		if err := s.join(ctx, project, id); err != nil {
			return nil, err
		}
	}
	c, err := s.UpdateCredential(ctx, id, func(c *Credential) error {
		if err := change(c); err != nil {
			return err
		}
		c.SetRolesOn("", project, roles)
		return nil
	})
	if err != nil || len(roles) > 0 {
		return c, err
	}
	return c, s.part(ctx, project, id)
}

// part removes a credential from a project's list, unless it has got a role there meanwhile.
func (s *Directory) part(ctx context.Context, project, id string) error {
	_, err := s.UpdateProject(ctx, project, func(p *Project) error {
		c, err := s.Credential(ctx, id)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if err == nil && len(c.RolesOn("", project)) > 0 {
			return nil
		}
		p.Members = slices.DeleteFunc(p.Members, func(m string) bool { return m == id })
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		return nil // the project was deleted, and its list with it
	}
	return err
}

// DeleteCredential deletes a credential. On this node it has effect at once, on other nodes within doc.MaxAge.
func (s *Directory) DeleteCredential(ctx context.Context, id string) error {
	c, err := s.UpdateCredential(ctx, id, func(c *Credential) error { c.Deleted = true; return nil })
	if err != nil {
		return err
	}
	for _, project := range c.Projects() {
		if err := s.part(ctx, project, id); err != nil {
			return err
		}
	}
	return s.leave(ctx, c.Org, userIDs, c.UserID, id)
}

// CredentialOf returns the credential of an organization that has a user id of 24 hex digits.
func (s *Directory) CredentialOf(ctx context.Context, org, userID string) (*Credential, error) {
	id, ok, err := s.lookup(ctx, org, userIDs, userID)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("credential %q: %w", userID, ErrNotFound)
	}
	return s.Credential(ctx, id)
}

// Credentials returns the credentials of a kind of an organization, in the order of their creation.
func (s *Directory) Credentials(ctx context.Context, org string, kind Kind) ([]*Credential, error) {
	entries, err := s.list(ctx, org, userIDs)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(entries))
	for i, e := range entries {
		ids[i] = e.id
	}
	return s.credentialsByID(ctx, ids, func(c *Credential) bool { return c.Kind == kind })
}

// Members returns the credentials of a kind that have roles on a project.
func (s *Directory) Members(ctx context.Context, p *Project, kind Kind) ([]*Credential, error) {
	return s.credentialsByID(ctx, p.Members, func(c *Credential) bool {
		return c.Kind == kind && len(c.RolesOn("", p.ID)) > 0
	})
}

func (s *Directory) credentialsByID(ctx context.Context, ids []string,
	wanted func(*Credential) bool) ([]*Credential, error) {
	all, err := fetch(ctx, ids, s.Credential)
	return slices.DeleteFunc(all, func(c *Credential) bool { return !wanted(c) }), err
}

// Projects returns the projects with these ids that exist.
func (s *Directory) Projects(ctx context.Context, ids []string) ([]*Project, error) {
	return fetch(ctx, ids, s.Project)
}
