package limit

import (
	"context"
	"errors"
	"sync"
)

// ErrBusy is returned by Shares.Take if too many callers are waiting under the first key. A later call may succeed.
var ErrBusy = errors.New("too much is waiting already")

// Shares bounds how much happens at a time: in total, and under each of any number of keys. Who asks has a key at each
// of some levels, from narrow to wide, such as a credential and its organization. So one that asks for much delays
// itself and not others, and those that are together one do so too. It may be used concurrently.
type Shares[K comparable] struct {
	all     chan struct{} // has an element for each share that is taken
	most    []int         // by level
	waiting int

	mu    sync.Mutex
	byKey map[place[K]]*share
}

// place is a key of a level.
type place[K comparable] struct {
	level int
	key   K
}

// share counts the users of a key.
type share struct {
	slots chan struct{}
	users int // number that have a slot or wait for one
}

// NewShares returns Shares that allow all at a time in total, and most[i] under one key of level i. Under each key of
// level 0, waiting more callers may wait.
func NewShares[K comparable](all, waiting int, most ...int) *Shares[K] {
	return &Shares[K]{all: make(chan struct{}, all), most: most, waiting: waiting, byKey: map[place[K]]*share{}}
}

// Take waits for a share under one key of each level, from level 0 on. The caller must call release once when it is
// done. The error is ErrBusy, or that of the context.
func (s *Shares[K]) Take(ctx context.Context, keys ...K) (release func(), err error) {
	return s.take(keys, func(slots chan struct{}) error {
		select {
		case slots <- struct{}{}:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
}

// TryTake is Take for callers that do not wait, since shares may be taken for long. If none is free, it returns
// ErrBusy.
func (s *Shares[K]) TryTake(keys ...K) (release func(), err error) {
	return s.take(keys, func(slots chan struct{}) error {
		select {
		case slots <- struct{}{}:
			return nil
		default:
			return ErrBusy
		}
	})
}

// take takes a slot of each key, and then one of all.
func (s *Shares[K]) take(keys []K, enter func(slots chan struct{}) error) (release func(), err error) {
	slots, err := s.join(keys)
	if err != nil {
		return nil, err
	}
	slots = append(slots, s.all)
	for i, of := range slots {
		if err := enter(of); err != nil {
			s.leave(keys, slots[:i])
			return nil, err
		}
	}
	return func() { s.leave(keys, slots) }, nil
}

func (s *Shares[K]) join(keys []K) (slots []chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, key := range keys {
		at := place[K]{i, key}
		own := s.byKey[at]
		if own == nil {
			own = &share{slots: make(chan struct{}, s.most[i])}
			s.byKey[at] = own
		}
		if i == 0 && own.users == s.most[0]+s.waiting {
			return nil, ErrBusy
		}
		own.users++
		slots = append(slots, own.slots)
	}
	return slots, nil
}

// leave gives back the slots that were entered.
func (s *Shares[K]) leave(keys []K, entered []chan struct{}) {
	for _, slots := range entered {
		<-slots
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, key := range keys {
		at := place[K]{i, key}
		if own := s.byKey[at]; own.users == 1 {
			delete(s.byKey, at)
		} else {
			own.users--
		}
	}
}
