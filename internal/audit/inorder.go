package audit

import (
	"context"
	"sync"
)

// inOrder does work side by side, and what follows from it in the order in which it was given.
type inOrder struct {
	ctx     context.Context
	pending chan step
	slots   chan struct{}
	done    sync.WaitGroup
}

type step struct {
	worked chan struct{}
	then   func()
}

func newInOrder(ctx context.Context, workers int) *inOrder {
	o := &inOrder{ctx: ctx, pending: make(chan step, 4*workers), slots: make(chan struct{}, workers)}
	o.done.Go(func() {
		for s := range o.pending {
			<-s.worked
			if ctx.Err() == nil {
				s.then()
			}
		}
	})
	return o
}

// do has work done, if there is any, and then what follows, after everything that was given before.
func (o *inOrder) do(work, then func()) {
	s := step{make(chan struct{}), then}
	if work == nil {
		close(s.worked)
	} else {
		o.slots <- struct{}{}
		go func() {
			defer func() { <-o.slots; close(s.worked) }()
			work()
		}()
	}
	o.pending <- s
}

// wait returns when everything is done. It may be called again.
func (o *inOrder) wait() {
	if o.pending != nil {
		close(o.pending)
		o.done.Wait()
		o.pending = nil
	}
}
