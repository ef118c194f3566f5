// Package retry says when what failed is tried again: after pauses that double up to a longest one, each spread by half
// of itself, so that what failed together does not come back together; or after the pause that a server asks for. A
// context that ends ends each pause.
//
// It is for what may be done twice. Work that comes at regular times, whether it fails or not, is none of its business.
package retry

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Each pause is so many times the one before, and at most so much of itself shorter or longer.
const (
	factor = 2
	spread = 0.5
)

// Policy says how something is tried again. Its pauses are averages: each is spread by half of itself, unless they are
// even.
type Policy struct {
	First   time.Duration // the first pause; if it is 0, there are no pauses
	Longest time.Duration // the longest pause (default 1 minute)
	Even    bool          // Pauses are not spread. It is for simulations, which must go the same way each time.

	// Tries bounds how often something is tried, the first time included. If 0, it does not count.
	Tries int

	// Within bounds the time: nothing is tried again later than this after the beginning of the first try. If 0, only
	// the context does.
	Within time.Duration

	// Passing tells whether an error may pass by itself. If nil, every error may.
	Passing func(error) bool
}

// Do calls try until it succeeds, its error is not one that may pass, or the policy or ctx allows no further try. It
// always tries once. The error is that of the last try, even if ctx ended.
func (p Policy) Do(ctx context.Context, try func() error) error {
	var last error
	operation := func() (struct{}, error) {
		last = try()
		var asks *asking
		switch {
		case last == nil:
			return struct{}{}, nil
		case p.Passing != nil && !p.Passing(last):
			return struct{}{}, backoff.Permanent(last)
		case errors.As(last, &asks):
			return struct{}{}, &backoff.RetryAfterError{Duration: p.granted(asks)}
		}
		return struct{}{}, last
	}
	if _, err := backoff.Retry(ctx, operation, backoff.WithBackOff(p.growing()), backoff.WithMaxTries(uint(p.Tries)),
		backoff.WithMaxElapsedTime(p.Within)); err != nil {
		return last
	}
	return nil
}

// growing returns the pauses of a policy.
func (p Policy) growing() *backoff.ExponentialBackOff {
	b := &backoff.ExponentialBackOff{InitialInterval: p.First, MaxInterval: p.longest(), Multiplier: factor,
		RandomizationFactor: spread}
	if p.Even {
		b.RandomizationFactor = 0
	}
	return b
}

func (p Policy) longest() time.Duration {
	if p.Longest <= 0 {
		return time.Minute
	}
	return p.Longest
}

// granted returns how long a pause that a server asks for lasts. Where no time is set that it could exceed, it is
// bounded as all pauses are.
func (p Policy) granted(asks *asking) time.Duration {
	if p.Within > 0 {
		return asks.pause
	}
	return min(asks.pause, p.longest())
}

// Pauses are those of a loop that goes on whatever fails. They are for one goroutine.
type Pauses struct {
	policy  Policy
	growing *backoff.ExponentialBackOff
}

// Pauses returns the pauses of a loop. Of the policy, First, Longest and Even count.
func (p Policy) Pauses() *Pauses {
	p.Within = 0
	return &Pauses{p, p.growing()}
}

// Next returns how long to pause after an error.
func (p *Pauses) Next(err error) time.Duration {
	var asks *asking
	if errors.As(err, &asks) {
		p.Reset()
		return p.policy.granted(asks)
	}
	return p.growing.NextBackOff()
}

// Reset makes the next pause the first again. It is for after a success.
func (p *Pauses) Reset() { p.growing.Reset() }

// Wait waits, and tells whether ctx still lasts.
func Wait(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// asking is an error of a server that says when to come again.
type asking struct {
	error
	pause time.Duration
}

func (e *asking) Unwrap() error { return e.error }

// After returns err as that of a server that asks for a pause before the next try. The text is that of err. If the
// pause is not above 0, it returns err itself.
func After(err error, pause time.Duration) error {
	if err == nil || pause <= 0 {
		return err
	}
	return &asking{err, pause}
}

// longestAsked bounds what a server may ask for.
const longestAsked = time.Hour

// Asked returns the pause that a reply's Retry-After asks for, at most an hour; 0 if it asks for none.
func Asked(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(min(max(seconds, 0), int(longestAsked/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(time.Until(at), 0), longestAsked)
	}
	return 0
}
