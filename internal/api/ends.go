package api

import (
	"context"
	"sync"
	"time"

	"github.com/weirlog/weir/internal/tlog"
)

// lookEvery is how often a node checks a log for new entries, for any number of waiting requests.
const lookEvery = time.Second

// ends tells waiting requests where logs end. It remembers a log as long as a request waits for it.
type ends struct {
	look func(ctx context.Context, log string) (next int64, err error)

	mu   sync.Mutex
	logs map[string]*end
}

// end is where a log ends.
type end struct {
	turn    chan struct{} // has an element while a request checks the log
	looked  time.Time
	next    int64 // index of the next entry at the last check
	waiting int   // number of waiting requests
}

func newEnds(look func(ctx context.Context, log string) (int64, error)) *ends {
	return &ends{look: look, logs: map[string]*end{}}
}

// join begins to wait for entries of a log. The caller must call leave once.
func (e *ends) join(log string) (of *end, leave func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	of = e.logs[log]
	if of == nil {
		of = &end{turn: make(chan struct{}, 1)}
		e.logs[log] = of
	}
	of.waiting++
	return of, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if of.waiting--; of.waiting == 0 {
			delete(e.logs, log)
		}
	}
}

// of returns the index that the next entry of a log will have. The answer is at most lookEvery old.
func (e *ends) of(ctx context.Context, log string, of *end) (int64, error) {
	select {
	case of.turn <- struct{}{}:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	defer func() { <-of.turn }()
	if time.Since(of.looked) < lookEvery {
		return of.next, nil
	}
	next, err := e.look(ctx, log)
	if err != nil {
		return 0, err
	}
	of.looked, of.next = time.Now(), next
	return next, nil
}

// endOf returns the index that the next entry of a log will have.
func (s *Server) endOf(ctx context.Context, log string) (int64, error) {
	r, err := s.logs.ReadSequenced(ctx, log, tlog.All)
	if err != nil {
		return 0, err
	}
	return r.Next(), nil
}
