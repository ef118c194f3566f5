//go:build !race

package query

// countAllocations tells whether allocation counts are meaningful.
const countAllocations = true
