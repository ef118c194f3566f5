package account

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/bucket/bucketest"
)

// An organization has room up to the most that it may have, and again when something is gone.
func TestOrganizationsAreFull(t *testing.T) {
	for kind, c := range map[string]struct {
		most int
		of   Listed
	}{
		projectNames: {MaxProjects, ListedProjects},
		userIDs:      {MaxCredentials, ListedCredentials},
	} {
		s := NewDirectory(bucketest.NewMemory())
		const org = "32b6e34b3d91647abb20e7b8"
		of := func(i int) string { return fmt.Sprint("entry ", i) }
		entries := map[string]map[string]Entry{}
		for i := range c.most - 1 {
			id := directoryID(org, kind, of(i))
			if entries[id] == nil {
				entries[id] = map[string]Entry{}
			}
			entries[id][of(i)] = Entry{ID: of(i), Since: time.Now()}
		}
		for id, of := range entries {
			fill := func(d *shard) error { d.Entries = of; return nil }
			if _, err := s.directory.UpdateOrCreate(t.Context(), id, fill); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Room(t.Context(), org, c.of); err != nil {
			t.Errorf("%s: room for one more: %v", kind, err)
		}
		if err := s.enter(t.Context(), org, kind, "last", "last", nil); err != nil {
			t.Fatal(err)
		}
		full := new(Full)
		if err := s.Room(t.Context(), org, c.of); !errors.As(err, &full) || full.Most != c.most {
			t.Errorf("%s: %v, want that it is full", kind, err)
		}
		if err := s.Room(t.Context(), "an organization besides", c.of); err != nil {
			t.Errorf("%s: another organization: %v", kind, err)
		}
		if err := s.leave(t.Context(), org, kind, of(7), of(7)); err != nil {
			t.Fatal(err)
		}
		if err := s.Room(t.Context(), org, c.of); err != nil {
			t.Errorf("%s: when one is gone: %v", kind, err)
		}
	}
}

// A project takes workspaces up to the most that it may have, each name once, and a refused one changes nothing.
func TestProjectsAreFull(t *testing.T) {
	var p Project
	for i := range MaxWorkspaces {
		if err := p.AddWorkspace(Workspace{Name: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	full := new(Full)
	if err := p.AddWorkspace(Workspace{Name: "one more"}); !errors.As(err, &full) || full.Most != MaxWorkspaces {
		t.Errorf("one more: %v, want that it is full", err)
	}
	if err := p.AddWorkspace(Workspace{Name: "7"}); !errors.Is(err, ErrExists) {
		t.Errorf("a name that is there: %v", err)
	}
	if len(p.Workspaces) != MaxWorkspaces {
		t.Errorf("%d workspaces", len(p.Workspaces))
	}
}

// Owners of an organization, and of those that they made, may together make so many; when one is deleted, one more.
func TestOrganizationsMakeOthersUpToABound(t *testing.T) {
	s, root := NewDirectory(bucketest.NewMemory()), Organization{ID: NewID(time.Now())}
	if err := s.CreateOrganization(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	made := []Organization{root}
	add := func(by string) error {
		o := Organization{ID: NewID(time.Now())}
		err := s.MakeOrganization(t.Context(), by, o)
		if err == nil {
			made = append(made, o)
		}
		return err
	}
	for i := range MaxOrganizations {
		if err := add(made[i/2].ID); err != nil {
			t.Fatal(err)
		}
	}
	for _, by := range []string{root.ID, made[1].ID, made[50].ID} {
		if err := add(by); !errors.As(err, new(*Full)) {
			t.Errorf("one more: %v, want that it is full", err)
		}
	}
	if err := s.DeleteOrganization(t.Context(), made[7].ID); err != nil {
		t.Fatal(err)
	}
	if err := add(made[9].ID); err != nil {
		t.Errorf("when one is gone: %v", err)
	}
	if err := add(made[9].ID); !errors.As(err, new(*Full)) {
		t.Errorf("one more: %v, want that it is full", err)
	}
}
