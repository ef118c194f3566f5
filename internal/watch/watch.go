// Package watch follows logs from outside. Of each it keeps the last good checkpoint in a file of its own, and checks
// that the log goes on from there: so whoever rewrites, cuts or resets a log, even with its keys, is found out. It
// works on any log served as https://c2sp.org/tlog-tiles says, and trusts the given keys and its own file only.
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
	Name string       // that it has in the state and in reports
	URL  string       // below which checkpoint and tiles are
	ID   string       // that its origin must end with; empty: any origin, the first seen from then on
	HTTP *http.Client // that may read it
}

// List is logs that are asked for again in each round. A log that was listed once is followed even if it is listed no
// more: who takes a log away shall not end its being watched.
type List struct {
	Prefix string // of the names of its logs
	Names  func(ctx context.Context) ([]string, error)
	Source func(name string) Source
}

// Options says what to watch, and whom to tell.
type Options struct {
	Sources          []Source
	List             *List // nil: none
	Keys             *proof.Keys
	State            string        // file
	Interval         time.Duration // between rounds
	StalledAfter     time.Duration // without growth; 0: never
	UnreachableAfter time.Duration // 0: at once
	Webhook          string        // URL; empty: none
	HTTP             *http.Client  // for the webhook
	UserAgent        string
	Logger           *slog.Logger
}

// Watcher follows logs. Run and Round are not to be called concurrently.
type Watcher struct {
	options Options
	state   *State
	whole   map[string]bool // logs whose tiles were good for the checkpoint that is kept
	found   map[string]Kind // logs that a problem was found of, the last one
	unknown map[string]bool // logs that cannot be reached now
}

// New returns a Watcher that goes on from the state in its file.
func New(o Options) (*Watcher, error) {
	state, err := LoadState(o.State)
	if err != nil {
		return nil, err
	}
	return &Watcher{o, state, map[string]bool{}, map[string]Kind{}, map[string]bool{}}, nil
}

// Result is what was found since the Watcher was made.
type Result struct {
	Problems []string // logs that had one, even if it ended, each with the last
	Unknown  []string // logs that cannot be reached now, without another problem
}

// Run watches until ctx ends. The error is that of the last writing of the state.
func (w *Watcher) Run(ctx context.Context) (Result, error) {
	tick := time.NewTicker(w.options.Interval)
	defer tick.Stop()
	var failed error
	for {
		r, err := w.Round(ctx)
		if err != nil {
			w.options.Logger.Error("what the logs must go on from is not safe", "err", err)
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
	group.Wait() // no check fails
	if ctx.Err() != nil {
		return w.result(), nil // what was broken off says nothing
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

// sources returns the logs to check, and whether their list could be had.
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

// settle makes what was found of a log part of the state, and returns what is to be reported: what begins, and what
// ends.
func (w *Watcher) settle(name string, f finding) []*Problem {
	l, now := w.kept(name), time.Now().UTC()
	switch {
	case f.kind == Unreachable:
		first := l.Failing.IsZero()
		if first {
			l.Failing = now
		}
		// A problem of the log itself is not over because nothing can be told.
		outlives := l.Problem != nil && l.Problem.Kind != Unreachable && l.Problem.Kind != Stalled
		if outlives {
			w.found[name] = l.Problem.Kind
		}
		if outlives || now.Sub(l.Failing) < w.options.UnreachableAfter { // it may be back soon
			if first {
				w.options.Logger.Warn("log not reached", "log", name, "detail", f.detail)
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

// advance keeps a good checkpoint, and tells whether the log has stalled.
func (w *Watcher) advance(name string, l *Log, f finding, now time.Time) finding {
	if f.signed == "" {
		return f // a list
	}
	w.whole[name] = true
	before, err := read(l.Checkpoint)
	if err != nil || f.tree.N > before.N {
		l.Grown = now
		if err != nil {
			w.options.Logger.Info("log followed from now on", "log", name, "origin", proof.Origin(f.signed),
				"size", f.tree.N)
		}
	}
	l.Origin, l.Checkpoint = proof.Origin(f.signed), f.signed
	if still := now.Sub(l.Grown); w.options.StalledAfter > 0 && still >= w.options.StalledAfter {
		return bad(Stalled, "", "it has had %d entries for %s", f.tree.N, still.Round(time.Second))
	}
	return f
}

// report tells whoever is to be told. That it fails stops nothing. What is being told when ctx ends has a last chance.
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
				w.options.Logger.Error("the webhook was not told", "log", p.Log, "problem", p.Kind, "err", err)
			}
			return nil
		})
	}
	group.Wait() // no report fails
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

// Kept returns the last good checkpoint of a log, by its name or the last part of that.
func (s *State) Kept(name string) (string, error) {
	for full, l := range s.Logs {
		if (full == name || strings.HasSuffix(full, "/"+name)) && l.Checkpoint != "" {
			return l.Checkpoint, nil
		}
	}
	return "", fmt.Errorf("no checkpoint of %s is kept", name)
}
