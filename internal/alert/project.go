package alert

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/alert/rule"
	"github.com/weirlog/weir/internal/doc"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/tlog"
)

// project is the rules of a project that this node evaluates. Only one pass at a time uses it.
type project struct {
	engine *Engine
	id     string
	rules  map[string]*held // by id
	outbox *outbox
	looked time.Time // when the last pass had looked at the logs
}

// held is a rule with its state, as this node has it in memory.
type held struct {
	rule    rule.Rule
	eval    *rule.Evaluator
	wrong   error // the definition cannot be evaluated
	version int64 // of the document that the state goes on from; 0: there is none

	kept    time.Time // when the document was written, or read
	size    int       // of the document, in bytes
	moved   bool      // The state says more than the document.
	urgent  bool      // It must be written in this pass.
	failing time.Time // since when each look found a log that cannot be read; zero: the last one found none
	lost    string    // why some entries were not counted
	lostAt  time.Time
}

const (
	// troubledAfter is for how long a log may not be readable before that is an alert.
	troubledAfter = 2 * time.Minute
	// restedAfter is the time without a look after which nobody knows whether a log could be read meanwhile, as when
	// the process was stopped.
	restedAfter = time.Minute
	// lostFor is for how long it is an alert that entries were not counted.
	lostFor = time.Hour
)

// pass counts what is new for all rules of the project, and tells of what follows.
func (p *project) pass(ctx context.Context, set *Set) (more bool, err error) {
	now := time.Now()
	of, err := p.engine.Accounts.Project(ctx, p.id)
	if errors.Is(err, account.ErrNotFound) {
		return false, nil // Nobody is told of its alerts any more.
	}
	if err != nil {
		return false, err
	}
	if err := p.load(ctx, set, now); err != nil {
		return false, err
	}
	more, readErr := p.read(ctx, of, now)
	if ctx.Err() != nil || !p.engine.mine(p.id) {
		return false, nil // It has not looked at all logs, and says nothing.
	}
	errs := []error{readErr}
	p.outbox.note(p.sorted())
	for _, h := range p.sorted() {
		errs = append(errs, p.settle(ctx, set, h, now))
	}
	p.outbox.send(ctx, set, p.sorted(), now)
	return more, errors.Join(errs...)
}

func (p *project) sorted() []*held {
	var all []*held
	for _, h := range p.rules {
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b *held) int { return cmp.Compare(a.rule.ID, b.rule.ID) })
	return all
}

// load reads the states of rules that are new here, or that have changed.
func (p *project) load(ctx context.Context, set *Set, now time.Time) error {
	var errs []error
	there := map[string]bool{}
	for _, r := range set.Rules {
		there[r.ID] = true
		h := p.rules[r.ID]
		if h != nil && h.rule.Since.Equal(r.Since) {
			h.rule, h.eval.Rule = r, &h.rule
			continue
		}
		h, err := p.open(ctx, r, now)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p.rules[r.ID] = h
	}
	for id := range p.rules {
		if !there[id] {
			delete(p.rules, id)
		}
	}
	return errors.Join(errs...)
}

// open reads the state of a rule. If it is of an older definition, only its alerts count, which end. If it does not
// verify, the rule counts anew from its beginning on.
func (p *project) open(ctx context.Context, r rule.Rule, now time.Time) (*held, error) {
	h := &held{rule: r, kept: now}
	b, prefix := p.engine.Bucket, statePrefix(r.ID)
	highest, err := doc.Highest(ctx, b, prefix, 0)
	if err != nil {
		return nil, err
	}
	h.version = highest
	s := rule.NewState(&r)
	if highest > 0 {
		old := rule.NewState(&r)
		h.version, err = doc.Read(ctx, b, prefix, old)
		switch {
		case errors.Is(err, seal.ErrForged), errors.Is(err, doc.ErrDamaged):
			p.engine.failed(ctx, p.id, fmt.Errorf("rule %s counts anew, since its state does not count: %w", r.ID, err))
			h.version = highest
			h.lose(now, "what it had counted was damaged; it has counted anew")
		case err != nil:
			return nil, err
		case old.Since.Equal(r.Since):
			s = old
		default:
			s.Alerts = old.Alerts
			s.End(now.UnixMilli())
			h.urgent = true
		}
	}
	h.eval, h.wrong = rule.New(&h.rule, s)
	if h.wrong != nil {
		h.eval = &rule.Evaluator{Rule: &h.rule, State: s}
	}
	return h, nil
}

// active tells whether the rule counts events.
func (h *held) active() bool { return h.wrong == nil && !h.rule.Disabled && !h.rule.Deleted }

// watched is a log of a project.
type watched struct {
	id, workspace string
	kind          rule.Log
}

// recently is for how long the logs of a deleted workspace are still looked at: they may have entries that came before.
const recently = 24 * time.Hour

func watchedLogs(of *account.Project, now time.Time) []watched {
	all := []watched{{of.ID, "", rule.ProjectLog}}
	add := func(w *account.Workspace) {
		all = append(all, watched{w.AuditLog, w.Name, rule.AuditLog},
			watched{w.OperationalLog, w.Name, rule.OperationalLog})
	}
	for i := range of.Workspaces {
		add(&of.Workspaces[i])
	}
	for i := range of.Gone {
		if now.Sub(of.Gone[i].Deleted) < recently {
			add(&of.Gone[i].Workspace)
		}
	}
	return all
}

// read counts the new entries of all logs. more tells that there are some that it did not come to.
func (p *project) read(ctx context.Context, of *account.Project, now time.Time) (more bool, err error) {
	unread := map[*held]bool{} // the rules for which not all was counted
	var errs []error
	if now.Sub(p.looked) > restedAfter {
		for _, h := range p.rules {
			h.failing = time.Time{}
		}
	}
	for _, log := range watchedLogs(of, now) {
		var looking []*held
		for _, h := range p.sorted() {
			if h.active() && h.rule.LooksAt(log.kind, log.workspace) {
				looking = append(looking, h)
			}
		}
		for _, near := range together(looking, log.id) {
			if ctx.Err() != nil || !p.engine.mine(p.id) {
				return false, nil
			}
			whole, err := p.readLog(ctx, log, near, now)
			for _, h := range near {
				unread[h] = unread[h] || !whole
				if err != nil && h.failing.IsZero() {
					h.failing = now
				}
			}
			more = more || !whole && err == nil
			if err != nil {
				errs = append(errs, fmt.Errorf("log %s: %w", log.id, err))
			}
		}
	}
	for _, h := range p.rules {
		if !unread[h] {
			h.eval.State.Read, h.failing = now.UnixMilli(), time.Time{}
		}
	}
	p.looked = time.Now()
	return more, errors.Join(errs...)
}

// Limits of a pass over a log.
const (
	nearEnough = 10_000  // entries that rules may be apart to be counted together
	mostRead   = 200_000 // entries
)

// together returns rules in groups that are near to each other in a log, those that are ahead first: a rule that has
// much to count keeps no other from counting.
func together(rules []*held, log string) (groups [][]*held) {
	next := func(h *held) int64 { return h.eval.State.Next[log] }
	slices.SortStableFunc(rules, func(a, b *held) int { return cmp.Compare(next(b), next(a)) })
	for i, h := range rules {
		if i == 0 || next(groups[len(groups)-1][0])-next(h) > nearEnough {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], h)
	}
	return groups
}

var errEnough = errors.New("enough for this pass")

// readLog counts the new entries of a log for some rules. whole tells that it came to the end.
func (p *project) readLog(ctx context.Context, log watched, rules []*held, now time.Time) (whole bool, err error) {
	start := rules[0].rule.Start()
	for _, h := range rules {
		start = min(start, h.rule.Start())
	}
	r, err := p.engine.Logs.ReadSequenced(ctx, log.id, tlog.Query{Start: start, End: tlog.All.End})
	if err != nil {
		return false, err
	}
	from := r.Next()
	for _, h := range rules {
		h.begin(log.id, r, now)
		from = min(from, h.eval.State.Next[log.id])
	}
	if from == r.Next() {
		return true, nil
	}
	read := 0
	err = r.EachBlock(ctx, from, func(entries []tlog.Indexed) error {
		for _, entry := range entries {
			if err := p.count(log, rules, entry, now); err != nil {
				return err
			}
		}
		if read += len(entries); read >= mostRead {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, h := range rules {
		h.proceed(log.id, r.Next())
	}
	return true, nil
}

// begin notes what a rule cannot count of a log any more.
func (h *held) begin(log string, r *tlog.Reader, now time.Time) {
	next := h.eval.State.Next[log]
	switch {
	case next > r.Next(): // as after a bucket was put back from an older copy
		h.lose(now, "the log %s has %d entries, of which it had counted %d: some must have been lost", log, r.Next(), next)
		h.eval.State.Next[log], h.moved = r.Next(), true
	case next > 0 && next < r.First():
		h.lose(now, "retention has removed the entries %d to %d of log %s before they were counted", next, r.First()-1,
			log)
	}
}

// lose notes that the rule has not counted some entries. It is an alert for a while.
func (h *held) lose(now time.Time, format string, args ...any) {
	h.lost, h.lostAt = fmt.Sprintf(format, args...), now
}

func (h *held) proceed(log string, next int64) {
	if h.eval.State.Next[log] < next {
		h.eval.State.Next[log], h.moved = next, true
	}
}

// count counts an entry for the rules that have not counted it.
func (p *project) count(log watched, rules []*held, entry tlog.Indexed, now time.Time) error {
	own := log.kind == rule.ProjectLog && p.engine.findings.Match(entry.Line)
	for _, h := range rules {
		if entry.Index < h.eval.State.Next[log.id] {
			continue
		}
		if !own {
			x := rule.Event{Time: entry.Time, Log: log.id, Index: entry.Index, Line: entry.Line}
			if err := h.eval.Count(x, now.UnixMilli()); err != nil {
				return fmt.Errorf("rule %s: %w", h.rule.ID, err)
			}
		}
		h.proceed(log.id, entry.Index+1)
	}
	return nil
}
