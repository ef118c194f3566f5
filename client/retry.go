package client

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/weirlog/weir/internal/retry"
)

// RetryOptions says how long Retry tries, and what it calls when that takes long.
type RetryOptions struct {
	// Most is how long the request is repeated. If 0, it is tried once.
	Most time.Duration

	// If not nil, Waiting is called after 5 s without success, after 30 s, and then each minute. Its arguments are the
	// time since the first try and the last error, which is nil while the first try runs. Calls do not overlap, and
	// none follows the return of Retry.
	Waiting func(elapsed time.Duration, last error)
}

const (
	firstPause   = 250 * time.Millisecond
	longestPause = 30 * time.Second
)

// Retry calls try until it succeeds, fails permanently, ctx ends or the time is over. The pauses grow, unless the
// server asks for a certain pause. Errors that may pass are: failed connections (but not certificates that are not
// trusted), status 429, and status 500 and above. Retry returns the error of the last try.
func Retry(ctx context.Context, o RetryOptions, try func() error) error {
	w := watchWait(o.Waiting)
	defer w.end()
	p := retry.Policy{First: firstPause, Longest: longestPause, Within: o.Most, Passing: mayRetry}
	if o.Most <= 0 {
		p.Tries = 1
	}
	var last error
	p.Do(ctx, func() error {
		last = try()
		w.failed(last)
		var e *Error
		if errors.As(last, &e) {
			return retry.After(last, e.RetryAfter)
		}
		return last
	})
	return last
}

// mayRetry tells whether a later try may succeed. A certificate that is not trusted will not be trusted later.
func mayRetry(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		return e.Status == http.StatusTooManyRequests || e.Status >= 500
	}
	var redirect *RedirectError
	var untrusted *tls.CertificateVerificationError
	var u *url.Error
	return !errors.As(err, &redirect) && !errors.As(err, &untrusted) && errors.As(err, &u)
}

// wait reports that Retry takes long.
type wait struct {
	errs chan error
	done chan struct{}
	stop chan struct{}
}

// watchWait starts a wait. It returns nil if tell is nil.
func watchWait(tell func(time.Duration, error)) *wait {
	if tell == nil {
		return nil
	}
	w := &wait{make(chan error), make(chan struct{}), make(chan struct{})}
	go w.run(tell)
	return w
}

func (w *wait) run(tell func(time.Duration, error)) {
	defer close(w.done)
	start, next := time.Now(), 5*time.Second
	timer := time.NewTimer(next)
	defer timer.Stop()
	var last error
	for {
		select {
		case last = <-w.errs:
		case <-timer.C:
			tell(next, last)
			if next < 30*time.Second {
				next = 30 * time.Second
			} else {
				next = next.Truncate(time.Minute) + time.Minute
			}
			timer.Reset(time.Until(start.Add(next)))
		case <-w.stop:
			return
		}
	}
}

func (w *wait) failed(err error) {
	if w != nil {
		w.errs <- err
	}
}

func (w *wait) end() {
	if w != nil {
		close(w.stop)
		<-w.done
	}
}
