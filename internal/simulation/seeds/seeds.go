// Package seeds defines the flags that select the histories of simulations. Only tests of packages that simulate have
// the flags: "go test ./internal/node -run TestSimulation -sim.seeds=N".
package seeds

import (
	"flag"
	"testing"
)

var (
	count = flag.Uint64("sim.seeds", 20, "how many histories each simulation plays; with -short at most 4")
	from  = flag.Uint64("sim.from", 1, "seed of the first history")
	only  = flag.Uint64("sim.seed", 0, "play the history of this seed only; with -v print its steps")
)

// First returns the seed of the first history to play.
func First() uint64 {
	if *only > 0 {
		return *only
	}
	return *from
}

// Last returns the seed of the last history to play. It is at least First.
func Last() uint64 {
	if *only > 0 {
		return *only
	}
	n := max(*count, 1)
	if testing.Short() {
		n = min(n, 4)
	}
	return *from + n - 1
}
