//go:build race

package simulation

// sameEachTime is false because the race detector makes the runtime run goroutines in random order.
const sameEachTime = false
