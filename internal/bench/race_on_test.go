//go:build race

package main

// countAllocations is false because the race detector makes a sync.Pool forget at random what it holds.
const countAllocations = false
