package alert

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/alert/rule"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/node/nodetest"
)

// stuck is projects of which one cannot be found out about until ctx ends.
type stuck struct {
	*world
	project string
}

func (s stuck) Project(ctx context.Context, id string) (*account.Project, error) {
	if id == s.project {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.world.project, nil
}

// A project whose pass takes long keeps no other from its next.
func TestProjectThatHangsStopsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(threshold)
		other := account.NewID(time.Now())
		_, err := w.sets.UpdateOrCreate(t.Context(), other, func(s *Set) error {
			s.Project, s.Rules = other, []rule.Rule{{Definition: threshold, ID: "other", Since: time.Now().UTC()}}
			return nil
		})
		w.must(err)
		e := w.engine()
		e.Accounts, e.turns = stuck{w, other}, make(chan struct{}, 2)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { e.Run(ctx) })
		for _, who := range []string{"anna", "ben"} {
			time.Sleep(10 * time.Second)
			for range 3 {
				w.record(0, time.Now(), who)
			}
			time.Sleep(10 * time.Second)
			w.sequence()
		}
		w.expect("fired", w.fired(), "anna", "ben")
		cancel()
		running.Wait()
	})
}

// Where reading is slow, a pass ends in time. The next one goes on, so that each log has its turn, and it counts that
// all were read.
func TestEachLogHasItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		silence := rule.Definition{Name: "silence", Kind: rule.Absence, FewerThan: 1, Within: rule.Duration(time.Hour)}
		w.put(threshold, silence)
		for i := range 2 {
			for range 3 {
				w.record(i, time.Now(), fmt.Sprint("of", i))
			}
		}
		var slow atomic.Bool
		slow.Store(true)
		faulty := &bucketest.Faulty{Bucket: w.memory}
		faulty.Before = func(_ context.Context, _ bucketest.Op, key string) error {
			if slow.Load() && strings.HasPrefix(key, "logs/") {
				time.Sleep(readFor)
			}
			return nil
		}
		e := w.engine()
		e.Logs = nodetest.New(t, faulty, nodetest.Options{}).Logs
		passes := 1
		for ; e.Pass(t.Context()); passes++ {
			if passes > 100 {
				t.Fatal("it does not come to an end")
			}
		}
		w.sequence()
		w.expect("fired", w.fired(), "of0", "of1")
		if logs := len(watchedLogs(w.project, time.Now())); passes < logs {
			t.Errorf("%d logs were read in %d passes", logs, passes)
		}
		for end := time.Now().Add(3 * time.Hour); time.Now().Before(end); {
			e.Pass(t.Context())
		}
		w.sequence()
		w.expect("fired in silence", w.fired(), "of0", "of1", "")
	})
}

// many counts how often events are recorded.
type many struct {
	Recorder
	calls int
}

func (m *many) RecordOwn(ctx context.Context, logs []string, own ...[]byte) error {
	if m.calls++; len(own) > mostEvents {
		return fmt.Errorf("%d events at once", len(own))
	}
	return m.Recorder.RecordOwn(ctx, logs, own...)
}

// The events of alerts, however many, are recorded together, so that a pass does not wait for each.
func TestEventsOfAlertsAreRecordedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		const rules, users = 11, 90
		for i := range rules {
			w.put(rule.Definition{Name: fmt.Sprint("each", i), Kind: rule.Threshold, By: []string{"actor.user.name"},
				Count: 1, Within: rule.Duration(time.Hour), Query: "*"})
		}
		for i := range users {
			w.record(0, time.Now(), fmt.Sprint("user", i))
		}
		e := w.engine()
		m := &many{Recorder: e.Recorder}
		e.Recorder = m
		for e.Pass(t.Context()) {
		}
		e.sending.Wait()
		w.sequence()
		if n := len(w.told()); n != rules*users || m.calls != 1+rules*users/mostEvents {
			t.Errorf("%d events, recorded in %d calls", n, m.calls)
		}
	})
}
