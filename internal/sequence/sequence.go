// Package sequence moves events from the write-ahead log into their logs, each once and in order, even if processes
// die, sleep or repeat their work at any time. Safety depends only on PutNew of plans and manifests. Any number of
// sequencers may run on one shard, in any number of processes; more than one only wastes work.
package sequence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/failures"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/wal"
)

// Options of a Sequencer. A zero field means its default.
type Options struct {
	MaxDelay   time.Duration // maximum time that an event waits to be sequenced (default 60 s)
	MaxObjects int           // number of waiting WAL objects at which the delay is cut short (default 256)
	MaxBytes   int64         // size of waiting WAL objects at which the delay is cut short, in bytes (default 8 MiB)
	BatchBytes int64         // maximum size of the lines of one plan, unless a single object has more (default 64 MiB)
	Parallel   int           // number of logs that are appended to at the same time (default 4)
	KeepPlans  int           // number of older plans kept, for readers of manifests that name them (default 2)
	Logger     *slog.Logger  // default slog.Default()

	Committed func(log string) // if not nil, called in a goroutine after a plan was applied to a log
	Active    func()           // if not nil, called when an object waits to be sequenced, or is written
	Leases    Leases           // if nil, every shard belongs to this process
}

func (o Options) withDefaults() Options {
	set(&o.MaxDelay, time.Minute)
	set(&o.MaxObjects, 256)
	set(&o.MaxBytes, 8<<20)
	set(&o.BatchBytes, 64<<20)
	set(&o.Parallel, 4)
	set(&o.KeepPlans, 2)
	set(&o.Logger, slog.Default())
	if o.Active == nil {
		o.Active = func() {}
	}
	if o.Leases == nil {
		o.Leases = alone{}
	}
	return o
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Sequencer sequences one shard.
type Sequencer struct {
	bucket  bucket.Bucket
	wal     *wal.Reader
	store   *tlog.Logs
	shard   int
	options Options

	finished int64 // number of the last plan that this process knows to be finished
	upkeep   upkeep
	wake     chan struct{} // requests a round
	look     chan struct{} // requests a new listing; nil if nobody lists
	waiting  waiting
	told     failures.Once // what fails of rounds
}

// New returns a Sequencer that appends to the logs of store.
func New(b bucket.Bucket, w *wal.Reader, store *tlog.Logs, shard int, o Options) *Sequencer {
	return &Sequencer{bucket: b, wal: w, store: store, shard: shard, options: o.withDefaults(),
		upkeep: upkeep{}, wake: make(chan struct{}, 1)}
}

// Round finishes the current plan. It then makes and applies another plan if that is due, or if all is set and an
// object waits. more tells whether there may be more work at once.
func (s *Sequencer) Round(ctx context.Context, all bool) (more bool, err error) {
	number, older, err := s.wal.HighestPlan(ctx, s.shard)
	if err != nil {
		return false, err
	}
	if number > s.finished {
		if err := s.finish(ctx, number); err != nil {
			return false, err
		}
	}
	if err := s.cleanPlans(ctx, older); err != nil {
		return false, err
	}
	more, err = s.plan(ctx, max(number, s.finished), all)
	if err != nil {
		return false, err
	}
	return more, s.maintain(ctx)
}

// finish applies a plan that may be incomplete. A plan that cannot be read counts as lost: the next plan names its
// objects again, and leaves out the events that the logs already have.
func (s *Sequencer) finish(ctx context.Context, number int64) error {
	p, err := s.wal.ReadPlan(ctx, s.shard, number)
	switch {
	case errors.Is(err, bucket.ErrNotExist):
		return nil // deleted since: there is a higher plan, which the next round finds
	case errors.Is(err, seal.ErrForged):
		s.options.Logger.Error("a plan that does not verify is not used", "err", err)
		return nil
	case err != nil:
		return err
	}
	return s.apply(ctx, p)
}

// cleanPlans deletes old plans. A manifest that names a deleted plan does not need it: its objects are deleted too.
func (s *Sequencer) cleanPlans(ctx context.Context, older []string) error {
	if len(older) < 2*s.options.KeepPlans {
		return nil
	}
	return s.bucket.Delete(ctx, older[:len(older)-s.options.KeepPlans]...)
}

// plan makes and applies the plan after number, if that is due.
func (s *Sequencer) plan(ctx context.Context, number int64, all bool) (more bool, err error) {
	waiting, err := s.wal.List(ctx, s.shard)
	if err != nil {
		return false, err
	}
	if _, _, err := s.waiting.listed(waiting, time.Now()); err != nil {
		return false, err
	}
	if len(waiting) == 0 || !all && s.due().After(time.Now()) {
		return false, nil
	}
	objects, err := s.take(ctx, waiting)
	if err != nil || len(objects) == 0 {
		return false, err
	}
	return true, s.create(ctx, number+1, objects)
}

// create makes a plan of objects with a number and applies it. If another process has made a plan with this number,
// create does nothing; that process, or the next round, applies that plan.
func (s *Sequencer) create(ctx context.Context, number int64, objects []string) error {
	p := wal.NewPlan(number, objects)
	if err := s.wal.CreatePlan(ctx, s.shard, p); errors.Is(err, bucket.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	// A plan that is not the highest has no effect: this process slept while others continued, and the number that it
	// took had been deleted.
	if highest, _, err := s.wal.HighestPlan(ctx, s.shard); err != nil || highest != p.Number {
		return err
	}
	return s.apply(ctx, p)
}

// take returns the oldest waiting objects, as many as fit into one plan.
func (s *Sequencer) take(ctx context.Context, waiting []bucket.Info) ([]string, error) {
	var objects []string
	var raw int64
	for _, o := range waiting {
		sections, err := s.wal.Sections(ctx, o.Key)
		if errors.Is(err, bucket.ErrNotExist) || errors.Is(err, seal.ErrForged) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, section := range sections {
			raw += section.RawLength
		}
		if len(objects) > 0 && raw > s.options.BatchBytes {
			break
		}
		objects = append(objects, o.Key)
	}
	return objects, nil
}

// work is the work of a plan: the sections of its objects by log, and the objects that exist.
type work struct {
	sections map[string][]wal.Place
	objects  []string
}

// apply applies a plan to each log that it concerns, then deletes its objects. An object is deleted only after the
// manifest of each log with events in it has carried the plan, by number and nonce. Nothing else proves that the log
// has the events: plans and objects can be lost, and then a plan's number can be used twice.
func (s *Sequencer) apply(ctx context.Context, p wal.Plan) error {
	for attempt := 1; ; attempt++ {
		w, err := s.workOf(ctx, p)
		if err != nil {
			return err
		}
		if err = s.applyTo(ctx, p, w); err == nil {
			return s.retire(ctx, p, w.objects)
		}
		switch {
		case errors.Is(err, tlog.ErrOtherPlan):
			return s.planAgain(ctx, p, w)
		case errors.Is(err, seal.ErrForged):
			// From now on the reader leaves out sections that do not verify. The rest is applied.
		case !errors.Is(err, bucket.ErrNotExist) || attempt > len(p.Objects):
			return err
		}
		// An object has disappeared meanwhile: another process has finished the plan.
	}
}

// applyTo applies a plan to each log that it concerns.
func (s *Sequencer) applyTo(ctx context.Context, p wal.Plan, w work) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(s.options.Parallel)
	logs := slices.Sorted(maps.Keys(w.sections))
	for _, log := range logs {
		group.Go(func() error { return s.append(groupCtx, p, log, w.sections[log]) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, log := range logs {
		s.upkeep.due(log, time.Now())
		if s.options.Committed != nil {
			s.options.Committed(log)
		}
	}
	return nil
}

// retire deletes the objects of a plan that has been applied to all logs. It keeps an object if a section of it does
// not verify.
func (s *Sequencer) retire(ctx context.Context, p wal.Plan, objects []string) error {
	objects = slices.DeleteFunc(objects, func(key string) bool {
		forged := s.wal.Forged(key)
		if forged {
			s.wal.SetAside(key)
		}
		return forged
	})
	if err := s.bucket.Delete(ctx, objects...); err != nil {
		return err
	}
	for _, key := range objects {
		s.wal.Forget(key)
	}
	s.finished = p.Number
	return nil
}

// workOf returns the work of a plan. It leaves out what does not verify, and objects that are gone. Usually another
// process deletes these, because all logs have the plan. Otherwise their events are lost, but not those of the other
// objects.
func (s *Sequencer) workOf(ctx context.Context, p wal.Plan) (work, error) {
	w := work{sections: map[string][]wal.Place{}}
	var gone []string
	for _, key := range p.Objects {
		in, err := s.wal.Sections(ctx, key)
		if err == nil {
			err = s.exists(ctx, key) // the cache may outlive the object
		}
		if errors.Is(err, bucket.ErrNotExist) {
			gone = append(gone, key)
			continue
		}
		if errors.Is(err, seal.ErrForged) {
			continue // The object stays in place. The reader has reported it.
		}
		if err != nil {
			return work{}, err
		}
		w.objects = append(w.objects, key)
		for _, section := range in {
			w.sections[section.Log] = append(w.sections[section.Log], wal.Place{Object: key, Section: section})
		}
	}
	return w, s.reallyGone(ctx, p, gone)
}

// reallyGone returns an error if an object that cannot be found is listed. A "not found" may come from a proxy instead
// of the storage. A plan that was applied without the object could not be applied to the log again.
func (s *Sequencer) reallyGone(ctx context.Context, p wal.Plan, gone []string) error {
	if len(gone) == 0 {
		return nil
	}
	waiting, err := s.wal.List(ctx, s.shard)
	if err != nil {
		return err
	}
	for _, key := range gone {
		if slices.ContainsFunc(waiting, func(o bucket.Info) bool { return o.Key == key }) {
			return fmt.Errorf("%s, which plan %d names, cannot be found but is listed", key, p.Number)
		}
	}
	return nil
}

func (s *Sequencer) exists(ctx context.Context, key string) error {
	o, err := s.bucket.Get(ctx, key, bucket.Range{Length: 1})
	if err != nil {
		return err
	}
	return o.Close()
}

// planAgain is called if a log carries another plan with the number of p or a higher number. Usually this process
// slept, and others have continued. If p still is the current plan, higher plans were lost from the bucket. The objects
// then get a new plan, whose number no log carries.
func (s *Sequencer) planAgain(ctx context.Context, p wal.Plan, w work) error {
	highest, _, err := s.wal.HighestPlan(ctx, s.shard)
	if err != nil || highest != p.Number {
		return err
	}
	current, err := s.wal.ReadPlan(ctx, s.shard, highest)
	if errors.Is(err, bucket.ErrNotExist) || errors.Is(err, seal.ErrForged) || err == nil && current.Nonce != p.Nonce {
		return nil // The next round sees the change. A plan that does not verify is not used then.
	}
	if err != nil {
		return err
	}
	number := p.Number
	for _, log := range slices.Sorted(maps.Keys(w.sections)) {
		last, err := s.store.LastPlan(ctx, log)
		if err != nil {
			return err
		}
		number = max(number, last)
	}
	s.options.Logger.Warn("logs have higher plans than the bucket: the bucket is a copy, or plans were lost; events that "+
		"wait are planned again",
		"shard", s.shard, "plan", p.Number, "again", number+1)
	return s.create(ctx, number+1, w.objects)
}

// append applies a plan to one log.
func (s *Sequencer) append(ctx context.Context, p wal.Plan, log string, places []wal.Place) error {
	b, err := s.wal.Batch(ctx, log, places...)
	if err != nil {
		return err
	}
	if err := s.store.Append(ctx, p.Number, p.Nonce, b); err != nil {
		return fmt.Errorf("append to log %s: %w", log, err)
	}
	return nil
}

// upkeep holds the time at which each log needs maintenance.
type upkeep map[string]time.Time

func (u upkeep) due(log string, at time.Time) { u[log] = at }

// next returns the earliest of these times; ok is false if there is none.
func (u upkeep) next() (first time.Time, ok bool) {
	for _, at := range u {
		if !ok || at.Before(first) {
			first, ok = at, true
		}
	}
	return first, ok
}

// maintain merges segments of logs that have grown. After the grace period it deletes the objects that merging
// replaced. If the process ends before, they are deleted when the log grows again.
func (s *Sequencer) maintain(ctx context.Context) error {
	now := time.Now()
	for _, log := range slices.Sorted(maps.Keys(s.upkeep)) {
		if s.upkeep[log].After(now) {
			continue
		}
		delete(s.upkeep, log)
		merged := false
		for more := true; more; {
			var err error
			if more, err = s.store.Merge(ctx, log); err != nil {
				return fmt.Errorf("merge log %s: %w", log, err)
			}
			merged = merged || more
		}
		if merged {
			s.upkeep.due(log, now.Add(s.store.Grace()))
		}
	}
	return nil
}
