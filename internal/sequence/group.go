package sequence

import (
	"context"
	"sync"
	"time"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/failures"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/wal"
)

// Leases says which shards this process sequences. It only saves work; safety does not depend on it.
type Leases interface {
	// Rank returns 0 if a shard belongs to this process, otherwise the number of processes that take precedence. A
	// negative rank means that this process never sequences the shard.
	Rank(shard int) int
	// Changed returns a channel that is closed when ranks change, or nil if they never change.
	Changed() <-chan struct{}
}

// alone is Leases for the only process of a bucket.
type alone struct{}

func (alone) Rank(int) int             { return 0 }
func (alone) Changed() <-chan struct{} { return nil }

// Spectator is Leases for a process that never sequences, and only observes what waits.
type Spectator struct{}

func (Spectator) Rank(int) int             { return -1 }
func (Spectator) Changed() <-chan struct{} { return nil }

// Group holds the sequencers of all shards in one process. They share one listing of the write-ahead log, so an idle
// process costs almost nothing. The plans of a shard are read only if an object waits there. This suffices: a plan that
// is not finished still has objects, at least some to be deleted.
type Group struct {
	wal     *wal.Reader
	shards  []*Sequencer
	options Options
	wake    chan struct{} // look again soon
	told    failures.Once // what fails of the look
}

// NewGroup returns the sequencers of shards many shards.
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

// drain removes a pending signal, whose reason another signal has already covered.
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

// Run sequences what is due, until ctx ends.
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
		changed = g.options.Leases.Changed() // before ranks are read, so that no change is missed
		wait, err := g.look(ctx, now.Sub(last))
		if ctx.Err() != nil {
			return
		}
		if g.told.Tell("look", err) {
			g.options.Logger.Error("cannot see what waits in the write-ahead log", "err", err)
		}
		if err != nil {
			wait = g.shortest()
		}
		last = now
		timer.Reset(wait)
	}
}

// shortest is the minimum time between two listings.
func (g *Group) shortest() time.Duration { return min(time.Second, g.options.MaxDelay/4) }

// look lists the objects that wait, wakes the sequencers that have work, and returns when to look again. That is soon
// enough to sequence in time what other processes write meanwhile.
func (g *Group) look(ctx context.Context, elapsed time.Duration) (time.Duration, error) {
	began := time.Now()
	all, err := g.wal.ListAll(ctx, len(g.shards))
	if err != nil {
		return 0, err
	}
	wait := g.options.MaxDelay / 2
	for shard, s := range g.shards {
		objects, bytes, err := s.waiting.listed(all[shard], began)
		if err != nil {
			return 0, err
		}
		if len(all[shard]) == 0 {
			continue
		}
		g.options.Active()
		// The time until enough for a plan waits, at the rate since the last look.
		worth := min(pace(elapsed, int64(g.options.MaxObjects), int64(objects)),
			pace(elapsed, g.options.MaxBytes, bytes))
		wait = min(wait, g.options.MaxDelay/4, worth, g.wakeIfDue(s, began))
	}
	return max(wait, g.shortest()), nil
}

// pace returns how long it takes until n have come, at the rate of some in the time elapsed.
func pace(elapsed time.Duration, n, some int64) time.Duration {
	if some <= 0 {
		return time.Hour
	}
	return time.Duration(min(float64(elapsed)*float64(n)/float64(some), float64(time.Hour)))
}

// wakeIfDue wakes a sequencer if its work is due, and otherwise returns the time until it is.
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
		g.options.Logger.Warn("sequencing a shard that another node should have sequenced", "shard", s.shard, "bytes",
			s.Waiting())
	}
	signal(s.wake)
	return time.Hour
}

// run makes rounds when it is woken, until ctx ends. It logs rounds that fail, and tries again. Meanwhile the events
// stay in the write-ahead log, where readers find them.
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
		drain(s.wake) // one round serves all signals
		retry.Stop()
		tidy.Stop()
		err := work(ctx)
		if ctx.Err() != nil {
			return
		}
		if s.told.Tell("round", err) {
			s.options.Logger.Error("sequencing failed; the events wait in the write-ahead log", "shard",
				s.shard, "err", err)
		}
		if err != nil {
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

// rounds makes rounds while there is work, or until the process loses the lease of the shard.
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
