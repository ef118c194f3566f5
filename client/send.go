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

// Refused is an event that was refused.
type Refused struct {
	File   string
	Line   int // the first is 1
	Reason string
}

// Sent is what became of the events that a Sender has sent.
type Sent struct {
	Recorded   int `json:"recorded"`
	Duplicates int `json:"duplicates"`
	Conflicts  int `json:"conflicts,omitempty"` // of those recorded: other events have the same time and uid
	Refused    int `json:"refused"`
}

// Sender sends lines of files as events, in batches. An event that is sent again after an unclear answer is recorded
// once: it is recognised by its metadata.uid, or by its bytes. A Sender is for one goroutine.
type Sender struct {
	Client             *Client
	Project, Workspace string
	MaxEvents          int           // of a batch
	MaxBytes           int           // of a batch, unless a single line has more
	MaxWait            time.Duration // how long a line waits for others
	Partial            bool          // go on when events are refused
	Report             func(Refused) // If not nil, it is told of each refused event that is named.
	Retry              RetryOptions  // of a batch

	// Grace is how long, once the context of Send has ended, what was read may still be sent.
	Grace time.Duration

	Sent  Sent
	file  string
	batch []byte
	lines []int // the number in the file of each line of the batch
	read  int   // the last line that was read
	last  int   // the last line up to which all is recorded or refused
}

// ErrRefused is returned (wrapped) by Send when events were refused and Partial is not set.
var ErrRefused = errors.New("events were refused")

// ErrEncoding is returned (wrapped) by Send for a file that is not UTF-8.
var ErrEncoding = charset.ErrNotUTF8

// Interrupted is the error of Send when its context ended before the end of the file.
type Interrupted struct {
	File string
	Done int // All lines up to this one are recorded or refused.
	Read int // Lines behind Done up to this one were read and may not be recorded. What follows was not read.
	Err  error
}

func (e *Interrupted) Error() string {
	switch unsent := e.Read - e.Done; {
	case unsent == 1:
		return fmt.Sprintf("interrupted: line %d was read and not sent: %v", e.Read, e.Err)
	case unsent > 1:
		return fmt.Sprintf("interrupted: lines %d to %d were read and not sent: %v", e.Done+1, e.Read, e.Err)
	}
	return "interrupted: all that was read is sent"
}

func (e *Interrupted) Unwrap() error { return e.Err }

// maxLine bounds a line, in bytes, for the sake of memory: it is far above what any server takes.
const maxLine = 64 << 20

// settle is how long Send waits, once its context has ended, for a Read to return what it may have taken already.
const settle = 250 * time.Millisecond

// Send sends the lines of r, which file names in messages. A byte-order mark of UTF-8 is skipped. After an error, Done
// tells up to which line all is recorded. When ctx ends, Send reads no more, sends what it has read within Grace, and
// returns an *Interrupted. A Read of r that blocks longer than a moment then is left behind.
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

// Done returns the last line of the file up to which all events are recorded or refused.
func (s *Sender) Done() int { return s.last }

// sendLines tells whether it has sent the whole file.
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

// finish sends the last batch. An error of the reader comes after that of sending.
func (s *Sender) finish(work context.Context, in *lineReader) error {
	if in.partial {
		s.read++ // its beginning was read
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

// report tells of the lines that the server names, by their numbers in the file.
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
