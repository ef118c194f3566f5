//go:build !race

package simulation

// sameEachTime tells whether a history is the same each time it is played.
const sameEachTime = true
