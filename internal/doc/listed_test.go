package doc

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlog/weir/internal/bucket/bucketest"
)

// However often it is asked, for whatever, Listed makes one listing in a while, and then knows what others have
// created.
func TestListedCostsOneListing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := bucketest.NewAnyKeys()
		lists, gets, fails := 0, 0, false
		b := &bucketest.Faulty{Bucket: memory, Before: func(_ context.Context, op bucketest.Op, _ string) error {
			switch {
			case op == bucketest.List && fails:
				return fmt.Errorf("no listing")
			case op == bucketest.List:
				lists++
			default:
				gets++
			}
			return nil
		}}
		other, c := NewCache[int](memory, "things/", 10), NewCache[int](b, "things/", 10)
		create := func(id string) {
			if err := other.Create(t.Context(), id, 1); err != nil {
				t.Fatal(err)
			}
		}
		create("a")
		for i := range 1000 {
			if !c.Listed(t.Context(), "a") || c.Listed(t.Context(), fmt.Sprint("made-up-", i)) {
				t.Fatal("it does not know what is there")
			}
		}
		create("b")
		time.Sleep(ListEvery)
		if !c.Listed(t.Context(), "b") {
			t.Error("it misses what is new for longer than it says")
		}
		fails = true
		time.Sleep(ListEvery)
		if !c.Listed(t.Context(), "a") || !c.Listed(t.Context(), "b") {
			t.Error("it forgets all if a listing fails")
		}
		if lists != 2 || gets != 0 {
			t.Errorf("%d listings, %d other calls", lists, gets)
		}
	})
}
