// Package sequence moves events from the write-ahead log into their logs, once and in order, whoever dies, sleeps or
// repeats when. Its safety rests on PutNew of plans and manifests alone: any number of sequencers may run on one shard,
// in any number of processes; more than one only wastes work.
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
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/wal"
)

// Options of a Sequencer. The zero value of each field means its default.
type Options struct {
	MaxDelay   time.Duration // an event waits no longer to be sequenced, 60 s
	MaxObjects int           // nor when this many WAL objects wait, 256
	MaxBytes   int64         // nor when they have this many bytes, 8 MiB
	BatchBytes int64         // of lines that one plan takes, unless a single object has more, 64 MiB
	Parallel   int           // how many logs are appended to at the same time, 4
	KeepPlans  int           // below the current one, so that readers find those that manifests name, 2
	Logger     *slog.Logger  // slog.Default()

	Committed func(log string) // called, without waiting for it, after a plan was applied to a log; nil: not
	Active    func()           // called whenever something waits to be sequenced, or is written; nil: not
	Leases    Leases           // nil: every shard is this process's own
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

// Sequencer works on one shard.
type Sequencer struct {
	bucket  bucket.Bucket
	wal     *wal.Reader
	store   *tlog.Logs
	shard   int
	options Options

	finished int64 // the plan that this process knows to be finished
	upkeep   upkeep
	wake     chan struct{} // make a round
	look     chan struct{} // list again what waits; nil: nobody does
	waiting  waiting
}

// New returns a Sequencer that appends to the logs of store.
func New(b bucket.Bucket, w *wal.Reader, store *tlog.Logs, shard int, o Options) *Sequencer {
	return &Sequencer{bucket: b, wal: w, store: store, shard: shard, options: o.withDefaults(),
		upkeep: upkeep{}, wake: make(chan struct{}, 1)}
}

// Round finishes the current plan, and makes and applies another one if that is due, or if all is set and anything
// waits. It tells whether there may be more to do at once.
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

// finish applies a plan that may have been left half-done. A plan that cannot be read counts as lost: the next plan
// names its objects again, and what the logs have of them already is dropped there.
func (s *Sequencer) finish(ctx context.Context, number int64) error {
	p, err := s.wal.ReadPlan(ctx, s.shard, number)
	switch {
	case errors.Is(err, bucket.ErrNotExist):
		return nil // cleaned away since: there is a higher one, which the next round finds
	case errors.Is(err, seal.ErrForged):
		s.options.Logger.Error("a plan that does not verify is not used", "err", err)
		return nil
	case err != nil:
		return err
	}
	return s.apply(ctx, p)
}

// cleanPlans removes old plans. A manifest that names one that is gone needs none: its objects are gone too.
func (s *Sequencer) cleanPlans(ctx context.Context, older []string) error {
	if len(older) < 2*s.options.KeepPlans {
		return nil
	}
	return s.bucket.Delete(ctx, older[:len(older)-s.options.KeepPlans]...)
}

// plan makes and applies the plan after the one with that number, if that is due.
func (s *Sequencer) plan(ctx context.Context, number int64, all bool) (more bool, err error) {
	waiting, err := s.wal.List(ctx, s.shard)
	if err != nil {
		return false, err
	}
	s.waiting.listed(waiting, time.Now())
	if len(waiting) == 0 || !all && s.due().After(time.Now()) {
		return false, nil
	}
	objects, err := s.take(ctx, waiting)
	if err != nil || len(objects) == 0 {
		return false, err
	}
	return true, s.create(ctx, number+1, objects)
}

// create makes a plan for objects under a number and applies it, unless another process plans, too: then that one, or
// the next round, does.
func (s *Sequencer) create(ctx context.Context, number int64, objects []string) error {
	p := wal.NewPlan(number, objects)
	if err := s.wal.CreatePlan(ctx, s.shard, p); errors.Is(err, bucket.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	// A plan that is not the highest counts for nothing: this process slept while others went on, and the number that
	// it took had been cleaned away.
	if highest, _, err := s.wal.HighestPlan(ctx, s.shard); err != nil || highest != p.Number {
		return err
	}
	return s.apply(ctx, p)
}

// take returns the oldest of the waiting objects, as many as one plan takes.
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

// work is what a plan has to do: the sections of its objects by log, and the objects that are there.
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
			// The reader leaves out from now on what does not verify. All the rest is to be applied.
		case !errors.Is(err, bucket.ErrNotExist) || attempt > len(p.Objects):
			return err
		}
		// Else an object went away meanwhile: another process has finished the plan.
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

// retire deletes the objects of a plan that all logs have. An object of which a section does not verify stays.
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

// workOf returns what a plan has to do. What does not verify is left out. Objects that are gone are left out: usually
// another process is deleting them, since all logs have the plan; if not, their events are lost, but not those of the
// other objects.
func (s *Sequencer) workOf(ctx context.Context, p wal.Plan) (work, error) {
	w := work{sections: map[string][]wal.Place{}}
	var gone []string
	for _, key := range p.Objects {
		in, err := s.wal.Sections(ctx, key)
		if err == nil {
			err = s.exists(ctx, key) // what is known of an object may outlive it
		}
		if errors.Is(err, bucket.ErrNotExist) {
			gone = append(gone, key)
			continue
		}
		if errors.Is(err, seal.ErrForged) {
			continue // It stays where it is, and the reader has reported it.
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

// reallyGone returns an error if an object that cannot be found is listed. A "not found" may come from elsewhere than
// the store, a proxy for instance; a plan that was applied without the object could not be applied to the log again.
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

// planAgain is called if a log carries another plan under the number of p or a higher one. Usually this process slept,
// and others have gone on. If p is the current plan all the same, then higher plans were lost from the bucket; the
// objects get a new plan, whose number no log carries.
func (s *Sequencer) planAgain(ctx context.Context, p wal.Plan, w work) error {
	highest, _, err := s.wal.HighestPlan(ctx, s.shard)
	if err != nil || highest != p.Number {
		return err
	}
	current, err := s.wal.ReadPlan(ctx, s.shard, highest)
	if errors.Is(err, bucket.ErrNotExist) || err == nil && current.Nonce != p.Nonce {
		return nil // the next round sees what has happened
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
	s.options.Logger.Warn("logs carry higher plans than the bucket has: it is a copy, or plans were lost; what waits "+
		"is planned again",
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

// upkeep says when each log should be looked after.
type upkeep map[string]time.Time

func (u upkeep) due(log string, at time.Time) { u[log] = at }

// next returns when the first log should be looked after; false: none.
func (u upkeep) next() (first time.Time, ok bool) {
	for _, at := range u {
		if !ok || at.Before(first) {
			first, ok = at, true
		}
	}
	return first, ok
}

// maintain merges segments of logs that have grown, and deletes what merges replaced once its time has come. What is
// replaced and not deleted when the process ends goes when its log grows again.
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
