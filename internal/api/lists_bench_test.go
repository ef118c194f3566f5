package api

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/auth"
	"github.com/weirlog/weir/internal/bucket/folder"
)

// BenchmarkLists measures lists of an organization with 10,000 projects of 10 workspaces each, on a local bucket: the
// first request with an empty cache, and p50 and p99 of later requests.
func BenchmarkLists(b *testing.B) {
	const projects, workspaces = 10_000, 10
	local, err := folder.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer local.Close()
	w := newWorld(b, Options{})
	w.faulty.Bucket = local
	w.store = account.NewDirectory(w.faulty)
	started := time.Now()
	if err := w.store.CreateOrganization(context.Background(), w.org); err != nil {
		b.Fatal(err)
	}
	var ids []string
	for i := range projects {
		p := account.Project{ID: account.NewID(now.Add(time.Duration(i) * time.Second)), Org: w.org.ID,
			Name: fmt.Sprintf("project-%05d", i), Created: now}
		for j := range workspaces {
			ws, err := account.NewWorkspace(fmt.Sprintf("workspace-%d", j), now)
			if err != nil {
				b.Fatal(err)
			}
			p.Workspaces = append(p.Workspaces, ws)
		}
		if err := w.store.CreateProject(context.Background(), p); err != nil {
			b.Fatal(err)
		}
		ids = append(ids, p.ID)
	}
	b.Logf("%d projects made in %v", projects, time.Since(started).Round(time.Millisecond))
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w.store = account.NewDirectory(w.faulty)
	w.auth = auth.New(w.faulty, w.store, auth.Secret{1}, auth.Options{FailuresPerMinute: 1000})
	w.server = w.node(w.store, w.auth)
	own, secret := account.NewServiceAccount(w.org.ID, "x", []account.Grant{{Org: w.org.ID, Role: account.OrgOwner}},
		time.Now(), time.Hour)
	if err := w.store.CreateCredential(context.Background(), own); err != nil {
		b.Fatal(err)
	}
	token, _, err := w.auth.Issue(context.Background(), own.ID, secret, netip.MustParseAddr("203.0.113.24"))
	if err != nil {
		b.Fatal(err)
	}
	for _, list := range []string{"/api/atlas/v2/groups?pageNum=%d", orgV2 + "/groups?pageNum=%d", "streams"} {
		b.Run(strings.ReplaceAll(strings.ReplaceAll(list, "/", "_"), "?pageNum=%d", ""), func(b *testing.B) {
			var took []time.Duration
			for i := range max(b.N, 50) {
				path := "/api/atlas/v2/groups/" + ids[i*37%projects] + "/streams"
				if list != "streams" {
					path = fmt.Sprintf(list, i%100+1)
				}
				begin := time.Now()
				rec := w.by("Bearer "+token, "GET", path, "")
				took = append(took, time.Since(begin))
				if rec.Code != 200 {
					b.Fatal(rec.Body)
				}
			}
			first := took[0]
			slices.Sort(took)
			b.ReportMetric(float64(first.Microseconds())/1000, "first-ms")
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.Logf("memory kept: %.1f MB", float64(after.HeapAlloc-before.HeapAlloc)/1e6)
}
