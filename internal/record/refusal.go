package record

import (
	"errors"
	"fmt"
	"strings"

	"github.com/weirlog/weir/internal/event"
)

// ErrNoEvents is returned for a body without events.
var ErrNoEvents = errors.New("there are no events in the body")

// TooLarge is the error for a body that exceeds a limit.
type TooLarge struct {
	What string // the quantity that has the limit, such as "events"
	Most int64
}

func (e *TooLarge) Error() string { return fmt.Sprintf("at most %d %s", e.Most, e.What) }

// Unreadable is the error for a body that ends early, or that cannot be decompressed.
type Unreadable struct{ Err error }

func (e *Unreadable) Error() string { return "the body could not be read: " + e.Err.Error() }
func (e *Unreadable) Unwrap() error { return e.Err }

// Malformed is the error for a body in which it is unclear where events begin and end.
type Malformed struct{ Err *event.Error }

func (e *Malformed) Error() string { return e.Err.Error() }
func (e *Malformed) Unwrap() error { return e.Err }

// Refused is the error if no event is recorded because some are refused.
type Refused struct {
	Events  int // number of all events
	Refused int
	Reasons []Remark // why events were refused, the first ones
}

func (e *Refused) Error() string {
	return fmt.Sprintf("%d of %d events are refused", e.Refused, e.Events)
}

// Remark is a statement about one event.
type Remark struct {
	Event string // such as "line 3"
	Text  string
}

// Bounds on the remarks of one intake.
const (
	maxRemarks   = 100
	maxRemark    = 512 // bytes
	remarkMemory = maxRemark + 128
)

// remark appends a remark on event n, unless there are too many. The text is shortened, since it may quote the sender.
func (in *Intake) remark(all *[]Remark, what string, n int, text string) error {
	if len(*all) == maxRemarks {
		return nil
	}
	if err := in.hold.Grow(remarkMemory); err != nil {
		return err
	}
	if len(text) > maxRemark {
		text = strings.ToValidUTF8(text[:maxRemark], "\uFFFD") + "…"
	}
	*all = append(*all, Remark{fmt.Sprintf("%s %d", what, n), text})
	return nil
}
