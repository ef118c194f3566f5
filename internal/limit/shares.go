package limit

import (
	"context"
	"errors"
	"sync"
)

// ErrBusy is returned by Shares.Take if too many callers are waiting under the key. A later call may succeed.
var ErrBusy = errors.New("too much is waiting already")

// Shares bounds how much happens at a time: in total, and under each of any number of keys. So a key that asks for much
// delays itself and not others. It may be used concurrently.
type Shares[K comparable] struct {
	all     chan struct{} // has an element for each share that is taken
	perKey  int
	waiting int

	mu    sync.Mutex
	byKey map[K]*share
}

// share counts the users of a key.
type share struct {
	slots chan struct{}
	users int // number that have a slot or wait for one
}

// NewShares returns Shares that allow all at a time in total, and perKey under one key. Under each key, waiting more
// callers may wait.
func NewShares[K comparable](all, perKey, waiting int) *Shares[K] {
	return &Shares[K]{all: make(chan struct{}, all), perKey: perKey, waiting: waiting, byKey: map[K]*share{}}
}

// Take waits for a share under a key. The caller must call release once when it is done. The error is ErrBusy, or that
// of the context.
func (s *Shares[K]) Take(ctx context.Context, key K) (release func(), err error) {
	own, err := s.join(key)
	if err != nil {
		return nil, err
	}
	for _, slots := range []chan struct{}{own.slots, s.all} {
		select {
		case slots <- struct{}{}:
			continue
		case <-ctx.Done():
		}
		if slots == s.all {
			<-own.slots
		}
		s.leave(key, own)
		return nil, context.Cause(ctx)
	}
	return func() { s.release(key, own) }, nil
}

// TryTake is Take for callers that do not wait, since shares may be taken for long. If none is free, it returns
// ErrBusy.
func (s *Shares[K]) TryTake(key K) (release func(), err error) {
	own, err := s.join(key)
	if err != nil {
		return nil, err
	}
	for _, slots := range []chan struct{}{own.slots, s.all} {
		select {
		case slots <- struct{}{}:
			continue
		default:
		}
		if slots == s.all {
			<-own.slots
		}
		s.leave(key, own)
		return nil, ErrBusy
	}
	return func() { s.release(key, own) }, nil
}

func (s *Shares[K]) release(key K, own *share) {
	<-s.all
	<-own.slots
	s.leave(key, own)
}

func (s *Shares[K]) join(key K) (*share, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.byKey[key]
	if own == nil {
		own = &share{slots: make(chan struct{}, s.perKey)}
		s.byKey[key] = own
	}
	if own.users == s.perKey+s.waiting {
		return nil, ErrBusy
	}
	own.users++
	return own, nil
}

func (s *Shares[K]) leave(key K, own *share) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if own.users--; own.users == 0 {
		delete(s.byKey, key)
	}
}
