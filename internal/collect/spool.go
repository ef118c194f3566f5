package collect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// Bounds on the lines that are taken at a time.
const (
	spoolMemory = 256 << 10 // bytes that stay in memory

	windowBytes = 64 << 20 // of the lines of a window
	windowLines = 250_000

	secondBytes = 4 << 30 // of the shortest window, which cannot be shorter
	secondLines = 2_000_000
)

// spool holds the lines of a window until it is known that they are all: in memory, or in a file that has no name.
type spool struct {
	bytes, lines         int64
	mostBytes, mostLines int64

	memory bytes.Buffer
	file   *os.File

	ctx   context.Context // of the round
	turns chan struct{}   // see Round.Large
	large bool            // It has its turn.
}

func newSpool(ctx context.Context, shortest bool, turns chan struct{}) *spool {
	if shortest {
		return &spool{mostBytes: secondBytes, mostLines: secondLines, ctx: ctx, turns: turns}
	}
	return &spool{mostBytes: windowBytes, mostLines: windowLines}
}

// takeTurn waits until the spool may hold more than windowBytes and windowLines.
func (s *spool) takeTurn() error {
	if s.large || s.turns == nil {
		return nil
	}
	select {
	case s.turns <- struct{}{}:
		s.large = true
		return nil
	case <-s.ctx.Done():
		return &spoolError{s.ctx.Err()}
	}
}

// Write adds to the lines. Its error is ErrTooMuch, that of the file, or of a context that ended.
func (s *spool) Write(b []byte) (int, error) {
	s.bytes += int64(len(b))
	s.lines += int64(bytes.Count(b, []byte{'\n'}))
	if s.bytes > s.mostBytes || s.lines > s.mostLines {
		return 0, fmt.Errorf("%w: more than %d lines or %d bytes", ErrTooMuch, s.mostLines, s.mostBytes)
	}
	if s.bytes > windowBytes {
		if err := s.takeTurn(); err != nil {
			return 0, err
		}
	}
	if s.file == nil && s.memory.Len()+len(b) <= spoolMemory {
		return s.memory.Write(b)
	}
	if s.file == nil {
		if err := s.spill(); err != nil {
			return 0, err
		}
	}
	n, err := s.file.Write(b)
	if err != nil {
		err = &spoolError{err}
	}
	return n, err
}

// spill moves what is in memory into a file.
func (s *spool) spill() error {
	file, err := os.CreateTemp("", "weir-collect-*")
	if err == nil {
		s.file = file
		err = os.Remove(file.Name()) // Where a file in use cannot be removed, close does.
		if err != nil {
			err = nil
		}
		_, err = file.Write(s.memory.Bytes())
	}
	if err != nil {
		return &spoolError{err}
	}
	s.memory = bytes.Buffer{}
	return nil
}

// read returns a reader of all lines.
func (s *spool) read() (io.Reader, error) {
	if s.file == nil {
		return bytes.NewReader(s.memory.Bytes()), nil
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return nil, &spoolError{err}
	}
	return s.file, nil
}

func (s *spool) close() error {
	if s.large {
		defer func() { <-s.turns }()
		s.large = false
	}
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	if removed := os.Remove(s.file.Name()); removed != nil && !errors.Is(removed, os.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	return err
}

// full tells whether a window that is twice as long may be too much.
func (s *spool) full() bool { return s.bytes > s.mostBytes/4 || s.lines > s.mostLines/4 }

// spoolError is an error of the file that holds lines: one of this machine, not of the source.
type spoolError struct{ err error }

func (e *spoolError) Error() string { return "what was fetched could not be held: " + e.err.Error() }
func (e *spoolError) Unwrap() error { return e.err }
