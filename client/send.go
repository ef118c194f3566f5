package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Refused is an event that the server refused.
type Refused struct {
	File   string
	Line   int
	Reason string
}

// Sent is what became of the events that a Sender has sent.
type Sent struct {
	Recorded   int `json:"recorded"`
	Duplicates int `json:"duplicates"`
	Refused    int `json:"refused"`
}

// Sender sends lines of files as events, in batches. An event that is sent again after an unclear answer is recorded once:
// it is recognised by its metadata.uid, or by its bytes.
type Sender struct {
	Client             *Client
	Project, Workspace string
	MaxEvents          int           // of a batch
	MaxBytes           int           // of a batch, unless a single line has more
	MaxWait            time.Duration // how long a line waits for others
	MaxRetry           time.Duration // how long a batch is tried
	Partial            bool          // go on when events are refused
	Report             func(Refused) // told of each refused event that the server names

	Sent  Sent
	file  string
	batch []byte
	lines []int // the number in the file of each line of the batch
	last  int   // the last line whose batch is done
}

// ErrRefused is returned by Send when the server refused events and Partial is not set.
var ErrRefused = errors.New("events were refused")

// Send sends the lines of r, which file names in messages. After an error, Done tells up to which line all is recorded.
func (s *Sender) Send(ctx context.Context, file string, r io.Reader) error {
	s.file, s.last = file, 0
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	lines, failed := make(chan []byte), make(chan error, 1)
	go func() { failed <- readLines(ctx, r, lines) }()
	timer := time.NewTimer(s.MaxWait)
	defer timer.Stop()
	for n := 1; ; {
		select {
		case line, more := <-lines:
			if !more {
				if err := <-failed; err != nil {
					return fmt.Errorf("%s: %w", file, err)
				}
				return s.flush(ctx)
			}
			if err := s.add(ctx, n, line); err != nil {
				return err
			}
			n++
		case <-timer.C:
			if err := s.flush(ctx); err != nil {
				return err
			}
			timer.Reset(s.MaxWait)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Done returns the last line up to which all events of the file are recorded or refused.
func (s *Sender) Done() int { return s.last }

// readLines sends the lines of r, without their ends, and closes lines.
func readLines(ctx context.Context, r io.Reader, lines chan<- []byte) error {
	defer close(lines)
	b := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := b.ReadBytes('\n')
		if len(line) > 0 {
			select {
			case lines <- bytes.TrimRight(line, "\r\n"):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *Sender) add(ctx context.Context, n int, line []byte) error {
	if len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	if len(s.lines) > 0 && (len(s.lines) >= s.MaxEvents || len(s.batch)+len(line) > s.MaxBytes) {
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
	s.batch = append(append(s.batch, line...), '\n')
	s.lines = append(s.lines, n)
	return nil
}

func (s *Sender) flush(ctx context.Context) error {
	if len(s.lines) == 0 {
		return nil
	}
	var r Recorded
	err := Retry(ctx, s.MaxRetry, func() error {
		var err error
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
		if s.Report != nil {
			s.Report(Refused{s.file, s.lines[n-1], f.Description})
		}
	}
	return named
}
