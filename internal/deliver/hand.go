package deliver

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/semaphore"

	"github.com/weirlog/weir/internal/doc"
	"github.com/weirlog/weir/internal/retry"
	"github.com/weirlog/weir/internal/tlog"
)

// placeError is an error of the place, or of a sink. It is not unwrapped, so that it is not taken for one of the log.
type placeError struct{ err error }

func (e *placeError) Error() string { return e.err.Error() }

// ended is why a turn of a feed ends early, although nothing failed. It is not unwrapped either.
type ended struct{ why string }

func (e *ended) Error() string { return e.why }

var (
	errTurn  = error(&ended{"it is another log's turn"})
	errProbe = error(&ended{"there is a batch"})
	errGone  = error(&ended{"another node looks after the log"})
)

// What memory is counted for: a log that is read, and how often the bytes of a batch are there when it is sent.
const (
	readingBytes = 2 << 20
	copies       = 4
)

// turnLimit bounds how long one log is read before another one has its turn.
const turnLimit = 30 * time.Second

// deliver brings a feed forward.
func (r *runner) deliver(f *feed) error {
	if !f.loaded {
		if err := r.load(f); err != nil {
			return err
		}
	}
	r.mu.Lock()
	gone, news := f.gone, f.news
	due := f.since.Add(r.batch.Interval)
	r.mu.Unlock()
	if gone || !news || due.After(time.Now()) {
		return r.rest(f, gone)
	}
	r.setNews(f, false) // What is committed from here on is news again.
	err := r.again(f)
	if err == nil {
		err = r.goOn(f)
	}
	keepErr := f.keepIfDue(r)
	if err == nil {
		err = keepErr
	}
	if errors.Is(err, doc.ErrConflict) || errors.Is(keepErr, doc.ErrConflict) {
		f.loaded = false // Somebody else has moved the state: go on from there.
	}
	var early *ended
	switch {
	case err == nil:
		r.succeeded(f)
		return nil
	case err == errGone:
		r.setGone(f)
		return nil
	}
	r.setNews(f, true)
	if errors.As(err, &early) || errors.Is(err, tlog.ErrPruned) { // The next view shows the gap.
		return nil
	}
	return err
}

func (r *runner) setGone(f *feed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f.gone = true
}

// rest keeps how far a feed has come that has no news, and lets go of it if it is gone.
func (r *runner) rest(f *feed, gone bool) error {
	err := f.keep(r.ctx)
	if gone && (err == nil || errors.Is(err, doc.ErrConflict)) {
		r.release(f)
		return nil
	}
	if errors.Is(err, doc.ErrConflict) {
		f.loaded = false
		r.setNews(f, true)
	}
	return err
}

func (r *runner) setNews(f *feed, news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.news = news; news {
		f.since = time.Now().Add(-r.batch.Interval)
	}
}

// load reads how far a feed has come.
func (r *runner) load(f *feed) error {
	state := stateOf(r.engine.o.Bucket, r.delivery.ID, f.subject.Log)
	if err := state.Load(r.ctx); errors.Is(err, doc.ErrDoesNotCount) {
		r.engine.o.Logger.Error("a delivery begins at the first entry again", "delivery", r.delivery.ID,
			"log", f.subject.Log, "err", err)
	} else if err != nil {
		return err
	}
	f.state, f.loaded, f.dirty, f.urgent = state, true, false, false
	f.kept, f.was = time.Now(), state.Value.Accepted
	f.show(r)
	return nil
}

// show makes what metrics tell of a feed that of its state.
func (f *feed) show(r *runner) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f.parked, f.failed = len(f.state.Value.Parked), f.state.Value.Failure != nil
}

// goOn gives the place what the log has. A place that is not proven is given one small batch, for which less memory is
// taken while it may hang.
func (r *runner) goOn(f *feed) error {
	size, most := r.window, r.batch.Bytes
	if !r.proven {
		size = min(size, probeBytes)
		if most = probeBytes; f.state.Value.Until > f.state.Value.Next {
			most = r.batch.Bytes
		}
	}
	release, err := r.take(r.engine.proven, readingBytes+copies*int64(most))
	if err != nil {
		return err
	}
	defer release()
	began := time.Now()
	c := &collector{subject: f.subject, filter: r.filter, events: r.batch.Events, bytes: size,
		next: f.state.Value.Next}
	err = r.read(f, c, func() error {
		if !r.proven {
			return errProbe
		}
		if err := r.hand(f, c); err != nil {
			return err
		}
		c.bytes = r.window
		if time.Since(began) > turnLimit {
			return errTurn
		}
		return f.keepIfDue(r)
	})
	if err != errProbe {
		return err
	}
	release()
	if release, err = r.take(r.engine.unproven, copies*int64(most)); err != nil {
		return err
	}
	defer release()
	if err := r.hand(f, c); err != nil {
		return err
	}
	return errTurn
}

// take takes memory, which release gives back, once.
func (r *runner) take(from *semaphore.Weighted, bytes int64) (release func(), err error) {
	if err := from.Acquire(r.ctx, bytes); err != nil {
		return nil, err
	}
	done := false
	return func() {
		if !done {
			done = true
			from.Release(bytes)
		}
	}, nil
}

// read reads the log from where the feed is, and calls do for each batch.
func (r *runner) read(f *feed, c *collector, do func() error) error {
	reader, err := r.engine.o.Logs.ReadSequenced(r.ctx, f.subject.Log, tlog.All)
	if err != nil {
		return err
	}
	r.mu.Lock()
	f.end = reader.Next()
	r.mu.Unlock()
	s := &f.state.Value
	if s.Next > reader.Next() {
		return &placeError{fmt.Errorf("entry %d is the next to be sent, but the log ends at %d: it was put back; replay "+
			"the delivery from where it is to go on", s.Next, reader.Next())}
	}
	if s.Next < reader.First() {
		if err := r.missed(f, reader.First()); err != nil {
			return err
		}
		c.next = s.Next
	}
	if c.until = s.Until; c.until <= s.Next || c.until > reader.Next() {
		c.until = 0
	}
	err = reader.EachBlock(r.ctx, s.Next, func(entries []tlog.Indexed) error {
		for i := range entries {
			if entries[i].Index < c.next {
				continue
			}
			if c.full(&entries[i]) {
				if err := do(); err != nil {
					return hidden(err)
				}
			}
			c.add(&entries[i])
		}
		if !r.engine.o.Mine(f.subject.Log) {
			return errGone
		}
		return nil
	})
	if err == nil && c.next > s.Next {
		err = hidden(do())
	}
	return shown(err)
}

// hiddenError keeps an error that is not the log's from being taken for one.
type hiddenError struct{ err error }

func (e *hiddenError) Error() string { return e.err.Error() }

func hidden(err error) error {
	if err == nil {
		return nil
	}
	return &hiddenError{err}
}

func shown(err error) error {
	var h *hiddenError
	if errors.As(err, &h) {
		return h.err
	}
	return err
}

// missed moves a feed past entries that retention has removed, once that is recorded.
func (r *runner) missed(f *feed, first int64) error {
	s := &f.state.Value
	if err := r.engine.o.Source.Missed(r.ctx, r.delivery, f.subject, s.Next, first); err != nil {
		return err
	}
	r.engine.o.Logger.Warn("a delivery has missed events that retention removed", "delivery", r.delivery.ID,
		"log", f.subject.Log, "first", s.Next, "entries", first-s.Next)
	s.Missed += first - s.Next
	s.Next, s.Until = first, 0
	f.touch(true)
	return nil
}

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
				return err
			}
		}
		if err := r.send(f, events); err != nil {
			return err
		}
	}
	s.Next, s.Until = end, 0
	f.touch(len(events) > 0)
	return nil
}

// send gives the place consecutive events, in halves if it does not take them as a whole.
func (r *runner) send(f *feed, events []Event) error {
	refused, err := r.try(events)
	if errors.Is(err, ErrTooMuch) && len(events) > 1 {
		r.shrink(events)
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
		r.proven = false
		return &placeError{err}
	}
	return r.accepted(f, events, refused)
}

// accepted moves a feed past events that the place has accepted, but for those that it refuses, which are parked.
func (r *runner) accepted(f *feed, events []Event, refused []Refusal) error {
	s, now := &f.state.Value, time.Now().UTC()
	full := error(nil)
	for i, of := range refused {
		if len(s.Parked) >= MaxParked {
			full = &placeError{fmt.Errorf("%d events are parked already; send them again or discard them. The next is "+
				"refused too: %s", MaxParked, of.Reason)}
			events, refused = events[:of.At], refused[:i]
			break
		}
		entry := events[of.At].Index
		s.Parked = append(s.Parked, Parked{Entry: entry, Reason: cut(of.Reason), At: now})
		r.engine.o.Logger.Warn("an event is parked, because the place refuses it", "delivery", r.delivery.ID,
			"log", f.subject.Log, "entry", entry, "reason", cut(of.Reason))
	}
	if len(events) == 0 {
		return full
	}
	s.Next = events[len(events)-1].Index + 1
	if n := len(events) - len(refused); n > 0 {
		s.Accepted += int64(n)
		s.Last = now
	}
	if full == nil {
		r.proven = true
		r.grow()
		r.succeeded(f)
	}
	f.touch(true)
	f.show(r)
	r.engine.metrics.sent(r.delivery.Type, len(events)-len(refused), len(refused))
	return full
}

// shrink makes the next batches half as large as one that was too much.
func (r *runner) shrink(events []Event) {
	size := 0
	for i := range events {
		size += len(events[i].Line)
	}
	r.window, r.careful = min(r.window, max(size/2, probeBytes/4)), true
}

// grow makes the next batch larger: twice as large, or a little, if a larger one was too much before.
func (r *runner) grow() {
	if r.careful {
		r.window += r.window / 8
	} else {
		r.window *= 2
	}
	if r.window >= r.batch.Bytes {
		r.window, r.careful = r.batch.Bytes, false
	}
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
		f.show(r)
	}
	return nil
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
	reasons, err := r.try(c.take())
	switch {
	case errors.Is(err, ErrTooMuch):
		return err.Error(), nil
	case err != nil:
		r.proven = false
		return "", &placeError{err}
	case len(reasons) > 0:
		return reasons[0].Reason, nil
	}
	f.state.Value.Accepted++
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

// try sends a batch once, within a bounded time.
func (r *runner) try(events []Event) (refused []Refusal, err error) {
	if err := r.open(); err != nil {
		return nil, err
	}
	limit := r.engine.o.SendLimit
	if !r.proven {
		limit /= 3
	}
	ctx, cancel := context.WithTimeoutCause(r.ctx, limit,
		fmt.Errorf("the place did not answer within %v: %w", limit, context.DeadlineExceeded))
	defer cancel()
	refused, err = sendTo(ctx, r.sink, events)
	if err != nil && r.ctx.Err() == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return refused, err
}

// sendTo sends a batch. A panic of a sink, and what makes no sense, is an error.
func sendTo(ctx context.Context, s Sink, events []Event) (refused []Refusal, err error) {
	defer func() {
		if p := recover(); p != nil {
			refused, err = nil, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	refused, err = s.Send(ctx, events)
	if err != nil {
		return nil, err
	}
	before := -1
	for _, one := range refused {
		if one.At <= before || one.At >= len(events) {
			return nil, fmt.Errorf("the place refuses event %d of a batch of %d, behind event %d", one.At, len(events),
				before)
		}
		before = one.At
	}
	return refused, nil
}

// failed notes that a feed does not come forward, and returns how long to pause.
func (r *runner) failed(f *feed, err error) time.Duration {
	var asks *RetryAfter
	var of *placeError
	if !errors.As(err, &of) {
		if !errors.Is(err, doc.ErrConflict) {
			r.engine.o.Logger.Error("a delivery cannot go on", "delivery", r.delivery.ID, "log", f.subject.Log,
				"err", cut(err.Error()))
		}
		return r.pauses.Next(err)
	}
	r.engine.metrics.failed(r.delivery.Type)
	now := time.Now().UTC()
	s := &f.state.Value
	if s.Failure == nil {
		s.Failure = &Failure{Since: now}
		r.engine.o.Logger.Warn("a delivery fails, and is tried again", "delivery", r.delivery.ID, "log", f.subject.Log,
			"err", cut(of.Error()))
		f.touch(true)
	}
	s.Failure.Last, s.Failure.Error = now, cut(of.Error())
	f.touch(false)
	f.show(r)
	if errors.As(of.err, &asks) {
		return r.pauses.Next(retry.After(of, min(asks.Pause, time.Hour)))
	}
	return r.pauses.Next(of)
}

// succeeded notes that a feed has come to the end of what there was.
func (r *runner) succeeded(f *feed) {
	r.pauses.Reset()
	if f.state.Value.Failure != nil {
		f.state.Value.Failure = nil
		f.touch(true)
		f.show(r)
	}
}

// touch notes that the state differs from what is kept.
func (f *feed) touch(urgent bool) { f.dirty, f.urgent = true, f.urgent || urgent }

// keepIfDue keeps the state if it was not for a while.
func (f *feed) keepIfDue(r *runner) error {
	if !f.urgent || time.Since(f.kept) < r.engine.o.KeepEvery {
		return nil
	}
	return f.keep(r.ctx)
}

// keep keeps the state if it differs from what is kept.
func (f *feed) keep(ctx context.Context) error {
	if !f.loaded || !f.dirty {
		return nil
	}
	s := &f.state.Value
	s.Pace = Pace{s.Accepted - f.was, time.Since(f.kept)}
	if err := f.state.Keep(ctx); err != nil {
		return err
	}
	f.dirty, f.urgent, f.kept, f.was = false, false, time.Now(), s.Accepted
	return nil
}

// cut bounds a text of others, and makes it UTF-8.
func cut(text string) string {
	if len(text) > maxReason {
		end := maxReason
		for end > 0 && !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end] + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
