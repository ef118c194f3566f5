package deliver

import (
	"context"
	"time"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/layout"
	"github.com/weirlog/weir/internal/doc"
)

// State is how far a delivery has come in a log: a document at deliverystate/<delivery>/<log>. It moves only after the
// place has accepted the events before it. A delivery without one begins at the first entry.
type State struct {
	Next   int64    `json:"next"`            // the first entry that was neither accepted nor parked
	Until  int64    `json:"until,omitempty"` // If above Next, the next batch ends before this entry. See Steady.
	Parked []Parked `json:"parked,omitempty"`

	// Refused is how many events in turn were refused, and none accepted since: the last of Parked.
	Refused int `json:"refused,omitempty"`

	Accepted int64     `json:"accepted,omitempty"` // events, in all
	Last     time.Time `json:"last,omitzero"`      // when the place has last accepted one
	Pace     Pace      `json:"pace,omitzero"`
	Missed   int64     `json:"missed,omitempty"` // entries that retention removed before they were sent
	Failure  *Failure  `json:"failure,omitempty"`

	// Gone is the name of the log if retention has dropped it with entries that were not sent; otherwise it is empty.
	Gone string `json:"gone,omitempty"`
}

// Parked is an event that the place refuses alone and for ever. Its log keeps it.
type Parked struct {
	Entry  int64     `json:"entry"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	Again  bool      `json:"again,omitempty"` // It is to be sent once more.
}

// MaxParked is how many events of a log are parked at most. A delivery that would park more waits for its owner.
const MaxParked = 100

// inTurn is how many events in turn a place may refuse, and accept none, before it is taken for broken, and not the
// events.
const inTurn = 20

// doubtful returns the parked events of which it is not known whether they are refused, or whether the place is broken;
// none if the place is not taken for broken.
func (s *State) doubtful() []Parked {
	if n := min(s.Refused, len(s.Parked)); n >= inTurn {
		return s.Parked[len(s.Parked)-n:]
	}
	return nil
}

// maxReason bounds reasons and errors, in bytes.
const maxReason = 256

// Pace is how many events a place accepted in a time.
type Pace struct {
	Events int64         `json:"events"`
	Time   time.Duration `json:"time"`
}

// Failure says that a delivery does not come forward.
type Failure struct {
	Since time.Time `json:"since"` // the first of the tries that failed, since the last that did not
	Last  time.Time `json:"last"`  // the last one
	Error string    `json:"error"`
}

func stateOf(b bucket.Bucket, delivery, log string) *doc.Kept[State] {
	return doc.NewKept[State](b, stateKey(delivery)+log)
}

func stateKey(delivery string) string { return layout.DeliveryState.Prefix(delivery) }

// ReadState returns how far a delivery has come in a log. Without a state it is the zero one.
func ReadState(ctx context.Context, b bucket.Bucket, delivery, log string) (State, error) {
	k := stateOf(b, delivery, log)
	err := k.Load(ctx)
	return k.Value, err
}

// ChangeState changes how far a delivery has come in a log, whatever a node does with it meanwhile. The nodes learn of
// it when the delivery's generation rises.
func ChangeState(ctx context.Context, b bucket.Bucket, delivery, log string, change func(*State) error) error {
	return stateOf(b, delivery, log).Change(ctx, change)
}

// StatesOf returns the ids of the logs in which a delivery has come anywhere.
func StatesOf(ctx context.Context, b bucket.Bucket, delivery string) (map[string]bool, error) {
	logs := map[string]bool{}
	for info, err := range b.List(ctx, stateKey(delivery), "") {
		if err != nil {
			return nil, err
		}
		rest := info.Key[len(stateKey(delivery)):]
		for i := range rest {
			if rest[i] == '/' {
				logs[rest[:i]] = true
				break
			}
		}
	}
	return logs, nil
}

// DropStates deletes what is kept of a delivery that is no more.
func DropStates(ctx context.Context, b bucket.Bucket, delivery string) error {
	var keys []string
	for info, err := range b.List(ctx, stateKey(delivery), "") {
		if err != nil {
			return err
		}
		keys = append(keys, info.Key)
	}
	if len(keys) == 0 {
		return nil
	}
	return b.Delete(ctx, keys...)
}
