package deliver

import (
	"context"
	"encoding/json"
	"iter"
	"time"
)

// Delivery says which events go where, as a project's owner has set it up.
type Delivery struct {
	ID      string    `json:"id"` // 24 hex digits
	Type    string    `json:"type"`
	Created time.Time `json:"created"`

	// Generation rises with each change, and with each command. A node that sees a higher one reads the kept states again.
	Generation int64 `json:"generation"`
	Paused     bool  `json:"paused,omitempty"`

	LogTypes   []string        `json:"logTypes"`
	Workspaces []string        `json:"workspaces,omitempty"` // names; if empty, all
	Filter     string          `json:"filter,omitempty"`     // in the query language; if empty, every event
	From       string          `json:"from,omitempty"`       // where it began, as its owner said it
	Batch      Batch           `json:"batch,omitzero"`
	Settings   json.RawMessage `json:"settings"` // of its type; secrets are sealed

	Project string `json:"-"`
}

// Batch bounds the batches of a delivery. The zero value of each field means its default.
type Batch struct {
	Events   int           `json:"events,omitempty"`   // maximum number of events (default 5,000)
	Bytes    int           `json:"bytes,omitempty"`    // maximum size of their lines (default 2 MiB)
	Interval time.Duration `json:"interval,omitempty"` // maximum time that an event waits for others (default 0)
}

// Limits of a batch.
const (
	MaxBatchEvents   = 100_000
	MaxBatchBytes    = 8 << 20
	MaxBatchInterval = 24 * time.Hour

	defaultEvents = 5000
	defaultBytes  = 2 << 20
)

func (b Batch) withDefaults() Batch {
	if b.Events <= 0 {
		b.Events = defaultEvents
	}
	if b.Bytes <= 0 {
		b.Bytes = defaultBytes
	}
	b.Events, b.Bytes = min(b.Events, MaxBatchEvents), min(b.Bytes, MaxBatchBytes)
	return b
}

// Set is the deliveries of a project: a document at deliveries/<project>.
type Set struct {
	Project    string     `json:"project"`
	Deliveries []Delivery `json:"deliveries"`
}

// MaxDeliveries is how many deliveries a project has at most.
const MaxDeliveries = 100

// Subject is a log of which a delivery sends events.
type Subject struct {
	Log  string // its id
	Name string // see Event
}

// Source knows which deliveries there are, and what they mean.
type Source interface {
	// All yields the deliveries of each project that has or had some. An error is that of one project, or that of the
	// listing, which ends it.
	All(context.Context) iter.Seq2[*Set, error]

	// Changed returns a channel that has an element if deliveries were changed on this node.
	Changed() <-chan struct{}

	// Subjects returns the logs of which a delivery sends events now.
	Subjects(context.Context, *Delivery) ([]Subject, error)

	// Open returns a delivery's sink.
	Open(*Delivery) (Sink, error)

	// Missed records that a delivery has missed entries [first, end) of a log, which retention has removed.
	Missed(ctx context.Context, d *Delivery, of Subject, first, end int64) error
}

// Steady is implemented by sinks that must be given the same batch again after a crash. The batch is kept before it is
// sent: one more write for each.
type Steady interface{ Steady() }
