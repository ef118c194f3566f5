package collect

import (
	"context"
	"errors"
	"testing"
)

// One at a time of the rounds that share a disk holds more than windowBytes or windowLines.
func TestOneLargeWindowAtATime(t *testing.T) {
	turns := make(chan struct{}, 1)
	line := append(make([]byte, 1<<20-1), '\n')
	fill := func(s *spool, bytes int) (err error) {
		for ; bytes > 0 && err == nil; bytes -= len(line) {
			_, err = s.Write(line)
		}
		return err
	}
	first := newSpool(t.Context(), true, turns)
	if err := fill(first, windowBytes+1); err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	second := newSpool(ended, true, turns)
	here := new(spoolError)
	if err := fill(second, windowBytes); err != nil {
		t.Fatal(err)
	}
	if err := fill(second, 1); !errors.As(err, &here) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := second.close(); err != nil {
		t.Fatal(err)
	}
	if err := first.close(); err != nil {
		t.Fatal(err)
	}
	third := newSpool(t.Context(), true, turns)
	if err := fill(third, windowBytes+1); err != nil {
		t.Error(err)
	}
	if err := third.close(); err != nil || len(turns) != 0 {
		t.Errorf("%v, %d turns are taken", err, len(turns))
	}
}
