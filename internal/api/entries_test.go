package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/limit"
	"github.com/weirlog/weir/internal/manifest"
)

const (
	entriesPath = "/api/weir/v1/groups/" + projectID + "/logs/" + demoLog + "/entries"
)

// indexes returns the indexes of the entries in a reply.
func indexes(t testing.TB, rec *httptest.ResponseRecorder) (all []int64) {
	t.Helper()
	if rec.Code != 200 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	for line := range bytes.Lines(rec.Body.Bytes()) {
		var e struct {
			Index int64
			Event json.RawMessage
		}
		if err := json.Unmarshal(line, &e); err != nil || len(e.Event) == 0 {
			t.Fatalf("%s: %v", line, err)
		}
		all = append(all, e.Index)
	}
	return all
}

func TestEntriesFollowEachOther(t *testing.T) {
	w := newWorld(t, Options{})
	w.fill(25)
	w.sequence()
	w.fill(27) // two of these wait to be sequenced
	next, read, got := "0", "", []int64(nil)
	for range 10 {
		rec := w.get(asking(entriesPath, "from="+next, "limit=10", "read="+read), account.GroupOwner)
		some := indexes(t, rec)
		if got = append(got, some...); len(some) > 10 {
			t.Errorf("%d entries", len(some))
		}
		if next = rec.Header().Get("Weir-Next"); len(some) == 0 {
			break
		}
		read = rec.Header().Get("Weir-Read")
	}
	for i, index := range got {
		if index != int64(i) {
			t.Fatalf("entry %d follows entry %d", index, i-1)
		}
	}
	if len(got) != 25 || next != "25" {
		t.Errorf("%d entries, the next is %s", len(got), next)
	}
	if n, _ := w.reads("readEntries"); n != 1 {
		t.Errorf("%d events of one read", n)
	}
	w.get(entriesPath, account.GroupOwner)
	if n, _ := w.reads("readEntries"); n != 2 {
		t.Errorf("%d events of two reads", n)
	}
	foreign := w.get(asking(strings.Replace(entriesPath, "f00", "f02", 1), "read="+read), account.GroupOwner)
	if foreign.Code != 200 {
		t.Fatal(foreign.Body)
	}
	lines := w.lines(w.get(strings.Replace(resource, "demo", "strict", 1), account.GroupOwner))
	if len(lines) == 0 || !strings.Contains(lines[0], `"operation":"readEntries"`) {
		t.Errorf("a read of another log with the reference is no event: %s", lines)
	}
}

func TestWaitingForAnEntry(t *testing.T) {
	w := newWorld(t, Options{})
	w.fill(3)
	w.sequence()
	token := w.bearer(account.GroupOwner)
	replies := make(chan *httptest.ResponseRecorder)
	ask := func() {
		r := httptest.NewRequest("GET", asking(entriesPath, "from=3", "wait=60"), nil)
		r.Header.Set("Authorization", token)
		rec := httptest.NewRecorder()
		w.server.ServeHTTP(rec, r)
		replies <- rec
	}
	go ask()
	w.record(eventLine("late", now.UnixMilli()), account.GroupOwner)
	w.sequence()
	rec := <-replies
	if got := indexes(t, rec); len(got) == 0 || got[0] != 3 {
		t.Errorf("entries %d", got)
	}
	next := rec.Header().Get("Weir-Next")
	w.server.Stop()
	rec = w.get(asking(entriesPath, "from="+next, "wait=60"), account.GroupOwner) // returns at once
	if got := indexes(t, rec); len(got) > 0 && rec.Header().Get("Weir-Next") == next {
		t.Errorf("entries %d", got)
	}
}

// A client that is too late learns where it can continue.
func TestEntriesThatAreGoneAreNamed(t *testing.T) {
	w := newWorld(t, Options{})
	w.fill(5)
	w.sequence()
	if p, err := w.server.logs.PruneTo(t.Context(), demoLog, math.MaxInt64, 3); err != nil || p.Entries != 3 {
		t.Fatalf("%+v, %v", p, err)
	}
	rec := w.get(entriesPath, account.GroupOwner)
	if rec.Code != 410 || rec.Header().Get("Weir-Next") != "3" || !strings.Contains(rec.Body.String(), "ENTRIES_REMOVED") {
		t.Errorf("%d %v %s", rec.Code, rec.Header(), rec.Body)
	}
	if got := indexes(t, w.get(asking(entriesPath, "from=3"), account.GroupOwner)); fmt.Sprint(got) != "[3 4]" {
		t.Errorf("entries %d", got)
	}
	if rec := w.get(asking(entriesPath, "from=99"), account.GroupOwner); !namesParameter(rec, "from") {
		t.Errorf("beyond the end: %d %s", rec.Code, rec.Body)
	}
}

// If retention removes entries while they are read, the reply says where the log begins then.
func TestEntriesThatGoWhileTheyAreRead(t *testing.T) {
	w := newWorld(t, Options{})
	w.fill(5)
	w.sequence()
	w.another() // its retention removes them
	gone := false
	w.faulty.Before = func(ctx context.Context, op bucketest.Op, key string) error {
		if op != bucketest.Get || !strings.HasPrefix(key, manifest.SegmentPrefix(demoLog)) || gone {
			return nil
		}
		gone = true
		if _, err := w.logs.PruneTo(ctx, demoLog, math.MaxInt64, 3); err != nil {
			return err
		}
		return w.faulty.Bucket.Delete(ctx, key)
	}
	rec := w.get(asking(entriesPath, "from=1"), account.GroupOwner)
	if !gone || rec.Code != 410 || rec.Header().Get("Weir-Next") != "3" {
		t.Errorf("removed: %t; %d %v %s", gone, rec.Code, rec.Header(), rec.Body)
	}
}

// For any number of requests that wait for entries of a log, the node checks it once a second.
func TestManyThatWaitLookOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks, next atomic.Int64
		next.Store(3)
		e := newEnds(func(context.Context, string) (int64, error) {
			looks.Add(1)
			return next.Load(), nil
		})
		h := entries{waiters: limit.NewShares[string](100, 0, 100), ends: e}
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if err := h.waitFor(t.Context(), []string{"somebody"}, demoLog, 3); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(10*lookEvery + lookEvery/2)
		if n := looks.Load(); n < 9 || n > 11 {
			t.Errorf("%d looks in ten seconds and a half", n)
		}
		next.Store(4)
		begun := time.Now()
		if all.Wait(); time.Since(begun) > 2*lookEvery {
			t.Errorf("they have waited for %v", time.Since(begun))
		}
		if len(e.logs) > 0 {
			t.Error("a log is remembered for which nobody waits")
		}
	})
}

// If one request gives up, or fails, the others continue to wait.
func TestOneThatGivesUpLeavesOthersWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		var fail atomic.Bool
		var next atomic.Int64
		fail.Store(true)
		next.Store(3)
		h := entries{waiters: limit.NewShares[string](100, 0, 100),
			ends: newEnds(func(context.Context, string) (int64, error) {
				if fail.Swap(false) {
					return 0, broken
				}
				return next.Load(), nil
			})}
		errs := make(chan error, 3)
		for range 2 {
			go func() { errs <- h.waitFor(t.Context(), []string{"a"}, demoLog, 3) }()
		}
		ctx, cancel := context.WithCancel(t.Context())
		if err := <-errs; !errors.Is(err, broken) {
			t.Errorf("the one that looked: %v", err)
		}
		go func() { errs <- h.waitFor(ctx, []string{"b"}, demoLog, 3) }()
		time.Sleep(5 * lookEvery)
		cancel()
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("the one that gave up: %v", err)
		}
		next.Store(4)
		if err := <-errs; err != nil {
			t.Errorf("the one that waits: %v", err)
		}
	})
}

// If one credential has too many waiting requests, it gets 429. If a node has too many, they wait without checks for
// the time that they ask for, or until the node stops.
func TestWaitersAreBounded(t *testing.T) {
	w := newWorld(t, Options{})
	w.fill(3)
	w.sequence()
	token := w.bearer(account.GroupOwner)
	ask := func(wait string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", asking(entriesPath, "from=3", "wait="+wait), nil)
		r.Header.Set("Authorization", token)
		rec := httptest.NewRecorder()
		w.server.ServeHTTP(rec, r)
		return rec
	}
	own := w.callers[account.GroupOwner].ID
	var releases []func()
	take := func(caller string) {
		release, err := w.server.waiters.Take(t.Context(), 1, caller)
		if err != nil {
			t.Fatal(err)
		}
		releases = append(releases, release)
	}
	for range maxWaitersOfOne {
		take(own)
	}
	if rec := ask("60"); rec.Code != 429 || !strings.Contains(rec.Body.String(), "TOO_MANY_WAITING") ||
		rec.Header().Get("Retry-After") == "" {
		t.Errorf("one more of a credential: %d %v %s", rec.Code, rec.Header(), rec.Body)
	}
	for _, release := range releases {
		release()
	}
	for i := range maxWaiters {
		take(fmt.Sprint(i))
	}
	if rec := ask("1"); rec.Code != 200 || rec.Header().Get("Weir-Next") != "3" {
		t.Errorf("one more of a node: %d %v %s", rec.Code, rec.Header(), rec.Body)
	}
	replies := make(chan *httptest.ResponseRecorder)
	go func() { replies <- ask("60") }()
	w.server.Stop()
	if rec := <-replies; rec.Code != 200 {
		t.Errorf("on a node that stops: %d %s", rec.Code, rec.Body)
	}
}
