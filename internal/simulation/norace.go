//go:build !race

package simulation

// sameEachTime tells whether a seed always gives the same history.
const sameEachTime = true
