package account

import (
	"context"
	"errors"
	"net/netip"
	"slices"
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
	if _, err := s.Credential(t.Context(), b.ID); !errors.Is(err, ErrNotFound) { // it was deleted with its organization
		t.Errorf("got %v", err)
	}
	if err := s.DeleteCredential(t.Context(), b.ID); err != nil { // a deleted organization needs no owner
		t.Error(err)
	}
}

// The deletion of an organization does not leave another one without an owner.
func TestOwnersFromElsewhere(t *testing.T) {
	_, s := withOrg(t)
	if err := s.CreateOrganization(t.Context(), Organization{ID: "second"}); err != nil {
		t.Fatal(err)
	}
	a := newOwner(t, s)
	if _, err := s.UpdateCredential(t.Context(), a.ID,
		func(c *Credential) error { c.SetRolesOn("second", "", []Role{OrgOwner}); return nil }); err != nil {
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

// If two owners step down, or are deleted, at the same time on two nodes, one of them stays.
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
			// The first has checked, and has seen the second.
			if op == bucketest.PutNew && strings.HasPrefix(key, "credentials/"+a.ID) {
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

// newAccount makes a service account that owns the organization "o" and has one secret.
func newAccount(t *testing.T, s *Directory, life time.Duration) Credential {
	c, _ := NewServiceAccount("o", "", []Grant{{Org: "o", Role: OrgOwner}}, time.Now(), life)
	if err := s.CreateCredential(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return c
}

func dropSecrets(c *Credential) error {
	c.Secrets = slices.Delete(c.Secrets, 0, len(c.Secrets))
	return nil
}

// waysToLeave are the ways in which an owner ceases to be one that can sign in.
var waysToLeave = map[string]func(ctx context.Context, s *Directory, id string) error{
	"steps down": func(ctx context.Context, s *Directory, id string) error {
		_, err := s.UpdateCredential(ctx, id, stepDown)
		return err
	},
	"is deleted": func(ctx context.Context, s *Directory, id string) error { return s.DeleteCredential(ctx, id) },
	"loses its secrets": func(ctx context.Context, s *Directory, id string) error {
		_, err := s.UpdateCredential(ctx, id, dropSecrets)
		return err
	},
	"has only an expired secret": func(ctx context.Context, s *Directory, id string) error {
		_, err := s.UpdateCredential(ctx, id, func(c *Credential) error {
			c.Secrets[0].Expires = time.Now().Add(-time.Second)
			return nil
		})
		return err
	},
	"admits only others": func(ctx context.Context, s *Directory, id string) error {
		_, err := s.UpdateCredential(ctx, id, func(c *Credential) error {
			c.AccessList = []AccessEntry{{Block: netip.MustParsePrefix("198.51.100.0/24")}}
			return nil
		})
		return err
	},
}

// here is the address from which owners are changed.
var here = netip.MustParseAddr("192.0.2.1")

// An owner may leave in any way as long as another owner can sign in.
func TestAnOwnerThatCannotSignInDoesNotCount(t *testing.T) {
	others := map[string]struct {
		make func(*testing.T, *Directory)
		ok   bool
	}{
		"nobody":              {func(*testing.T, *Directory) {}, false},
		"a key":               {func(t *testing.T, s *Directory) { newOwner(t, s) }, true},
		"an account":          {func(t *testing.T, s *Directory) { newAccount(t, s, time.Hour) }, true},
		"a key of this place": {func(t *testing.T, s *Directory) { admitOnly(t, s, newOwner(t, s), "192.0.2.0/24") }, true},
		"a key of another place": {func(t *testing.T, s *Directory) {
			admitOnly(t, s, newOwner(t, s), "203.0.113.0/24")
		}, false},
		"an expired account": {func(t *testing.T, s *Directory) { newAccount(t, s, -time.Hour) }, false},
		"an account without secrets": {func(t *testing.T, s *Directory) {
			newOwner(t, s) // so that the secret may be deleted
			a := newAccount(t, s, time.Hour)
			if _, err := s.UpdateCredential(t.Context(), a.ID, dropSecrets); err != nil {
				t.Fatal(err)
			}
			keys, err := s.Credentials(t.Context(), "o", APIKey)
			if err != nil || len(keys) != 1 {
				t.Fatal(keys, err)
			}
			_, err = s.credentials.Update(t.Context(), keys[0].ID, stepDown)
			if err != nil {
				t.Fatal(err)
			}
		}, false},
	}
	for how, leave := range waysToLeave {
		for who, other := range others {
			f, s := withOrg(t)
			other.make(t, s)
			s = s.ChangedFrom(here)
			a := newAccount(t, s, time.Hour)
			err := leave(t.Context(), s, a.ID)
			if other.ok && err != nil || !other.ok && !errors.Is(err, ErrLastOwner) {
				t.Errorf("an owner %s and there is %s besides: %v", how, who, err)
			}
			c, err := NewDirectory(f).Credential(t.Context(), a.ID)
			if !other.ok && (err != nil || !c.owns("o", signIn{time.Now(), here})) {
				t.Errorf("an owner %s and there is %s besides: it was refused and took effect", how, who)
			}
		}
	}
}

// admitOnly sets the access list of a credential.
func admitOnly(t *testing.T, s *Directory, c Credential, block string) {
	if _, err := s.UpdateCredential(t.Context(), c.ID, func(c *Credential) error {
		c.AccessList = []AccessEntry{{Block: netip.MustParsePrefix(block)}}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// If two owners leave at the same time on two nodes, in any ways, one that can sign in stays.
func TestOwnersThatLeaveTogether(t *testing.T) {
	for how, leave := range waysToLeave {
		for otherwise, leaveToo := range waysToLeave {
			f, s := withOrg(t)
			s = s.ChangedFrom(here)
			a, b := newAccount(t, s, time.Hour), newAccount(t, s, time.Hour)
			var other error
			f.Before = func(ctx context.Context, op bucketest.Op, key string) error {
				// The first has checked, and has seen the second.
				if op == bucketest.PutNew && strings.HasPrefix(key, "credentials/"+a.ID) {
					f.Before = nil
					other = leaveToo(ctx, NewDirectory(f).ChangedFrom(here), b.ID)
				}
				return nil
			}
			err := leave(t.Context(), s, a.ID)
			if other != nil || !errors.Is(err, ErrLastOwner) {
				t.Errorf("one %s, one %s: got %v and %v", how, otherwise, err, other)
			}
			c, err := NewDirectory(f).Credential(t.Context(), a.ID)
			if err != nil || !c.owns("o", signIn{time.Now(), here}) {
				t.Errorf("one %s, one %s: nobody owns the organization", how, otherwise)
			}
		}
	}
}

func TestExpiringAccounts(t *testing.T) {
	const day = 24 * time.Hour
	for name, tt := range map[string]struct {
		lives  []time.Duration // of the secrets of service accounts that own the organization
		key    bool            // whether an API key owns it too
		soon   int
		owners int
	}{
		"none":                            {nil, true, 0, 0},
		"one far off":                     {[]time.Duration{31 * day}, false, 0, 0},
		"the last owner":                  {[]time.Duration{29 * day}, false, 1, 1},
		"one of two owners":               {[]time.Duration{29 * day, 60 * day}, false, 1, 0},
		"the later of two":                {[]time.Duration{10 * day, 29 * day}, false, 2, 1},
		"with a key, which never expires": {[]time.Duration{29 * day}, true, 1, 0},
		"one that has expired":            {[]time.Duration{-day}, true, 0, 0},
	} {
		_, s := withOrg(t)
		for _, life := range tt.lives {
			newAccount(t, s, life)
		}
		if tt.key {
			newOwner(t, s)
		}
		now := time.Now()
		found, err := s.Expiring(t.Context(), now, now.Add(30*day))
		if err != nil {
			t.Fatal(err)
		}
		owners := 0
		for _, e := range found {
			owners += len(e.Owner)
		}
		if len(found) != tt.soon || owners != tt.owners {
			t.Errorf("%s: %d accounts and %d organizations, want %d and %d", name, len(found), owners,
				tt.soon, tt.owners)
		}
	}
}
