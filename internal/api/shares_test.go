package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/limit"
)

// An export that has begun waits for its share while others search, even if too many of the caller wait already.
func TestExportWaitsForItsShare(t *testing.T) {
	w := newWorld(t, Options{})
	w.fill(20)
	w.bearer(account.GroupOwner)
	s, caller := w.server.searches, w.callers[account.GroupOwner].ID
	searching, end := context.WithCancel(t.Context())
	defer end()
	var others sync.WaitGroup
	full := make(chan struct{}, 100) // one is refused only while all places are taken, and they stay so until the end
	for range cap(full) {            // more than may search and wait
		others.Go(func() {
			release, err := s.Take(searching, 1, caller, projectID, w.org.ID)
			if errors.Is(err, limit.ErrBusy) {
				full <- struct{}{}
			}
			if err == nil {
				<-searching.Done()
				release()
			}
		})
	}
	<-full
	w.faulty.Before = func(_ context.Context, op bucketest.Op, key string) error {
		if op == bucketest.PutNew && strings.HasPrefix(key, "wal/") { // the event of the export, before its first page
			time.AfterFunc(100*time.Millisecond, end)
		}
		return nil
	}
	log := "log=" + w.project.Workspaces[0].AuditLog
	rec := w.get(asking(eventsPath+":export", "format=ndjson", log), account.GroupOwner)
	lines := strings.Count(rec.Body.String(), "\n")
	if rec.Code != 200 || rec.Header().Get("Weir-Total") != "" || lines < 20 {
		t.Errorf("%d, total %q, %d lines: %.200s", rec.Code, rec.Header().Get("Weir-Total"), lines, rec.Body)
	}
	others.Wait()
}

// One tenant leaves room for others of what a node does at a time, however many credentials and projects it has.
func TestTenantsLeaveRoomForOthers(t *testing.T) {
	w := newWorld(t, Options{})
	for name, s := range map[string]*limit.Shares[string]{
		"searches": w.server.searches, "tails": w.server.tails, "requests that wait for entries": w.server.waiters,
	} {
		taken := 0
		for i := range 10_000 {
			if _, err := s.TryTake(1, fmt.Sprint("greedy ", i), "its project", "its organization"); err == nil {
				taken++
			}
		}
		ofProject := taken
		for i := range 10_000 {
			if _, err := s.TryTake(1, fmt.Sprint("more ", i), fmt.Sprint("project ", i), "its organization"); err == nil {
				taken++
			}
		}
		if ofProject == 0 {
			t.Errorf("%s: a project has no share", name)
		}
		if _, err := s.TryTake(1, "modest", "another project", "another organization"); err != nil {
			t.Errorf("%s: one tenant has all %d (a project %d): %v", name, taken, ofProject, err)
		}
	}
}
