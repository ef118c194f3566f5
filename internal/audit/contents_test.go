package audit

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/tlog/tlogtest"
)

func (a *audited) segments() (*Listed, error) {
	return (&Auditor{Bucket: a.b, Keys: a.keys}).Segments(a.t.Context(), tlogtest.Log)
}

// The segments hold each existing entry once, and no segment that was merged into another is listed.
func TestSegmentsHoldEachEntryOnce(t *testing.T) {
	a := newAudited(t)
	found, err := a.segments()
	if err != nil {
		t.Fatal(err)
	}
	m := a.highest()
	if found.Version != m.Version || found.First != m.Pruned.End() || found.First == 0 || found.Entries != auditedEntries {
		t.Errorf("entries %d to %d of version %d", found.First, found.Entries, found.Version)
	}
	next, sizes := found.First, map[string]int64{}
	for info, err := range a.b.List(t.Context(), manifest.SegmentPrefix(tlogtest.Log), "") {
		if err != nil {
			t.Fatal(err)
		}
		if sizes[info.Key], err = info.Size(); err != nil {
			t.Fatal(err)
		}
	}
	for _, seg := range found.Segments {
		if seg.First != next || sizes[seg.Key] != seg.Size() {
			t.Errorf("%s begins with entry %d, not %d, and has %d of %d bytes", seg.Key, seg.First, next, seg.Size(),
				sizes[seg.Key])
		}
		next = seg.End()
	}
	if next != found.Entries {
		t.Errorf("the segments end at entry %d", next)
	}
}

func TestLogWithoutManifestHasNoSegments(t *testing.T) {
	found, err := (&Auditor{Bucket: bucketest.NewMemory()}).Segments(t.Context(), tlogtest.Log)
	if err != nil || found.Version != 0 || len(found.Segments) > 0 {
		t.Errorf("%+v, %v", found, err)
	}
}

// Lists that are not those that were signed are refused. Without keys, keys of another form are still refused, since
// they may be meant to attack the program that gets them.
func TestSegmentsOfForgedListsAreRefused(t *testing.T) {
	for name, forge := range map[string]func(*audited){
		"a history object": func(a *audited) { a.put(a.named()["history"], []byte("[]")) },
		"a manifest that another key signed": func(a *audited) {
			key, err := proof.GenerateKey()
			if err != nil {
				t.Fatal(err)
			}
			m := a.highest()
			data, err := m.Encode(proof.NewKeys(key))
			if err != nil {
				t.Fatal(err)
			}
			a.put(manifest.Key(tlogtest.Log, m.Version), data)
		},
	} {
		a := newAudited(t)
		forge(a)
		if found, err := a.segments(); !errors.Is(err, manifest.ErrNotAuthentic) {
			t.Errorf("%s: %+v, %v", name, found, err)
		}
	}
	for _, key := range []string{"orgs/x", "../x.gz", manifest.SegmentsFrom(tlogtest.Log, 0) + "0123456789abcde'.gz",
		manifest.SegmentsFrom(tlogtest.Log, 0) + "0123456789abcdef\n.gz",
		manifest.SegmentsFrom("6a793f48c0eb9e7a17712f01", 0) + "0123456789abcdef.gz"} {
		a := newAudited(t)
		a.keys = nil
		if _, err := a.segments(); err != nil {
			t.Fatal(err)
		}
		m := a.highest()
		m.Segments[0].Key = key
		data, err := m.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		a.put(manifest.Key(tlogtest.Log, m.Version), data)
		if _, err := a.segments(); !errors.Is(err, manifest.ErrNotAuthentic) {
			t.Errorf("the key %q: %v", key, err)
		}
	}
}

// If a history object was replaced since the manifest was read, the list is made again.
func TestSegmentsOfTheNewestManifest(t *testing.T) {
	a := newAudited(t)
	old, overtaken := a.highest(), false
	faulty := &bucketest.Faulty{Bucket: a.b, Before: func(ctx context.Context, op bucketest.Op, key string) error {
		if op != bucketest.Get || !strings.HasPrefix(key, manifest.HistoryPrefix(tlogtest.Log)) || overtaken {
			return nil
		}
		overtaken = true
		m := old.Clone()
		m.Version++
		kept := a.object(key)
		i := slices.IndexFunc(m.History, func(h manifest.History) bool { return h.Key == key })
		m.History[i].Key = manifest.NewHistoryKey(tlogtest.Log, m.History[i].First)
		a.put(m.History[i].Key, kept)
		data, err := m.Encode(a.keys)
		if err != nil {
			t.Fatal(err)
		}
		a.put(manifest.Key(tlogtest.Log, m.Version), data)
		return a.b.Delete(ctx, key)
	}}
	found, err := (&Auditor{Bucket: faulty, Keys: a.keys}).Segments(t.Context(), tlogtest.Log)
	if err != nil || !overtaken || found.Version != old.Version+1 {
		t.Errorf("overtaken: %t; %+v, %v", overtaken, found, err)
	}
}
