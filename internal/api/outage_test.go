package api

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket/bucketest"
)

// brokenOff calls an operation, and tells whether the connection was broken during the reply.
func (w *world) brokenOff(op operation, target string) (rec *httptest.ResponseRecorder, broken bool) {
	defer func() {
		if got := recover(); got == http.ErrAbortHandler {
			broken = true
		} else if got != nil {
			panic(got)
		}
	}()
	return w.call(op, target), false
}

// asksNoStore is the only operation that does not use the store: it says where people sign in.
const asksNoStore = "beginAuthorization"

// If the store becomes unavailable during an operation, the client is told that it may retry, and when. Each operation
// succeeds while the store is available, so that it is the store that the operation lacks.
func TestEachOperationSaysThatTheStoreIsAway(t *testing.T) {
	for _, op := range new(Server).operations() {
		t.Run(op.id, func(t *testing.T) {
			t.Parallel()
			usual, _, hit := callUntilAway(t, op, 1<<30)
			if hit || usual.Code != op.status {
				t.Fatalf("with the store there: %d %s, want %d", usual.Code, usual.Body, op.status)
			}
			if op.id == asksNoStore {
				return
			}
			step := 4
			if testing.Short() {
				step = 1
			}
			said := 0
			for n := 0; ; n += 1 + n/step {
				rec, broken, hit := callUntilAway(t, op, n)
				switch {
				case !hit && said == 0:
					t.Error("never said that the store is away")
				case !hit:
					return
				// The reply had begun, or the failure does not matter to the client.
				case broken || rec.Code == usual.Code:
				case saysAway(rec):
					said++
				default:
					t.Fatalf("after %d operations: %d %v %s", n, rec.Code, rec.Header(), rec.Body)
				}
			}
		})
	}
}

// Each operation uses the store for its purpose, after authentication: a change writes, an audited read writes its
// event, and an operation that sends the content of a log reads the log. Without the store each says that the store is
// unavailable.
func TestEachOperationNeedsTheStoreForItsPurpose(t *testing.T) {
	write := func(op bucketest.Op, _ string) bool { return op == bucketest.PutNew || op == bucketest.Put }
	readLog := func(op bucketest.Op, key string) bool { return !write(op, key) && strings.HasPrefix(key, "logs/") }
	for _, op := range new(Server).operations() {
		needs := map[string]func(bucketest.Op, string) bool{}
		if op.method != get && op.id != "issueToken" && op.id != "getSplunkAcknowledgements" &&
			op.id != asksNoStore || op.audit.needed() {
			needs["to write"] = write
		}
		if op.run.kind == fileResult || op.run.kind == streamResult || op.run.kind == textResult || op.audit.needed() {
			needs["to read a log"] = readLog
		}
		for what, purpose := range needs {
			t.Run(op.id+" "+what, func(t *testing.T) {
				t.Parallel()
				var did atomic.Int64
				rec, broken := callWhile(t, op, func(op bucketest.Op, key string) error {
					if purpose(op, key) {
						did.Add(1)
						return errors.New("the store is away")
					}
					return nil
				})
				if did.Load() == 0 || !broken && !saysAway(rec) {
					t.Errorf("%d operations failed: %d %v %s", did.Load(), rec.Code, rec.Header(), rec.Body)
				}
			})
		}
	}
}

func saysAway(rec *httptest.ResponseRecorder) bool {
	return rec.Code == http.StatusServiceUnavailable && rec.Header().Get("Retry-After") != ""
}

// callUntilAway calls an operation while the store answers n calls. It tells whether the operation made more calls.
func callUntilAway(t *testing.T, op operation, n int) (rec *httptest.ResponseRecorder, broken, away bool) {
	var did atomic.Int64 // an operation may call the store from several goroutines
	rec, broken = callWhile(t, op, func(bucketest.Op, string) error {
		if did.Add(1) > int64(n) {
			return errors.New("the store is away")
		}
		return nil
	})
	return rec, broken, did.Load() > int64(n)
}

// callWhile calls an operation on a node without a cache, with one thing of each kind, while before lets the store
// work.
func callWhile(t *testing.T, op operation, before func(bucketest.Op, string) error) (*httptest.ResponseRecorder, bool) {
	w := newWorld(t, Options{})
	home := w.filled()
	switch op.id { // things to delete must be empty
	case "deleteOrg":
		if _, err := w.store.DeleteProject(t.Context(), projectID, func(*account.Project) error { return nil }); err != nil {
			t.Fatal(err)
		}
	case "deleteGroup":
		if _, err := w.store.UpdateProject(t.Context(), projectID, func(p *account.Project) error {
			p.Workspaces = nil
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	w.server = w.another()
	w.faulty.Before = func(_ context.Context, op bucketest.Op, key string) error { return before(op, key) }
	rec, broken := w.brokenOff(op, op.target(home))
	w.faulty.Before = nil
	return rec, broken
}
