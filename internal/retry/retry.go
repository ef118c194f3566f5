// Package retry says when a failed call is repeated. Pauses double up to a maximum, and each is randomly spread by half
// of itself, so that callers that failed together do not return together. If the server asks for a pause, that one is
// used. The end of a context ends each pause.
//
// It is for calls that may be repeated. It is not meant for work at regular intervals.
package retry

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// factor is the growth of each pause. spread is how much shorter or longer it may be at random, as a fraction.
const (
	factor = 2
	spread = 0.5
)

// Policy says how a call is repeated. Its pauses are averages: each is spread by half of itself, unless they are even.
type Policy struct {
	First   time.Duration // the first pause; if it is 0, there are no pauses
	Longest time.Duration // the longest pause (default 1 minute)
	Even    bool          // Pauses are not spread. It is for simulations, which must go the same way each time.

	// Tries is the maximum number of tries, including the first. If 0, there is no maximum.
	Tries int

	// Within bounds the time: no try begins later than this after the start of the first one. If 0, only the context
	// bounds it.
	Within time.Duration

	// Passing tells whether a later try may succeed after an error. If nil, it may after every error.
	Passing func(error) bool
}

// Do calls try until it succeeds, returns an error for which Passing is false, or the policy or ctx allows no further
// try. It tries at least once. The error is that of the last try, even if ctx has ended.
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

// granted returns the length of a pause that a server asks for. If Within is not set, Longest bounds it.
func (p Policy) granted(asks *asking) time.Duration {
	if p.Within > 0 {
		return asks.pause
	}
	return min(asks.pause, p.longest())
}

// Pauses are the pauses of a loop that never ends by itself. They must be used by one goroutine at a time.
type Pauses struct {
	policy  Policy
	growing *backoff.ExponentialBackOff
}

// Pauses returns the pauses of a loop. It uses only First, Longest and Even of the policy.
func (p Policy) Pauses() *Pauses {
	p.Within = 0
	return &Pauses{p, p.growing()}
}

// Next returns the pause after an error.
func (p *Pauses) Next(err error) time.Duration {
	var asks *asking
	if errors.As(err, &asks) {
		p.Reset()
		return p.policy.granted(asks)
	}
	return p.growing.NextBackOff()
}

// Reset makes the next pause the first one again. It must be called after a success.
func (p *Pauses) Reset() { p.growing.Reset() }

// Wait waits for a pause. It returns false if ctx ends first.
func Wait(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// asking is an error of a server that asks for a pause.
type asking struct {
	error
	pause time.Duration
}

func (e *asking) Unwrap() error { return e.error }

// After returns err as an error of a server that asks for a pause before the next try. The text is that of err. If the
// pause is 0 or less, it returns err.
func After(err error, pause time.Duration) error {
	if err == nil || pause <= 0 {
		return err
	}
	return &asking{err, pause}
}

// longestAsked bounds the pause that a server may ask for.
const longestAsked = time.Hour

// Asked returns the pause in the Retry-After header of a reply, an hour at most, or 0 if there is none.
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
