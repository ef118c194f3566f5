package alert

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/alert/notify"
	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/retry"
	"github.com/weirlog/weir/internal/tlog"
)

// Options are what an Engine works with.
type Options struct {
	Bucket   bucket.Bucket // of the states; one that seals them (package seal)
	Sets     *Sets
	Accounts Projects
	Logs     *tlog.Logs
	Recorder Recorder
	Notifier Notifier

	// Mine tells whether this node evaluates the rules of a project. If nil, it does.
	Mine func(project string) bool

	Every     time.Duration // Time between two passes over the rules (default 5 seconds).
	LookEvery time.Duration // Time between two looks at the rules that others have changed (default 1 minute; below 0: none).
	Pauses    retry.Policy  // after what a notifier did not accept (default from 10 seconds to 5 minutes)
	Parallel  int           // Projects whose rules are evaluated at a time (default 4).
	PublicURL string        // under which people reach the page. If empty, alerts have no links.
	Logger    *slog.Logger
	Registry  prometheus.Registerer // If nil, metrics are kept nowhere.
}

// Projects finds projects.
type Projects interface {
	Project(ctx context.Context, id string) (*account.Project, error)
}

// Recorder records events that weir itself made. It is record.Recorder.
type Recorder interface {
	RecordOwn(ctx context.Context, logs []string, own []byte) error
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
	sending  sync.WaitGroup

	sets   []*Set    // as of the last look; only a pass uses them
	looked time.Time // when that was

	mu       sync.Mutex
	projects map[string]*project // by id, those of this node
}

const (
	usualEvery    = 5 * time.Second
	usualLook     = time.Minute
	usualParallel = 4
)

// New returns an Engine.
func New(o Options) (*Engine, error) {
	if o.Every <= 0 {
		o.Every = usualEvery
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
	return &Engine{Options: o, findings: m, metrics: newMetrics(o.Registry), projects: map[string]*project{}}, nil
}

// Run evaluates rules until ctx ends, and returns when all that it has begun has come to its end.
func (e *Engine) Run(ctx context.Context) {
	defer e.sending.Wait()
	e.forget(nil) // What a run before this one held counts only as far as it was written.
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		pause := e.Every
		if e.Pass(ctx) {
			pause = 0
		}
		timer.Reset(pause)
	}
}

// Pass evaluates all rules of this node on what is new. It tells whether there is more to read. What fails is logged,
// and tried again in the next pass.
func (e *Engine) Pass(ctx context.Context) (more bool) {
	var work errgroup.Group
	work.SetLimit(e.Parallel)
	var mu sync.Mutex
	mine := map[string]bool{}
	e.look(ctx)
	for _, set := range e.sets {
		if !e.mine(set.Project) {
			continue
		}
		mine[set.Project] = true
		p := e.project(set.Project)
		work.Go(func() error {
			again, err := p.pass(ctx, set)
			if err != nil {
				e.failed(ctx, set.Project, err)
			}
			mu.Lock()
			defer mu.Unlock()
			more = more || again
			return nil
		})
	}
	_ = work.Wait() // nothing returns an error
	e.forget(mine)
	return more
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
	for set, err := range e.Sets.All(ctx) {
		if err != nil {
			e.failed(ctx, "", err)
			e.looked = time.Time{} // again in the next pass
			continue
		}
		e.sets = append(e.sets, set)
	}
}

func (e *Engine) mine(project string) bool { return e.Mine == nil || e.Mine(project) }

func (e *Engine) failed(ctx context.Context, project string, err error) {
	if ctx.Err() == nil {
		e.metrics.failures.Inc()
		e.Logger.Error("rules of alerts cannot be evaluated", "project", project, "err", err)
	}
}

func (e *Engine) project(id string) *project {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.projects[id]
	if p == nil {
		p = &project{engine: e, id: id, rules: map[string]*held{}, outbox: newOutbox(e)}
		e.projects[id] = p
	}
	return p
}

// forget forgets the projects that are not this node's any more.
func (e *Engine) forget(mine map[string]bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	rules, lasting := 0, 0
	for id, p := range e.projects {
		if !mine[id] {
			delete(e.projects, id)
			continue
		}
		rules += len(p.rules)
		for _, h := range p.rules {
			lasting += len(h.eval.State.Lasting())
		}
	}
	e.metrics.rules.Set(float64(rules))
	e.metrics.lasting.Set(float64(lasting))
}
