// Package deliver hands the events of logs over to places outside: at least once, in order within a log.
//
// A delivery's cursor moves only after its sink has accepted the events before it. The log is the queue: nothing but a
// bounded batch is in memory, and nothing is dropped because a place is slow. An event that a place refuses alone is
// parked, to be looked at and sent again on command; whatever else fails is tried again for ever.
package deliver

import (
	"context"
	"errors"
	"strconv"
	"time"
)

// Event is one event to be handed over.
type Event struct {
	Log   string // id of the log
	Name  string // what the log is called to people: workspace name and kind, or the project
	Index int64  // of the entry in its log
	Time  int64  // of the event, in milliseconds since 1970
	Line  []byte // as recorded, without its line feed; not kept by a sink after Send returns
}

// ID is the same whenever the event is sent: <log>/<index>.
func (e *Event) ID() string {
	return string(e.AppendID(nil))
}

// AppendID appends the event's ID to dst.
func (e *Event) AppendID(dst []byte) []byte {
	dst = append(dst, e.Log...)
	dst = append(dst, '/')
	return strconv.AppendInt(dst, e.Index, 10)
}

// Sink hands events over to one place. It is used by one goroutine at a time.
type Sink interface {
	// Send hands over consecutive events of one log, in order. It returns after the other side has accepted them for
	// good; see Acknowledger. refused names the events that the other side refuses alone and for ever, by position in
	// the batch, ascending; all others were accepted. With an error nothing can be said of any event: all of them are
	// sent again, later (with the pause that a *RetryAfter in the chain asks for).
	Send(ctx context.Context, batch []Event) (refused []Refusal, err error)

	// Close lets go of all that is held. A sink is closed if nothing was sent for a while, and when its delivery stops,
	// is paused or changes.
	Close() error
}

// Holder is implemented by sinks that hold something between two batches, such as a session with their place. Close
// ends it, and Send would begin another.
type Holder interface {
	Holds() int64 // bytes, at most
}

// Refusal says that a place refuses an event for ever.
type Refusal struct {
	At     int    // position in the batch
	Reason string // as the other side says it; cut by the caller
}

// Acknowledger is implemented by sinks whose Send returns once the other side has taken a batch, but not yet accepted
// it for good. Acknowledged returns after it has, for the batch of the last Send, which may take minutes. With an
// error the batch is sent again.
type Acknowledger interface {
	Acknowledged(ctx context.Context) error
}

// ErrTooMuch is wrapped by the error of a Send whose batch the other side does not take as a whole: because of its
// size, or because it does not say which event it refuses. It asks for a smaller batch at once. A batch of one event
// that fails with it is refused.
var ErrTooMuch = errors.New("the place does not take this batch")

// RetryAfter is the error of a Send after which the other side asks for a pause.
type RetryAfter struct {
	Pause time.Duration
	Err   error
}

func (e *RetryAfter) Error() string { return e.Err.Error() }

func (e *RetryAfter) Unwrap() error { return e.Err }
