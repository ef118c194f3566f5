//go:build race

package query

// countAllocations is false because the race detector makes a sync.Pool forget at random what it holds.
const countAllocations = false
