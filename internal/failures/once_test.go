package failures

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What fails in each pass is told once for a state, again when that changes, and once an hour.
func TestAFailureIsToldOnceForAState(t *testing.T) {
	away, full := errors.New("the bucket is away"), errors.New("the disk is full")
	for _, c := range []struct {
		name string
		of   func(pass int) error
		want int // in two hours
	}{
		{"nothing", func(int) error { return nil }, 0},
		{"the same", func(int) error { return away }, 2},
		{"another one", func(s int) error {
			if s < 100 {
				return away
			}
			return full
		}, 3},
		{"again", func(s int) error {
			if s == 100 {
				return nil
			}
			return away
		}, 3},
		{"always another one", func(s int) error { return fmt.Errorf("attempt %d", s) }, 2 * mostTimes},
		{"now and then", func(s int) error {
			if s%2 == 0 {
				return nil
			}
			return away
		}, 2 * mostTimes},
		{"after what is told", func(s int) error { return errors.New(strings.Repeat("x", mostText) + fmt.Sprint(s)) }, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var o Once
				n := 0
				for pass := range 2 * 1200 {
					if o.Tell("it", c.of(pass)) {
						n++
					}
					time.Sleep(3 * time.Second)
				}
				if n != c.want {
					t.Errorf("told %d times, want %d", n, c.want)
				}
			})
		})
	}
}

func TestFailuresOfOneThingHideNoOther(t *testing.T) {
	var o Once
	err := errors.New("it fails")
	if !o.Tell("a", err) || o.Tell("a", err) || !o.Tell("b", err) {
		t.Error("what fails is not told once for each thing")
	}
	o.Forget("a")
	if !o.Tell("a", err) || o.Tell("b", err) {
		t.Error("what is forgotten is not told, or another thing is forgotten")
	}
}

func TestNoMoreThingsAreRememberedThanFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o Once
		err := errors.New("it fails")
		o.Tell("mended", err)
		o.Tell("mended", nil)
		time.Sleep(2 * again)
		for i := range mostKept {
			if !o.Tell(fmt.Sprint(i), err) {
				t.Fatalf("thing %d is not told", i)
			}
		}
		for i := range mostKept { // The one that is mended has made room for the last one.
			if o.Tell(fmt.Sprint(i), err) {
				t.Fatalf("thing %d is told twice", i)
			}
		}
		for i := range 2 * mostKept {
			o.Tell(fmt.Sprint("more", i), err)
		}
		if len(o.told) > mostKept {
			t.Errorf("%d things are remembered", len(o.told))
		}
	})
}
