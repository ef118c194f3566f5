// Package live tells listeners of each event of some logs soon after it was recorded, whichever node recorded it, and
// whether or not it is sequenced yet. A slow listener delays nothing: it is told how many events it has missed. A
// caller that must not miss an event reads the entries of a log by their indexes instead.
package live

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weirlog/weir/internal/tlog"
)

// Options of a Feed. The zero value of each field means its default.
type Options struct {
	LookEvery time.Duration // Time between two looks at a log (default 1 second), longer if the looks take longer.
	LookLimit time.Duration // Limit for one look at a log (default 10 seconds).
	Looks     int           // Maximum number of looks at a time (default 4).

	BufferEvents int // Maximum number of events that wait for a listener (default 1000).
	BufferBytes  int // Maximum size of their lines (default 512 KiB); one event may be longer.

	// Remembered is the maximum number of events, of all logs, that are told before they are sequenced (default 500,000).
	// Events beyond it are told when they are sequenced.
	Remembered int64

	Failed func(log string, err error) // Failed is called with each look that failed. If nil, nothing is called.
}

func (o *Options) setDefaults() {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.LookEvery, time.Second)
	def(&o.LookLimit, 10*time.Second)
	number := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	number(&o.Looks, 4)
	number(&o.BufferEvents, 1000)
	number(&o.BufferBytes, 512<<10)
	if o.Remembered == 0 {
		o.Remembered = 500_000
	}
	if o.Failed == nil {
		o.Failed = func(string, error) {}
	}
}

// Feed tells listeners of new events. While there are listeners it looks at their logs again and again. It may be used
// concurrently.
type Feed struct {
	logs    *tlog.Logs
	options Options
	told    atomic.Int64 // see Options.Remembered

	mu      sync.Mutex
	sources map[string]*source // by log: those that somebody listens to
	stop    context.CancelFunc // ends the looks; nil if nobody listens
	looking sync.WaitGroup
}

// New returns a Feed of the events of logs.
func New(logs *tlog.Logs, o Options) *Feed {
	o.setDefaults()
	return &Feed{logs: logs, options: o, sources: map[string]*source{}}
}

// Wait returns when nothing goes on any more. Every listener must be closed.
func (f *Feed) Wait() { f.looking.Wait() }

// enter returns the source of a log for a listener, which leaves it, once.
func (f *Feed) enter(log string) *source {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sources[log]
	if s == nil {
		s = newSource(f, log)
		f.sources[log] = s
	}
	s.users++
	if f.stop == nil {
		ctx, stop := context.WithCancel(context.Background())
		f.stop = stop
		f.looking.Go(func() { f.lookAgainAndAgain(ctx) })
	}
	return s
}

func (f *Feed) leave(s *source) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.users--; s.users > 0 {
		return
	}
	delete(f.sources, s.log)
	f.looking.Go(s.end)
	if len(f.sources) == 0 {
		f.stop()
		f.stop = nil
	}
}

// lookAgainAndAgain looks at all logs that somebody listens to, until ctx ends.
func (f *Feed) lookAgainAndAgain(ctx context.Context) {
	pause := f.options.LookEvery
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		began := time.Now()
		f.lookAtAll(ctx)
		pause = max(f.options.LookEvery, time.Since(began))
	}
}

func (f *Feed) lookAtAll(ctx context.Context) {
	var looks errgroup.Group
	looks.SetLimit(f.options.Looks)
	for _, s := range f.all() {
		looks.Go(func() error {
			err := s.visit(ctx, nil, false)
			if err != nil && !errors.Is(err, tlog.ErrPruned) && ctx.Err() == nil { // The next look tells what is gone.
				f.options.Failed(s.log, err)
			}
			return nil
		})
	}
	_ = looks.Wait() // Failures are told.
}

// all returns the logs that somebody listens to, in an order that is always the same.
func (f *Feed) all() []*source {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.SortedFunc(maps.Values(f.sources), func(a, b *source) int { return strings.Compare(a.log, b.log) })
}
