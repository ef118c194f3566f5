package atlas

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/collect"
	"github.com/weirlog/weir/internal/retry"
)

// Pace spreads the requests of one credential over time. All users of a Pace wait when the server says that there were
// too many. It may be used concurrently.
type Pace struct {
	limit *rate.Limiter

	mu     sync.Mutex
	until  time.Time // before which nothing is asked for
	pauses *retry.Pauses
}

// PerMinute is how many requests of a credential are sent in a minute, unless NewPace is told otherwise.
const PerMinute = 300

const (
	atOnce   = 20 // requests that may follow each other without a pause
	refusals = 6  // of one request in a row, before it counts as failed
)

// tooMany is how long to wait where the server does not say.
var tooMany = retry.Policy{First: 2 * time.Second, Longest: 2 * time.Minute}

// NewPace returns the pace of a credential, with so many requests in any minute, which are more than 20.
func NewPace(perMinute int) *Pace {
	return &Pace{limit: rate.NewLimiter(rate.Limit(perMinute-atOnce)/60, atOnce), pauses: tooMany.Pauses()}
}

// Transport returns a transport that sends a request by way of base when it may. It is to be the one below all that
// authenticate, since a call of the API is several requests where it is challenged, needs a token or has pages.
func (p *Pace) Transport(base http.RoundTripper) http.RoundTripper { return &paced{p, base} }

type paced struct {
	pace *Pace
	base http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (p *paced) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := p.pace.limit.Wait(r.Context()); err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	return p.base.RoundTrip(r)
}

// do calls when no pause is asked for, and again when the server says that there were too many requests.
func (p *Pace) do(ctx context.Context, ask func() error) error {
	for n := 1; ; n++ {
		if err := p.wait(ctx); err != nil {
			return err
		}
		err := ask()
		refused := new(client.Error)
		if !errors.As(err, &refused) || refused.Status != http.StatusTooManyRequests {
			p.passed(err)
			return explained(err)
		}
		p.refused(refused)
		if n == refusals {
			return fmt.Errorf("%w: %w", collect.ErrAway, err)
		}
	}
}

// wait waits while a pause is asked for.
func (p *Pace) wait(ctx context.Context) error {
	for {
		p.mu.Lock()
		pause := time.Until(p.until)
		p.mu.Unlock()
		if pause <= 0 {
			return ctx.Err()
		}
		if !retry.Wait(ctx, pause) {
			return context.Cause(ctx)
		}
	}
}

// refused has all requests wait as long as the server asks for, or longer each time if it does not say.
func (p *Pace) refused(e *client.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	until := time.Now().Add(max(p.pauses.Next(retry.After(e, e.RetryAfter)), time.Second))
	if until.After(p.until) {
		p.until = until
	}
}

func (p *Pace) passed(err error) {
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pauses.Reset()
}

// explained says of an error of a request what it means for collecting.
func explained(err error) error {
	refused := new(client.Error)
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, collect.ErrIncomplete),
		errors.Is(err, collect.ErrTooMuch):
		return err
	case !errors.As(err, &refused):
		return fmt.Errorf("%w: %w", collect.ErrAway, err)
	case refused.Status == http.StatusNotFound && refused.Code != "":
		return fmt.Errorf("%w: %w", collect.ErrGone, err)
	case refused.Status == http.StatusUnauthorized, refused.Status >= http.StatusInternalServerError:
		return fmt.Errorf("%w: %w", collect.ErrAway, err)
	}
	return err
}
