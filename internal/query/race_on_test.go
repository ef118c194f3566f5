//go:build race

package query

// countAllocations is false because with the race detector a sync.Pool drops objects at random.
const countAllocations = false
