//go:build !unix

package filelock

import (
	"errors"
	"io"
)

// Acquire fails: there is no flock.
func Acquire(string) (io.Closer, error) {
	return nil, errors.New("locking a folder needs a Unix system: it is done with flock")
}
