//go:build !race

package query

// countAllocations tells whether what is allocated means anything.
const countAllocations = true
