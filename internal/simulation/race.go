//go:build race

package simulation

// sameEachTime is false because the runtime runs goroutines in a random order under the race detector.
const sameEachTime = false
