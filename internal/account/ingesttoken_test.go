package account

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/bucket/bucketest"
)

func TestIngestTokenIsRecognisedByItsForm(t *testing.T) {
	p := &Project{ID: "6a793f48c0eb9e7a17712c9a", Org: "6a793f48c0eb9e7a17712c00"}
	c, text := NewIngestToken(p, nil, "shipper", time.Now(), 0)
	if id, ok := IngestTokenID(text); !ok || id != c.ID || !IsIngestToken(text) {
		t.Errorf("%s: %s %t, want %s", text, id, ok, c.ID)
	}
	for i := range text { // no single mistake makes another valid token
		for _, b := range []byte("0z_") {
			if wrong := text[:i] + string(b) + text[i+1:]; wrong != text {
				if _, ok := IngestTokenID(wrong); ok {
					t.Errorf("%s is taken for a token", wrong)
				}
			}
		}
	}
	for _, wrong := range []string{"", "weir_", text + "0", text[1:], strings.ToUpper(text), strings.Repeat("x", 1<<20)} {
		if _, ok := IngestTokenID(wrong); ok {
			t.Errorf("%.80s is taken for a token", wrong)
		}
	}
}

func TestIngestTokenMayRecordAndNothingElse(t *testing.T) {
	now := time.Now()
	p := &Project{ID: "6a793f48c0eb9e7a17712c9a", Org: "6a793f48c0eb9e7a17712c00"}
	w := &Workspace{ID: "6a793f48c0eb9e7a17712e00"}
	c, _ := NewIngestToken(p, w, "shipper", now, time.Hour)
	for a, want := range map[Action]bool{See: true, Record: true, Read: false, Download: false, ManageWorkspaces: false,
		Own: false} {
		if c.May(a, p) != want {
			t.Errorf("action %d: %t", a, !want)
		}
	}
	other := &Workspace{ID: "6a793f48c0eb9e7a17712e01"}
	if !c.MayActOn(w) || c.MayActOn(other) || c.MayActOn(nil) {
		t.Error("it is not bound to its workspace")
	}
	if !c.MaySignIn(now) || c.MaySignIn(now.Add(time.Hour)) {
		t.Error("it does not end when it should")
	}
	if ever, _ := NewIngestToken(p, nil, "shipper", now, 0); !ever.MaySignIn(now.AddDate(100, 0, 0)) ||
		!ever.MayActOn(other) {
		t.Error("a token without limits has some")
	}
}

// A use is recorded at most once an hour.
func TestUseIsNotedOnceAnHour(t *testing.T) {
	ctx, now := t.Context(), time.Now()
	f := &bucketest.Faulty{Bucket: bucketest.NewMemory()}
	s := NewDirectory(f)
	org := Organization{ID: NewID(now), Name: "o", Log: NewID(now)}
	p := Project{ID: NewID(now), Org: org.ID, Name: "p"}
	c, _ := NewIngestToken(&p, nil, "shipper", now, 0)
	for _, err := range []error{s.CreateOrganization(ctx, org), s.CreateProject(ctx, p), s.CreateCredential(ctx, c)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var writes atomic.Int64
	f.Before = func(_ context.Context, op bucketest.Op, _ string) error {
		if op == bucketest.PutNew {
			writes.Add(1)
		}
		return nil
	}
	for minutes := range 150 {
		at := now.Add(time.Duration(minutes) * time.Minute)
		for _, seen := range []*Credential{&c, get(t, s, c.ID)} { // an old version, as in a cache, and the newest
			if err := s.NoteUse(ctx, seen, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	if writes.Load() != 3 {
		t.Errorf("%d writes for uses in 150 minutes, want 3", writes.Load())
	}
	if used := get(t, s, c.ID).Used; !used.Equal(now.Add(2 * time.Hour)) {
		t.Errorf("used at %v, want %v", used, now.Add(2*time.Hour))
	}
}

func get(t *testing.T, s *Directory, id string) *Credential {
	t.Helper()
	c, err := s.Credential(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestIngestTokensGoWithTheirProject(t *testing.T) {
	ctx, now := t.Context(), time.Now()
	s := NewDirectory(bucketest.NewMemory())
	org := Organization{ID: NewID(now), Name: "o", Log: NewID(now)}
	p := Project{ID: NewID(now), Org: org.ID, Name: "p"}
	c, _ := NewIngestToken(&p, nil, "shipper", now, 0)
	for _, err := range []error{s.CreateOrganization(ctx, org), s.CreateProject(ctx, p), s.CreateCredential(ctx, c)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.DeleteProject(ctx, p.ID, func(*Project) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if c, err := s.Credential(ctx, c.ID); err == nil {
		t.Errorf("there is still %+v", c)
	}
	if err := s.CrossCheck(ctx, func(x Inconsistency) { t.Errorf("%+v", x) }); err != nil {
		t.Fatal(err)
	}
}
