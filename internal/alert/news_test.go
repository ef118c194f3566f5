package alert

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/alert/rule"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/node/nodetest"
)

// A log that this node sequences, and that has not grown, costs no request but once in PollEvery, however many rules
// look at it.
func TestIdleRulesCostLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const projects, minutes = 10, 10
		w := newWorld(t)
		read := &bucketest.Faulty{Bucket: w.memory}
		w.node = nodetest.New(t, read, nodetest.Options{})
		all := map[string]*account.Project{}
		for n := range projects {
			now := time.Now()
			p := &account.Project{ID: account.NewID(now), Org: account.NewID(now), Name: fmt.Sprint("p", n)}
			for i := range 5 {
				of, err := account.NewWorkspace(fmt.Sprint("w", i), now)
				w.must(err)
				p.Workspaces = append(p.Workspaces, of)
			}
			w.project, all[p.ID] = p, p
			var rules []rule.Definition
			for i := range MaxRules {
				d := threshold
				d.Name = fmt.Sprint("rule", i)
				rules = append(rules, d)
			}
			w.put(rules...)
		}
		e := w.engine()
		e.LookEvery = usualLook
		e.Accounts, e.Hears = several(all), func(string) bool { return true }
		var requests, ofLogs int
		w.faulty.Before = func(context.Context, bucketest.Op, string) error { requests++; return nil }
		read.Before = func(context.Context, bucketest.Op, string) error { ofLogs++; return nil }
		e.Pass(t.Context())
		if logs := projects * 11; ofLogs < logs {
			t.Fatalf("%d requests for %d logs: this shows nothing", ofLogs, logs)
		}
		looks := ofLogs
		requests = 0
		ofLogs = 0
		for range 60 * minutes / 5 {
			time.Sleep(5 * time.Second)
			for e.Pass(t.Context()) {
			}
		}
		if ofLogs > minutes*looks {
			t.Errorf("%d requests for logs in %d minutes; all logs cost %d", ofLogs, minutes, looks)
		}
		if requests > minutes+1 {
			t.Errorf("%d requests for rules in %d minutes", requests, minutes)
		}
	})
}

// several are projects by their ids.
type several map[string]*account.Project

func (s several) Project(_ context.Context, id string) (*account.Project, error) { return s[id], nil }

// Committed entries are counted in the next pass. Entries that another node has committed, for which Committed is not
// called, are counted within PollEvery.
func TestRulesCountWhatIsCommitted(t *testing.T) {
	for name, hears := range map[string]bool{"by this node": true, "by another node": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.put(threshold)
				e := w.engine()
				e.Hears = func(string) bool { return true }
				w.pass(e, 0)
				time.Sleep(time.Second)
				for range 3 {
					w.record(0, time.Now(), "anna")
				}
				if hears {
					e.Committed(w.project.Workspaces[0].AuditLog)
				}
				w.pass(e, 0)
				if got := len(w.fired()); (got == 1) != hears {
					t.Errorf("%d alerts after the next pass", got)
				}
				w.pass(e, e.PollEvery)
				w.expect("in the end", w.fired(), "anna")
			})
		})
	}
}

// An absence is not concluded from a log that was not read: another node may have sequenced it.
func TestAbsenceLooksAtLogsThatHaveNotGrown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(rule.Definition{Name: "none", Kind: rule.Absence, FewerThan: 1, Within: rule.Duration(2 * time.Minute)})
		e := w.engine()
		e.Hears, e.PollEvery = func(string) bool { return true }, time.Hour
		for end := time.Now().Add(30 * time.Minute); time.Now().Before(end); {
			w.record(0, time.Now(), "anna") // Nobody says so.
			w.pass(e, 10*time.Second)
		}
		w.expect("while there are events", w.fired())
		w.pass(e, 90*time.Minute)
		if got := len(w.fired()); got != 1 {
			t.Errorf("%d alerts when there are none", got)
		}
	})
}
