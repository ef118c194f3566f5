package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/weirlog/weir/internal/charset"
)

// Refused is an event that the server refused.
type Refused struct {
	File   string // as Send was given it
	Line   int    // counted from 1
	Reason string // why the server refused it
}

// Sent counts what happened to the events of a Sender.
type Sent struct {
	Recorded   int `json:"recorded"`            // events that were recorded
	Duplicates int `json:"duplicates"`          // events that the log already had
	Conflicts  int `json:"conflicts,omitempty"` // recorded events whose time and uid other events have too
	Refused    int `json:"refused"`             // events that were refused
}

// Sender sends lines of files as events, in batches. An event that is sent again, because it is unclear whether it was
// recorded, is recorded once: the server recognizes it by its metadata.uid, or by its bytes. A Sender may not be used
// concurrently.
type Sender struct {
	Client             *Client       // sends the batches
	Project, Workspace string        // id of the project, name of the workspace
	MaxEvents          int           // maximum number of events of a batch
	MaxBytes           int           // maximum size of a batch; a single line may have more
	MaxWait            time.Duration // maximum time that a line waits for others
	Partial            bool          // continue when events are refused
	Report             func(Refused) // if not nil, it is called with each refused event that the server names
	Retry              RetryOptions  // of a batch

	// Grace is how long Send may still send the lines that it has read, after its context has ended.
	Grace time.Duration

	Sent  Sent // of all calls of Send
	file  string
	batch []byte
	lines []int // line number in the file of each line of the batch
	read  int   // number of the last line that was read
	last  int   // number of the last line up to which every event is recorded or refused
}

// ErrRefused is returned (wrapped) by Send when events were refused and Partial is not set.
var ErrRefused = errors.New("events were refused")

// ErrEncoding is returned (wrapped) by Send for a file that is not UTF-8.
var ErrEncoding = charset.ErrNotUTF8

// Interrupted is the error of Send if its context ended before the end of the file.
type Interrupted struct {
	File string // as Send was given it
	Done int    // all lines up to this one are recorded or refused
	Read int    // lines after Done up to this one were read, and may not be recorded; later lines were not read
	Err  error  // the last error of a batch, or that of the context
}

func (e *Interrupted) Error() string {
	switch unsent := e.Read - e.Done; {
	case unsent == 1:
		return fmt.Sprintf("interrupted: line %d was read and not sent: %v", e.Read, e.Err)
	case unsent > 1:
		return fmt.Sprintf("interrupted: lines %d to %d were read and not sent: %v", e.Done+1, e.Read, e.Err)
	}
	return "interrupted: all lines that were read were sent"
}

func (e *Interrupted) Unwrap() error { return e.Err }

// maxLine bounds a line, in bytes, to bound memory. It is far above the limit of any server.
const maxLine = 64 << 20

// settle is how long Send waits, after its context has ended, for a running Read to return.
const settle = 250 * time.Millisecond

// Send sends the lines of r; messages call it file. A byte-order mark of UTF-8 is skipped. After an error, Done returns
// up to which line the events are recorded. When ctx ends, Send stops reading, sends within Grace the lines that it has
// read, and returns an *Interrupted. If a Read of r still blocks after a moment, Send leaves it running.
func (s *Sender) Send(ctx context.Context, file string, r io.Reader) error {
	s.file, s.read, s.last, s.batch, s.lines = file, 0, 0, s.batch[:0], s.lines[:0]
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(s.Grace, cancel) })()

	in := &lineReader{from: r, lines: make(chan []byte), left: make(chan struct{})}
	defer close(in.left)
	go in.run(ctx)
	ended, err := s.sendLines(ctx, work, in)
	if ctx.Err() != nil && !ended {
		if err == nil {
			err = ctx.Err()
		}
		return &Interrupted{File: file, Done: s.last, Read: s.read, Err: err}
	}
	return err
}

// Done returns the number of the last line of the file up to which all events are recorded or refused.
func (s *Sender) Done() int { return s.last }

// sendLines sends the lines of in. It returns true if it has reached the end of the file.
func (s *Sender) sendLines(ctx, work context.Context, in *lineReader) (ended bool, err error) {
	timer := time.NewTimer(s.MaxWait)
	defer timer.Stop()
	interrupted, settled := ctx.Done(), (<-chan time.Time)(nil)
	for {
		select {
		case line, more := <-in.lines:
			if !more {
				err := s.finish(work, in)
				return err == nil && in.ended, err
			}
			s.read++
			if err := s.add(work, line); err != nil {
				return false, err
			}
		case <-timer.C:
			if err := s.flush(work); err != nil {
				return false, err
			}
			timer.Reset(s.MaxWait)
		case <-interrupted:
			interrupted, settled = nil, time.After(settle)
		case <-settled:
			return false, s.flush(work)
		}
	}
}

// finish sends the last batch. If sending succeeds, it returns the reader's error.
func (s *Sender) finish(work context.Context, in *lineReader) error {
	if in.partial {
		s.read++ // Its beginning was read.
	}
	if err := s.flush(work); err != nil {
		return err
	}
	if in.err != nil {
		return fmt.Errorf("%s: %w", s.file, in.err)
	}
	return nil
}

func (s *Sender) add(ctx context.Context, line []byte) error {
	if len(line) > maxLine {
		reason := fmt.Sprintf("the line has more than %d MiB", maxLine>>20)
		if err := s.flush(ctx); err != nil {
			return err
		}
		s.Sent.Refused++
		s.tell(s.read, reason)
		if !s.Partial {
			return fmt.Errorf("%w: %s", ErrRefused, reason)
		}
		s.last = s.read
		return nil
	}
	if len(bytes.TrimSpace(line)) == 0 {
		if len(s.lines) == 0 {
			s.last = s.read
		}
		return nil
	}
	if len(s.lines) > 0 && (len(s.lines) >= s.MaxEvents || len(s.batch)+len(line) > s.MaxBytes) {
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
	s.batch = append(append(s.batch, line...), '\n')
	s.lines = append(s.lines, s.read)
	return nil
}

func (s *Sender) flush(ctx context.Context) error {
	if len(s.lines) == 0 {
		return nil
	}
	var r Recorded
	err := Retry(ctx, s.Retry, func() (err error) {
		r, err = s.Client.Record(ctx, s.Project, s.Workspace, s.batch, s.Partial)
		return err
	})
	fields := r.BadRequest.Fields
	var e *Error
	if errors.As(err, &e) {
		fields = e.Fields
	}
	named := s.report(fields)
	if err != nil {
		if named > 0 {
			return fmt.Errorf("%w: %s", ErrRefused, e.Detail)
		}
		return err
	}
	s.Sent.Recorded += r.Recorded
	s.Sent.Duplicates += r.Duplicates
	s.Sent.Conflicts += r.Conflicts
	s.Sent.Refused += r.Rejected
	s.last = s.lines[len(s.lines)-1]
	s.batch, s.lines = s.batch[:0], s.lines[:0]
	return nil
}

// report calls tell for each line that the server names, with its number in the file. It returns how many were named.
func (s *Sender) report(fields []Field) (named int) {
	for _, f := range fields {
		text, ok := strings.CutPrefix(f.Field, "line ")
		n, err := strconv.Atoi(text)
		if !ok || err != nil || n < 1 || n > len(s.lines) {
			continue
		}
		named++
		s.tell(s.lines[n-1], f.Description)
	}
	return named
}

func (s *Sender) tell(line int, reason string) {
	if s.Report != nil {
		s.Report(Refused{s.file, line, reason})
	}
}
