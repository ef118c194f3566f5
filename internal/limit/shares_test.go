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
			release, err := s.Take(t.Context(), 1, "greedy")
			if err != nil {
				t.Fatal(err)
			}
			greedy = append(greedy, release)
		}
		var wg sync.WaitGroup
		for range 2 { // wait for these two, not for a third slot
			wg.Go(func() {
				release, err := s.Take(t.Context(), 1, "greedy")
				if err != nil {
					t.Error(err)
					return
				}
				release()
			})
		}
		synctest.Wait()
		if _, err := s.Take(t.Context(), 1, "greedy"); !errors.Is(err, ErrBusy) {
			t.Errorf("a fifth: %v, want ErrBusy", err)
		}
		release, err := s.Take(t.Context(), 1, "other")
		if err != nil {
			t.Fatal(err)
		}
		full, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Take(full, 1, "third"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while all are taken: %v, want the context's error", err)
		}
		release()
		for _, release := range greedy {
			release()
		}
		wg.Wait()
		if free := free(s); len(s.byKey) != 0 || free != 3 {
			t.Errorf("%d keys are left, and %d of 3 shares are free", len(s.byKey), free)
		}
	})
}

// A caller that does not wait is refused at once, whether the key or others have taken the shares.
func TestTryTakeRefusesAtOnce(t *testing.T) {
	s := NewShares[string](2, 5, 1)
	first, err := s.TryTake(1, "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.TryTake(1, "a"); !errors.Is(err, ErrBusy) {
		t.Errorf("one more under a key: %v", err)
	}
	if _, err := s.TryTake(1, "b"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.TryTake(1, "c"); !errors.Is(err, ErrBusy) {
		t.Errorf("one more in all: %v", err)
	}
	first()
	if _, err := s.TryTake(1, "c"); err != nil {
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
			if _, err := s.Take(t.Context(), 1, key, "one"); err != nil {
				t.Fatal(err)
			}
		}
		full, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Take(full, 1, "d", "one"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a fourth key: %v, want the context's error", err)
		}
		if _, err := s.TryTake(1, "e", "one"); !errors.Is(err, ErrBusy) {
			t.Errorf("a fifth key: %v, want ErrBusy", err)
		}
		if free := free(s); len(s.byKey) != 4 || free != 1 {
			t.Errorf("%d keys are kept, and %d is free, want 4 and 1", len(s.byKey), free)
		}
		release, err := s.TryTake(1, "one", "a") // The same words at other levels are other keys.
		if err != nil {
			t.Fatal(err)
		}
		release()
		if free := free(s); len(s.byKey) != 4 || free != 1 {
			t.Errorf("afterwards %d keys are kept, and %d is free, want 4 and 1", len(s.byKey), free)
		}
	})
}

// free returns how much may be taken now.
func free(s *Shares[string]) (n int64) {
	for s.all.TryAcquire(n + 1) {
		s.all.Release(n + 1)
		n++
	}
	return n
}
