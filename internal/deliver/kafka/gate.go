package kafka

import (
	"errors"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// gate keeps a producer from writing messages before it has all of a batch. The zero gate lets everything pass.
type gate struct {
	mu     sync.Mutex
	left   int           // records that are not yet in a partition's queue
	full   chan struct{} // closed once there is none left
	opened chan struct{} // closed once messages may be written, or never will be
	failed bool          // They never will be.
}

// shut shuts the gate for a batch of so many records. It is open.
func (g *gate) shut(records int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.left, g.full, g.opened, g.failed = records, make(chan struct{}), make(chan struct{}), false
}

// open lets messages pass.
func (g *gate) open() { g.end(false) }

// fail fails the writes that wait at the gate, and later ones. A producer that ends waits for its writes.
func (g *gate) fail() { g.end(true) }

func (g *gate) end(failed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened != nil {
		g.failed = failed
		close(g.opened)
		g.opened = nil
	}
}

// OnProduceRecordPartitioned is called by the producer when a record is in the queue of its partition.
func (g *gate) OnProduceRecordPartitioned(*kgo.Record, int32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.left--; g.left == 0 {
		close(g.full)
	}
}

// errNotSent is the error of messages of a batch that was given up.
var errNotSent = errors.New("the batch was given up before it was sent")

// pass waits until the gate is open. It returns an error if it never will be.
func (g *gate) pass() error {
	g.mu.Lock()
	opened := g.opened
	g.mu.Unlock()
	if opened != nil {
		<-opened
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failed {
		return errNotSent
	}
	return nil
}
