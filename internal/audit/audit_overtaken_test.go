package audit

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/tlog/tlogtest"
)

// An audit ends, and reports both faults, if the highest manifest is damaged and the one below it names a missing
// object. This happens if a merge made the highest manifest, and the grace period of the merged objects is over.
func TestAuditEndsIfHighestManifestIsDamaged(t *testing.T) {
	a := newAudited(t)
	named := a.named()
	a.put(named["manifest"], []byte("damaged"))
	if err := a.b.Delete(t.Context(), named["segment"]); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	result, err := (&Auditor{Bucket: a.b, Keys: a.keys}).Log(ctx, tlogtest.Log)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{named["manifest"], named["segment"]} {
		if !slices.ContainsFunc(result.Findings, func(f Finding) bool { return f.Object == key }) {
			t.Errorf("nothing is said of %s: %+v", key, result.Findings)
		}
	}
}

// An audit does not report a log without manifests if all manifests that it has listed are deleted before it reads
// them.
func TestAuditWhileManifestsAreCleanedAway(t *testing.T) {
	b := bucketest.NewMemory()
	s := newStore(b, tlog.Options{KeepManifests: 2})
	appendOne := func(n int) {
		if err := s.Append(t.Context(), int64(n+1), "nonce", tlogtest.Batch(tlogtest.Regular(n, 1))); err != nil {
			t.Fatal(err)
		}
	}
	appendOne(0)
	const entries = 10
	overtaken := false
	faulty := &bucketest.Faulty{Bucket: b, Before: func(_ context.Context, op bucketest.Op, key string) error {
		if op == bucketest.Get && strings.HasPrefix(key, manifest.Prefix(tlogtest.Log)) && !overtaken {
			overtaken = true
			for n := 1; n < entries; n++ {
				appendOne(n)
			}
		}
		return nil
	}}
	result, err := (&Auditor{Bucket: faulty}).Log(t.Context(), tlogtest.Log)
	if err != nil {
		t.Fatal(err)
	}
	if !overtaken || result.Rebuilt || result.Size != entries || len(result.Findings) > 0 {
		t.Errorf("overtaken: %t; rebuilt: %t; %d entries, want %d; %+v",
			overtaken, result.Rebuilt, result.Size, entries, result.Findings)
	}
}
