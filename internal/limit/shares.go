package limit

import (
	"context"
	"errors"
	"sync"
)

// ErrBusy is returned by Shares.Take if too many wait already under the key. Trying again later may help.
var ErrBusy = errors.New("too much is waiting already")

// Shares bounds how much happens at a time: in all, and under each of any number of keys, so that who asks for much
// waits for itself and not others for it. It may be used concurrently.
type Shares[K comparable] struct {
	all     chan struct{} // has an element for each that happens
	perKey  int
	waiting int

	mu    sync.Mutex
	byKey map[K]*share
}

// share is what happens and what waits under a key.
type share struct {
	slots chan struct{}
	users int // that have a slot or wait for one
}

// NewShares returns Shares of which all may happen at a time, perKey of them under one key, while waiting others wait
// under the key.
func NewShares[K comparable](all, perKey, waiting int) *Shares[K] {
	return &Shares[K]{all: make(chan struct{}, all), perKey: perKey, waiting: waiting, byKey: map[K]*share{}}
}

// Take waits until one more may happen under a key. Whoever has taken a share calls release, once, when it has
// happened. An error is ErrBusy, or the context's.
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

// TryTake is Take for who does not wait: of what happens for long. An error is ErrBusy.
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
