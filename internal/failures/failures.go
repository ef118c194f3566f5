// Package failures makes one short error of many, as when the bucket is away and everything fails, and has a log tell a
// failure once that lasts.
package failures

import "fmt"

// Brief keeps the first of many errors, and counts the others. The zero Brief has none.
type Brief struct {
	first error
	more  int
}

// Add adds an error. It does nothing if err is nil.
func (b *Brief) Add(err error) {
	switch {
	case err == nil:
	case b.first == nil:
		b.first = err
	default:
		b.more++
	}
}

// Err returns an error that wraps the first and says how many others there are; nil if there is none.
func (b *Brief) Err() error {
	if b.more > 0 {
		return fmt.Errorf("%w (and %d more errors)", b.first, b.more)
	}
	return b.first
}
