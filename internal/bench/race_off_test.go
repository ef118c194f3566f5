//go:build !race

package main

// countAllocations tells whether what is allocated means anything.
const countAllocations = true
