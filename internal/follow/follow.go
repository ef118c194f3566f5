// Package follow gives each entry of the logs, in order and at least once, to a handler.
//
// A follower has a name. Its position in a log is its cursor, a document at cursors/<name>/<log>. A cursor moves only
// after the handler has accepted the entries before it, so a crash repeats entries and skips none. Several nodes may
// run the same follower: leases say which node follows which log. If two nodes believe that they follow it, both repeat
// the same entries in the same order.
package follow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/layout"
	"github.com/weirlog/weir/internal/doc"
	"github.com/weirlog/weir/internal/failures"
	"github.com/weirlog/weir/internal/tlog"
)

// Handler reacts to the entries of logs. If a method returns an error, it is called again later with the same entries.
type Handler interface {
	// Entries is called with consecutive entries of a log. They follow those of the last call, or repeat earlier ones.
	// The handler must not keep the lines.
	Entries(ctx context.Context, log string, entries []tlog.Indexed) error

	// Gap is called instead of Entries for the entries [first, end), which retention removed before the follower read
	// them.
	Gap(ctx context.Context, log string, first, end int64) error
}

// Follower gives the entries of logs to a handler.
type Follower struct {
	Name    string        // name of the follower, a part of a key in the bucket
	Bucket  bucket.Bucket // of the cursors; must be sealed (package seal), so that nobody can make it skip entries
	Logs    *tlog.Logs
	Handler Handler

	// All returns the logs to follow. Only Run calls it.
	All func(context.Context) ([]string, error)

	// Mine tells whether this node follows a log. If nil, it follows each.
	Mine func(log string) bool

	Every  time.Duration // time between two passes over the logs (default 2 seconds)
	Logger *slog.Logger  // if nil, nothing is logged

	told failures.Once // what fails, by log; "" is for all
}

// ErrAhead is returned (wrapped) if a cursor is beyond the end of its log. Then the log must have lost entries.
var ErrAhead = errors.New("the cursor is beyond the end of the log")

// cursorEvery is the number of entries after which a cursor is written within a pass.
const cursorEvery = 10_000

// Run follows the logs until ctx ends. An error is logged once for as long as it lasts, and the next pass tries again.
func (f *Follower) Run(ctx context.Context) {
	every := f.Every
	if every <= 0 {
		every = 2 * time.Second
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		f.pass(ctx)
		timer.Reset(every)
	}
}

func (f *Follower) pass(ctx context.Context) {
	logs, err := f.All(ctx)
	if f.failed(ctx, "", err); err != nil {
		return
	}
	for _, log := range logs {
		if ctx.Err() != nil {
			return
		}
		if !f.mine(log) {
			continue
		}
		f.failed(ctx, log, f.Follow(ctx, log))
	}
}

func (f *Follower) failed(ctx context.Context, log string, err error) {
	if f.Logger != nil && ctx.Err() == nil && f.told.Tell(log, err) {
		f.Logger.Error("a follower cannot continue", "follower", f.Name, "log", log, "err", err)
	}
}

func (f *Follower) mine(log string) bool { return f.Mine == nil || f.Mine(log) }

// Follow gives the entries of a log, from the cursor to the last sequenced one, to the handler. It ends early, without
// an error, if this node no longer follows the log, or if another node has moved the cursor.
func (f *Follower) Follow(ctx context.Context, log string) error {
	c := &cursor{Kept: doc.NewKept[position](f.Bucket, layout.Cursor.Prefix(f.Name)+log)}
	if err := c.load(ctx); errors.Is(err, doc.ErrDoesNotCount) {
		f.failed(ctx, log, fmt.Errorf("it begins at the first entry again: cursor: %w", err))
	} else if err != nil {
		return err
	}
	for {
		err := f.goOn(ctx, log, c)
		if keepErr := c.keep(ctx); keepErr != nil && (err == nil || errors.Is(err, tlog.ErrPruned)) {
			err = keepErr
		}
		switch {
		case errors.Is(err, tlog.ErrPruned): // by retention, since the view was taken: the next view shows the gap
		case errors.Is(err, errNotMine), errors.Is(err, doc.ErrConflict):
			return nil
		case err != nil:
			return fmt.Errorf("follow log %s from entry %d: %w", log, c.Value.Next, err)
		default:
			return nil
		}
	}
}

var errNotMine = errors.New("another node follows the log")

// goOn gives entries to the handler, and moves the cursor past those that it accepts.
func (f *Follower) goOn(ctx context.Context, log string, c *cursor) error {
	r, err := f.Logs.ReadSequenced(ctx, log, tlog.All)
	if err != nil {
		return err
	}
	if c.Value.Next > r.Next() {
		return fmt.Errorf("entry %d of %d: %w", c.Value.Next, r.Next(), ErrAhead)
	}
	if c.Value.Next < r.First() {
		if err := f.Handler.Gap(ctx, log, c.Value.Next, r.First()); err != nil {
			return err
		}
		c.Value.Next = r.First()
	}
	return r.EachBlock(ctx, c.Value.Next, func(entries []tlog.Indexed) error {
		if !f.mine(log) {
			return errNotMine
		}
		if err := f.Handler.Entries(ctx, log, entries); err != nil {
			return &refusal{err}
		}
		c.Value.Next = entries[len(entries)-1].Index + 1
		if c.Value.Next-c.kept < cursorEvery {
			return nil
		}
		return c.keep(ctx)
	})
}

// refusal is the error of a handler. It is not unwrapped, so that it is not taken for an error of the log.
type refusal struct{ err error }

func (r *refusal) Error() string { return "handler: " + r.err.Error() }

// cursor is the position of a follower in a log. A follower without one begins at the first entry. If versions of the
// document were lost, or the newest does not verify, entries are repeated.
type cursor struct {
	*doc.Kept[position]
	kept int64 // Next as it is stored
}

// position is the content of a cursor.
type position struct {
	Next int64 `json:"next"` // the first entry that the handler has not accepted
}

func (c *cursor) load(ctx context.Context) error {
	err := c.Load(ctx)
	c.kept = c.Value.Next
	return err
}

// keep writes the cursor if it has moved. It returns doc.ErrConflict (wrapped) if another node has written it.
func (c *cursor) keep(ctx context.Context) error {
	if c.Value.Next == c.kept {
		return nil
	}
	if err := c.Keep(ctx); err != nil {
		return err
	}
	c.kept = c.Value.Next
	return nil
}
