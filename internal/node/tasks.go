package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirlog/weir/internal/config"
	"github.com/weirlog/weir/internal/failures"
	"github.com/weirlog/weir/internal/retry"
)

// task is background work.
type task struct {
	name string                  // in logs and metrics
	role func(config.Roles) bool // tells whether nodes with these roles do it; if nil, all do
	run  func(context.Context) error
}

// runner runs tasks until it is stopped. If a task returns or panics, it is restarted, with growing pauses.
type runner struct {
	log    *slog.Logger
	panics bool // whether a panic ends the process

	failures *prometheus.CounterVec
	running  *prometheus.GaugeVec
	told     failures.Once // by task
	work     sync.WaitGroup
}

func newRunner(log *slog.Logger, r prometheus.Registerer, panics bool) *runner {
	t := &runner{log: log, panics: panics,
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_task_failures_total",
			Help: "Failures of background work, by task."}, []string{"task"}),
		running: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "weir_task_running",
			Help: "1 while a task of the background work runs, 0 while it waits to be started again."},
			[]string{"task"})}
	r.MustRegister(t.failures, t.running)
	return t
}

// start starts the tasks for nodes with these roles. They run until ctx ends; wait waits for their end.
func (r *runner) start(ctx context.Context, roles config.Roles, all []task) {
	for _, t := range all {
		if t.role == nil || t.role(roles) {
			r.failures.WithLabelValues(t.name)
			r.work.Go(func() { r.keepRunning(ctx, t) })
		}
	}
}

func (r *runner) wait() { r.work.Wait() }

// again is the policy for restarting a task. If it ran for longer than the longest pause, the first pause is used
// again.
var again = retry.Policy{First: time.Second, Longest: time.Minute}

func (r *runner) keepRunning(ctx context.Context, t task) {
	pauses := again.Pauses()
	for {
		began := time.Now()
		r.running.WithLabelValues(t.name).Set(1)
		err := r.once(ctx, t)
		r.running.WithLabelValues(t.name).Set(0)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > again.Longest {
			pauses.Reset()
		}
		pause := pauses.Next(err)
		r.failed(ctx, t, err, "again after", pause)
		if !retry.Wait(ctx, pause) {
			return
		}
	}
}

// once runs a task once. It returns a panic as an error.
func (r *runner) once(ctx context.Context, t task) (err error) {
	if !r.panics {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
	}
	return t.run(ctx)
}

// errEnded is the failure of a task that has no other.
var errEnded = errors.New("the task ended without an error")

// failed counts an error of a task. The log has it once for as long as it lasts.
func (r *runner) failed(ctx context.Context, t task, err error, more ...any) {
	r.failures.WithLabelValues(t.name).Inc()
	err = cmp.Or(err, errEnded)
	if !r.told.Tell(t.name, err) {
		return
	}
	r.log.ErrorContext(ctx, "background work failed", append([]any{"task", t.name, "err", err}, more...)...)
}

// periodic returns a task that calls do after a first pause and then at intervals. An error does not end it.
func (r *runner) periodic(t task, first, interval time.Duration, do func(context.Context) error) task {
	t.run = func(ctx context.Context) error {
		for pause := first; ; {
			if pause > 0 && !retry.Wait(ctx, pause) {
				return nil
			}
			began := time.Now()
			if err := do(ctx); ctx.Err() != nil {
				return nil
			} else if err != nil {
				r.failed(ctx, t, err)
			} else {
				r.told.Tell(t.name, nil)
			}
			pause = interval - time.Since(began)
		}
	}
	return t
}

// afterwards returns a task that begins when a channel is closed.
func afterwards(ready <-chan struct{}, t task) task {
	run := t.run
	t.run = func(ctx context.Context) error {
		select {
		case <-ready:
		case <-ctx.Done():
			return nil
		}
		return run(ctx)
	}
	return t
}
