// Package retention removes events older than a project's limit, and the logs of deleted workspaces, projects and
// organizations after their time. It keeps no state: every pass looks at everything again and removes due data, in
// small steps. Each step is safe to repeat and to interrupt.
package retention

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/record"
	"github.com/weirlog/weir/internal/tlog"
)

// Job configures the passes.
type Job struct {
	Accounts *account.Directory
	Logs     *tlog.Logs
	Recorder *record.Recorder
	Logger   *slog.Logger
	// Mine tells whether this job handles a log. If nil, it handles all. If several jobs handle a log, they repeat the
	// work.
	Mine func(log string) bool

	// Setups are dropped for deleted projects.
	Setups []Setup

	// Readers are told of a log before nothing of it is left.
	Readers []Reader
}

// Reader reads the logs of projects, at its own pace.
type Reader interface {
	// LogGone says that a log of a project is about to be dropped, and where it ends: its reader gets no other sign of
	// entries that it has not read. It may be repeated.
	LogGone(ctx context.Context, project, log string, end int64) error
}

// Setup is one kind of thing that projects set up beside their logs, such as deliveries.
type Setup interface {
	// Projects yields the ids of the projects that have set something up. An error concerns one of them, or ends the
	// sequence.
	Projects(ctx context.Context) iter.Seq2[string, error]

	// Drop removes these things of a project, and their cursors. It may be repeated, and be interrupted.
	Drop(ctx context.Context, project string) error
}

func (j *Job) mine(log string) bool { return j.Mine == nil || j.Mine(log) }

// Run makes one pass over all organizations and projects. An error does not stop the pass; all errors are returned at
// the end.
func (j *Job) Run(ctx context.Context) error {
	var failed failures
	deleted := map[string]bool{}
	for p, err := range j.Accounts.AllProjects(ctx) {
		if err != nil {
			failed.add(err)
			continue
		}
		if !p.Deleted.IsZero() && j.mine(p.ID) {
			deleted[p.ID] = true
		}
		if err := j.project(ctx, p); err != nil {
			failed.add(fmt.Errorf("retention of project %s: %w", p.ID, err))
		}
	}
	for o, err := range j.Accounts.AllOrganizations(ctx) {
		if err != nil {
			failed.add(err)
			continue
		}
		if o.Deleted.IsZero() || !j.mine(o.Log) || !over(o.Deleted, account.MinRetentionDays) {
			continue
		}
		if _, err := j.remove(ctx, nil, o.Log); err != nil { // there is no log to announce it in
			failed.add(fmt.Errorf("retention of organization %s: %w", o.ID, err))
		}
	}
	for _, s := range j.Setups {
		j.drop(ctx, s, deleted, &failed)
	}
	return failed.err()
}

// drop removes the setups of deleted projects. They do nothing any more, but have secrets. A project whose document is
// missing is not known to be deleted.
func (j *Job) drop(ctx context.Context, s Setup, deleted map[string]bool, failed *failures) {
	for id, err := range s.Projects(ctx) {
		if err == nil && deleted[id] {
			err = s.Drop(ctx, id)
		}
		if err != nil {
			failed.add(fmt.Errorf("remove what deleted projects had set up: %w", err))
		}
	}
}

// failures has the first errors of a pass, since everything fails if the bucket is unavailable.
type failures struct {
	first []error
	more  int
}

const maxFailures = 10

func (f *failures) add(err error) {
	if len(f.first) < maxFailures {
		f.first = append(f.first, err)
	} else {
		f.more++
	}
}

func (f *failures) err() error {
	if f.more > 0 {
		return errors.Join(append(f.first, fmt.Errorf("and %d more errors", f.more))...)
	}
	return errors.Join(f.first...)
}

// over tells whether this number of days has passed since a time.
func over(since time.Time, days int) bool { return time.Now().After(since.AddDate(0, 0, days)) }

// errHeld is returned if a project has come under legal hold since the pass read it.
var errHeld = errors.New("the project is under legal hold")

// checkHold returns errHeld if a project is under legal hold now. A pass may take long, so this is called before each
// removal.
func (j *Job) checkHold(ctx context.Context, p *account.Project) error {
	now, err := j.Accounts.LatestProject(ctx, p.ID)
	if err == nil && now.Retention.Hold {
		err = errHeld
	}
	return err
}

func (j *Job) project(ctx context.Context, p *account.Project) error {
	if p.Retention.Hold {
		return nil
	}
	var errs []error
	if days := p.Retention.Days; days > 0 {
		before, due := p.Retention.Limit(time.Now())
		limit := limit{before.UnixMilli(), due.UnixMilli(), "retentionDays", days}
		for _, w := range p.Workspaces {
			for _, log := range []string{w.AuditLog, w.OperationalLog} {
				if j.mine(log) {
					errs = append(errs, j.prune(ctx, p, &w, log, limit))
				}
			}
		}
	}
	for _, w := range p.Gone {
		if j.mine(w.AuditLog) && over(w.Deleted, p.Retention.Kept()) {
			errs = append(errs, j.forget(ctx, p, &w.Workspace))
		}
	}
	if !p.Deleted.IsZero() && len(p.Gone) == 0 && j.mine(p.ID) && over(p.Deleted, p.Retention.Kept()) {
		_, err := j.remove(ctx, p, p.ID)
		errs = append(errs, err)
	}
	errs = slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, errHeld) })
	return errors.Join(errs...)
}

// forget removes the logs of a deleted workspace, and then the workspace.
func (j *Job) forget(ctx context.Context, p *account.Project, w *account.Workspace) error {
	all := limit{math.MaxInt64, math.MaxInt64, "deletedLogRetentionDays", p.Retention.Kept()}
	for _, log := range []string{w.AuditLog, w.OperationalLog} {
		if err := j.prune(ctx, p, w, log, all); err != nil {
			return err
		}
		if gone, err := j.remove(ctx, p, log); err != nil || !gone {
			return err // pruned objects stay for the grace period: a later pass will find them gone
		}
	}
	_, err := j.Accounts.ForgetWorkspace(ctx, p.ID, w.ID)
	return err
}

// remove removes everything in a log of a project, or of none if p is nil. gone tells whether nothing is left.
func (j *Job) remove(ctx context.Context, p *account.Project, log string) (gone bool, err error) {
	for {
		if p != nil {
			if err := j.checkHold(ctx, p); err != nil {
				return false, err
			}
		}
		removed, err := j.Logs.Prune(ctx, log, math.MaxInt64)
		if err != nil {
			return false, err
		}
		if removed.Entries == 0 {
			break
		}
	}
	if err := j.Logs.Sweep(ctx, log); err != nil {
		return false, err
	}
	info, err := j.Logs.Info(ctx, log, 0)
	if err != nil || info.Entries > 0 || info.Removing {
		return false, err
	}
	for _, r := range j.Readers {
		if p == nil {
			break
		}
		if err := r.LogGone(ctx, p.ID, log, info.Pruned.End()); err != nil {
			return false, err
		}
	}
	return true, j.Logs.Drop(ctx, log)
}

// limit says which events of a log are too old, and which setting says so.
type limit struct {
	before  int64 // events before this are too old (milliseconds since the epoch)
	due     int64 // if there are events before this, all that are too old are removed; not after before
	setting string
	days    int
}

// prune removes the events of a log that are too old. Before each removal, it announces it in the project's log, so
// that a crash leaves no removal without an announcement.
func (j *Job) prune(ctx context.Context, p *account.Project, w *account.Workspace, log string, l limit) error {
	for ctx.Err() == nil {
		removal, err := j.Logs.Prunable(ctx, log, l.before, l.due)
		if err != nil {
			return err
		}
		if removal.Entries == 0 {
			return j.Logs.Sweep(ctx, log)
		}
		line := event.Pruned(event.Removal{Time: time.Now(), Project: p.ID, Workspace: w.Name, Log: log,
			Setting: l.setting, Days: l.days,
			First: removal.First, Entries: removal.Entries, Oldest: time.UnixMilli(removal.MinTime),
			Youngest: time.UnixMilli(removal.MaxTime)})
		if err := j.checkHold(ctx, p); err != nil {
			return err
		}
		if err := j.Recorder.RecordOwn(ctx, []string{p.ID}, line); err != nil {
			return err
		}
		if _, err := j.Logs.PruneTo(ctx, log, l.before, removal.End()); err != nil {
			return err
		}
		j.Logger.Info("events removed", "project", p.ID, "workspace", w.Name, "log", log, "entries", removal.Entries,
			"setting", l.setting, "days", l.days)
	}
	return context.Cause(ctx)
}
