package retention

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/event/eventtest"
	"github.com/weirlog/weir/internal/node/nodetest"
	"github.com/weirlog/weir/internal/tlog"
)

const day = 24 * time.Hour

type world struct {
	*Job
	t       *testing.T
	faulty  *bucketest.Faulty
	project string
	batch   int64
}

// newWorld returns a job on a bucket with one project, whose workspace demo has an audit log with one event for each of
// the last 100 days.
func newWorld(t *testing.T) *world {
	eventtest.PassTime()
	w := &world{t: t, faulty: &bucketest.Faulty{Bucket: bucketest.NewMemory()}}
	w.start()
	ctx, now := t.Context(), time.Now()
	org := account.Organization{ID: account.NewID(now), Log: account.NewID(now)}
	demo, err := account.NewWorkspace("demo", now)
	p := account.Project{ID: account.NewID(now), Org: org.ID, Name: "p", Workspaces: []account.Workspace{demo}}
	if err := errors.Join(err, w.Accounts.CreateOrganization(ctx, org), w.Accounts.CreateProject(ctx, p)); err != nil {
		t.Fatal(err)
	}
	w.project = p.ID
	for age := 100; age > 0; age -= 5 {
		var times []time.Time
		for i := range 5 {
			times = append(times, now.Add(-time.Duration(age-i)*day))
		}
		w.append(demo.AuditLog, times...)
	}
	return w
}

// copied returns a world with a copy of the bucket, and a job of its own.
func (w *world) copied() *world {
	c := *w
	c.faulty = &bucketest.Faulty{Bucket: w.faulty.Bucket.(*bucketest.Memory).Clone()}
	c.start()
	return &c
}

// start makes a new job, like a node that starts.
func (w *world) start() {
	n := nodetest.New(w.t, w.faulty, nodetest.Options{})
	w.Job = &Job{Accounts: account.NewDirectory(w.faulty), Logs: n.Logs, Recorder: n.Recorder,
		Logger: slog.New(slog.DiscardHandler)}
}

func (w *world) append(log string, times ...time.Time) {
	w.batch++
	var lines []string
	for _, at := range times {
		uid := fmt.Sprint(log, at.UnixMilli())
		lines = append(lines, fmt.Sprintf(`{"time":%d,"metadata":{"uid":%q}}`, at.UnixMilli(), uid))
	}
	if err := w.Logs.Append(w.t.Context(), w.batch, "nonce", eventtest.Batch(log, lines...)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) lines(log string) []string {
	w.t.Helper()
	d, err := w.Logs.Download(w.t.Context(), log, tlog.Query{End: math.MaxInt64})
	if err != nil {
		w.t.Fatal(err)
	}
	var file bytes.Buffer
	if err := d.WriteTo(w.t.Context(), &file); err != nil {
		w.t.Fatal(err)
	}
	z, err := gzip.NewReader(&file)
	if err != nil {
		w.t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")[:strings.Count(string(data), "\n")]
}

func (w *world) change(change func(*account.Project)) *account.Project {
	p, err := w.Accounts.UpdateProject(w.t.Context(), w.project,
		func(p *account.Project) error { change(p); return nil })
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) run() {
	w.t.Helper()
	if err := w.Run(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// announced returns the number of entries of a log that the project's log says were removed, by setting.
func (w *world) announced(log string) map[string]int64 {
	all := map[string]int64{}
	for _, line := range w.lines(w.project) {
		var e struct {
			Entity struct {
				UID  string
				Data struct {
					Setting             string
					FirstEntry, Entries int64
				}
			}
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			w.t.Fatal(err)
		}
		if d := e.Entity.Data; e.Entity.UID == log {
			all[d.Setting] = max(all[d.Setting], d.FirstEntry+d.Entries)
		}
	}
	return all
}

func TestOldEventsOfALivingLogAreRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		log := w.change(func(*account.Project) {}).Workspaces[0].AuditLog
		w.run()
		if got := len(w.lines(log)); got != 100 {
			t.Errorf("without a limit %d events are left", got)
		}
		w.change(func(p *account.Project) { p.Retention = account.Retention{Days: 40, Hold: true} })
		w.run()
		if got := len(w.lines(log)); got != 100 {
			t.Errorf("under legal hold %d events are left", got)
		}
		w.change(func(p *account.Project) { p.Retention.Hold = false })
		w.run()
		w.run()
		if got := len(w.lines(log)); got != 40 {
			t.Errorf("%d events are left", got)
		}
		if got := w.announced(log); len(got) != 1 || got["retentionDays"] != 60 {
			t.Errorf("announced %v", got)
		}
		if got := len(w.lines(w.project)); got != 1 {
			t.Errorf("announced %d times", got)
		}
	})
}

// merge merges the segments of a log until no more can be merged.
func (w *world) merge(log string) {
	w.t.Helper()
	for more := true; more; {
		var err error
		if more, err = w.Logs.Merge(w.t.Context(), log); err != nil {
			w.t.Fatal(err)
		}
	}
}

// ages returns the ages of the oldest and the newest event of a log, in days.
func (w *world) ages(log string) (oldest, youngest float64) {
	w.t.Helper()
	youngest = math.Inf(1)
	for _, line := range w.lines(log) {
		var e struct{ Time int64 }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			w.t.Fatal(err)
		}
		age := float64(time.Since(time.UnixMilli(e.Time))) / float64(day)
		oldest, youngest = max(oldest, age), min(youngest, age)
	}
	return oldest, youngest
}

// If the segments of a small log are merged for a year, so that one block has events of all days, no event is kept for
// more than a day after the limit, and none is removed before it.
func TestMergedSegmentLosesItsOldEvents(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		log := w.change(func(p *account.Project) { p.Retention.Days = 30 }).Workspaces[0].AuditLog
		w.merge(log)
		w.run()
		if oldest, youngest := w.ages(log); len(w.lines(log)) != 30 || oldest > 30 || youngest > 1 {
			t.Errorf("%d events are left, of %g to %g days", len(w.lines(log)), youngest, oldest)
		}
		said := len(w.lines(w.project))
		const passes = 4 * 300
		for pass := range passes {
			time.Sleep(day / 4)
			if pass%4 == 0 {
				w.append(log, time.Now())
				w.merge(log)
			}
			before := w.lines(log)
			w.run()
			oldest, youngest := w.ages(log)
			if oldest > 31 || youngest > 1 {
				t.Fatalf("pass %d: events of %g to %g days are left", pass, youngest, oldest)
			}
			if left := w.lines(log); len(left) < 30 && len(left) < len(before) {
				t.Fatalf("pass %d: %d of %d events are left", pass, len(left), len(before))
			}
		}
		if said = len(w.lines(w.project)) - said; said == 0 || said > 300 {
			t.Errorf("%d removals in 300 days", said)
		}
		if got := w.announced(log)["retentionDays"]; got != int64(400-len(w.lines(log))) {
			t.Errorf("%d events were announced, %d are left of 400", got, len(w.lines(log)))
		}
	})
}

// A segment under legal hold is not cut.
func TestHeldSegmentIsNotCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		log := w.change(func(p *account.Project) {
			p.Retention = account.Retention{Days: 30, Hold: true}
		}).Workspaces[0].AuditLog
		w.merge(log)
		w.run()
		if got := len(w.lines(log)); got != 100 {
			t.Errorf("under legal hold %d events are left", got)
		}
	})
}

// If another node sets a legal hold during a pass, the pass removes nothing more.
func TestHoldDuringAPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		log := w.change(func(p *account.Project) { p.Retention.Days = 40 }).Workspaces[0].AuditLog
		elsewhere := account.NewDirectory(w.faulty.Bucket)
		w.faulty.Before = func(ctx context.Context, _ bucketest.Op, key string) error {
			if !strings.HasPrefix(key, "logs/"+log) {
				return nil
			}
			w.faulty.Before = nil // the pass has come to the log
			_, err := elsewhere.UpdateProject(ctx, w.project,
				func(p *account.Project) error { p.Retention.Hold = true; return nil })
			return err
		}
		w.run()
		if got := len(w.lines(log)); got != 100 {
			t.Errorf("under legal hold %d events are left", got)
		}
		if got := w.announced(log); len(got) != 0 {
			t.Errorf("announced %v", got)
		}
	})
}

func TestLogsOfADeletedWorkspaceAreRemovedAfterTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.change(func(p *account.Project) {
			p.Gone, p.Workspaces = []account.DeletedWorkspace{{Workspace: p.Workspaces[0], Deleted: time.Now()}}, nil
			p.Retention.DeletedDays = 50
		})
		log := p.Gone[0].AuditLog
		time.Sleep(50*day - time.Minute)
		w.run()
		if got := len(w.lines(log)); got != 100 {
			t.Errorf("%d events are left before the time", got)
		}
		time.Sleep(2 * time.Minute)
		w.run()
		time.Sleep(time.Hour)
		w.run()
		w.run()
		if got := len(w.lines(log)); got != 0 {
			t.Errorf("%d events are left", got)
		}
		if got := w.announced(log); got["deletedLogRetentionDays"] != 100 {
			t.Errorf("announced %v", got)
		}
		for info := range w.faulty.List(t.Context(), "logs/"+log, "") {
			t.Errorf("left: %s", info.Key)
		}
		if p, err := w.Accounts.Project(t.Context(), w.project); err != nil || len(p.Gone) != 0 {
			t.Errorf("got %+v, %v", p, err)
		}
	})
}

// If any call fails, before or after its effect, or the node dies at any time, everything that is due is removed,
// nothing else is, and every removal is announced.
func TestFaultsNeitherKeepNorRemoveTooMuch(t *testing.T) {
	failure := errors.New("injected")
	filled, project, batch := bucketest.NewMemory(), "", int64(0)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.change(func(p *account.Project) { p.Retention.Days = 40 })
		filled, project, batch = w.faulty.Bucket.(*bucketest.Memory), w.project, w.batch
	})
	for _, after := range []bool{false, true} {
		for call, more := 0, true; more; call++ {
			synctest.Test(t, func(t *testing.T) {
				eventtest.PassTime()
				w := &world{t: t, faulty: &bucketest.Faulty{Bucket: filled.Clone()}, project: project, batch: batch}
				w.start()
				p, err := w.Accounts.Project(t.Context(), project)
				if err != nil {
					t.Fatal(err)
				}
				log := p.Workspaces[0].AuditLog
				left := call
				hook := func(context.Context, bucketest.Op, string) error {
					if left--; left < 0 && left > -20 { // later calls fail too, as if the node had died
						return failure
					}
					return nil
				}
				if w.faulty.Before = hook; after {
					w.faulty.Before, w.faulty.After = nil, hook
				}
				err = w.Run(t.Context())
				more = left < 0
				if more && err == nil && left > -20 {
					t.Logf("call %d: the failure was overcome", call)
				}
				w.faulty.Before, w.faulty.After = nil, nil
				gone := int64(100 - len(w.lines(log)))
				w.start()
				if said := w.announced(log)["retentionDays"]; gone > said {
					t.Errorf("call %d: %d events are gone, %d were announced", call, gone, said)
				}
				w.run()
				if got := len(w.lines(log)); got != 40 {
					t.Errorf("call %d: %d events are left", call, got)
				}
			})
		}
	}
}
