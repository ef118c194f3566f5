package alert

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/alert/notify"
	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/failures"
	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/retry"
	"github.com/weirlog/weir/internal/tlog"
)

// Options of an Engine.
type Options struct {
	Bucket   bucket.Bucket // of the states; one that seals them (package seal)
	Sets     *Sets
	Accounts Projects
	Logs     *tlog.Logs
	Recorder Recorder
	Notifier Notifier

	// Mine tells whether this node evaluates the rules of a project. If nil, it does.
	Mine func(project string) bool

	// Hears tells whether Committed is called for commits to a log: whether this node sequences it. Such a log is read
	// only when it has grown, and every PollEvery. If nil, Committed is called for no log.
	Hears func(log string) bool

	PollEvery time.Duration // Time between two looks at a log that has not grown as far as is known (default 1 minute).
	Every     time.Duration // Time between two passes over the rules (default 5 seconds).
	LookEvery time.Duration // Time between two looks for changed rules (default 1 minute). If negative, there are none.
	Pauses    retry.Policy  // Pauses after a failure of a notifier (default from 10 seconds to 5 minutes).
	Parallel  int           // Projects whose rules are evaluated at a time (default 4).
	PublicURL string        // URL under which people reach the page. If empty, alerts have no links.
	Logger    *slog.Logger
	Registry  prometheus.Registerer // If nil, metrics are kept nowhere.
}

// Projects finds projects.
type Projects interface {
	Project(ctx context.Context, id string) (*account.Project, error)
}

// Recorder records events that weir itself made. It is record.Recorder.
type Recorder interface {
	RecordOwn(ctx context.Context, logs []string, own ...[]byte) error
}

// Notifier sends messages to a notifier, in order, and returns how many were accepted. It is notify.Sender.
type Notifier interface {
	Send(ctx context.Context, n *notify.Notifier, messages []notify.Message) (accepted int, err error)
}

// Engine evaluates rules.
type Engine struct {
	Options
	findings *query.Matcher // the events of alerts, at which no rule looks
	metrics  *metrics
	news     news
	passes   sync.WaitGroup
	sending  sync.WaitGroup
	turns    chan struct{} // has an element for each project whose rules are evaluated
	wake     chan struct{} // has an element if a project has more to read

	sets   []*Set    // as of the last look; only begin uses them
	looked time.Time // when that was

	mu       sync.Mutex
	projects map[string]*project // by id, those of this node
	told     failures.Once       // what fails, by id of the project; "" is for all
}

const (
	usualEvery    = 5 * time.Second
	usualLook     = time.Minute
	usualPoll     = time.Minute
	usualParallel = 4
)

// New returns an Engine.
func New(o Options) (*Engine, error) {
	if o.Every <= 0 {
		o.Every = usualEvery
	}
	if o.PollEvery <= 0 {
		o.PollEvery = usualPoll
	}
	if o.LookEvery == 0 {
		o.LookEvery = usualLook
	}
	if o.Pauses.First <= 0 {
		o.Pauses = usualPauses
	}
	if o.Parallel <= 0 {
		o.Parallel = usualParallel
	}
	q, err := query.Parse(event.Findings)
	if err != nil {
		return nil, fmt.Errorf("the query of the events of alerts: %w", err)
	}
	m, err := query.Compile(q)
	if err != nil {
		return nil, fmt.Errorf("the query of the events of alerts: %w", err)
	}
	return &Engine{Options: o, findings: m, metrics: newMetrics(o.Registry), turns: make(chan struct{}, o.Parallel),
		news: news{when: map[string]int64{}}, wake: make(chan struct{}, 1), projects: map[string]*project{}}, nil
}

// Run evaluates rules until ctx ends, and returns when all that it has begun has come to its end.
func (e *Engine) Run(ctx context.Context) {
	defer e.sending.Wait()
	defer e.passes.Wait()
	e.forget(nil) // The states of an earlier run count only as they were written.
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			timer.Reset(e.Every)
			e.begin(ctx, false)
		case <-e.wake:
			e.begin(ctx, true)
		}
	}
}

// Pass evaluates all rules of this node on new entries, and waits for that. It tells whether there is more to read.
// Failures are logged, and the next pass tries again.
func (e *Engine) Pass(ctx context.Context) (more bool) {
	e.begin(ctx, false)
	e.passes.Wait()
	select {
	case <-e.wake:
		return true
	default:
		return false
	}
}

// begin begins a pass over the rules of each project of this node, or only of those that have more to read. It waits
// for none, and leaves out a project whose last pass goes on: one that takes long keeps no other from its next.
func (e *Engine) begin(ctx context.Context, only bool) {
	mine := map[string]bool{}
	e.look(ctx)
	for _, set := range e.sets {
		if !e.mine(set.Project) {
			continue
		}
		mine[set.Project] = true
		if p := e.take(set.Project, only); p != nil {
			e.passes.Go(func() { e.pass(ctx, p, set) })
		}
	}
	e.forget(mine)
}

// take returns a project for a pass over its rules; nil if it is not its turn.
func (e *Engine) take(id string, only bool) *project {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.projects[id]
	if p == nil {
		p = &project{engine: e, id: id, rules: map[string]*held{}, outbox: newOutbox(e)}
		e.projects[id] = p
	}
	if p.busy || only && !p.more {
		return nil
	}
	p.busy = true
	return p
}

// pass evaluates the rules of a project, when it is its turn.
func (e *Engine) pass(ctx context.Context, p *project, set *Set) {
	more := false
	select {
	case e.turns <- struct{}{}:
		var err error
		more, err = p.pass(ctx, set)
		e.failed(ctx, set.Project, err)
		<-e.turns
	case <-ctx.Done():
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	p.busy, p.more = false, more
	p.totals.rules, p.totals.lasting = len(p.rules), 0
	for _, h := range p.rules {
		p.totals.lasting += len(h.eval.State.Lasting())
	}
	if more {
		select {
		case e.wake <- struct{}{}:
		default:
		}
	}
}

// look finds out which rules there are, if some may have changed.
func (e *Engine) look(ctx context.Context) {
	select {
	case <-e.Sets.Changed():
	default:
		if time.Since(e.looked) < e.LookEvery {
			return
		}
	}
	e.sets, e.looked = nil, time.Now()
	var errs failures.Brief
	for set, err := range e.Sets.All(ctx) {
		if errs.Add(err); err == nil {
			e.sets = append(e.sets, set)
		}
	}
	err := errs.Err()
	if e.failed(ctx, "", err); err != nil {
		e.looked = time.Time{} // again in the next pass
	}
}

func (e *Engine) mine(project string) bool { return e.Mine == nil || e.Mine(project) }

// failed counts an error of a project's pass, or of the look at all projects. If err is nil, the next error is a new
// one.
func (e *Engine) failed(ctx context.Context, project string, err error) {
	if err != nil && ctx.Err() != nil {
		return
	}
	if err != nil {
		e.metrics.failures.Inc()
	}
	if e.told.Tell(project, err) {
		e.Logger.Error("cannot evaluate the alert rules of a project", "project", project, "err", err)
	}
}

// forget forgets the projects that are not this node's any more.
func (e *Engine) forget(mine map[string]bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	rules, lasting := 0, 0
	for id, p := range e.projects {
		if !mine[id] && !p.busy {
			delete(e.projects, id)
			e.told.Forget(id)
			e.news.forget(p.rules)
			continue
		}
		rules += p.totals.rules
		lasting += p.totals.lasting
	}
	e.metrics.rules.Set(float64(rules))
	e.metrics.lasting.Set(float64(lasting))
}
