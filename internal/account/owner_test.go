package account

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
)

// newOwner makes an owner of the organization "o".
func newOwner(t *testing.T, s *Directory) Credential {
	c, _ := NewAPIKey("o", "", []Grant{{Org: "o", Role: OrgOwner}}, time.Now())
	if err := s.CreateCredential(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return c
}

func stepDown(c *Credential) error {
	c.SetRolesOn("o", "", []Role{OrgMember})
	return nil
}

func owns(t *testing.T, f bucket.Bucket, id string) bool {
	c, err := NewDirectory(f).Credential(t.Context(), id)
	return err == nil && c.MayInOrg(OwnOrg, "o")
}

func TestTheLastOwnerStays(t *testing.T) {
	f, s := withOrg(t)
	a, b := newOwner(t, s), newOwner(t, s)
	if _, err := s.UpdateCredential(t.Context(), a.ID, stepDown); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UpdateCredential(t.Context(), b.ID, stepDown); !errors.Is(err, ErrLastOwner) {
		t.Errorf("got %v", err)
	}
	if err := s.DeleteCredential(t.Context(), b.ID); !errors.Is(err, ErrLastOwner) {
		t.Errorf("got %v", err)
	}
	if !owns(t, f, b.ID) {
		t.Error("nobody owns the organization")
	}
	if err := s.DeleteCredential(t.Context(), a.ID); err != nil { // it owns nothing
		t.Error(err)
	}
	if err := s.DeleteOrganization(t.Context(), "o"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Credential(t.Context(), b.ID); !errors.Is(err, ErrNotFound) { // it went with its organization
		t.Errorf("got %v", err)
	}
	if err := s.DeleteCredential(t.Context(), b.ID); err != nil { // what is gone needs no owner
		t.Error(err)
	}
}

// An organization whose only owner is a credential of another is not left alone by the deletion of that other.
func TestOwnersFromElsewhere(t *testing.T) {
	_, s := withOrg(t)
	if err := s.CreateOrganization(t.Context(), Organization{ID: "second"}); err != nil {
		t.Fatal(err)
	}
	a := newOwner(t, s)
	if _, err := s.UpdateCredential(t.Context(), a.ID, func(c *Credential) error { c.SetRolesOn("second", "", []Role{OrgOwner}); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteOrganization(t.Context(), "o"); !errors.Is(err, ErrLastOwner) {
		t.Errorf("got %v", err)
	}
	if err := s.DeleteOrganization(t.Context(), "second"); err != nil {
		t.Error(err)
	}
	if err := s.DeleteOrganization(t.Context(), "o"); err != nil {
		t.Error(err)
	}
}

// Two owners that step down, or are deleted, at the same time on two nodes do not leave the organization without any.
func TestOwnersThatStepDownTogether(t *testing.T) {
	for name, leave := range map[string]func(context.Context, *Directory, string) error{
		"step down": func(ctx context.Context, s *Directory, id string) error {
			_, err := s.UpdateCredential(ctx, id, stepDown)
			return err
		},
		"are deleted": func(ctx context.Context, s *Directory, id string) error { return s.DeleteCredential(ctx, id) },
	} {
		f, s := withOrg(t)
		a, b := newOwner(t, s), newOwner(t, s)
		var other error
		f.Before = func(ctx context.Context, op bucketest.Op, key string) error {
			if op == bucketest.PutNew && strings.HasPrefix(key, "credentials/"+a.ID) { // the first has looked, and found the second
				f.Before = nil
				other = leave(ctx, NewDirectory(f), b.ID)
			}
			return nil
		}
		err := leave(t.Context(), s, a.ID)
		if other != nil || !errors.Is(err, ErrLastOwner) {
			t.Errorf("%s: got %v and %v", name, other, err)
		}
		if !owns(t, f, a.ID) {
			t.Errorf("%s: nobody owns the organization", name)
		}
	}
}
