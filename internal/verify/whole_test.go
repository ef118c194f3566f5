package verify_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/event/eventtest"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/verify"
	"github.com/weirlog/weir/internal/wal"
)

const wholeLog = "6a793f48c0eb9e7a17712f00"

// seals is the key of the nodes that wrote the bucket.
var seals = seal.NewKey(make([]byte, 32))

// wholeBucket has objects of every kind that lasts.
func wholeBucket(t *testing.T) (*bucketest.Memory, *proof.Keys) {
	t.Helper()
	key, err := proof.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	b, ctx, keys := bucketest.NewMemory(), context.Background(), proof.NewKeys(key)
	accounts := account.NewDirectory(seal.NewBucket(b, seals))
	reader := wal.NewReader(b, seals, 1<<20)
	logs := tlog.NewLogs(b, reader, tlog.Options{Keys: keys, Origin: "example.org", BlockBytes: 500, HistorySegments: 2,
		MergeWidth: 100})
	project := account.Project{ID: "6a793f48c0eb9e7a17712fff", Org: "o", Name: "p",
		Workspaces: []account.Workspace{{ID: "w", Name: "w", AuditLog: wholeLog,
			OperationalLog: "6a793f48c0eb9e7a17712f01"}}}
	errs := []error{accounts.CreateOrganization(ctx, account.Organization{ID: "o", Name: "o",
		Log: "6a793f48c0eb9e7a17712f02"}),
		accounts.CreateProject(ctx, project),
		accounts.Initialise(ctx, account.Settings{Shards: 1, Origin: "example.org"})}
	line := func(n int) string { return fmt.Sprintf(`{"time":%d,"metadata":{"uid":"%d"}}`, n, n) }
	for batch := range 5 {
		var lines []string
		for i := range 30 {
			lines = append(lines, line(batch*30+i))
		}
		errs = append(errs, logs.Append(ctx, int64(batch+1), "nonce", eventtest.Batch(wholeLog, lines...)))
	}
	w := wal.NewWriter(b, reader, 0, func(int64) {})
	errs = append(errs, w.Append(ctx, eventtest.Batch(wholeLog, line(1000))))
	w.Close()
	errs = append(errs, reader.CreatePlan(ctx, 0, wal.NewPlan(5, nil)))
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return b, keys
}

// A byte that is changed in any object, and any object that a log needs and that is gone, is found and named.
func TestCheckBucketFindsDamage(t *testing.T) {
	whole, keys := wholeBucket(t)
	w, err := verify.CheckBucket(t.Context(), whole, keys, seal.Key{}, nil)
	if err != nil || w.Verdict != verify.Verified || len(w.Strays) > 0 || w.Logs != 1 {
		t.Fatalf("%+v, %v", w, err)
	}
	var all []bucket.Info
	for info := range whole.List(t.Context(), "", "") {
		all = append(all, info)
	}
	for _, info := range all {
		data, err := bucket.Read(t.Context(), whole, info.Key, bucket.Range{})
		if err != nil {
			t.Fatal(err)
		}
		for what, put := range map[string]func() error{
			"cut": func() error { return whole.Put(t.Context(), info.Key, data[:len(data)/2]) },
			"flipped": func() error {
				c := []byte(string(data))
				c[len(c)/2] ^= 0x80
				return whole.Put(t.Context(), info.Key, c)
			},
		} {
			if err := put(); err != nil {
				t.Fatal(err)
			}
			w, err := verify.CheckBucket(t.Context(), whole, keys, seal.Key{}, nil)
			if err != nil {
				t.Fatalf("%s %s: %v", info.Key, what, err)
			}
			named := false
			for _, p := range w.Problems {
				named = named || strings.HasPrefix(info.Key, strings.TrimSuffix(p.Object, "/")) || p.Object == info.Key
			}
			if w.Verdict == verify.Verified || !named {
				t.Errorf("%s %s: %+v", info.Key, what, w)
			}
		}
		if err := whole.Put(t.Context(), info.Key, data); err != nil {
			t.Fatal(err)
		}
	}
	if w, err = verify.CheckBucket(t.Context(), whole, keys, seal.Key{}, nil); err != nil ||
		w.Verdict != verify.Verified {
		t.Errorf("all is as it was: %+v, %v", w, err)
	}
}

// Quarantine moves what nothing names, and nothing else; every byte is still there.
func TestQuarantine(t *testing.T) {
	b, keys := wholeBucket(t)
	stray := "logs/" + wholeLog + "/segments/000000000000500-0123456789abcdef.gz"
	unknown := "somebody/else.txt"
	b.AllowAnyKeys()
	for _, key := range []string{stray, unknown} {
		if err := b.PutNew(t.Context(), key, []byte(key)); err != nil {
			t.Fatal(err)
		}
	}
	w, err := verify.CheckBucket(t.Context(), b, keys, seal.Key{}, nil)
	if err != nil || w.Verdict != verify.Verified || len(w.Strays) != 2 {
		t.Fatalf("%+v, %v", w, err)
	}
	now := time.UnixMilli(math.MaxInt32 * 1000)
	if err := w.Quarantine(t.Context(), b, now); err != nil || len(w.Moved) != 1 || w.Moved[0] != stray {
		t.Fatalf("%v, %v", w.Moved, err)
	}
	moved, err := bucket.Read(t.Context(), b, "quarantine/"+now.UTC().Format("20060102T150405Z")+"/"+stray,
		bucket.Range{})
	if err != nil || string(moved) != stray {
		t.Errorf("%q, %v", moved, err)
	}
	if w, err = verify.CheckBucket(t.Context(), b, keys, seal.Key{}, nil); err != nil || w.Verdict != verify.Verified ||
		len(w.Strays) != 1 || w.Strays[0].Object != unknown {
		t.Errorf("%+v, %v", w, err)
	}
}
