package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/alert/notify"
	"github.com/weirlog/weir/internal/alert/rule"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/doc"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/event/eventtest"
	"github.com/weirlog/weir/internal/node/nodetest"
	"github.com/weirlog/weir/internal/tlog"
)

// world is a project with two workspaces, and the rules of it.
type world struct {
	*testing.T
	memory  *bucketest.Memory
	faulty  *bucketest.Faulty
	node    *nodetest.Node
	project *account.Project
	sets    *Sets
	phone   *phone
	serial  int
}

// phone is a notifier that may fail before and after it accepts.
type phone struct {
	mu    sync.Mutex
	fails func() (before, after bool)
	heard []string // ids of messages, in order
}

var errPhone = errors.New("nobody answers")

func (p *phone) Send(_ context.Context, _ *notify.Notifier, messages []notify.Message) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, m := range messages {
		before, after := false, false
		if p.fails != nil {
			before, after = p.fails()
		}
		if before {
			return i, errPhone
		}
		p.heard = append(p.heard, m.ID())
		if after {
			return i, errPhone
		}
	}
	return len(messages), nil
}

func newWorld(t *testing.T) *world {
	eventtest.PassTime()
	w := &world{T: t, memory: bucketest.NewMemory(), phone: &phone{}}
	w.faulty = &bucketest.Faulty{Bucket: w.memory}
	w.node = nodetest.New(t, w.memory, nodetest.Options{Logs: tlog.Options{BlockBytes: 500}})
	w.sets = NewSets(w.memory)
	now := time.Now()
	w.project = &account.Project{ID: account.NewID(now), Org: account.NewID(now), Name: "p"}
	for _, name := range []string{"a", "b"} {
		of, err := account.NewWorkspace(name, now)
		w.must(err)
		w.project.Workspaces = append(w.project.Workspaces, of)
	}
	return w
}

// Project implements Projects.
func (w *world) Project(context.Context, string) (*account.Project, error) { return w.project, nil }

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// engine returns an engine as a node has it that has just started.
func (w *world) engine() *Engine {
	w.Helper()
	e, err := New(Options{Bucket: w.faulty, Sets: NewSets(w.faulty), Accounts: w, Logs: w.node.Logs,
		Recorder: w.node.Recorder, Notifier: w.phone, Parallel: 1, LookEvery: -1, PublicURL: "https://weir.example",
		Logger: slog.New(slog.DiscardHandler)})
	w.must(err)
	return e
}

// put stores rules, and a notifier for all of them.
func (w *world) put(definitions ...rule.Definition) {
	w.Helper()
	now := time.Now().UTC()
	_, err := w.sets.UpdateOrCreate(w.Context(), w.project.ID, func(s *Set) error {
		s.Project = w.project.ID
		s.Notifiers = []notify.Notifier{{ID: "n1", Name: "phone", Type: notify.Webhook}}
		for i, d := range definitions {
			if wrong := d.Check(); len(wrong) > 0 {
				return &wrong[0]
			}
			s.Rules = append(s.Rules, rule.Rule{Definition: d, ID: fmt.Sprint("rule", len(s.Rules)+i), Since: now})
		}
		return nil
	})
	w.must(err)
}

func (w *world) change(change func(*rule.Rule)) {
	w.Helper()
	_, err := w.sets.Update(w.Context(), w.project.ID, func(s *Set) error { change(&s.Rules[0]); return nil })
	w.must(err)
}

// record records an event of somebody in a workspace's audit log, and sequences it.
func (w *world) record(workspace int, at time.Time, who string) {
	w.Helper()
	w.serial++
	line := fmt.Sprintf(`{"time":%d,"metadata":{"uid":"%d"},"actor":{"user":{"name":%q}}}`, at.UnixMilli(), w.serial,
		who)
	_, err := w.node.Recorder.Record(w.Context(), eventtest.Batch(w.project.Workspaces[workspace].AuditLog, line))
	w.must(err)
	w.sequence()
}

func (w *world) sequence() {
	w.Helper()
	for _, s := range w.node.Sequencers {
		for more := true; more; {
			var err error
			more, err = s.Round(w.Context(), true)
			w.must(err)
		}
	}
}

// pass has an engine do passes for so long, and waits for what it sends.
func (w *world) pass(e *Engine, long time.Duration) {
	for end := time.Now().Add(long); ; time.Sleep(10 * time.Second) {
		for e.Pass(w.Context()) {
		}
		e.sending.Wait()
		w.sequence()
		if !time.Now().Before(end) {
			return
		}
	}
}

// told is an event of an alert.
type told struct {
	Time     int64
	Activity int `json:"activity_id"`
	Message  string
	Metadata struct{ UID string }
	Info     struct {
		UID   string
		First int64  `json:"first_seen_time"`
		Last  int64  `json:"last_seen_time"`
		URL   string `json:"src_url"`
	} `json:"finding_info"`
	Unmapped struct {
		Param struct {
			Cause string
			Group map[string]string
		}
	}
}

// told returns the events of alerts in the project's log, waiting ones too, and checks that each is there once.
func (w *world) told() (all []told) {
	w.Helper()
	r, err := w.node.Logs.ReadSequenced(w.Context(), w.project.ID, tlog.All)
	w.must(err)
	seen := map[string]bool{}
	for entry, err := range r.Entries(w.Context(), 0) {
		w.must(err)
		var one told
		w.must(json.Unmarshal(entry.Line, &one))
		if seen[one.Metadata.UID] {
			w.Errorf("the event %s is there twice", one.Metadata.UID)
		}
		seen[one.Metadata.UID] = true
		all = append(all, one)
	}
	return all
}

// fired returns the groups of the alerts that fired, in the order of their events.
func (w *world) fired() (groups []string) {
	w.Helper()
	for _, one := range w.told() {
		if one.Activity == int(event.AlertFired) {
			group := one.Unmapped.Param.Group["actor.user.name"]
			if one.Unmapped.Param.Cause != string(rule.Fired) {
				group = one.Unmapped.Param.Cause
			}
			groups = append(groups, group)
		}
	}
	return groups
}

func (w *world) expect(what string, got []string, want ...string) {
	w.Helper()
	if !slices.Equal(got, want) {
		w.Errorf("%s: %q, want %q", what, got, want)
	}
}

var threshold = rule.Definition{Name: "many", Kind: rule.Threshold, Count: 3, Within: rule.Duration(10 * time.Minute),
	By: []string{"actor.user.name"}}

func TestAlertIsToldOnceAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(threshold)
		e := w.engine()
		for i := range 5 {
			w.record(i%2, time.Now(), "anna")
			w.record(i%2, time.Now().Add(-11*time.Minute*time.Duration(i)), "ben")
			w.pass(e, time.Minute)
		}
		w.expect("fired", w.fired(), "anna")
		w.pass(e, 21*time.Minute)
		all := w.told()
		if len(all) != 2 || all[1].Activity != int(event.AlertResolved) || all[0].Info.UID != all[1].Info.UID {
			t.Errorf("told %+v", all)
		}
		w.expect("heard", w.phone.heard, all[0].Metadata.UID, all[1].Metadata.UID)
		if !strings.Contains(all[0].Info.URL, "actor.user.name%3Aanna") {
			t.Errorf("the link is %s", all[0].Info.URL)
		}
		for info := range w.memory.List(t.Context(), "alertstate/", "") {
			s, version := rule.NewState(&rule.Rule{}), int64(0)
			version, err := doc.Read(t.Context(), w.memory, "alertstate/rule0", s)
			if err != nil || len(s.Alerts) > 0 && version < 2 {
				t.Errorf("%s: %v", info.Key, err)
			}
		}
	})
}

// The alerts of a rule over the project's own log are no events for it.
func TestAlertsDoNotFireRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(rule.Definition{Name: "anything", Kind: rule.Threshold, Count: 1, Within: rule.Duration(time.Minute)})
		e := w.engine()
		w.record(0, time.Now(), "anna")
		w.pass(e, time.Hour)
		if all := w.told(); len(all) != 2 {
			t.Errorf("%d events of alerts", len(all))
		}
	})
}

func TestNewValueIsLearntFromBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.record(0, time.Now().Add(-20*24*time.Hour), "anna")
		w.record(0, time.Now().Add(-40*24*time.Hour), "ben")
		w.put(rule.Definition{Name: "new", Kind: rule.NewValue, Field: "actor.user.name",
			NotSeenFor: rule.Duration(30 * 24 * time.Hour)})
		e := w.engine()
		w.pass(e, 0)
		w.expect("fired at once", w.fired())
		for _, who := range []string{"anna", "ben", "ben", "carl"} {
			w.record(1, time.Now(), who)
		}
		w.pass(e, 0)
		w.expect("fired", w.fired(), "ben", "carl")
	})
}

func TestAbsenceFiresAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(rule.Definition{Name: "silence", Kind: rule.Absence, FewerThan: 2, Within: rule.Duration(time.Hour),
			Logs: []rule.Log{rule.AuditLog}})
		e := w.engine()
		for range 5 {
			w.record(0, time.Now(), "anna")
			w.pass(e, 29*time.Minute)
		}
		w.expect("fired", w.fired())
		silent := time.Now()
		w.pass(e, time.Hour)
		w.expect("fired in silence", w.fired(), "")
		if all := w.told(); time.UnixMilli(all[0].Info.First).Sub(silent) > 31*time.Minute {
			t.Errorf("silence since %v, noticed for %v", silent, time.UnixMilli(all[0].Info.First))
		}
		w.record(0, time.Now(), "anna")
		w.record(0, time.Now(), "anna")
		w.pass(e, 10*time.Minute)
		if all := w.told(); len(all) != 2 || all[1].Activity != int(event.AlertResolved) {
			t.Errorf("told %+v", all)
		}
	})
}

// As long as a log cannot be read, a rule does not take it for silent, and says that it cannot be evaluated.
func TestRuleThatCannotBeEvaluatedIsAnAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(rule.Definition{Name: "silence", Kind: rule.Absence, FewerThan: 1, Within: rule.Duration(time.Hour)})
		w.record(0, time.Now(), "anna")
		broken := true
		faulty := &bucketest.Faulty{Bucket: w.memory, Before: func(_ context.Context, _ bucketest.Op, key string) error {
			if broken && strings.HasPrefix(key, "logs/"+w.project.Workspaces[1].AuditLog) {
				return errors.New("broken")
			}
			return nil
		}}
		e := w.engine()
		e.Logs = nodetest.New(t, faulty, nodetest.Options{}).Logs
		w.pass(e, 3*time.Hour)
		w.expect("fired", w.fired(), "trouble")
		broken = false
		w.pass(e, time.Minute)
		w.expect("fired after it", w.fired(), "trouble", "")
		if all := w.told(); len(all) != 3 || !strings.Contains(all[0].Message, "cannot be read") {
			t.Errorf("told %+v", all)
		}
	})
}

// Two looks that failed, with a long time between them in which nobody looked, say nothing of that time. The process
// was stopped, or the project was another node's.
func TestTimeWithoutALookIsNoTrouble(t *testing.T) {
	for _, test := range []struct {
		name string
		mine bool // when the engine looks again
	}{{"stopped", true}, {"lost while looking", false}} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.put(rule.Definition{Name: "silence", Kind: rule.Absence, FewerThan: 1,
					Within: rule.Duration(24 * time.Hour)})
				mine := true
				faulty := &bucketest.Faulty{Bucket: w.memory}
				faulty.Before = func(_ context.Context, _ bucketest.Op, key string) error {
					if strings.HasPrefix(key, "logs/"+w.project.Workspaces[1].AuditLog) {
						mine = test.mine
						return errors.New("broken")
					}
					return nil
				}
				e := w.engine()
				e.Logs = nodetest.New(t, faulty, nodetest.Options{}).Logs
				e.Mine = func(string) bool { return mine }
				for range 3 {
					mine = true
					e.Pass(t.Context())
					time.Sleep(2 * troubledAfter)
				}
				w.sequence()
				w.expect("fired", w.fired())
			})
		})
	}
}

// Each pass sends as many messages as there may be in one. Accepted messages are in the state before the next are
// chosen.
func TestMessagesThatWaitGoWithEachPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(rule.Definition{Name: "each", Kind: rule.Threshold, By: []string{"actor.user.name"}, Count: 1,
			Within: rule.Duration(time.Hour), Query: "*"})
		for i := range 3 * mostAtOnce {
			w.record(0, time.Now(), fmt.Sprint("user", i))
		}
		e := w.engine()
		for i := range 3 {
			e.Pass(t.Context())
			e.sending.Wait()
			if want := (i + 1) * mostAtOnce; len(w.phone.heard) != want {
				t.Errorf("after %d passes %d messages were accepted, not %d", i+1, len(w.phone.heard), want)
			}
		}
	})
}

// The deletion of a rule ends its alerts everywhere, and removes its state.
func TestDeletedRuleEndsItsAlerts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(threshold)
		e := w.engine()
		for range 3 {
			w.record(0, time.Now(), "anna")
		}
		w.pass(e, 10*time.Second)
		w.change(func(r *rule.Rule) { r.Deleted = true })
		w.pass(e, 20*time.Second)
		if all := w.told(); len(all) != 2 || len(w.phone.heard) != 2 {
			t.Errorf("told %+v, heard %q", all, w.phone.heard)
		}
		s, err := w.sets.Get(t.Context(), w.project.ID)
		w.must(err)
		if len(s.Rules) > 0 {
			t.Error("the rule is still there")
		}
		for info := range w.memory.List(t.Context(), "alertstate/", "") {
			t.Errorf("left: %s", info.Key)
		}
	})
}

// A rule whose state cannot be read stops no other. The log says so once, not with each pass, and the rule counts later
// what it has missed.
func TestRuleThatCannotBeLoadedStopsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		second := threshold
		second.Name = "second"
		w.put(threshold, second)
		broken := "alertstate/rule0"
		w.faulty.Before = func(_ context.Context, _ bucketest.Op, key string) error {
			if broken != "" && strings.HasPrefix(key, broken) {
				return errors.New("broken")
			}
			return nil
		}
		var lines strings.Builder
		e := w.engine()
		e.Logger = slog.New(slog.NewTextHandler(&lines, nil))
		for range 3 {
			w.record(0, time.Now(), "anna")
		}
		w.pass(e, time.Minute)
		w.expect("fired", w.fired(), "anna")
		w.pass(e, 50*time.Minute)
		if n := strings.Count(lines.String(), "cannot evaluate the alert rules"); n != 1 {
			t.Errorf("said %d times in an hour: %.500s", n, lines.String())
		}
		broken = ""
		w.pass(e, time.Minute)
		w.expect("fired", w.fired(), "anna", "anna")
	})
}

// A rule that looks for something else begins anew, and its old alerts end.
func TestChangedRuleBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(threshold)
		e := w.engine()
		for range 3 {
			w.record(0, time.Now(), "anna")
		}
		w.pass(e, 0)
		time.Sleep(time.Hour)
		w.change(func(r *rule.Rule) { r.Count, r.Since = 2, time.Now().UTC() })
		w.record(0, time.Now(), "ben")
		w.pass(e, time.Minute)
		w.record(1, time.Now(), "ben")
		w.pass(e, 0)
		w.expect("fired", w.fired(), "anna", "ben")
		if all := w.told(); len(all) != 3 {
			t.Errorf("told %+v", all)
		}
	})
}

// Whatever fails, dies or does the same twice, in whatever order events come: no part of time in which a rule's count
// is reached goes untold, nothing else is told, and each alert is told once in the log and at least once elsewhere.
func TestNoAlertIsMissed(t *testing.T) {
	runs := uint64(25)
	if testing.Short() {
		runs = 5
	}
	total := 0
	for seed := range runs {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.put(threshold)
			total += w.history(rand.New(rand.NewPCG(seed, 3)))
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if total < int(runs) {
		t.Errorf("only %d alerts in %d histories", total, runs)
	}
}

// history lets two nodes evaluate a rule while events come, and tells how many alerts there were.
func (w *world) history(rnd *rand.Rand) int {
	began := time.Now()
	var healthy atomic.Bool
	fate := rand.New(rand.NewPCG(rnd.Uint64(), 5)) // of the phone, which another goroutine calls
	fault := func(_ context.Context, op bucketest.Op, _ string) error {
		if !healthy.Load() && rnd.IntN(12) == 0 {
			return errors.New("injected")
		}
		return nil
	}
	w.faulty.Before, w.faulty.After = fault, fault
	w.phone.fails = func() (bool, bool) {
		return !healthy.Load() && fate.IntN(4) == 0, !healthy.Load() && fate.IntN(4) == 0
	}
	times := map[string][]int64{}
	engines := []*Engine{w.engine(), w.engine()}
	for range 60 {
		who, at := string('a'+rune(rnd.IntN(3))), time.Now()
		if rnd.IntN(3) == 0 {
			at = at.Add(-time.Duration(rnd.Int64N(int64(2 * time.Hour))))
		}
		if at.Before(began) {
			at = began
		}
		at = at.Truncate(time.Millisecond)
		times[who] = append(times[who], at.UnixMilli())
		w.record(rnd.IntN(2), at, who)
		time.Sleep(time.Duration(rnd.Int64N(int64(4 * time.Minute))))
		for i := range engines {
			switch rnd.IntN(6) {
			case 0:
				engines[i].sending.Wait()
				engines[i] = w.engine() // the node died
			case 1, 2:
				engines[i].Pass(w.Context())
			}
		}
	}
	healthy.Store(true)
	w.pass(engines[0], 2*time.Hour)
	engines[1].Pass(w.Context())
	engines[1].sending.Wait()
	w.sequence()
	return w.checkHistory(times)
}

func (w *world) checkHistory(times map[string][]int64) (alerts int) {
	w.Helper()
	window, hold := time.Duration(threshold.Within).Milliseconds(), time.Duration(threshold.Within).Milliseconds()
	reached := func(who string, at int64) bool {
		n := 0
		for _, t := range times[who] {
			if t <= at && at < t+window {
				n++
			}
		}
		return n >= threshold.Count
	}
	ended := map[string][]told{}
	firedUIDs := map[string]bool{}
	for _, one := range w.told() {
		who := one.Unmapped.Param.Group["actor.user.name"]
		if one.Activity == int(event.AlertResolved) {
			ended[who] = append(ended[who], one)
			if !firedUIDs[one.Info.UID] {
				w.Errorf("alert %s ended, and never fired", one.Info.UID)
			}
			continue
		}
		alerts++
		firedUIDs[one.Info.UID] = true
		if !reached(who, one.Info.First) {
			w.Errorf("fired for %s at %d, where the count is not reached", who, one.Info.First)
		}
		for _, end := range []string{"-fired", "-resolved"} {
			if !slices.Contains(w.phone.heard, one.Info.UID+end) {
				w.Errorf("the notifier never heard %s%s", one.Info.UID, end)
			}
		}
	}
	for who, all := range times {
		for _, at := range all {
			if reached(who, at) && !slices.ContainsFunc(ended[who], func(one told) bool {
				return one.Info.First-hold <= at && at <= one.Info.Last+hold
			}) {
				w.Errorf("the count is reached for %s at %d, and no alert says so: %+v", who, at, ended[who])
			}
		}
	}
	return alerts
}
