package deliver

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/failures"
	"github.com/weirlog/weir/internal/limit"
	"github.com/weirlog/weir/internal/retry"
	"github.com/weirlog/weir/internal/tlog"
)

// Options of an Engine. The zero value of each field means its default.
type Options struct {
	Bucket bucket.Bucket // of the states; one that seals them (package seal), so that nobody can make it skip events
	Logs   *tlog.Logs
	Source Source

	// Mine tells whether this node looks after a log. If nil, it looks after each.
	Mine func(log string) bool

	LookEvery time.Duration // Time between two looks for changed deliveries (default 1 minute).
	MapEvery  time.Duration // Time between two looks for logs of a delivery (default 1 minute).
	PollEvery time.Duration // Time between two looks at a log that was not reported to have grown (default 5 minutes).
	KeepEvery time.Duration // Time between two versions of the state of a delivery that stays busy (default 10 seconds).
	SendLimit time.Duration // Limit for one batch (default 30 seconds), ten times as long if it cannot be made smaller.
	AckLimit  time.Duration // Limit for the acknowledgement of a batch by an Acknowledger (default 5 minutes).
	Pauses    retry.Policy  // Pauses after failures (default from 1 second to 5 minutes).

	Logger     *slog.Logger          // If nil, nothing is logged.
	Registerer prometheus.Registerer // If nil, metrics are not registered.
	Types      []string              // of deliveries, whose metrics begin at 0
}

func (o *Options) setDefaults() {
	for of, def := range map[*time.Duration]time.Duration{&o.LookEvery: time.Minute, &o.MapEvery: time.Minute,
		&o.PollEvery: 5 * time.Minute, &o.KeepEvery: 10 * time.Second, &o.SendLimit: 30 * time.Second,
		&o.AckLimit: 5 * time.Minute} {
		if *of <= 0 {
			*of = def
		}
	}
	if o.Pauses.First <= 0 {
		o.Pauses = retry.Policy{First: time.Second, Longest: 5 * time.Minute}
	}
	if o.Mine == nil {
		o.Mine = func(string) bool { return true }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Memory for batches, in bytes. A place that has not accepted anything since it last failed takes from memory of its
// own, so that those that hang cannot take that of the others. The deliveries of one project may have half, so that
// those of another go on, however many places accept something and then hang.
const (
	memory        = 256 << 20
	unprovenBytes = 64 << 20
)

// heldBytes bounds the memory that sinks hold between two batches. A sink for which there is none, or none that its
// project may have, is closed after each batch.
const heldBytes = 128 << 20

// Engine runs the deliveries whose logs this node looks after. A delivery without new events costs neither a goroutine
// nor a request: the node that sequences a log reports that it has grown, and all deliveries of a log share the looks
// at it.
type Engine struct {
	o        Options
	metrics  *metrics
	proven   *limit.Shares[string] // bytes, by project
	unproven *limit.Shares[string]
	held     *limit.Shares[string]
	told     failures.Once // what fails of the look, and of each delivery in each log

	work sync.WaitGroup

	mu      sync.Mutex
	ctx     context.Context      // of the runners; nil as long as Run does not run
	runners map[string]*runner   // by delivery
	readers map[string][]*runner // by log
	polled  map[string]time.Time // when a log was last looked at
}

// New returns an engine. It does nothing before Run.
func New(o Options) *Engine {
	o.setDefaults()
	e := &Engine{o: o, metrics: newMetrics(o.Registerer, o.Types), proven: memoryOf(memory),
		unproven: memoryOf(unprovenBytes), held: memoryOf(heldBytes), runners: map[string]*runner{},
		readers: map[string][]*runner{}, polled: map[string]time.Time{}}
	if o.Registerer != nil {
		o.Registerer.MustRegister(newGauges(e))
	}
	return e
}

// memoryOf returns memory of which a project may have half.
func memoryOf(bytes int64) *limit.Shares[string] {
	return limit.NewShares[string](bytes, math.MaxInt64/2, bytes/2)
}

// Run delivers until ctx ends. Then it keeps how far it has come, and returns when nothing goes on any more.
func (e *Engine) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	e.mu.Lock()
	e.ctx = ctx
	e.mu.Unlock()
	for {
		if err := e.look(ctx); ctx.Err() == nil && e.told.Tell("look", err) {
			e.o.Logger.Error("cannot read all deliveries", "err", err)
		}
		if !e.wait(ctx) {
			break
		}
	}
	e.mu.Lock()
	e.ctx, e.runners, e.readers = nil, map[string]*runner{}, map[string][]*runner{}
	e.mu.Unlock()
	e.work.Wait()
}

// wait waits for the next look. It returns false if ctx ends.
func (e *Engine) wait(ctx context.Context) bool {
	timer := time.NewTimer(e.o.LookEvery)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-e.o.Source.Changed():
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// Committed says that a log has new entries.
func (e *Engine) Committed(log string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.readers[log] {
		e.polled[log] = time.Now()
		r.news(log)
	}
}

// look finds out which deliveries there are, and which of their logs are this node's.
func (e *Engine) look(ctx context.Context) error {
	var errs failures.Brief
	for set, err := range e.o.Source.All(ctx) {
		if err != nil {
			errs.Add(err)
			continue
		}
		errs.Add(e.update(ctx, set))
	}
	e.index()
	errs.Add(e.poll(ctx))
	return errs.Err()
}

// update brings the runners of a project in line with its deliveries.
func (e *Engine) update(ctx context.Context, set *Set) error {
	var errs failures.Brief
	wanted := map[string]bool{}
	for i := range set.Deliveries {
		d := &set.Deliveries[i]
		wanted[d.ID] = true
		errs.Add(e.updateOne(ctx, set.Project, d))
	}
	for id, r := range e.runners {
		if r.delivery.Project == set.Project && !wanted[id] {
			e.stop(r)
			e.work.Go(func() { // nothing needs its states any more
				<-r.ended
				if err := DropStates(context.WithoutCancel(ctx), e.o.Bucket, id); err != nil {
					e.o.Logger.Warn("cannot delete the states of a deleted delivery", "delivery", id, "err", err)
				}
			})
		}
	}
	return errs.Err()
}

func (e *Engine) updateOne(ctx context.Context, project string, d *Delivery) error {
	r := e.runners[d.ID]
	if r != nil && (d.Paused || r.delivery.Generation != d.Generation) {
		e.stop(r)
	}
	if d.Paused {
		return nil
	}
	before := r
	if r = e.runners[d.ID]; r == nil {
		own := *d
		own.Project = project
		var err error
		if r, err = newRunner(e, &own, before); err != nil {
			return err
		}
		e.mu.Lock()
		e.runners[d.ID] = r
		e.mu.Unlock()
	}
	if time.Since(r.mapped) >= e.o.MapEvery {
		subjects, err := e.o.Source.Subjects(ctx, r.delivery)
		if err != nil {
			return fmt.Errorf("logs of delivery %s: %w", d.ID, err)
		}
		r.subjects, r.mapped = subjects, time.Now()
	}
	r.assign(e.o.Mine)
	return nil
}

// stop ends a runner. One that takes its place waits for its end.
func (e *Engine) stop(r *runner) {
	e.mu.Lock()
	delete(e.runners, r.delivery.ID)
	e.mu.Unlock()
	r.stop()
}

// index notes which runners read which log.
func (e *Engine) index() {
	readers, polled := map[string][]*runner{}, map[string]time.Time{}
	for _, r := range e.sorted() {
		for _, log := range r.logs() {
			readers[log] = append(readers[log], r)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for log := range readers {
		polled[log] = e.polled[log]
	}
	e.readers, e.polled = readers, polled
}

// sorted returns the runners in an order that is always the same.
func (e *Engine) sorted() []*runner {
	all := make([]*runner, 0, len(e.runners))
	for _, r := range e.runners {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *runner) int { return strings.Compare(a.delivery.ID, b.delivery.ID) })
	return all
}

// poll looks at the logs of which nobody has said for a while that they have grown: another node may have sequenced
// them.
func (e *Engine) poll(ctx context.Context) error {
	var errs failures.Brief
	for _, log := range e.due() {
		reader, err := e.o.Logs.ReadSequenced(ctx, log, tlog.All)
		if err != nil {
			errs.Add(fmt.Errorf("look at log %s: %w", log, err))
			continue
		}
		e.mu.Lock()
		e.polled[log] = time.Now()
		readers := e.readers[log]
		e.mu.Unlock()
		for _, r := range readers {
			r.reaches(log, reader.Next())
		}
	}
	return errs.Err()
}

// due returns the logs that are to be looked at. Those that a delivery has just begun to read it looks at by itself.
func (e *Engine) due() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var logs []string
	for log, at := range e.polled {
		switch {
		case at.IsZero():
			e.polled[log] = time.Now()
		case time.Since(at) >= e.o.PollEvery:
			logs = append(logs, log)
		}
	}
	slices.Sort(logs)
	return logs
}
