package record

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/event/eventtest"
	"github.com/weirlog/weir/internal/tlog"
)

func ownEvent(uid, status string) []byte {
	return fmt.Appendf(nil, `{"time":%d,"status":%q,"metadata":{"uid":%q}}`, time.Now().UnixMilli(), status, uid)
}

func count(t *testing.T, r *Recorder, log string) int64 {
	t.Helper()
	i, err := r.store.Info(t.Context(), log, 0)
	if err != nil {
		t.Fatal(err)
	}
	return i.Entries
}

// An act that was announced and not reported is in the logs all the same. An act that was reported or withdrawn adds
// nothing.
func TestUnreportedIntentsAreRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eventtest.PassTime()
		ctx := t.Context()
		r, f := start(t, Options{})
		logs := []string{"a", "b"}
		intend := func(uid string) *Intent {
			i, err := r.Intend(ctx, logs, ownEvent(uid, "Unknown"))
			if err != nil {
				t.Fatal(err)
			}
			return i
		}
		event := ownEvent("done", "Success")
		if err := intend("done").Done(ctx, event); err != nil {
			t.Fatal(err)
		}
		if err := intend("withdrawn").Withdraw(ctx); err != nil {
			t.Fatal(err)
		}
		intend("died")
		half := intend("half") // reported, but its intent could not be deleted
		f.Before = func(_ context.Context, op bucketest.Op, _ string) error {
			if op == bucketest.Delete {
				return errors.New("injected")
			}
			return nil
		}
		if err := half.Done(ctx, ownEvent("half", "Success")); err == nil {
			t.Error("nobody was told that the announcement is still there")
		}
		f.Before = nil
		if err := r.Unreported(ctx, time.Minute); err != nil {
			t.Fatal(err)
		}
		if got := count(t, r, "a"); got != 2 {
			t.Errorf("%d events before their time", got)
		}
		time.Sleep(2 * time.Minute)
		intend("young")
		for range 2 {
			if err := r.Unreported(ctx, time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		d, err := r.store.Download(ctx, "b", tlog.Query{End: 1 << 60})
		if err != nil {
			t.Fatal(err)
		}
		if got := count(t, r, "a"); got != 3 || d == nil {
			t.Errorf("%d events, want done, half, died", got)
		}
	})
}
