// Package limit bounds how often something happens under each of any number of keys, in bounded memory.
package limit

import (
	"maps"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxKeys is the maximum number of keys that a Limiter remembers.
const maxKeys = 50_000

// Limiter is a token bucket for each key. It may be used concurrently.
type Limiter[K comparable] struct {
	perMinute int

	mu    sync.Mutex
	byKey map[K]*rate.Limiter
}

// New returns a Limiter that allows perMinute events under each key per minute, and as many at once. If perMinute is 0,
// there is no limit.
func New[K comparable](perMinute int) *Limiter[K] {
	return &Limiter[K]{perMinute: perMinute, byKey: map[K]*rate.Limiter{}}
}

// PerMinute returns the limit. It is 0 if there is none.
func (l *Limiter[K]) PerMinute() int { return l.perMinute }

// Wait returns the time after which Take may succeed under a key.
func (l *Limiter[K]) Wait(key K, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.byKey[key]; b != nil {
		return until(b, now)
	}
	return 0
}

// Take counts one event under a key, unless that is too many. left is the number of events that may follow at once. If
// ok is false, wait is the time after which the next one is allowed.
func (l *Limiter[K]) Take(key K, now time.Time) (ok bool, left int, wait time.Duration) {
	if l.perMinute == 0 {
		return true, 0, 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.byKey[key]
	if b == nil {
		if len(l.byKey) >= maxKeys {
			l.forget(now)
		}
		b = rate.NewLimiter(rate.Limit(float64(l.perMinute)/60), l.perMinute)
		l.byKey[key] = b
	}
	ok = b.AllowN(now, 1)
	return ok, max(0, int(b.TokensAt(now))), until(b, now)
}

// Forget resets the counts of the keys that match. It calls match for all keys.
func (l *Limiter[K]) Forget(match func(K) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.byKey, func(key K, _ *rate.Limiter) bool { return match(key) })
}

// until returns the time until a bucket has a token.
func until(b *rate.Limiter, now time.Time) time.Duration {
	tokens := b.TokensAt(now)
	if tokens >= 1 {
		return 0
	}
	return time.Duration((1 - tokens) / float64(b.Limit()) * float64(time.Second))
}

// forget makes room for more keys. It removes keys with full buckets, and then others, until a quarter of the room is
// free, so that a flood of keys does not make each call look at all keys. The others are chosen at random, so that an
// attacker cannot remove one key without most of the rest.
func (l *Limiter[K]) forget(now time.Time) {
	for key, b := range l.byKey {
		if b.TokensAt(now) >= float64(l.perMinute) {
			delete(l.byKey, key)
		}
	}
	for key := range l.byKey {
		if len(l.byKey) <= maxKeys-maxKeys/4 {
			return
		}
		delete(l.byKey, key)
	}
}
