package simulation

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
)

// counter is a number in the bucket that processes increment. It counts how often they were told that they succeeded.
type counter struct {
	world *World
	told  int
	mu    sync.Mutex
	left  int
}

// versions increments by creating the next version, as documents do.
func versions(ctx context.Context, p *Process) error {
	n := 0
	for _, err := range p.List(ctx, "n/", "") {
		if err != nil {
			return err
		}
		n++
	}
	return p.PutNew(ctx, fmt.Sprintf("n/%06d", n+1), []byte(p.name))
}

// replacing increments by reading and replacing, which is wrong.
func replacing(ctx context.Context, p *Process) error {
	data, err := bucket.Read(ctx, p, "n", bucket.Range{})
	if err != nil && !errors.Is(err, bucket.ErrNotExist) {
		return err
	}
	return p.Put(ctx, "n", append(data, '.'))
}

func (c *counter) run(i int, count func(context.Context, *Process) error) {
	for life := range 3 {
		p := c.world.Process(fmt.Sprintf("p%d.%d", i, life))
		for range 10 {
			if count(context.Background(), p) == nil && !p.Dead() {
				c.mu.Lock()
				c.told++
				c.mu.Unlock()
			}
		}
	}
	c.mu.Lock()
	c.left--
	c.mu.Unlock()
}

// check returns an error if the number is lower than the number of successes.
func (c *counter) check(bucketest.Op, string) error {
	n := 0
	for info := range c.world.Bucket.List(context.Background(), "n", "") {
		if n++; info.Key == "n" {
			size, err := info.Size()
			if err != nil {
				return err
			}
			n = int(size)
		}
	}
	if n < c.told {
		return fmt.Errorf("counted %d, told %d", n, c.told)
	}
	return nil
}

func playCounter(w *World, count func(context.Context, *Process) error) error {
	w.Bucket.AllowAnyKeys()
	w.Faults = w.Vary(Faults{Before: 20, After: 20, Late: 20, Twice: 20, Slow: 20, Cut: 20, Death: 50, Pause: 30,
		Storm: 100}, "n")
	c := &counter{world: w, left: 3}
	w.Check = c.check
	var work sync.WaitGroup
	for i := range 3 {
		work.Go(func() { c.run(i, count) })
	}
	err := w.Play(func() bool { return c.left == 0 })
	w.End()
	work.Wait()
	return err
}

// A correct program stays correct in every history, and each seed has one history.
func TestCorrectProgramPassesEveryHistory(t *testing.T) {
	Run(t, func(t *testing.T, w *World) {
		if err := playCounter(w, versions); err != nil {
			t.Error(err)
		}
	})
}

// A wrong program is found.
func TestWrongProgramIsFound(t *testing.T) {
	found := 0
	for seed := range uint64(20) {
		play(t, seed+1, func(t *testing.T, w *World) {
			if playCounter(w, replacing) != nil {
				found++
			}
		})
	}
	if found == 0 {
		t.Error("20 histories of a protocol that loses updates, and none lost one")
	}
}
