package limit

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestSharesOfOneKeyLeaveRoomForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewShares[string](3, 2, 2)
		var greedy []func()
		for range 2 {
			release, err := s.Take(t.Context(), "greedy")
			if err != nil {
				t.Fatal(err)
			}
			greedy = append(greedy, release)
		}
		var wg sync.WaitGroup
		for range 2 { // wait for these two, not for a third slot
			wg.Go(func() {
				release, err := s.Take(t.Context(), "greedy")
				if err != nil {
					t.Error(err)
					return
				}
				release()
			})
		}
		synctest.Wait()
		if _, err := s.Take(t.Context(), "greedy"); !errors.Is(err, ErrBusy) {
			t.Errorf("a fifth: %v, want ErrBusy", err)
		}
		release, err := s.Take(t.Context(), "other")
		if err != nil {
			t.Fatal(err)
		}
		full, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Take(full, "third"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while all are taken: %v, want the context's error", err)
		}
		release()
		for _, release := range greedy {
			release()
		}
		wg.Wait()
		if len(s.byKey) != 0 || len(s.all) != 0 {
			t.Errorf("%d keys and %d shares are left", len(s.byKey), len(s.all))
		}
	})
}

// A caller that does not wait is refused at once, whether the key or others have taken the shares.
func TestTryTakeRefusesAtOnce(t *testing.T) {
	s := NewShares[string](2, 5, 1)
	first, err := s.TryTake("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.TryTake("a"); !errors.Is(err, ErrBusy) {
		t.Errorf("one more under a key: %v", err)
	}
	if _, err := s.TryTake("b"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.TryTake("c"); !errors.Is(err, ErrBusy) {
		t.Errorf("one more in all: %v", err)
	}
	first()
	if _, err := s.TryTake("c"); err != nil {
		t.Errorf("when there is room: %v", err)
	}
	if len(s.byKey) != 2 {
		t.Errorf("%d keys are kept of two that have a share", len(s.byKey))
	}
}

// Keys that are together one at a wider level have a bound there too, whether callers wait or not; what is given up
// leaves nothing behind.
func TestManyKeysOfOneLeaveRoomForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewShares[string](4, 5, 1, 3)
		for _, key := range []string{"a", "b", "c"} {
			if _, err := s.Take(t.Context(), key, "one"); err != nil {
				t.Fatal(err)
			}
		}
		full, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Take(full, "d", "one"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a fourth key: %v, want the context's error", err)
		}
		if _, err := s.TryTake("e", "one"); !errors.Is(err, ErrBusy) {
			t.Errorf("a fifth key: %v, want ErrBusy", err)
		}
		if len(s.byKey) != 4 || len(s.all) != 3 {
			t.Errorf("%d keys and %d shares are kept, want 4 and 3", len(s.byKey), len(s.all))
		}
		release, err := s.TryTake("one", "a") // The same words at other levels are other keys.
		if err != nil {
			t.Fatal(err)
		}
		release()
		if len(s.byKey) != 4 || len(s.all) != 3 {
			t.Errorf("afterwards %d keys and %d shares are kept, want 4 and 3", len(s.byKey), len(s.all))
		}
	})
}
