package deliver

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/weirlog/weir/internal/tlog"
)

// hand gives the place the batch that was collected, and moves the feed past it.
func (r *runner) hand(f *feed, c *collector) error {
	s := &f.state.Value
	end, events := c.next, c.take()
	if len(events) > 0 {
		if err := r.open(); err != nil {
			return err
		}
		if _, steady := r.sink.(Steady); steady && s.Until != end {
			s.Until = end
			f.touch(true)
			if err := f.keep(r.ctx); err != nil {
				f.loaded = false // It may be kept all the same, and another node may go by it: look before the next try.
				return err
			}
		}
		if err := r.send(f, events); err != nil {
			return err
		}
	}
	s.Next, s.Until = end, 0
	f.touch(len(events) > 0)
	f.batchSent(r.engine.o.KeepEvery)
	return nil
}

// send gives the place consecutive events, in halves if it does not take them as a whole.
func (r *runner) send(f *feed, events []Event) error {
	refused, took, err := r.try(events)
	if errors.Is(err, ErrTooMuch) && len(events) > 1 {
		r.window.tooMuch(sizeOf(events))
		half := len(events) / 2
		if err := r.send(f, events[:half]); err != nil {
			return err
		}
		return r.send(f, events[half:])
	}
	if errors.Is(err, ErrTooMuch) {
		refused, err = []Refusal{{0, err.Error()}}, nil
	}
	if err != nil {
		r.failure(events, took, err)
		return &placeError{err}
	}
	r.window.accepted(sizeOf(events), took)
	return r.accepted(f, events, refused)
}

// failure notes that a batch failed after a time.
func (r *runner) failure(events []Event, took time.Duration, err error) {
	r.window.failure(sizeOf(events), took, r.proven)
	r.proven = false
	_, steady := r.sink.(Steady)
	if errors.As(err, new(*lateError)) && (steady || len(events) == 1) {
		r.window.longer()
	}
}

// accepted moves a feed past events that the place has accepted, but for those that it refuses, which are parked.
func (r *runner) accepted(f *feed, events []Event, refused []Refusal) error {
	s, now := &f.state.Value, time.Now().UTC()
	s.Parked = slices.DeleteFunc(s.Parked, func(p Parked) bool { // After a replay the place has decided anew.
		return p.Entry >= events[0].Index && p.Entry <= events[len(events)-1].Index
	})
	all, stop := len(refused) == len(events), error(nil)
	if !all {
		s.Refused = 0
	}
	for i, of := range refused {
		if len(s.Parked) >= MaxParked || i > 0 && s.doubtful() != nil {
			stop = stopped(s, of.Reason)
			events, refused = events[:of.At], refused[:i]
			break
		}
		entry := events[of.At].Index
		s.Parked = append(s.Parked, Parked{Entry: entry, Reason: cut(of.Reason), At: now})
		if all {
			s.Refused++
		}
		r.engine.o.Logger.Warn("an event is parked, because the place refuses it", "delivery", r.delivery.ID,
			"log", f.subject.Log, "entry", entry, "reason", cut(of.Reason))
	}
	if all && stop == nil && s.doubtful() != nil {
		stop = stopped(s, refused[len(refused)-1].Reason)
	}
	if r.proven = r.proven && stop == nil; len(events) == 0 {
		return stop
	}
	s.Next = events[len(events)-1].Index + 1
	if n := len(events) - len(refused); n > 0 {
		s.Accepted += int64(n)
		s.Last = now
	}
	if stop == nil {
		r.proven = true
		r.succeeded(f)
	}
	f.touch(true)
	r.engine.metrics.sent(r.delivery.Type, len(events)-len(refused), len(refused))
	return stop
}

// stopped says why no more events are parked than are, although the place refuses the next one too.
func stopped(s *State, reason string) error {
	if n := len(s.doubtful()); n > 0 {
		return &placeError{fmt.Errorf("the place has refused %d events in a row and accepted none since, as if it were "+
			"broken; only the first of them and the next event are tried again: %s", n, reason)}
	}
	return &placeError{fmt.Errorf("%d events are parked already; send them again or discard them. The next is "+
		"refused too: %s", MaxParked, reason)}
}

// again sends the parked events again that are to be.
func (r *runner) again(f *feed) error {
	s := &f.state.Value
	for i := 0; i < len(s.Parked); {
		if !s.Parked[i].Again {
			i++
			continue
		}
		refused, err := r.sendAgain(f, s.Parked[i].Entry)
		switch {
		case err != nil:
			return err
		case refused != "":
			s.Parked[i].Again, s.Parked[i].Reason, s.Parked[i].At = false, cut(refused), time.Now().UTC()
			i++
		default:
			s.Parked = append(s.Parked[:i], s.Parked[i+1:]...)
		}
		f.touch(true)
	}
	return nil
}

// probe sends the first of the events again that a place refused which is taken for broken. If it is accepted, the
// place is mended, and the others follow: nobody has to ask for that. Otherwise it returns why it is refused.
func (r *runner) probe(f *feed) (refused string, err error) {
	s := &f.state.Value
	for of := s.doubtful(); len(of) > 0; of = s.doubtful() {
		first, accepted := len(s.Parked)-len(of), s.Accepted
		refused, err := r.sendAgain(f, of[0].Entry)
		if err != nil || refused != "" {
			return refused, err
		}
		s.Parked = slices.Delete(s.Parked, first, first+1)
		f.touch(true)
		if s.Accepted == accepted {
			s.Refused = len(of) - 1 // Retention has removed it: it says nothing of the place.
			continue
		}
		for i := range s.Parked[first:] {
			s.Parked[first+i].Again = true
		}
		return "", r.again(f)
	}
	return "", nil
}

// sendAgain sends one event, and returns why the place refuses it.
func (r *runner) sendAgain(f *feed, entry int64) (refused string, err error) {
	release, err := r.take(r.engine.unproven, readingBytes)
	if err != nil {
		return "", err
	}
	defer release()
	reader, err := r.engine.o.Logs.ReadSequenced(r.ctx, f.subject.Log, tlog.All)
	if err != nil {
		return "", err
	}
	if entry < reader.First() || entry >= reader.Next() {
		return "", r.engine.o.Source.Missed(r.ctx, r.delivery, f.subject, entry, entry+1)
	}
	c := &collector{subject: f.subject, events: 1}
	for e, err := range reader.Entries(r.ctx, entry) {
		if err != nil {
			return "", err
		}
		c.add(&e)
		break
	}
	events := c.take()
	reasons, took, err := r.try(events)
	switch {
	case errors.Is(err, ErrTooMuch):
		return err.Error(), nil
	case err != nil:
		r.failure(events, took, err)
		return "", &placeError{err}
	case len(reasons) > 0:
		return reasons[0].Reason, nil
	}
	f.state.Value.Accepted++
	f.state.Value.Refused = 0
	f.state.Value.Last = time.Now().UTC()
	r.engine.metrics.sent(r.delivery.Type, 1, 0)
	return "", nil
}

// open opens the sink unless it is open.
func (r *runner) open() error {
	if r.sink != nil {
		return nil
	}
	sink, err := r.engine.o.Source.Open(r.delivery)
	if err != nil {
		return &placeError{err}
	}
	r.sink = sink
	return nil
}

// lateError says that a place did not answer in time.
type lateError struct{ limit time.Duration }

func (e *lateError) Error() string { return fmt.Sprintf("the place did not answer within %v", e.limit) }

func (e *lateError) Unwrap() error { return context.DeadlineExceeded }

// try sends a batch once, within a bounded time. It returns how long the place took for it, without the time that it
// let pass before it acknowledged the batch: that one does not depend on how large the batch is.
func (r *runner) try(events []Event) (refused []Refusal, took time.Duration, err error) {
	if err := r.open(); err != nil {
		return nil, 0, err
	}
	began := time.Now()
	err = r.within(r.window.limit, &lateError{r.window.limit}, func(ctx context.Context) (err error) {
		refused, err = sendTo(ctx, r.sink, events)
		return err
	})
	took = time.Since(began)
	if a, ok := r.sink.(Acknowledger); ok && err == nil {
		limit := r.engine.o.AckLimit
		late := fmt.Errorf("the place has taken the events, but did not acknowledge them within %v", limit)
		err = r.within(limit, late, a.Acknowledged)
	}
	return refused, took, err
}

// within does something of a sink within a limit. After it, the error is late. A panic is an error.
func (r *runner) within(limit time.Duration, late error, do func(context.Context) error) (err error) {
	ctx, cancel := context.WithTimeoutCause(r.ctx, limit, late)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
		if err != nil && r.ctx.Err() == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}()
	return do(ctx)
}

// sendTo sends a batch. An answer that makes no sense is an error.
func sendTo(ctx context.Context, s Sink, events []Event) (refused []Refusal, err error) {
	refused, err = s.Send(ctx, events)
	if err != nil {
		return nil, err
	}
	before := -1
	for _, one := range refused {
		if one.At <= before || one.At >= len(events) {
			return nil, fmt.Errorf("the place refuses event %d of a batch of %d, after event %d", one.At, len(events),
				before)
		}
		before = one.At
	}
	return refused, nil
}
