package live

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/tlog"
)

// source is a log that somebody listens to.
type source struct {
	feed  *Feed
	log   string
	users int // listeners that have entered; guarded by the feed's mutex

	turn  chan struct{} // has an element while a goroutine looks; only that one uses the fields from here to told
	begun bool          // The log was looked at.
	next  int64         // index of the entry that is told next
	look  int           // number of the last look
	ended bool          // Nobody listens any more.

	// An event that is told before it is sequenced is not told again when it is. So told has the events that waited to be
	// sequenced at the last look (its number is the value): all of them were told then, or waited already at the first
	// look.
	told map[event.Key]int

	mu        sync.Mutex
	listeners map[*Listener]bool
	upTo      time.Time // Events that were acknowledged before it are told.
}

func newSource(f *Feed, log string) *source {
	return &source{feed: f, log: log, turn: make(chan struct{}, 1), told: map[event.Key]int{},
		listeners: map[*Listener]bool{}}
}

// visit tells the listeners of the new events of the log. Then it adds the listener fresh, if it is not nil, which is
// told of later events only; or, if whole, of all that the log has.
func (s *source) visit(ctx context.Context, fresh *Listener, whole bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.feed.options.LookLimit,
		fmt.Errorf("a look at log %s took more than %v: %w", s.log, s.feed.options.LookLimit, context.DeadlineExceeded))
	defer cancel()
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-s.turn }()
	if s.ended {
		return nil
	}
	began := time.Now()
	err := s.tell(ctx, fresh, whole)
	if errors.Is(err, tlog.ErrPruned) && !whole { // Entries were removed meanwhile. No event is told twice.
		err = s.tell(ctx, fresh, whole)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.upTo = began
	if fresh != nil {
		s.listeners[fresh] = true
	}
	return nil
}

func (s *source) tell(ctx context.Context, fresh *Listener, whole bool) error {
	r, err := s.feed.logs.Read(ctx, s.log, tlog.All)
	if err != nil {
		return err
	}
	if !s.begun {
		s.next = r.Next()
	}
	if gone := r.First() - s.next; gone > 0 {
		s.eachListener(func(l *Listener) { l.miss(gone) })
		s.next = r.First()
	}
	from := s.next
	if whole {
		from = 0
	}
	err = r.EachBlock(ctx, from, func(entries []tlog.Indexed) error {
		for _, e := range entries {
			s.give(e, fresh, whole, e.Index >= s.next && s.told[e.Key] == 0)
			s.next = max(s.next, e.Index+1)
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.look++
	for e, err := range r.Waiting(ctx) {
		if err != nil {
			return err
		}
		known := s.told[e.Key] > 0
		if !known && !s.feed.remember() {
			continue // It is told when it is sequenced.
		}
		s.told[e.Key] = s.look
		s.give(e, fresh, whole, !known) // At the first look nobody listens yet.
	}
	s.begun = true
	s.forget(func(look int) bool { return look < s.look })
	return nil
}

// give gives an event to a listener that wants the whole log, and, if it is new, to the others.
func (s *source) give(e tlog.Indexed, fresh *Listener, whole, isNew bool) {
	told := Event{Log: s.log, Index: e.Index}
	give := func(l *Listener) {
		if !l.selects(e.Line, e.Entry) {
			return
		}
		if told.Line == nil {
			told.Line = bytes.TrimSuffix(bytes.Clone(e.Line), []byte("\n"))
		}
		l.add(told)
	}
	if whole {
		give(fresh)
	}
	if isNew {
		s.eachListener(give)
	}
}

// remember takes room for one more event that was told before it was sequenced.
func (f *Feed) remember() bool {
	if f.told.Add(1) > f.options.Remembered {
		f.told.Add(-1)
		return false
	}
	return true
}

// forget forgets events that were told before they were sequenced, of looks that match.
func (s *source) forget(match func(look int) bool) {
	for key, look := range s.told {
		if match(look) {
			delete(s.told, key)
			s.feed.told.Add(-1)
		}
	}
}

// end forgets all. Nobody looks at the log any more, but for a look that is on its way.
func (s *source) end() {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	s.ended = true
	s.forget(func(int) bool { return true })
}

func (s *source) eachListener(do func(*Listener)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.listeners {
		do(l)
	}
}
