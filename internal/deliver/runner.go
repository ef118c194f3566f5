package deliver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/weirlog/weir/internal/doc"
	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/retry"
)

// runner runs one generation of a delivery. It has a goroutine only while there is something to do, and a while longer.
type runner struct {
	engine   *Engine
	delivery *Delivery
	batch    Batch
	filter   *query.Matcher
	before   *runner         // the one whose place it takes; nil if there is none
	ctx      context.Context // ends when the runner is stopped
	cancel   context.CancelFunc

	// Of the engine's look.
	subjects []Subject
	mapped   time.Time // when the subjects were found out

	mu      sync.Mutex
	feeds   []*feed // in the order of Subjects
	running bool
	stopped bool
	wake    chan struct{} // has an element if there is something new to look at
	ended   chan struct{} // closed once the runner is stopped and nothing of it goes on

	// Of the goroutine.
	sink   Sink
	letGo  func() // gives back the memory that the sink holds; nil if it holds none
	window window
	proven bool // The place has accepted something since it last failed.
	pauses *retry.Pauses
	turn   int // number of the feed that is looked at next
}

// feed is a delivery's way through one log.
type feed struct {
	subject Subject

	// Guarded by the runner's mutex.
	news  bool      // There may be entries that were not delivered.
	since time.Time // when that became so
	end   int64     // of the log, as far as it was read
	gone  bool      // It is not this node's, or not the delivery's, any more.

	// The same, for the metrics.
	behind  time.Time // since when there have been events that were not delivered; zero if there are none
	failing bool
	parked  bool

	// Of the goroutine; but for due, which reads it there too.
	state  *doc.Kept[State]
	loaded bool
	dirty  bool      // The state differs from the kept one,
	urgent bool      // and not only in when it was last tried.
	kept   time.Time // when it was last kept, or loaded
	was    int64     // State.Accepted as it was then
	busy   time.Time // since when there have been batches, without a pause as long as KeepEvery
	last   time.Time // when there was one
	sent   int       // batches since it was last kept
	fresh  bool      // It was not kept since it was loaded.
}

const (
	// probeBytes bounds a batch for a place that has not accepted anything since it last failed.
	probeBytes = 64 << 10

	// linger is how long a sink stays open without news.
	linger = 30 * time.Second

	// keepFailures is the time between two versions of a state that differ only in when it was last tried.
	keepFailures = 5 * time.Minute

	// keepWithin bounds how long a runner that is stopped tries to keep how far it has come.
	keepWithin = 5 * time.Second
)

func newRunner(e *Engine, d *Delivery, before *runner) (*runner, error) {
	batch := d.Batch.withDefaults()
	r := &runner{engine: e, delivery: d, batch: batch, before: before, window: newWindow(batch.Bytes, e.o.SendLimit),
		wake: make(chan struct{}, 1), ended: make(chan struct{}), pauses: e.o.Pauses.Pauses()}
	if d.Filter != "" {
		q, err := query.Parse(d.Filter)
		if err == nil {
			r.filter, err = query.Compile(q)
		}
		if err != nil {
			return nil, fmt.Errorf("filter of delivery %s: %w", d.ID, err)
		}
	}
	r.ctx, r.cancel = context.WithCancel(e.ctx)
	return r, nil
}

// assign makes the feeds those of the subjects that are mine.
func (r *runner) assign(mine func(log string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var feeds []*feed
	for _, s := range r.subjects {
		if !mine(s.Log) {
			continue
		}
		i := slices.IndexFunc(r.feeds, func(f *feed) bool { return f.subject == s })
		if i < 0 {
			now := time.Now()
			feeds = append(feeds, &feed{subject: s, news: true, since: now, behind: now})
			continue
		}
		feeds = append(feeds, r.feeds[i])
	}
	for _, f := range r.feeds {
		f.gone = !slices.Contains(feeds, f)
		if f.gone && r.running {
			feeds = append(feeds, f) // The goroutine keeps how far it has come, and lets it go.
		}
	}
	r.feeds = feeds
	r.start()
}

// logs returns the logs that the runner reads.
func (r *runner) logs() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var logs []string
	for _, f := range r.feeds {
		if !f.gone {
			logs = append(logs, f.subject.Log)
		}
	}
	return logs
}

// news notes that a log may have entries that were not delivered.
func (r *runner) news(log string) { r.reaches(log, -1) }

// reaches notes the end of a log; -1 if it is not known.
func (r *runner) reaches(log string, end int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.feeds {
		if f.subject.Log == log && !f.news && (end < 0 || end != f.end) {
			f.hasNews(time.Now())
		}
	}
	r.start()
}

// hasNews notes that there may be entries that were not delivered. The mutex is locked.
func (f *feed) hasNews(since time.Time) {
	if f.news, f.since = true, since; f.behind.IsZero() {
		f.behind = time.Now()
	}
}

// start has the goroutine look for new entries; it begins one if none runs. The mutex is locked.
func (r *runner) start() {
	if r.stopped || r.ctx.Err() != nil || !slices.ContainsFunc(r.feeds, func(f *feed) bool { return f.news || f.gone }) {
		return
	}
	if r.running {
		select {
		case r.wake <- struct{}{}:
		default:
		}
		return
	}
	r.running = true
	r.engine.work.Go(r.run)
}

// stop ends the runner, soon.
func (r *runner) stop() {
	r.cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped = true; !r.running {
		r.end()
	}
}

// end notes that nothing of the runner goes on.
func (r *runner) end() {
	if r.before == nil {
		close(r.ended)
		return
	}
	r.engine.work.Go(func() {
		<-r.before.ended
		close(r.ended)
	})
}

// run delivers as long as there is something to deliver, and a while longer.
func (r *runner) run() {
	if r.before != nil {
		<-r.before.ended
	}
	defer r.close()
	idle := time.Now()
	for r.ctx.Err() == nil {
		f, pause := r.next(time.Now(), idle)
		if f != nil {
			err := r.deliver(f)
			r.hold(err)
			pause := time.Duration(0)
			if err != nil && r.ctx.Err() == nil {
				pause = r.failed(f, err)
			}
			r.note(f)
			retry.Wait(r.ctx, pause)
			idle = time.Now()
			continue
		}
		if pause > 0 {
			r.wait(r.lull(pause, time.Since(idle)))
			continue
		}
		r.close()
		if r.rests() {
			return
		}
	}
	r.finish()
}

// lull returns how long to wait of a pause. It closes the sink if nothing was sent for long.
func (r *runner) lull(pause, idle time.Duration) time.Duration {
	if idle >= linger {
		r.close()
	}
	if r.sink == nil {
		return pause
	}
	return min(pause, linger-idle)
}

// next returns the feed that is due; or nil, and how long to wait for one. The pause is not above 0 if there has been
// nothing for a while.
func (r *runner) next(now, idle time.Time) (*feed, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var first time.Time
	for i := range r.feeds {
		f := r.feeds[(r.turn+i)%len(r.feeds)]
		due := f.due(r)
		if due.IsZero() {
			continue
		}
		if !due.After(now) {
			r.turn = (r.turn + i + 1) % len(r.feeds)
			return f, 0
		}
		if first.IsZero() || due.Before(first) {
			first = due
		}
	}
	if first.IsZero() {
		return nil, linger - now.Sub(idle)
	}
	return nil, first.Sub(now)
}

// rests ends the goroutine, unless there is something to do.
func (r *runner) rests() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.ContainsFunc(r.feeds, func(f *feed) bool { return !f.due(r).IsZero() }) {
		return false
	}
	if r.running = false; r.stopped {
		r.end()
	}
	return true
}

// due returns when something is to be done about a feed; zero if nothing is.
func (f *feed) due(r *runner) (at time.Time) {
	if f.gone {
		return f.since
	}
	if f.dirty {
		at = f.kept.Add(f.spacing(r.engine.o.KeepEvery))
		if !f.urgent {
			at = f.kept.Add(keepFailures)
		}
	}
	if news := f.since.Add(r.batch.Interval); f.news && (at.IsZero() || news.Before(at)) {
		at = news
	}
	return at
}

// wait waits for something new, at most so long.
func (r *runner) wait(pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-r.wake:
	case <-timer.C:
	case <-r.ctx.Done():
	}
}

// finish keeps how far the runner has come, when it is stopped.
func (r *runner) finish() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), keepWithin)
	defer cancel()
	r.mu.Lock()
	feeds := slices.Clone(r.feeds)
	r.mu.Unlock()
	for _, f := range feeds {
		if err := f.keep(ctx); err != nil && !errors.Is(err, doc.ErrConflict) {
			r.engine.o.Logger.Warn("cannot keep how far a delivery has come; its last events are sent again later",
				"delivery", r.delivery.ID, "log", f.subject.Log, "err", err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running = false
	r.end()
}

// hold closes a sink that is a Holder if the place failed, or if there is no memory for it to hold.
func (r *runner) hold(failed error) {
	of, ok := r.sink.(Holder)
	if !ok || failed == nil && r.letGo != nil {
		return
	}
	if failed == nil {
		var err error
		if r.letGo, err = r.engine.held.TryTake(of.Holds(), r.delivery.Project); err == nil {
			return
		}
	}
	r.close()
}

// close closes the sink.
func (r *runner) close() {
	if r.letGo != nil {
		defer r.letGo()
		r.letGo = nil
	}
	if r.sink == nil {
		return
	}
	if err := r.sink.Close(); err != nil {
		r.engine.o.Logger.Debug("cannot close the connection of a delivery", "delivery", r.delivery.ID, "err", err)
	}
	r.sink = nil
}

// release forgets a feed that is not this node's any more.
func (r *runner) release(f *feed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.feeds = slices.DeleteFunc(r.feeds, func(have *feed) bool { return have == f })
	r.engine.told.Forget(r.about(f))
}
