package api

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket/bucketest"
)

// failFrom lets the store answer n more operations and fails those that follow. failed tells whether there were any.
func (w *world) failFrom(n int) (failed func() bool) {
	var did atomic.Int64 // An operation may ask the store from several goroutines.
	w.faulty.Before = func(context.Context, bucketest.Op, string) error {
		if did.Add(1) > int64(n) {
			return errors.New("the store is away")
		}
		return nil
	}
	return func() bool { return did.Load() > int64(n) }
}

// brokenOff calls an operation, and tells whether the reply was broken off after it had begun.
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

// Whatever an operation is doing when the store goes away, it answers that the client may try again, and when.
func TestEachOperationSaysThatTheStoreIsAway(t *testing.T) {
	for _, op := range new(Server).operations() {
		t.Run(op.id, func(t *testing.T) {
			t.Parallel()
			usual, _, hit := callUntilAway(t, op, 1<<30)
			if hit {
				t.Fatal("the store was away too soon")
			}
			step := 4
			if testing.Short() {
				step = 1
			}
			for n := 0; ; n += 1 + n/step {
				rec, broken, hit := callUntilAway(t, op, n)
				switch {
				case !hit && n == 0:
					t.Error("never looked at the store")
				case !hit:
					return
				// A reply had begun, or what failed does not matter to the client.
				case broken || rec.Code == usual.Code:
				case rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "":
					t.Fatalf("after %d operations: %d %v %s", n, rec.Code, rec.Header(), rec.Body)
				}
			}
		})
	}
}

// callUntilAway calls an operation of a node that has nothing in memory, while the store answers n operations. It tells
// whether the store was asked for more.
func callUntilAway(t *testing.T, op operation, n int) (rec *httptest.ResponseRecorder, broken, away bool) {
	w := newWorld(t, Options{})
	home := w.home()
	w.bearer(account.OrgOwner)
	w.server = w.another()
	failed := w.failFrom(n)
	rec, broken = w.brokenOff(op, op.target(home))
	w.faulty.Before = nil
	return rec, broken, failed()
}
