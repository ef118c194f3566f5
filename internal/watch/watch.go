// Package watch follows logs from outside. It keeps the last good checkpoint of each log in a file, and checks that the
// log extends it. So it detects if somebody rewrites, shortens or resets a log, even with its keys. It works for any
// log served as https://c2sp.org/tlog-tiles says, and trusts only the given keys and its own file.
package watch

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weirlog/weir/internal/proof"
)

// Source is a log to follow.
type Source struct {
	Name string       // in the state and in reports
	URL  string       // base of the paths of the checkpoint and the tiles
	ID   string       // required end of its origin; if empty, the first origin that is seen is required
	HTTP *http.Client // client that may read it
}

// List returns logs to follow, and is asked again in each round. A log is followed even after it is no longer listed,
// so that nobody can stop the watching by removing a log from the list.
type List struct {
	Prefix string // prefix of the names of its logs
	Names  func(ctx context.Context) ([]string, error)
	Source func(name string) Source
}

// Options configures a Watcher.
type Options struct {
	Sources          []Source
	List             *List // if nil, only Sources are followed
	Keys             *proof.Keys
	State            string        // name of the state file
	Interval         time.Duration // between rounds
	StalledAfter     time.Duration // time without growth after which a log has stalled; if 0, never
	UnreachableAfter time.Duration // time after which an unreachable log is a problem; if 0, at once
	Webhook          string        // URL; if empty, there is none
	HTTP             *http.Client  // for the webhook
	UserAgent        string
	Logger           *slog.Logger
}

// Watcher follows logs. Run and Round must not be called concurrently.
type Watcher struct {
	options Options
	state   *State
	whole   map[string]bool // logs whose tiles have been verified for the kept checkpoint
	found   map[string]Kind // the last problem of each log that had one
	unknown map[string]bool // logs that are unreachable now
}

// New returns a Watcher that continues from its state file.
func New(o Options) (*Watcher, error) {
	state, err := LoadState(o.State)
	if err != nil {
		return nil, err
	}
	return &Watcher{o, state, map[string]bool{}, map[string]Kind{}, map[string]bool{}}, nil
}

// Result summarizes everything since the Watcher was made.
type Result struct {
	Problems []string // logs that had a problem, even if it has ended, each with the last one
	Unknown  []string // logs that are unreachable now and have no other problem
}

// Run watches until ctx ends. It returns the error of the last attempt to write the state.
func (w *Watcher) Run(ctx context.Context) (Result, error) {
	tick := time.NewTicker(w.options.Interval)
	defer tick.Stop()
	var failed error
	for {
		r, err := w.Round(ctx)
		if err != nil {
			w.options.Logger.Error("cannot write the state file, so checkpoints are not kept", "err", err)
		}
		if ctx.Err() == nil {
			failed = err
		}
		select {
		case <-ctx.Done():
			return r, failed
		case <-tick.C:
		}
	}
}

const logsAtOnce = 8

// Round checks each log once, reports, and writes the state.
func (w *Watcher) Round(ctx context.Context) (Result, error) {
	sources, listed := w.sources(ctx)
	findings := make([]finding, len(sources))
	var group errgroup.Group
	group.SetLimit(logsAtOnce)
	for i, s := range sources {
		kept, whole := w.kept(s.Name), !w.whole[s.Name]
		group.Go(func() error {
			findings[i] = w.check(ctx, s, kept, whole)
			return nil
		})
	}
	group.Wait() // checks return no errors
	if ctx.Err() != nil {
		return w.result(), nil // interrupted checks say nothing
	}
	var reports []*Problem
	for i, s := range sources {
		reports = append(reports, w.settle(s.Name, findings[i])...)
	}
	if w.options.List != nil {
		reports = append(reports, w.settle(w.options.List.Prefix, listed)...)
	}
	w.report(ctx, reports)
	return w.result(), w.state.Save(w.options.State)
}

// sources returns the logs to check, and the result of asking for the list.
func (w *Watcher) sources(ctx context.Context) (all []Source, listed finding) {
	l := w.options.List
	if l == nil {
		return w.options.Sources, finding{}
	}
	ctx, cancel := context.WithTimeout(ctx, checkMost)
	defer cancel()
	names, err := l.Names(ctx)
	if err != nil {
		listed = bad(Unreachable, "", "the list of logs: %v", err)
	}
	for name := range w.state.Logs {
		if strings.HasPrefix(name, l.Prefix+"/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	all = slices.Clone(w.options.Sources)
	for _, name := range slices.Compact(names) {
		all = append(all, l.Source(name))
	}
	return all, listed
}

func (w *Watcher) kept(name string) *Log {
	l := w.state.Logs[name]
	if l == nil {
		l = &Log{}
		w.state.Logs[name] = l
	}
	return l
}

// settle adds the finding about a log to its state, and returns the problems to report: those that begin, and those
// that end.
func (w *Watcher) settle(name string, f finding) []*Problem {
	l, now := w.kept(name), time.Now().UTC()
	switch {
	case f.kind == Unreachable:
		first := l.Failing.IsZero()
		if first {
			l.Failing = now
		}
		// A problem of the log itself does not end because the log is unreachable.
		outlives := l.Problem != nil && l.Problem.Kind != Unreachable && l.Problem.Kind != Stalled
		if outlives {
			w.found[name] = l.Problem.Kind
		}
		if outlives || now.Sub(l.Failing) < w.options.UnreachableAfter { // it may be reachable again soon
			if first {
				w.options.Logger.Warn("cannot reach a log; it may be reachable again soon", "log", name, "detail", f.detail)
			}
			return nil
		}
	case f.kind == "":
		f = w.advance(name, l, f, now)
		fallthrough
	default:
		l.Failing = time.Time{}
	}
	w.unknown[name] = f.kind == Unreachable
	if f.kind != "" && f.kind != Unreachable {
		w.found[name] = f.kind
	}
	if l.Problem == nil && f.kind == "" || l.Problem != nil && l.Problem.Kind == f.kind {
		return nil
	}
	var reports []*Problem
	if l.Problem != nil {
		ended := *l.Problem
		ended.Time, ended.Ended = now, true
		reports, l.Problem = append(reports, &ended), nil
	}
	if f.kind != "" {
		l.Problem = newProblem(name, l, f, now)
		if f.kind == Forked && len(l.Evidence) < maxEvidence {
			l.Evidence = append(l.Evidence, l.Problem)
		}
		reports = append(reports, l.Problem)
	}
	return reports
}

// advance stores a good checkpoint, and tells whether the log has stalled.
func (w *Watcher) advance(name string, l *Log, f finding, now time.Time) finding {
	if f.signed == "" {
		return f // a list
	}
	w.whole[name] = true
	before, err := read(l.Checkpoint)
	if err != nil || f.tree.N > before.N {
		l.Grown = now
		if err != nil {
			w.options.Logger.Info("watching a log from now on", "log", name, "origin", proof.Origin(f.signed),
				"size", f.tree.N)
		}
	}
	l.Origin, l.Checkpoint = proof.Origin(f.signed), f.signed
	if still := now.Sub(l.Grown); w.options.StalledAfter > 0 && still >= w.options.StalledAfter {
		return bad(Stalled, "", "it has had %d entries for %s", f.tree.N, still.Round(time.Second))
	}
	return f
}

// report sends reports. An error is logged and stops nothing. When ctx ends, reports in progress get a last chance.
func (w *Watcher) report(ctx context.Context, reports []*Problem) {
	telling, cancel := context.WithTimeout(context.WithoutCancel(ctx), webhookMost)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(webhookTimeout, cancel) })()
	var group errgroup.Group
	group.SetLimit(logsAtOnce)
	for _, p := range reports {
		level, what := slog.LevelError, "problem"
		if p.Ended {
			level, what = slog.LevelInfo, "problem ended"
		}
		w.options.Logger.Log(ctx, level, what, "log", p.Log, "origin", p.Origin, "problem", p.Kind, "detail", p.Detail)
		if w.options.Webhook == "" {
			continue
		}
		group.Go(func() error {
			if err := w.post(telling, p); err != nil {
				w.options.Logger.Error("cannot post a problem to the webhook", "log", p.Log, "problem", p.Kind, "err", err)
			}
			return nil
		})
	}
	group.Wait() // reports return no errors
}

func (w *Watcher) result() Result {
	var r Result
	for _, name := range slices.Sorted(maps.Keys(w.found)) {
		r.Problems = append(r.Problems, fmt.Sprintf("%s (%s)", name, w.found[name]))
	}
	for name, unknown := range w.unknown {
		if unknown && w.found[name] == "" {
			r.Unknown = append(r.Unknown, name)
		}
	}
	slices.Sort(r.Unknown)
	return r
}

// Kept returns the last good checkpoint of a log, given its name or the last part of it.
func (s *State) Kept(name string) (string, error) {
	for full, l := range s.Logs {
		if (full == name || strings.HasSuffix(full, "/"+name)) && l.Checkpoint != "" {
			return l.Checkpoint, nil
		}
	}
	return "", fmt.Errorf("no checkpoint of %s is kept", name)
}
