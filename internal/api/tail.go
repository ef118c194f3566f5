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
	going    *limit.Shares[string]       // current tails
	still    func(*call) error           // returns an error if the caller may not continue
	problem  func(*call, error) *problem // converts an error into a reply
	record   func(*call, error) error    // records an attempt to read logs
	beat     time.Duration               // interval of the checks whether a tail may continue, and of heartbeats
	stopping context.Context             // ends when requests must not wait any more
}

const tailOperation = "tailEvents" // in events

const (
	maxTails      = 100 // at a time
	maxTailsOfOne = 10  // of one credential
	usualBeat     = 5 * time.Second
	readWithin    = time.Minute // what a client is sent
)

// tail sends matching events as they are recorded, for an hour at most. After that, a new request is needed, which is
// recorded as another read.
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
	release, err := h.going.TryTake(1, c.holders()...) // A tail takes its place for long: waiting for one is useless.
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
		detail: "Too many tails are open at this node, of this credential, its project, its organization or all. " +
			"Please end one, or retry when some have ended."}
}

// tail is a reply that continues while events are recorded.
type tail struct {
	h       tails
	call    *call
	q       *question
	matcher *query.Matcher
	last    time.Duration // maximum duration
}

// selects tells whether an event matches.
func (t *tail) selects(line []byte, e event.Entry) bool {
	return e.Time >= t.q.Start && (t.q.End == 0 || e.Time < t.q.End) && t.matcher.Match(line)
}

func (t *tail) send(x *exchange) error {
	h, c := x.w.Header(), t.call
	out := &tailWriter{w: bufio.NewWriterSize(x.w, 32<<10), control: http.NewResponseController(x.w), lines: asLines(x.r)}
	h.Set("Content-Type", out.mediaType())
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // a proxy must not buffer
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
	return nil // if the client has gone, it needs no end
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

// tell writes the events of the listener, and heartbeats, until there is a reason to end.
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

// goOn returns an error if the caller may not continue. It makes the listener follow the logs that the caller may read
// now.
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

// recordMore records the tail also in the logs that were added since it began.
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

// event writes an event, and before it the number of missed events.
func (w *tailWriter) event(e live.Event) error {
	if e.Missed > 0 {
		if err := w.write("missed", fmt.Appendf(nil, `{"missed":%d}`, e.Missed)); err != nil || e.Log == "" {
			return err
		}
	}
	w.buf = appendHit(w.buf[:0], search.Hit{Position: search.Position{Log: e.Log}, Index: e.Index, Line: e.Line})
	return w.write("", w.buf)
}

// heartbeat says that the tail continues, and up to what time everything recorded has been sent. It flushes, so that a
// client that reads is not disconnected when there is always more for it.
func (w *tailWriter) heartbeat(now, upTo time.Time) error {
	if upTo.IsZero() { // there is no log
		upTo = now
	}
	beat := fmt.Appendf(nil, `{"heartbeat":"%s","upTo":"%s"}`, moment(now.UnixMilli()), moment(upTo.UnixMilli()))
	return errors.Join(w.write("heartbeat", beat), w.flush())
}

// end writes why the tail ends.
func (w *tailWriter) end(why string) {
	if w.write("end", fmt.Appendf(nil, `{"end":"%s"}`, why)) == nil {
		_ = w.flush() // an error means that the client has gone
	}
}

// write writes a JSON object without line breaks as a message of a kind, or as an event if kind is empty.
func (w *tailWriter) write(kind string, object []byte) error {
	before, after := "", "\n"
	if !w.lines {
		before, after = "data: ", "\n\n"
		if kind != "" {
			before = "event: " + kind + "\ndata: "
		}
	}
	w.w.WriteString(before) // an error stays until the last write
	w.w.Write(object)
	_, err := w.w.WriteString(after)
	return err
}

// flush sends the written bytes. A client that does not read them is disconnected, also over HTTP/2, where the deadline
// of the connection does not apply.
func (w *tailWriter) flush() error {
	err := w.control.SetWriteDeadline(time.Now().Add(readWithin))
	if errors.Is(err, http.ErrNotSupported) {
		err = nil
	}
	return errors.Join(err, w.w.Flush(), w.control.Flush())
}
