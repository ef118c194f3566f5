package api

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limits are token buckets, one for each credential, as Atlas documents them.
type limits struct {
	perMinute int // If 0, there is no limit.

	mu      sync.Mutex
	buckets map[string]*rate.Limiter
}

// maxBuckets bounds how many are remembered; past it the full ones, which limit nothing, are forgotten.
const maxBuckets = 20_000

func newLimits(perMinute int) *limits {
	return &limits{perMinute: perMinute, buckets: map[string]*rate.Limiter{}}
}

// take takes a token for a request for an operation that has a limit, and tells the client how many are left.
func (l *limits) take(h http.Header, c *call) error {
	credential, endpoint, now := c.caller.ID, c.operation.limit, c.now
	if l.perMinute == 0 || endpoint == "" {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[credential]
	if b == nil {
		if len(l.buckets) >= maxBuckets {
			l.forget(now)
		}
		b = rate.NewLimiter(rate.Limit(float64(l.perMinute)/60), l.perMinute)
		l.buckets[credential] = b
	}
	allowed := b.AllowN(now, 1)
	left := b.TokensAt(now)
	h.Set("RateLimit-Limit", strconv.Itoa(l.perMinute))
	h.Set("RateLimit-Remaining", strconv.Itoa(max(0, int(left))))
	if allowed {
		return nil
	}
	wait := seconds(time.Duration((1 - left) / float64(b.Limit()) * float64(time.Second)))
	return &problem{status: 429, code: "RATE_LIMITED_TOKEN_BUCKET", retryAfter: time.Duration(wait) * time.Second,
		parameters: []any{endpoint, wait, l.perMinute, l.perMinute, 60},
		detail: fmt.Sprintf("Rate limit exceeded for %s. Please retry after %d seconds. Request capacity: %d. Refill rate: %d per 60 seconds.",
			endpoint, wait, l.perMinute, l.perMinute)}
}

func (l *limits) forget(now time.Time) {
	for credential, b := range l.buckets {
		if b.TokensAt(now) >= float64(l.perMinute) {
			delete(l.buckets, credential)
		}
	}
	if len(l.buckets) >= maxBuckets {
		clear(l.buckets)
	}
}
