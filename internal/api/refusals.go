package api

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/weirlog/weir/internal/event"
)

const (
	// sumFor is how long refusals that repeat one are counted before an event tells of them.
	sumFor = time.Minute

	// maxSums is how many different refusals are counted at one time.
	maxSums = 1000
)

// repeat has the attributes that refusals share if one event counts them together.
type repeat struct {
	logs      string // ids
	caller    string // id of the credential
	operation string
	code      string // why
	address   netip.Addr
}

// refusals counts refusals that repeat one another, so that nobody can fill a log with them: the first is an event at
// once, and those that follow it within sumFor are one event together. A process that dies takes their number along,
// never the first.
type refusals struct {
	record func(ctx context.Context, logs []string, events ...[]byte) error
	failed func(logs []string, err error)

	mu   sync.Mutex
	sums map[repeat]*sum
	wait sync.WaitGroup
}

// sum is the refusals that followed one.
type sum struct {
	event.Repeats
	told chan struct{}                // Once it is closed, the sum is to be recorded, whatever the time.
	line func(r event.Repeats) []byte // of the last one
}

var errTooManyRefusals = errors.New("too many different requests are being refused")

// refused notes a refusal, and records it in logs if it repeats none. line returns its event, which may stand for
// several.
func (r *refusals) refused(ctx context.Context, kind repeat, now time.Time, logs []string,
	line func(event.Repeats) []byte) error {
	kind.logs = strings.Join(logs, " ")
	first, err := r.note(ctx, kind, now, logs, line)
	if err != nil || !first {
		return err
	}
	return r.record(ctx, logs, line(event.Repeats{}))
}

// note counts a refusal, and tells whether it is the first.
func (r *refusals) note(ctx context.Context, kind repeat, now time.Time, logs []string,
	line func(event.Repeats) []byte) (first bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sums[kind] == nil && len(r.sums) >= maxSums/2 {
		kind.address = netip.Addr{} // rather than to keep each address of somebody who has many
	}
	if s := r.sums[kind]; s != nil {
		s.Add(now)
		s.line = line
		return false, nil
	}
	if len(r.sums) >= maxSums {
		return false, unavailable(errTooManyRefusals)
	}
	if r.sums == nil {
		r.sums = map[repeat]*sum{}
	}
	s := &sum{told: make(chan struct{})}
	r.sums[kind] = s
	r.wait.Go(func() { r.tell(context.WithoutCancel(ctx), kind, s, logs) })
	return true, nil
}

// tell records a sum once its time is over.
func (r *refusals) tell(ctx context.Context, kind repeat, s *sum, logs []string) {
	timer := time.NewTimer(sumFor)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.told:
	}
	r.mu.Lock()
	if r.sums[kind] == s {
		delete(r.sums, kind)
	}
	count := s.Count
	r.mu.Unlock()
	if count == 0 {
		return
	}
	if err := r.record(ctx, logs, s.line(s.Repeats)); err != nil {
		r.failed(logs, err)
	}
}

// flush records all sums now, and waits until they are durable, or cannot be.
func (r *refusals) flush() {
	r.mu.Lock()
	for kind, s := range r.sums {
		close(s.told)
		delete(r.sums, kind)
	}
	r.mu.Unlock()
	r.wait.Wait()
}
