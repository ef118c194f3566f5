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
	"github.com/weirlog/weir/internal/failures"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/tlog"
)

// project is the rules of a project that this node evaluates. Only one pass at a time uses it.
type project struct {
	engine *Engine
	id     string
	rules  map[string]*held // by id
	outbox *outbox
	looked time.Time // when the last pass had looked at logs
	full   time.Time // when the last lap began that has read each log
	lap    lap

	// Guarded by the engine's mutex.
	busy   bool                         // A pass goes on.
	more   bool                         // The last pass did not come to all.
	totals struct{ rules, lasting int } // after the last pass
}

// lap is a look at all logs of a project, in as many passes as it takes. In each lap each log has its turn, however
// much the others have.
type lap struct {
	began time.Time
	logs  []watched // those that are still to be read
	more  bool      // A log was not read to its end.
	full  bool      // Each log is read, even if it has not grown as far as is known.

	// The rules that count, and for which each log so far was read to its end, or has not grown as far as is known; and
	// those of them for which one was not read. No absence follows from that: another node may have sequenced the log.
	whole, passed map[*held]bool
}

// held is a rule with its state, as this node has it in memory.
type held struct {
	rule    rule.Rule
	eval    *rule.Evaluator
	wrong   error // the definition cannot be evaluated
	version int64 // of the document that the state goes on from; 0 if there is none

	read    map[string]int64 // what the news of each log were when it was last read to its end
	kept    time.Time        // when the document was written, or read
	size    int              // of the document, in bytes
	moved   bool             // The state says more than the document.
	urgent  bool             // It must be written in this pass.
	failing time.Time        // since when each look found a log that cannot be read; zero if the last one found none
	lost    string           // why some entries were not counted
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
	// readFor is for how long a pass reads. The next pass does the rest.
	readFor = 5 * time.Second
)

// pass counts new entries for all rules of the project, and tells of the alerts that follow.
func (p *project) pass(ctx context.Context, set *Set) (more bool, err error) {
	now := time.Now()
	of, err := p.engine.Accounts.Project(ctx, p.id)
	if errors.Is(err, account.ErrNotFound) {
		return false, nil // Nobody is told of its alerts any more.
	}
	if err != nil {
		return false, err
	}
	var errs failures.Brief
	errs.Add(p.load(ctx, set, now)) // A rule that is not loaded stops no other, and counts later what it has missed.
	more, err = p.read(ctx, of, now)
	if ctx.Err() != nil || !p.engine.mine(p.id) {
		return false, nil // It has not looked at all logs, and says nothing.
	}
	errs.Add(err)
	p.outbox.note(p.sorted())
	var settled []*held
	for _, h := range p.sorted() {
		err := p.settle(ctx, set, h, now)
		if errs.Add(err); err == nil && p.rules[h.rule.ID] == h {
			settled = append(settled, h)
		}
	}
	rest, err := p.record(ctx, settled)
	errs.Add(err)
	for _, h := range settled {
		errs.Add(p.finish(ctx, set, h))
	}
	p.outbox.send(ctx, set, p.sorted(), now)
	return more || rest, errs.Err()
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
	var errs failures.Brief
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
			errs.Add(err)
			continue
		}
		p.rules[r.ID] = h
	}
	for id := range p.rules {
		if !there[id] {
			delete(p.rules, id)
		}
	}
	return errs.Err()
}

// open reads the state of a rule. If it is of an older definition, only its alerts count, which end. If it does not
// verify, the rule counts anew from its beginning on.
func (p *project) open(ctx context.Context, r rule.Rule, now time.Time) (*held, error) {
	h := &held{rule: r, kept: now, read: map[string]int64{}}
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
			p.engine.failed(ctx, p.id, fmt.Errorf("rule %s counts from its beginning again: %w", r.ID, err))
			h.version = highest
			h.lose(now, "what it had counted was damaged; it has counted from its beginning again")
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
	h.eval.Together = p.use
	return h, nil
}

// use returns how much the rules of the project remember.
func (p *project) use() (all rule.Use) {
	for _, h := range p.rules {
		all = all.Add(h.eval.Use())
	}
	return all
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

// read counts the new entries of logs. more tells that there are some that it did not come to.
func (p *project) read(ctx context.Context, of *account.Project, now time.Time) (more bool, err error) {
	if now.Sub(p.looked) > restedAfter {
		for _, h := range p.rules {
			h.failing = time.Time{}
		}
	}
	l := &p.lap
	if len(l.logs) == 0 {
		p.newLap(of, now)
	}
	var errs failures.Brief
	for len(l.logs) > 0 {
		again, err := p.readNext(ctx, l.logs[0], now)
		if ctx.Err() != nil || !p.engine.mine(p.id) {
			return false, nil
		}
		errs.Add(err)
		l.more = l.more || again
		l.logs = l.logs[1:]
		if time.Since(now) >= readFor {
			break
		}
	}
	p.looked = time.Now()
	if len(l.logs) > 0 {
		return true, errs.Err()
	}
	for h := range l.whole {
		if h.failing = (time.Time{}); !l.passed[h] {
			h.eval.State.Read = l.began.UnixMilli()
		}
	}
	return l.more, errs.Err()
}

func (p *project) newLap(of *account.Project, now time.Time) {
	p.lap = lap{began: now, logs: watchedLogs(of, now), full: p.fullLap(now), whole: map[*held]bool{},
		passed: map[*held]bool{}}
	for _, h := range p.rules {
		if h.active() {
			p.lap.whole[h] = true
		}
	}
}

// readNext counts the new entries of a log for all rules that look at it.
func (p *project) readNext(ctx context.Context, log watched, now time.Time) (more bool, err error) {
	var looking []*held
	for _, h := range p.sorted() {
		switch {
		case !h.active():
			delete(p.lap.whole, h)
		case !h.rule.LooksAt(log.kind, log.workspace):
		case p.quiet(h, log.id):
			p.lap.passed[h] = true
		default:
			looking = append(looking, h)
		}
	}
	var errs failures.Brief
	for _, near := range together(looking, log.id) {
		if ctx.Err() != nil || !p.engine.mine(p.id) {
			return false, nil
		}
		news := p.engine.news.of(log.id) // Entries that are committed from here on are news again.
		whole, err := p.readLog(ctx, log, near, now)
		for _, h := range near {
			if whole {
				h.read[log.id] = news
			} else {
				delete(p.lap.whole, h)
			}
			if err != nil && h.failing.IsZero() {
				h.failing = now
			}
		}
		more = more || !whole && err == nil
		if err != nil {
			errs.Add(fmt.Errorf("log %s: %w", log.id, err))
		}
	}
	return more, errs.Err()
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
		if read += len(entries); read >= mostRead || time.Since(now) >= readFor {
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
		h.lose(now, "the log %s has %d entries, but the rule had counted %d: entries must have been lost", log, r.Next(),
			next)
		h.eval.State.Next[log], h.moved = r.Next(), true
	case next > 0 && next < r.First():
		h.lose(now, "retention removed the entries %d to %d of log %s before they were counted", next, r.First()-1,
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
