package kafka

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// gate keeps a producer from writing messages before it has all of a batch. The zero gate lets everything pass.
type gate struct {
	mu     sync.Mutex
	left   int           // records that are not yet in a partition's queue
	full   chan struct{} // closed once there is none left
	opened chan struct{} // closed once messages may be written
}

// shut shuts the gate for a batch of so many records. It is open.
func (g *gate) shut(records int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.left, g.full, g.opened = records, make(chan struct{}), make(chan struct{})
}

// open opens the gate, if it is shut.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened != nil {
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

// pass waits until the gate is open.
func (g *gate) pass() {
	g.mu.Lock()
	opened := g.opened
	g.mu.Unlock()
	if opened != nil {
		<-opened
	}
}
