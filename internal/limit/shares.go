package limit

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/semaphore"
)

// ErrBusy is returned by Shares.Take if too many callers are waiting under the first key. A later call may succeed.
var ErrBusy = errors.New("too much is waiting already")

// Shares bounds how much there is at a time: in total, and under each of any number of keys. A caller has a key at each
// of some levels, from narrow to wide, such as a credential and its organization. So a credential that takes much
// delays itself and no other, and so does an organization with many credentials. It may be used concurrently.
type Shares[K comparable] struct {
	all     *semaphore.Weighted
	most    []int64 // by level
	waiting int64

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
	taken *semaphore.Weighted
	users int64 // number that have some of it, or wait for it
}

// NewShares returns Shares that allow all at a time in total, and most[i] under one key of level i. Under each key of
// level 0, waiting more callers may wait than can have 1 each.
func NewShares[K comparable](all, waiting int64, most ...int64) *Shares[K] {
	return &Shares[K]{all: semaphore.NewWeighted(all), most: most, waiting: waiting, byKey: map[place[K]]*share{}}
}

// Take waits for n under one key of each level, from level 0 on. The caller must call release once when it is done. The
// error is ErrBusy, or that of the context, which is certain if n is more than there may be.
func (s *Shares[K]) Take(ctx context.Context, n int64, keys ...K) (release func(), err error) {
	return s.take(n, keys, func(of *semaphore.Weighted) error {
		if of.Acquire(ctx, n) != nil {
			return context.Cause(ctx)
		}
		return nil
	})
}

// TryTake is Take for callers that do not wait, since what they ask for may be taken for long. If there is not enough,
// it returns ErrBusy.
func (s *Shares[K]) TryTake(n int64, keys ...K) (release func(), err error) {
	return s.take(n, keys, func(of *semaphore.Weighted) error {
		if !of.TryAcquire(n) {
			return ErrBusy
		}
		return nil
	})
}

// take takes n under each key, and then of all.
func (s *Shares[K]) take(n int64, keys []K, enter func(*semaphore.Weighted) error) (release func(), err error) {
	of, err := s.join(keys)
	if err != nil {
		return nil, err
	}
	of = append(of, s.all)
	for i, one := range of {
		if err := enter(one); err != nil {
			s.leave(n, keys, of[:i])
			return nil, err
		}
	}
	return func() { s.leave(n, keys, of) }, nil
}

func (s *Shares[K]) join(keys []K) (of []*semaphore.Weighted, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, key := range keys {
		at := place[K]{i, key}
		own := s.byKey[at]
		if own == nil {
			own = &share{taken: semaphore.NewWeighted(s.most[i])}
			s.byKey[at] = own
		}
		if i == 0 && own.users == s.most[0]+s.waiting {
			return nil, ErrBusy
		}
		own.users++
		of = append(of, own.taken)
	}
	return of, nil
}

// leave gives back n of those that were entered.
func (s *Shares[K]) leave(n int64, keys []K, entered []*semaphore.Weighted) {
	for _, of := range entered {
		of.Release(n)
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
