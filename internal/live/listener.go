package live

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weirlog/weir/internal/event"
)

// Event is an event that a listener is told of.
type Event struct {
	Missed int64  // events that came before it and are not told, since the listener was too slow
	Log    string // empty if nothing is told but Missed
	Index  int64  // of its entry; tlog.Unsequenced if it waits to be sequenced
	Line   []byte // without '\n'; shared, so it must not be changed
}

// Selects tells whether a listener wants to know of an event. It is called by one goroutine at a time for each log,
// must not keep the line, and must not block.
type Selects func(line []byte, e event.Entry) bool

// Listener is told of events. The caller closes it. It may not be used concurrently.
type Listener struct {
	feed    *Feed
	selects Selects
	sources map[string]*source

	mu     sync.Mutex
	queue  []Event
	bytes  int
	missed int64
	ready  chan struct{} // has an element if there may be something to tell
}

// Listen returns a Listener that is told of the selected events of logs that are acknowledged from now on. An error
// says that a log cannot be read.
func (f *Feed) Listen(ctx context.Context, logs []string, selects Selects) (*Listener, error) {
	l := &Listener{feed: f, selects: selects, sources: map[string]*source{}, ready: make(chan struct{}, 1)}
	if err := l.Follow(ctx, logs, func(string) bool { return false }); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Follow has the listener be told of the events of other logs. Of those that come to it, whole says whether all of
// their events count as new. After an error the listener is good for nothing but to be closed.
func (l *Listener) Follow(ctx context.Context, logs []string, whole func(log string) bool) error {
	wanted := map[string]bool{}
	var visits errgroup.Group
	visits.SetLimit(l.feed.options.Looks)
	for _, log := range logs {
		wanted[log] = true
		if l.sources[log] != nil {
			continue
		}
		s := l.feed.enter(log)
		l.sources[log] = s
		all := whole(log)
		visits.Go(func() error { return s.visit(ctx, l, all) })
	}
	for log, s := range l.sources {
		if !wanted[log] {
			l.leave(s)
		}
	}
	return visits.Wait()
}

// Close ends the telling. It may be called again.
func (l *Listener) Close() {
	for _, s := range l.sources {
		l.leave(s)
	}
}

func (l *Listener) leave(s *source) {
	s.mu.Lock()
	delete(s.listeners, l)
	s.mu.Unlock()
	delete(l.sources, s.log)
	l.feed.leave(s)
}

// UpTo returns a time such that the listener was told of all that was acknowledged before; the zero time if it listens
// to nothing. It stays behind while a log cannot be read.
func (l *Listener) UpTo() time.Time {
	var least time.Time
	for _, s := range l.sources {
		s.mu.Lock()
		if least.IsZero() || s.upTo.Before(least) {
			least = s.upTo
		}
		s.mu.Unlock()
	}
	return least
}

// Next waits for an event, or until ctx ends, which is an error.
func (l *Listener) Next(ctx context.Context) (Event, error) {
	for {
		if e, ok := l.Take(); ok {
			return e, nil
		}
		select {
		case <-l.ready:
		case <-ctx.Done():
			return Event{}, context.Cause(ctx)
		}
	}
}

// Take returns an event that the listener has not been told of yet; false if there is none now.
func (l *Listener) Take() (Event, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		missed := l.missed
		l.missed = 0
		return Event{Missed: missed}, missed > 0
	}
	e := l.queue[0]
	l.queue[0] = Event{}
	if l.queue = l.queue[1:]; len(l.queue) == 0 {
		l.queue = nil // The memory of the events before it is free.
	}
	l.bytes -= len(e.Line)
	return e, true
}

// add tells the listener of an event, or counts it if it has not listened to too many before.
func (l *Listener) add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := &l.feed.options
	if n := len(l.queue); n > 0 && (n >= o.BufferEvents || l.bytes+len(e.Line) > o.BufferBytes) {
		l.missed++
		return
	}
	e.Missed, l.missed = l.missed, 0
	l.queue = append(l.queue, e)
	l.bytes += len(e.Line)
	l.tell()
}

// miss counts events that are not told.
func (l *Listener) miss(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.missed += n
	l.tell()
}

func (l *Listener) tell() {
	select {
	case l.ready <- struct{}{}:
	default:
	}
}
