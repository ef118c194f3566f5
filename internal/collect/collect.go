// Package collect copies lines that other systems keep for a while into logs of weir: every line once, in the order of
// the source, also if this process, the source or the connection breaks at any moment.
//
// A Unit is asked for window after window of time. A window counts when the source has said that it was all; its lines
// are recorded, and only when they are durable the cursor moves behind it. So a crash repeats lines and leaves out
// none. A repeated line is recognised (see maker). Each round begins some time before the cursor, and once a day some
// days before it, for lines that come late. Two processes that collect the same do no harm: both record the same
// events.
//
// A unit whose messages have offsets is read from the one behind the last durable message (see Queue). An event reports
// messages that the source has lost before they were read.
//
// A window that is too large, or breaks off, is halved. So memory and disk are bounded, whatever the source has.
package collect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/weirlog/weir/internal/record"
)

// How a unit is asked for, in seconds.
const (
	overlap    = 2 * 3600  // the time before the cursor that is read again each round
	sweepBack  = 72 * 3600 // the same once a day: how late a line may come
	sweepEvery = 24 * 3600
	maxSpan    = 31 * 24 * 3600 // of a window
)

// defaultBack is how far back a unit begins at first: as long as Atlas promises to keep its logs.
const defaultBack = 30 * 24 * time.Hour

// Sink is where events become durable.
type Sink interface {
	// Open returns a batch of events for a log. The caller closes it.
	Open(t Target) Batch
	// Reserve begins to account for the memory of a window.
	Reserve() Hold
}

// Batch takes events of one log. *record.Intake is one.
type Batch interface {
	// Add takes an event. It may be refused later, with a reason in the result of Record.
	Add(raw []byte) error
	// Record returns when all that was added is durable. It is called once.
	Record(ctx context.Context) (record.Result, error)
	Close()
}

// Hold is memory that is accounted for. *record.Reservation is one.
type Hold interface {
	// Grow accounts for n more bytes, or for fewer if n is negative, or refuses to.
	Grow(n int64) error
	Release()
}

// Target is a log that takes lines, in a workspace.
type Target struct {
	WorkspaceID string
	Workspace   string // its name
	Log         string // id; empty where only the sink knows it
	Operational bool
}

// Bounds on a batch.
const (
	batchLines = 2000
	batchBytes = 4 << 20
)

// Counts counts lines by what happened to them.
type Counts struct {
	Recorded int64 `json:"recorded"`
	Repeated int64 `json:"repeated,omitempty"` // that the log had already
	Unread   int64 `json:"unread,omitempty"`   // kept as they are, the first time
	Refused  int64 `json:"refused,omitempty"`  // beyond the limits
}

func (c *Counts) add(more Counts) {
	c.Recorded += more.Recorded
	c.Repeated += more.Repeated
	c.Unread += more.Unread
	c.Refused += more.Refused
}

// window is one window of a unit on its way.
type window struct {
	sink   Sink
	target Target
	maker  *maker
	save   func(context.Context) error // makes what was noted durable
	noted  bool                        // since it was saved

	batch        Batch
	lines, bytes int
	unread       int64 // of the batch
	counts       Counts
	reason       string // why a line was not read, or refused
}

// record makes the lines of r durable.
func (w *window) record(ctx context.Context, r io.Reader, most int) error {
	defer w.drop()
	err := eachLine(r, most, func(line []byte) error { return w.add(ctx, line) }, func(size int64) error {
		w.counts.Refused++
		w.reason = fmt.Sprintf("a line has %d bytes, at most %d are taken", size, most)
		return nil
	})
	if err != nil {
		return err
	}
	return w.flush(ctx)
}

func (w *window) add(ctx context.Context, line []byte) error {
	made, err := w.maker.make(line)
	kept := new(unread)
	switch {
	case errors.Is(err, errLater):
		return nil
	case errors.As(err, &kept):
		if kept.first {
			w.unread++
		}
		w.reason = kept.reason
	case err != nil:
		return err
	}
	if w.maker.noted {
		w.noted, w.maker.noted = true, false
	}
	return w.put(ctx, made)
}

// put adds an event.
func (w *window) put(ctx context.Context, made []byte) error {
	if w.batch == nil {
		w.batch = w.sink.Open(w.target)
	}
	if err := w.batch.Add(made); err != nil {
		return err
	}
	w.lines++
	if w.bytes += len(made); w.lines >= batchLines || w.bytes >= batchBytes {
		return w.flush(ctx)
	}
	return nil
}

// flush makes what was added durable. The times that were noted for lines without one are durable before these lines.
// Otherwise they would become other events after a crash.
func (w *window) flush(ctx context.Context) error {
	defer w.drop()
	if w.batch == nil {
		return nil
	}
	if w.noted {
		if err := w.save(ctx); err != nil {
			return err
		}
		w.noted = false
	}
	result, err := w.batch.Record(ctx)
	if err != nil {
		return err
	}
	for _, r := range result.Reasons {
		w.reason = r.Text
	}
	w.counts.add(Counts{Recorded: int64(result.Recorded), Repeated: int64(result.Duplicates),
		Refused: int64(result.Refused), Unread: w.unread})
	return nil
}

// drop gives the batch back.
func (w *window) drop() {
	if w.batch != nil {
		w.batch.Close()
	}
	w.batch, w.lines, w.bytes, w.unread = nil, 0, 0, 0
}
