package record

import (
	"errors"
	"fmt"
	"strings"

	"github.com/weirlog/weir/internal/event"
)

// ErrNoEvents is returned for a body without events.
var ErrNoEvents = errors.New("there are no events in the body")

// TooLarge is the error of a body beyond a limit.
type TooLarge struct {
	What string // of which there may be only so many
	Most int64
}

func (e *TooLarge) Error() string { return fmt.Sprintf("at most %d %s", e.Most, e.What) }

// Unreadable is the error of a body that breaks off, or that cannot be unpacked.
type Unreadable struct{ Err error }

func (e *Unreadable) Error() string { return "the body could not be read: " + e.Err.Error() }
func (e *Unreadable) Unwrap() error { return e.Err }

// Malformed is the error of a body of which it is not clear where its events begin and end.
type Malformed struct{ Err *event.Error }

func (e *Malformed) Error() string { return e.Err.Error() }
func (e *Malformed) Unwrap() error { return e.Err }

// Refused is the error of events of which none is recorded, since some are refused.
type Refused struct {
	Events  int // all of them
	Refused int
	Reasons []Remark // of the first ones
}

func (e *Refused) Error() string {
	return fmt.Sprintf("%d of %d events are refused", e.Refused, e.Events)
}

// Remark says something of one event.
type Remark struct {
	Event string // such as "line 3"
	Text  string
}

// Bounds on what is said of the events of one intake.
const (
	maxRemarks   = 100
	maxRemark    = 512 // bytes
	remarkMemory = maxRemark + 128
)

// remark appends a remark of the n-th event, unless there are many already. It is cut, since it may quote what was
// sent.
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
