package auth

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limiter bounds how often something happens under one key.
type limiter[K comparable] struct {
	perMinute int // If 0, there is no bound.

	mu    sync.Mutex
	byKey map[K]*rate.Limiter
}

// maxKeys is the maximum number of keys that are remembered. With one more, those that are not limited at the moment are
// forgotten.
const maxKeys = 50_000

func newLimiter[K comparable](perMinute int) *limiter[K] {
	return &limiter[K]{perMinute: perMinute, byKey: map[K]*rate.Limiter{}}
}

// wait returns how long it is until it may happen again under a key.
func (f *limiter[K]) wait(key K, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.byKey[key]
	if l == nil || l.TokensAt(now) >= 1 {
		return 0
	}
	return time.Duration((1 - l.TokensAt(now)) / float64(l.Limit()) * float64(time.Second))
}

// count says that it happened under a key.
func (f *limiter[K]) count(key K, now time.Time) {
	if f.perMinute == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.byKey[key]
	if l == nil {
		if len(f.byKey) >= maxKeys {
			f.forget(now)
		}
		l = rate.NewLimiter(rate.Limit(float64(f.perMinute)/60), f.perMinute)
		f.byKey[key] = l
	}
	l.AllowN(now, 1)
}

func (f *limiter[K]) forget(now time.Time) {
	for key, l := range f.byKey {
		if l.TokensAt(now) >= 1 {
			delete(f.byKey, key)
		}
	}
	if len(f.byKey) >= maxKeys {
		clear(f.byKey)
	}
}
