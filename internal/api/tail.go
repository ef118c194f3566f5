package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/limit"
	"github.com/weirlog/weir/internal/live"
	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/search"
)

// tails are the operations that send events as they are recorded.
type tails struct {
	events
	feed     *live.Feed
	going    *limit.Shares[string]       // tails, by credential
	still    func(*call) error           // why the caller may not go on with what it was allowed to begin
	problem  func(*call, error) *problem // as which an error is replied
	record   func(*call, error) error    // makes an attempt to read logs an event
	beat     time.Duration               // between two looks whether a tail may go on, and two signs of life
	stopping context.Context             // ends when requests are not to wait any more
}

const tailOperation = "tailEvents" // in events

const (
	maxTails      = 100 // at a time
	maxTailsOfOne = 10  // of one credential
	usualBeat     = 5 * time.Second
	readWithin    = time.Minute // what a client is sent
)

// tail sends the events that match, as they are recorded, for an hour at most: then it would be another read.
func (h tails) tail(c *call) (result, error) {
	q, err := h.ask(c)
	if err != nil {
		return nil, err
	}
	if c.query.Get(startMoment.name) == "" {
		q.Start = 0
	}
	if c.query.Get(endMoment.name) == "" {
		q.End = 0
	}
	matcher, err := query.Compile(q.Query)
	if err != nil {
		return nil, err
	}
	release, err := h.going.TryTake(c.caller.ID) // A place is taken for long: nobody waits for one.
	if err != nil {
		return nil, tooManyTails()
	}
	c.atEnd(release)
	last := remembered - c.now.Sub(c.recorded)
	if n := c.integer(tailSeconds.name, -1); n >= 0 {
		last = min(last, time.Duration(n)*time.Second)
	}
	return &tail{h: h, call: c, q: q, matcher: matcher, last: last}, nil
}

func tooManyTails() *problem {
	return &problem{status: http.StatusTooManyRequests, code: "TOO_MANY_TAILS", retryAfter: time.Minute,
		detail: "Too many tails are open, of this credential or in all. Please end one, or retry when some have ended."}
}

// tail is a reply that goes on while events come.
type tail struct {
	h       tails
	call    *call
	q       *question
	matcher *query.Matcher
	last    time.Duration // how long it goes on
}

// selects tells whether an event is one of those asked for.
func (t *tail) selects(line []byte, e event.Entry) bool {
	return e.Time >= t.q.Start && (t.q.End == 0 || e.Time < t.q.End) && t.matcher.Match(line)
}

func (t *tail) send(x *exchange) error {
	h, c := x.w.Header(), t.call
	out := &tailWriter{w: bufio.NewWriterSize(x.w, 32<<10), control: http.NewResponseController(x.w), lines: asLines(x.r)}
	h.Set("Content-Type", out.mediaType())
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // A proxy passes on what there is.
	h.Set("Weir-Read", t.h.refer(c, t.q, readReference, nil))
	if x.r.Method == http.MethodHead {
		x.w.WriteHeader(http.StatusOK)
		return nil
	}
	ctx, cancel := context.WithCancelCause(c.context())
	defer cancel(nil)
	defer context.AfterFunc(t.h.stopping, func() { cancel(errStopping) })()
	l, err := t.h.feed.Listen(ctx, t.q.Logs, t.selects)
	if err != nil {
		return err
	}
	defer l.Close()
	defer time.AfterFunc(t.last, func() { cancel(errTailTime) }).Stop()
	out.end(t.why(t.tell(ctx, l, out)))
	return nil // If the client has gone, it needs no end.
}

// Reasons why a tail ends.
var (
	errTailTime = errors.New("its time is over")
	errStopping = errors.New("the node stops")
)

// why returns the word for the reason why a tail ends.
func (t *tail) why(err error) string {
	switch {
	case errors.Is(err, errTailTime):
		return "time"
	case errors.Is(err, errStopping):
		return "stopping"
	case t.h.problem(t.call, err).status < http.StatusInternalServerError:
		return "notAuthorized"
	}
	return "unavailable"
}

// tell writes what the listener is told, and signs of life, until there is a reason to end.
func (t *tail) tell(ctx context.Context, l *live.Listener, out *tailWriter) error {
	began, next := time.Now(), time.Time{}
	for first := true; first || ctx.Err() == nil; first = false {
		if now := time.Now(); !now.Before(next) {
			if err := t.goOn(ctx, l, began); err != nil {
				return err
			}
			next = now.Add(t.h.beat)
			if err := out.heartbeat(now, l.UpTo()); err != nil {
				return err
			}
		}
		e, ok := l.Take()
		if !ok {
			if err := out.flush(); err != nil {
				return err
			}
			waiting, cancel := context.WithDeadline(ctx, next)
			var err error
			e, err = l.Next(waiting)
			if cancel(); err != nil {
				continue
			}
		}
		if err := out.event(e); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// goOn returns why the caller may not go on. It has the listener follow the logs that the caller may read now.
func (t *tail) goOn(ctx context.Context, l *live.Listener, began time.Time) error {
	if err := t.h.still(t.call); err != nil {
		return err
	}
	logs, err := logsAskedFor(t.call)
	if err != nil {
		return err
	}
	if err := t.recordMore(logs); err != nil {
		return err
	}
	var ids []string
	isNew := map[string]bool{}
	for _, k := range logs {
		ids = append(ids, k.id)
		isNew[k.id] = k.workspace != nil && k.workspace.Created.After(began)
	}
	return l.Follow(ctx, ids, func(log string) bool { return isNew[log] })
}

// recordMore makes the tail an event in the logs that it has come to since it began, too.
func (t *tail) recordMore(logs []keptLog) error {
	var more []keptLog
	for _, k := range logs {
		if !slices.ContainsFunc(t.q.logs, func(old keptLog) bool { return old.id == k.id }) {
			more = append(more, k)
		}
	}
	if len(more) == 0 {
		return nil
	}
	t.q.logs = slices.Concat(t.q.logs, more)
	asked := *t.q
	asked.logs = more
	t.call.question = &asked
	return t.h.record(t.call, nil)
}

// tailWriter writes a tail: server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), or
// lines of JSON.
type tailWriter struct {
	w       *bufio.Writer
	control *http.ResponseController
	lines   bool
	buf     []byte
}

func (w *tailWriter) mediaType() string {
	if w.lines {
		return ndjson
	}
	return "text/event-stream"
}

// event writes an event, and before it how many were missed.
func (w *tailWriter) event(e live.Event) error {
	if e.Missed > 0 {
		if err := w.write("missed", fmt.Appendf(nil, `{"missed":%d}`, e.Missed)); err != nil || e.Log == "" {
			return err
		}
	}
	w.buf = appendHit(w.buf[:0], search.Hit{Position: search.Position{Log: e.Log}, Index: e.Index, Line: e.Line})
	return w.write("", w.buf)
}

// heartbeat says that the tail goes on, and up to when all that was recorded is told.
func (w *tailWriter) heartbeat(now, upTo time.Time) error {
	if upTo.IsZero() { // There is no log.
		upTo = now
	}
	return w.write("heartbeat", fmt.Appendf(nil, `{"heartbeat":"%s","upTo":"%s"}`, moment(now.UnixMilli()),
		moment(upTo.UnixMilli())))
}

// end says why the tail ends.
func (w *tailWriter) end(why string) {
	if w.write("end", fmt.Appendf(nil, `{"end":"%s"}`, why)) == nil {
		_ = w.flush() // An error means that the client has gone.
	}
}

// write writes a JSON object, which has no line break, as one of a kind; empty: an event.
func (w *tailWriter) write(kind string, object []byte) error {
	before, after := "", "\n"
	if !w.lines {
		before, after = "data: ", "\n\n"
		if kind != "" {
			before = "event: " + kind + "\ndata: "
		}
	}
	w.w.WriteString(before) // An error stays for the last.
	w.w.Write(object)
	_, err := w.w.WriteString(after)
	return err
}

// flush sends what was written. A client that does not read it is cut off, over HTTP/2 too, where no connection is
// looked at for that.
func (w *tailWriter) flush() error {
	err := w.control.SetWriteDeadline(time.Now().Add(readWithin))
	if errors.Is(err, http.ErrNotSupported) {
		err = nil
	}
	return errors.Join(err, w.w.Flush(), w.control.Flush())
}
