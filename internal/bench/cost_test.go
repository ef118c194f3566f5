package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/api"
	"github.com/weirlog/weir/internal/auth"
	"github.com/weirlog/weir/internal/bench/corpus"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/bucket/folder"
	"github.com/weirlog/weir/internal/node/nodetest"
)

// costly is a server on a bucket in a folder that counts its operations, with a log that is sequenced and merged.
type costly struct {
	t       *testing.T
	handler http.Handler
	folder  string
	token   string
	path    string
	until   time.Time
	round   func()

	operations atomic.Int64
	blocks     atomic.Int64 // gets of parts of segments
}

// corpusEvents is enough for some fifty blocks.
const corpusEvents = 30_000

func newCostly(t *testing.T) *costly {
	t.Helper()
	ctx := context.Background()
	c := &costly{t: t, folder: t.TempDir(), until: time.Now().Truncate(time.Hour)}
	local, err := folder.Open(c.folder)
	if err != nil {
		t.Fatal(err)
	}
	b := &bucketest.Faulty{Bucket: local, Before: func(_ context.Context, op bucketest.Op, key string) error {
		c.operations.Add(1)
		if op == bucketest.Get && strings.Contains(key, "/segments/") {
			c.blocks.Add(1)
		}
		return nil
	}}
	now := time.Now()
	accounts := account.NewDirectory(b)
	org := account.Organization{ID: account.NewID(now), Name: "o", Log: account.NewID(now)}
	w, err := account.NewWorkspace(big, now)
	if err != nil {
		t.Fatal(err)
	}
	project := account.Project{ID: account.NewID(now), Org: org.ID, Name: "p", Workspaces: []account.Workspace{w}}
	caller, secret := account.NewServiceAccount(org.ID, "owner",
		[]account.Grant{{Project: project.ID, Role: account.GroupOwner}}, now, time.Hour)
	for _, err := range []error{accounts.CreateOrganization(ctx, org), accounts.CreateProject(ctx, project),
		accounts.CreateCredential(ctx, caller)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	authenticator := auth.New(b, accounts, auth.Secret{1}, auth.Options{})
	if c.token, _, err = authenticator.Issue(ctx, caller.ID, secret, netip.MustParseAddr("192.0.2.1")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { local.Close() }) // after the node
	n := nodetest.New(t, b, nodetest.Options{WALCache: 32 << 20})
	c.round = func() {
		for more := true; more; {
			if more, err = n.Sequencers[0].Round(ctx, true); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.handler = api.New(accounts, authenticator, n.Logs, n.Recorder, api.Options{Logger: slog.New(slog.DiscardHandler)})
	c.path = fmt.Sprintf("/api/atlas/v2/groups/%s/streams/%s/auditLogs", project.ID, big)
	c.fill()
	return c
}

// fill records the corpus, sequencing now and then as a server does.
func (c *costly) fill() {
	all := corpus.Corpus{Events: corpusEvents, Days: 30, Until: c.until, Seed: 1}
	for b := all.NewBody(1000); b.Count() > 0; b = all.NewBody(1000) {
		c.record(b.Lines)
		c.round()
	}
}

func (c *costly) record(lines []byte) {
	c.t.Helper()
	r := httptest.NewRequest("POST", c.path, bytes.NewReader(lines))
	r.Header.Set("Authorization", "Bearer "+c.token)
	r.Header.Set("Content-Type", "application/x-ndjson")
	rec := httptest.NewRecorder()
	if c.handler.ServeHTTP(rec, r); rec.Code != http.StatusOK {
		c.t.Fatalf("record: %d %s", rec.Code, rec.Body)
	}
}

// sink takes a reply without keeping it, and lets what sends it copy as into a connection.
type sink struct {
	header http.Header
	status int
	bytes  int64
}

func (s *sink) Header() http.Header    { return s.header }
func (s *sink) WriteHeader(status int) { s.status = status }
func (s *sink) Write(p []byte) (int, error) {
	s.bytes += int64(len(p))
	return len(p), nil
}

func (s *sink) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Discard.(io.ReaderFrom).ReadFrom(r)
	s.bytes += n
	return n, err
}

func (c *costly) download(q query) *sink {
	c.t.Helper()
	r := httptest.NewRequest("GET", c.path+"?"+q.String(), nil)
	r.Header.Set("Authorization", "Bearer "+c.token)
	r.Header.Set("Accept", "application/vnd.atlas.2025-03-12+gzip")
	s := &sink{header: http.Header{}}
	c.handler.ServeHTTP(s, r)
	if s.status != 0 && s.status != http.StatusOK || s.bytes == 0 {
		c.t.Fatalf("download: status %d, %d bytes", s.status, s.bytes)
	}
	return s
}

// cost is what one request needs, however fast the machine is.
type cost struct {
	allocated  int64 // bytes
	operations int64 // of the bucket
	blocks     int64 // gets of parts of segments
}

func (c *costly) spent() cost {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return cost{int64(m.TotalAlloc), c.operations.Load(), c.blocks.Load()}
}

// of returns what do costs once everything is cached that will be: the least of several, each count for itself, since
// what others allocate meanwhile, and caches that the garbage collector or their limit has emptied, are not do's.
func (c *costly) of(do func()) cost {
	do()
	least := cost{math.MaxInt64, math.MaxInt64, math.MaxInt64}
	for range 8 {
		c.round() // what an earlier request left waiting is not this one's
		before := c.spent()
		do()
		after := c.spent()
		least.allocated = min(least.allocated, after.allocated-before.allocated)
		least.operations = min(least.operations, after.operations-before.operations)
		least.blocks = min(least.blocks, after.blocks-before.blocks)
	}
	return least
}

// What requests cost, in counts that no machine changes: bytes allocated, operations of the bucket, blocks opened,
// bytes on disk. Each limit is a little above what was measured when it was set; the targets are in
// docs/performance.md.
func TestCost(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	c := newCostly(t)
	whole, err := weigh(c.folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("on disk: %.1f B an event", whole.All)
	if whole.Events < corpusEvents || whole.All > 75 {
		t.Errorf("%d events take %.1f bytes each on disk, want at most 75", whole.Events, whole.All)
	}
	kinds := downloads(30, c.until)
	brief := kinds[4].query
	concerned, all, err := blocksWith(whole.files, brief.processor)
	if err != nil {
		t.Fatal(err)
	}
	if len(concerned.blocks) == 0 || len(concerned.blocks)*2 > all {
		t.Fatalf("the processor is in %d of %d blocks: this corpus shows nothing", len(concerned.blocks), all)
	}
	line := corpus.Corpus{Events: 1, Days: 1, Until: time.Now(), Seed: 2}
	body := line.NewBody(1)
	number := uint64(0)
	for _, test := range []struct {
		name       string
		do         func()
		allocated  int64 // bytes at most
		operations int64 // of the bucket, all kinds together, at most
		blocks     int64 // gets from segments, at most
	}{
		{"download of all", func() { c.download(kinds[0].query) }, allAllocated, 6, 1},
		{"download of one hour", func() { c.download(kinds[1].query) }, hourAllocated, 6, 2},
		{"download of a brief processor", func() { c.download(brief) },
			int64(len(concerned.blocks)) * perBlockAllocated,
			4 + int64(len(concerned.blocks)), int64(len(concerned.blocks))},
		{"recording of one event", func() {
			number++
			body.Renew(number, time.Now())
			c.record(body.Lines)
		}, recordAllocated, 1, 0},
	} {
		got := c.of(test.do)
		t.Logf("%s: %d bytes allocated, %d operations, %d gets from segments", test.name, got.allocated,
			got.operations, got.blocks)
		if countAllocations && got.allocated > test.allocated || got.operations > test.operations ||
			got.blocks > test.blocks {
			t.Errorf("%s: %d bytes allocated, %d operations, %d gets from segments; want at most %d, %d, %d",
				test.name, got.allocated, got.operations, got.blocks, test.allocated, test.operations, test.blocks)
		}
	}
	if left, err := filepath.Glob(filepath.Join(c.folder, "wal", "*", "*")); err != nil || len(left) > 1 {
		t.Errorf("%d WAL objects are left, %v", len(left), err)
	}
}

// Limits of what requests allocate, in bytes.
const (
	allAllocated      = 40 << 10
	hourAllocated     = 200 << 10
	recordAllocated   = 30 << 10
	perBlockAllocated = 170 << 10
)
