package trial

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

var errFull = errors.New("full")

// storage takes objects up to a size, and counts the trials.
type storage struct{ room, tried int }

func (s *storage) write(size int) error {
	s.tried++
	if size > s.room {
		return errFull
	}
	return nil
}

// A recently stored object shows that the storage takes objects, until it refuses one. Then a trial of that size shows
// when it takes objects again.
func TestTrialsAreMadeWhereNothingElseTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &storage{room: 1000}
		p := New(Options{Write: s.write, Every: 3 * time.Second, Quiet: time.Minute, Least: 10, Most: 500})
		ask := func(want error, tried int) {
			t.Helper()
			if err := p.Ask(t.Context()); !errors.Is(err, want) || s.tried != tried {
				t.Errorf("%v after %d trials; want %v after %d", err, s.tried, want, tried)
			}
		}
		ask(nil, 1)
		time.Sleep(59 * time.Second)
		ask(nil, 1)
		p.Noted(20, nil)
		time.Sleep(59 * time.Second)
		ask(nil, 1)
		time.Sleep(time.Second)
		ask(nil, 2)
		s.room = 100
		p.Noted(200, errFull)
		ask(nil, 2) // the recent result
		time.Sleep(3 * time.Second)
		ask(errFull, 3)
		p.Noted(50, nil) // smaller objects are still taken
		time.Sleep(3 * time.Second)
		ask(errFull, 4)
		p.Noted(2000, errFull) // of which at most 500 bytes are tried
		s.room = 500
		time.Sleep(3 * time.Second)
		ask(nil, 5)
		time.Sleep(30 * time.Second)
		ask(nil, 5)
		s.room = 0
		time.Sleep(time.Minute)
		ask(errFull, 6)
		time.Sleep(time.Second)
		ask(errFull, 6)
		s.room = 10
		time.Sleep(2 * time.Second)
		ask(nil, 7)
		s.room = 0
		p.Noted(0, errFull)
		time.Sleep(3 * time.Second)
		ask(errFull, 8)
	})
}

// Callers share a write that hangs, and wait no longer than their contexts allow.
func TestCallersShareAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, release := 0, make(chan struct{})
		p := New(Options{Every: time.Second, Least: 1, Most: 1, Write: func(int) error {
			began++
			<-release
			return nil
		}})
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if err := p.Ask(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			cancel()
		}
		ended := make(chan struct{})
		go func() { p.Wait(); close(ended) }()
		synctest.Wait()
		select {
		case <-ended:
			t.Error("it did not wait")
		default:
		}
		close(release)
		<-ended
		if err := p.Ask(t.Context()); err != nil || began != 1 {
			t.Errorf("%v, %d writes", err, began)
		}
	})
}
