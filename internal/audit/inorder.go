package audit

import (
	"context"
	"sync"
)

// inOrder runs work concurrently, and the steps after it in the order in which they were given.
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

// do runs work, if it is not nil, and then the step after it, when all earlier steps are done.
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

// wait returns when all work and steps are done. It may be called again.
func (o *inOrder) wait() {
	if o.pending != nil {
		close(o.pending)
		o.done.Wait()
		o.pending = nil
	}
}
