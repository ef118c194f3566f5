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

// RetryOptions says how long a request is tried, and whom to tell that it takes long.
type RetryOptions struct {
	// Most is how long a request is tried again. If it is 0, it is tried once.
	Most time.Duration

	// Waiting, if not nil, is called after 5 s without success, after 30 s, and then each minute: with the time since
	// the first try and the last error, nil if the first try still runs. Calls are never concurrent with each other,
	// and none comes after Retry has returned.
	Waiting func(elapsed time.Duration, last error)
}

const (
	firstPause   = 250 * time.Millisecond
	longestPause = 30 * time.Second
)

// Retry runs try until it succeeds, fails for good, ctx ends, or the time is over: with growing pauses, or those that
// the server asks for. Only what may succeed later is tried again: connections that fail, unless for a certificate that
// is not trusted, 429, and errors of the server. It returns the error of the last try.
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

// mayRetry tells whether what failed may succeed later. A certificate that is not trusted stays so.
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

// wait tells somebody that something takes long.
type wait struct {
	errs chan error
	done chan struct{}
	stop chan struct{}
}

// watchWait returns a wait; nil if there is nobody to tell.
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
