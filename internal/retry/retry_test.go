package retry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

var errBroken = errors.New("broken")

// tries runs a policy on a call that always fails. It returns the times of the tries since the first.
func tries(ctx context.Context, t *testing.T, p Policy, err error) []time.Duration {
	t.Helper()
	var all []time.Duration
	began := time.Now()
	if got := p.Do(ctx, func() error { all = append(all, time.Since(began)); return err }); got != err {
		t.Errorf("got %v, want the error of the last try", got)
	}
	return all
}

func TestPausesDoubleUpToTheLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := tries(t.Context(), t, Policy{First: time.Second, Longest: 8 * time.Second, Tries: 7}, errBroken)
		for i, average := range []time.Duration{1, 2, 4, 8, 8, 8} {
			average *= time.Second
			if pause := at[i+1] - at[i]; pause < average/2 || pause > average*3/2 {
				t.Errorf("pause %d is %v, want about %v", i+1, pause, average)
			}
		}
		if len(at) != 7 {
			t.Errorf("tried %d times", len(at))
		}
	})
}

// Callers that failed at the same time do not return at the same time.
func TestPausesDiffer(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 100 {
		seen[Policy{First: time.Second}.Pauses().Next(errBroken)] = true
	}
	if len(seen) < 50 {
		t.Errorf("100 callers pause for %d different times", len(seen))
	}
}

func TestNoTryBeginsAfterWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := tries(t.Context(), t, Policy{First: time.Second, Within: time.Minute}, errBroken)
		if last := at[len(at)-1]; last > time.Minute || len(at) < 5 {
			t.Errorf("tried at %v", at)
		}
	})
}

func TestOnlyPassingErrorsAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := Policy{First: time.Second, Tries: 3, Passing: func(err error) bool { return !errors.Is(err, errBroken) }}
		for err, want := range map[error]int{errBroken: 1, After(errBroken, time.Second): 1, errors.New("busy"): 3} {
			if at := tries(t.Context(), t, p, err); len(at) != want {
				t.Errorf("%v: tried %d times, want %d", err, len(at), want)
			}
		}
		n := 0
		if err := p.Do(t.Context(), func() error {
			if n++; n < 3 {
				return errors.New("busy")
			}
			return nil
		}); err != nil || n != 3 {
			t.Errorf("%v after %d tries", err, n)
		}
	})
}

func TestAContextThatEndsEndsAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		at := tries(ctx, t, Policy{First: time.Hour, Longest: time.Hour}, errBroken)
		if took := time.Since(began); len(at) != 1 || took != time.Second {
			t.Errorf("tried %d times, ended after %v", len(at), took)
		}
		if at := tries(ctx, t, Policy{}, errBroken); len(at) != 1 {
			t.Errorf("after the end of its context it is tried %d times", len(at))
		}
		if Wait(ctx, time.Hour) || !Wait(t.Context(), time.Hour) || time.Since(began) != time.Hour+time.Second {
			t.Errorf("waits end after %v", time.Since(began))
		}
	})
}

func TestAServerSaysHowLongToPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asks := fmt.Errorf("webhook: %w", After(errBroken, 10*time.Minute))
		at := tries(t.Context(), t, Policy{First: time.Second, Tries: 3, Within: time.Hour}, asks)
		if want := []time.Duration{0, 10 * time.Minute, 20 * time.Minute}; !slices.Equal(at, want) {
			t.Errorf("tried at %v, want %v", at, want)
		}
		at = tries(t.Context(), t, Policy{First: time.Second, Within: time.Minute}, asks)
		if len(at) != 1 {
			t.Errorf("tried at %v, though it asks for more time than there is", at)
		}
		bounded := Policy{First: time.Second, Longest: 5 * time.Second, Tries: 2}
		if at := tries(t.Context(), t, bounded, asks); at[1] != bounded.Longest {
			t.Errorf("it makes a pause %v long", at[1])
		}
		if pause := bounded.Pauses().Next(asks); pause != bounded.Longest {
			t.Errorf("it makes a pause %v long", pause)
		}
		if asks.Error() != "webhook: broken" || !errors.Is(asks, errBroken) {
			t.Errorf("got %q", asks)
		}
		if After(nil, time.Second) != nil || After(errBroken, 0) != errBroken {
			t.Error("an error is made of none, or of one that asks for nothing")
		}
	})
}

func TestPausesOfALoopAreReset(t *testing.T) {
	pauses := Policy{First: time.Second, Longest: time.Hour}.Pauses()
	for range 10 {
		pauses.Next(errBroken)
	}
	if long := pauses.Next(errBroken); long < 512*time.Second {
		t.Errorf("the eleventh pause is %v", long)
	}
	pauses.Reset()
	if short := pauses.Next(errBroken); short > 1500*time.Millisecond {
		t.Errorf("the first pause after a success is %v", short)
	}
}

func TestRetryAfterIsReadAsSecondsOrAsADate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
		for text, want := range map[string]time.Duration{"7": 7 * time.Second, "0": 0, "-1": 0, "": 0, "soon": 0,
			"99999999999": time.Hour, "99999999999999999999": 0, date(20 * time.Second): 20 * time.Second,
			date(-time.Minute): 0, date(24 * time.Hour): time.Hour} {
			if got := Asked(http.Header{"Retry-After": {text}}); got != want {
				t.Errorf("%q: %v, want %v", text, got, want)
			}
		}
	})
}
