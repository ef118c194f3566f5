package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
)

func withOrg(t *testing.T) (*bucketest.Faulty, *Directory) {
	f := &bucketest.Faulty{Bucket: bucketest.NewMemory()}
	s := NewDirectory(f)
	if err := s.CreateOrganization(t.Context(), Organization{ID: "o"}); err != nil {
		t.Fatal(err)
	}
	return f, s
}

func project(name string) Project { return Project{ID: NewID(time.Now()), Org: "o", Name: name} }

// names returns the names of the organization's projects, as a node without a cache sees them.
func names(t *testing.T, f bucket.Bucket) (names []string) {
	t.Helper()
	s := NewDirectory(f)
	ids, err := s.ProjectIDs(t.Context(), "o", "")
	if err != nil {
		t.Fatal(err)
	}
	projects, err := s.Projects(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range projects {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return names
}

// If several nodes create projects with one name, and rename others to it, one project gets it.
func TestOneProjectBearsAName(t *testing.T) {
	f, _ := withOrg(t)
	var nodes []*Directory
	var others []Project
	for i := range 4 {
		nodes = append(nodes, NewDirectory(f))
		p := project(fmt.Sprint("other", i))
		if err := nodes[i].CreateProject(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		others = append(others, p)
	}
	var won atomic.Int64
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			err := error(nil)
			if s := nodes[i%4]; i < 4 {
				err = s.CreateProject(t.Context(), project("same"))
			} else {
				_, err = s.RenameProject(t.Context(), others[i%4].ID, "same", func(*Project) error { return nil })
			}
			if err == nil {
				won.Add(1)
			} else if !errors.Is(err, ErrExists) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	bearers := 0
	for _, name := range names(t, f) {
		if name == "same" {
			bearers++
		}
	}
	if won.Load() != 1 || bearers != 1 {
		t.Errorf("%d won, %d bear the name", won.Load(), bearers)
	}
}

// A crash at any call of a creation, a renaming or a deletion leaves the old state or the new one, and no name that
// stays taken.
func TestCrashesLeaveNoNameTaken(t *testing.T) {
	died := errors.New("died")
	for call, more := 0, true; more; call++ {
		synctest.Test(t, func(t *testing.T) {
			f, s := withOrg(t)
			old := project("old")
			if err := s.CreateProject(t.Context(), old); err != nil {
				t.Fatal(err)
			}
			left := call
			f.Before = func(context.Context, bucketest.Op, string) error {
				if left--; left < 0 {
					return died
				}
				return nil
			}
			work := func(s *Directory) error {
				if err := s.CreateProject(t.Context(), project("new")); err != nil && !errors.Is(err, ErrExists) {
					return err
				}
				if _, err := s.RenameProject(t.Context(), old.ID, "renamed",
					func(*Project) error { return nil }); err != nil {
					return err
				}
				_, err := s.DeleteProject(t.Context(), old.ID, func(*Project) error { return nil })
				return err
			}
			err := work(s)
			more = errors.Is(err, died)
			f.Before = nil
			if got := names(t, f); !slices.Contains([]string{"[old]", "[new old]", "[new renamed]", "[new]"},
				fmt.Sprint(got)) {
				t.Errorf("call %d: %v", call, got)
			}
			time.Sleep(2 * claimed)
			if err := work(NewDirectory(f)); err != nil && !errors.Is(err, ErrNotFound) {
				t.Errorf("call %d: again: %v", call, err)
			}
			for _, name := range []string{"old", "renamed"} {
				if err := NewDirectory(f).CreateProject(t.Context(), project(name)); err != nil {
					t.Errorf("call %d: %s is taken: %v", call, name, err)
				}
			}
			if got := names(t, f); fmt.Sprint(got) != "[new old renamed]" {
				t.Errorf("call %d: %v", call, got)
			}
		})
	}
}

func TestDeleteOrganization(t *testing.T) {
	f, s := withOrg(t)
	p := project("p")
	if err := s.CreateProject(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	f.Before = func(_ context.Context, op bucketest.Op, key string) error {
		if op == bucketest.PutNew {
			t.Errorf("an organization that is not empty is changed: %s", key)
		}
		return nil
	}
	if err := NewDirectory(f).DeleteOrganization(t.Context(), "o"); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("got %v", err)
	}
	f.Before = nil
	if _, err := s.DeleteProject(t.Context(), p.ID, func(*Project) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := NewDirectory(f).DeleteOrganization(t.Context(), "o"); err != nil {
		t.Fatal(err)
	}
	// The cache of s still has the organization.
	if err := s.CreateProject(t.Context(), project("late")); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if got := names(t, f); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestCredentialsAreListed(t *testing.T) {
	f, s := withOrg(t)
	p := project("p")
	if err := s.CreateProject(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	key, _ := NewAPIKey("o", "k", []Grant{{Project: p.ID, Role: GroupOwner}}, time.Now())
	sa, _ := NewServiceAccount("o", "s", nil, time.Now(), time.Hour)
	if err := errors.Join(s.CreateCredential(t.Context(), key), s.CreateCredential(t.Context(), sa)); err != nil {
		t.Fatal(err)
	}
	list := func() (ids []string) {
		s := NewDirectory(f)
		for _, kind := range []Kind{APIKey, ServiceAccount} {
			org, err := s.Credentials(t.Context(), "o", kind)
			if err != nil {
				t.Fatal(err)
			}
			now, err := s.Project(t.Context(), p.ID)
			if err != nil {
				t.Fatal(err)
			}
			members, err := s.Members(t.Context(), now, kind)
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, fmt.Sprint(len(org), len(members)))
		}
		return ids
	}
	if got := list(); !slices.Equal(got, []string{"1 1", "1 0"}) {
		t.Errorf("got %v", got)
	}
	if _, err := s.Assign(t.Context(), sa.ID, p.ID, []Role{GroupReadOnly},
		func(*Credential) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if c, err := s.CredentialOf(t.Context(), "o", key.UserID); err != nil || c.ID != key.ID {
		t.Errorf("got %+v, %v", c, err)
	}
	if got := list(); !slices.Equal(got, []string{"1 1", "1 1"}) {
		t.Errorf("got %v", got)
	}
	if _, err := s.Assign(t.Context(), sa.ID, p.ID, nil, func(*Credential) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteCredential(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	if got := list(); !slices.Equal(got, []string{"0 0", "1 0"}) {
		t.Errorf("got %v", got)
	}
}

// A project whose renaming was interrupted is found by the name that it has, in any case.
func TestFindByName(t *testing.T) {
	_, s := withOrg(t)
	p := project("Bears")
	if err := s.CreateProject(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	died := errors.New("died")
	if _, err := s.RenameProject(t.Context(), p.ID, "Another",
		func(*Project) error { return died }); !errors.Is(err, died) {
		t.Fatal(err)
	}
	for _, name := range []string{"", "Bears", "bea"} {
		if ids, err := s.ProjectIDs(t.Context(), "o", name); err != nil || !slices.Equal(ids, []string{p.ID}) {
			t.Errorf("%q: got %v, %v", name, ids, err)
		}
	}
	if ids, err := s.ProjectIDs(t.Context(), "o", "ears"); err != nil || len(ids) != 0 {
		t.Errorf("got %v, %v", ids, err)
	}
}
