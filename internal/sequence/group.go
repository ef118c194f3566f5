package sequence

import (
	"context"
	"sync"
	"time"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/wal"
)

// Leases says which shards are this process's to sequence. It only saves work.
type Leases interface {
	// Rank is 0 if a shard is this process's, else how many others come before it; less than 0: it must never sequence.
	Rank(shard int) int
	// Changed returns a channel that is closed when ranks change; nil: they don't.
	Changed() <-chan struct{}
}

// alone is for a process that has the bucket for itself.
type alone struct{}

func (alone) Rank(int) int             { return 0 }
func (alone) Changed() <-chan struct{} { return nil }

// Spectator is for a process that sequences nothing, and only wants to know what waits.
type Spectator struct{}

func (Spectator) Rank(int) int             { return -1 }
func (Spectator) Changed() <-chan struct{} { return nil }

// Group is the sequencers of all shards of one process. They share one listing of the write-ahead log, so that a
// process that has nothing to do costs next to nothing: a shard's plans are looked at only if something waits there.
// That is enough: a plan that is not finished still has its objects, or some that are to be deleted.
type Group struct {
	wal     *wal.Reader
	shards  []*Sequencer
	options Options
	wake    chan struct{} // look again soon
}

// NewGroup returns the sequencers of so many shards.
func NewGroup(b bucket.Bucket, w *wal.Reader, store *tlog.Logs, shards int, o Options) *Group {
	g := &Group{wal: w, options: o.withDefaults(), wake: make(chan struct{}, 1)}
	for shard := range shards {
		s := New(b, w, store, shard, o)
		s.look = g.wake
		g.shards = append(g.shards, s)
	}
	return g
}

// Shard returns the sequencer of a shard.
func (g *Group) Shard(shard int) *Sequencer { return g.shards[shard] }

// Waiting returns the size in bytes of the WAL objects that wait in all shards, as far as this process knows.
func (g *Group) Waiting() int64 {
	var bytes int64
	for _, s := range g.shards {
		bytes += s.Waiting()
	}
	return bytes
}

// drain takes away a signal that comes together with another reason for the same thing.
func drain(c chan struct{}) {
	select {
	case <-c:
	default:
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run sequences whatever is due, until ctx ends.
func (g *Group) Run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	for _, s := range g.shards {
		work.Go(func() { s.run(ctx) })
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last time.Time
	changed := g.options.Leases.Changed()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			drain(g.wake)
		case <-changed:
			drain(g.wake)
		case <-g.wake:
			if rest := g.shortest() - time.Since(last); rest > 0 {
				timer.Reset(rest)
				continue
			}
		}
		now := time.Now()
		changed = g.options.Leases.Changed() // before ranks are looked at, so that no change is missed
		wait, err := g.look(ctx, now.Sub(last))
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			g.options.Logger.Error("cannot see what waits in the write-ahead log", "err", err)
			wait = g.shortest()
		}
		last = now
		timer.Reset(wait)
	}
}

// shortest is the shortest time between two listings.
func (g *Group) shortest() time.Duration { return min(time.Second, g.options.MaxDelay/4) }

// look lists what waits, wakes the sequencers that have something to do, and returns when to look again: soon enough
// that what another process writes in between is sequenced in time.
func (g *Group) look(ctx context.Context, elapsed time.Duration) (time.Duration, error) {
	began := time.Now()
	all, err := g.wal.ListAll(ctx, len(g.shards))
	if err != nil {
		return 0, err
	}
	wait := g.options.MaxDelay / 2
	for shard, s := range g.shards {
		objects, bytes := s.waiting.listed(all[shard], began)
		if len(all[shard]) == 0 {
			continue
		}
		g.options.Active()
		// When as much as is worth a plan has come, if it goes on as it came since the last look.
		worth := min(pace(elapsed, int64(g.options.MaxObjects), int64(objects)),
			pace(elapsed, g.options.MaxBytes, bytes))
		wait = min(wait, g.options.MaxDelay/4, worth, g.wakeIfDue(s, began))
	}
	return max(wait, g.shortest()), nil
}

// pace returns in what time n come if some came in the time that elapsed.
func pace(elapsed time.Duration, n, some int64) time.Duration {
	if some <= 0 {
		return time.Hour
	}
	return time.Duration(min(float64(elapsed)*float64(n)/float64(some), float64(time.Hour)))
}

// wakeIfDue wakes a sequencer if it should work on what waits there, and returns the time until it should.
func (g *Group) wakeIfDue(s *Sequencer, now time.Time) time.Duration {
	rank := g.options.Leases.Rank(s.shard)
	if rank < 0 {
		return time.Hour
	}
	at := s.due()
	if rank > 0 {
		if late := s.overdue(rank); late.After(at) {
			at = late
		}
	}
	if at.After(now) {
		return at.Sub(now)
	}
	if rank > 0 {
		g.options.Logger.Warn("sequencing what another node should have", "shard", s.shard, "bytes", s.Waiting())
	}
	signal(s.wake)
	return time.Hour
}

// run makes rounds when it is woken, until ctx ends. A round that fails is logged and tried again: the events stay in
// the write-ahead log, where readers find them.
func (s *Sequencer) run(ctx context.Context) {
	retry, tidy := stopped(), stopped()
	defer retry.Stop()
	defer tidy.Stop()
	for {
		work := s.rounds
		select {
		case <-ctx.Done():
			return
		case <-retry.C:
		case <-s.wake:
		case <-tidy.C:
			select {
			case <-retry.C:
			case <-s.wake:
			default:
				work = s.maintain // which is a part of a round
			}
		}
		drain(s.wake) // what comes together is done together
		retry.Stop()
		tidy.Stop()
		err := work(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.options.Logger.Error("sequencing failed; the events wait in the write-ahead log", "shard",
				s.shard, "err", err)
			retry.Reset(min(time.Second, s.options.MaxDelay/4))
		}
		if at, ok := s.upkeep.next(); ok {
			tidy.Reset(max(time.Until(at), time.Second))
		}
	}
}

// stopped returns a timer that does not run.
func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// rounds makes rounds as long as there is something to do, or until a shard that was this process's is another's.
func (s *Sequencer) rounds(ctx context.Context) error {
	own := s.options.Leases.Rank(s.shard) == 0
	for more := true; more && (!own || s.options.Leases.Rank(s.shard) == 0); {
		var err error
		if more, err = s.Round(ctx, false); err != nil {
			return err
		}
	}
	return nil
}
