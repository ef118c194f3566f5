package account

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/doc"
)

func TestRoles(t *testing.T) {
	p := &Project{ID: "p1", Org: "o1"}
	for _, tt := range []struct {
		grant                 Grant
		see, download, record bool
	}{
		{Grant{Project: "p1", Role: GroupOwner}, true, true, true},
		{Grant{Project: "p1", Role: GroupStreamProcessingOwner}, true, true, true},
		{Grant{Project: "p1", Role: GroupDataAccessAdmin}, true, true, false},
		{Grant{Project: "p1", Role: GroupDataAccessReadWrite}, true, true, false},
		{Grant{Project: "p1", Role: GroupDataAccessReadOnly}, true, true, false},
		{Grant{Project: "p1", Role: GroupReadOnly}, true, false, false},
		{Grant{Project: "p1", Role: GroupClusterManager}, true, false, false},
		{Grant{Project: "p1", Role: GroupSearchIndexEditor}, true, false, false},
		{Grant{Project: "p1", Role: GroupAuditLogWriter}, true, false, true},
		{Grant{Project: "p1", Role: "NO_SUCH_ROLE"}, false, false, false},
		{Grant{Project: "p2", Role: GroupOwner}, false, false, false},
		{Grant{Project: "p2", Org: "o1", Role: GroupOwner}, false, false, false},
		{Grant{Org: "o1", Role: OrgOwner}, true, true, true},
		{Grant{Org: "o1", Role: OrgStreamProcessingAdmin}, true, true, false},
		{Grant{Org: "o1", Role: OrgReadOnly}, true, false, false},
		{Grant{Org: "o1", Role: OrgMember}, false, false, false},
		{Grant{Org: "o1", Role: OrgGroupCreator}, false, false, false},
		{Grant{Org: "o1", Role: OrgBillingAdmin}, false, false, false},
		{Grant{Org: "o2", Role: OrgOwner}, false, false, false},
		{Grant{Org: "o1", Role: GroupOwner}, false, false, false},
		{Grant{Project: "p1", Role: OrgOwner}, false, false, false},
		{Grant{Project: "p1", Org: "o1", Role: OrgOwner}, false, false, false},
		{Grant{Project: "p1", Org: "o1", Role: GroupOwner}, true, true, true},
		{Grant{}, false, false, false},
	} {
		c := &Credential{Roles: []Grant{tt.grant}}
		if see, download, record := c.May(See, p), c.May(Download, p), c.May(Record, p); see != tt.see ||
			download != tt.download || record != tt.record {
			t.Errorf("%+v: see %t, download %t, record %t", tt.grant, see, download, record)
		}
	}
}

func TestStoreSeesChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, b := t.Context(), bucketest.NewMemory()
		here, there := NewDirectory(b), NewDirectory(b)
		if err := there.CreateOrganization(ctx, Organization{ID: "o"}); err != nil {
			t.Fatal(err)
		}
		if _, err := here.Project(ctx, "p"); !errors.Is(err, ErrNotFound) {
			t.Errorf("missing project: %v", err)
		}
		if err := there.CreateProject(ctx, Project{ID: "p", Org: "o", Name: "one"}); err != nil {
			t.Fatal(err)
		}
		name := func(s *Directory) string {
			p, err := s.Project(ctx, "p")
			if err != nil {
				t.Fatal(err)
			}
			return p.Name
		}
		if got := name(here); got != "one" {
			t.Errorf("what was missing must be looked for again: %q", got)
		}
		if _, err := there.UpdateProject(ctx, "p", func(p *Project) error { p.Name = "two"; return nil }); err != nil {
			t.Fatal(err)
		}
		if got := name(there); got != "two" {
			t.Errorf("a node's own change must be seen at once: %q", got)
		}
		time.Sleep(doc.MaxAge)
		if got := name(here); got != "two" {
			t.Errorf("another node's change must be seen after %v: %q", doc.MaxAge, got)
		}
	})
}

// If the newest version of a document is deleted, a node that has it in memory keeps using it, and does not write on
// top of the older one. Otherwise, retention would use an older limit. A node that starts afterwards cannot know.
func TestDocumentPutBackIsNotBelievedByANodeThatHasIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, b := t.Context(), bucketest.NewMemory()
		s := NewDirectory(b)
		limit := func(days int) func(*Project) error {
			return func(p *Project) error { p.Retention.Days = days; return nil }
		}
		_, err := s.UpdateProject(ctx, "p", limit(0))
		if !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		for _, err := range []error{s.CreateOrganization(ctx, Organization{ID: "o"}),
			s.CreateProject(ctx, Project{ID: "p", Org: "o", Retention: Retention{Days: 30}})} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.UpdateProject(ctx, "p", limit(365)); err != nil {
			t.Fatal(err)
		}
		if err := b.Delete(ctx, "projects/p/0000000002.json"); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			time.Sleep(time.Hour)
			for p, err := range s.AllProjects(ctx) { // as retention does
				if err != nil || p.Retention.Days != 365 {
					t.Errorf("%+v, %v", p, err)
				}
			}
			if _, err := s.UpdateProject(ctx, "p", limit(100)); !errors.Is(err, doc.ErrPutBack) {
				t.Errorf("changed on top of the older version: %v", err)
			}
		}
	})
}

// A read that was in progress during a write of this node must not restore the older version.
func TestSlowReadDoesNotHideAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, b := t.Context(), &slowGet{Bucket: bucketest.NewMemory(), may: make(chan struct{})}
		s := NewDirectory(b)
		for _, err := range []error{s.CreateOrganization(ctx, Organization{ID: "o"}),
			s.CreateProject(ctx, Project{ID: "p", Org: "o", Name: "one"})} {
			if err != nil {
				t.Fatal(err)
			}
		}
		b.next.Store(true)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if _, err := s.Project(ctx, "p"); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait() // the read holds version 1
		if _, err := s.UpdateProject(ctx, "p", func(p *Project) error { p.Name = "two"; return nil }); err != nil {
			t.Fatal(err)
		}
		close(b.may)
		<-done
		if p, err := s.Project(ctx, "p"); err != nil || p.Name != "two" {
			t.Errorf("got %+v, %v", p, err)
		}
	})
}

// slowGet returns an object only when it is allowed to.
type slowGet struct {
	bucket.Bucket
	next atomic.Bool
	may  chan struct{}
}

func (s *slowGet) Get(ctx context.Context, key string, r bucket.Range) (*bucket.Object, error) {
	o, err := s.Bucket.Get(ctx, key, r)
	if s.next.CompareAndSwap(true, false) {
		<-s.may
	}
	return o, err
}

func TestDeletedCredential(t *testing.T) {
	ctx, s := t.Context(), NewDirectory(bucketest.NewMemory())
	c, _ := NewAPIKey("o", "", nil, time.Now())
	if err := s.CreateCredential(ctx, c); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UpdateCredential(ctx, c.ID, func(c *Credential) error { c.Deleted = true; return nil }); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{c.ID, "", "../x", "a/b", "ABC", string(make([]byte, 100))} {
		if _, err := s.Credential(ctx, id); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestNewCredentials(t *testing.T) {
	sa, secret := NewServiceAccount("o", "n", nil, time.Now(), time.Hour)
	key, private := NewAPIKey("o", "d", nil, time.Now())
	if len(sa.ID) != len("mdb_sa_id_")+24 || len(secret) != len("mdb_sa_sk_")+40 || len(key.ID) != 8 ||
		len(private) != 36 {
		t.Errorf("%s %s %s %s", sa.ID, secret, key.ID, private)
	}
	if want := "********-****-****-" + private[24:]; key.HA1.Masked != want {
		t.Errorf("masked as %s, want %s", key.HA1.Masked, want)
	}
}

func TestWorkspaceNames(t *testing.T) {
	for name, ok := range map[string]bool{"demo": true, "A-b_9": true, "": false, "a b": false, "ä": false,
		"a/b": false, string(make([]byte, 65)): false} {
		if _, err := NewWorkspace(name, time.Now()); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
