//go:build !unix

package bucket

import (
	"errors"
	"io"
)

func lockFolder(string) (io.Closer, error) {
	return nil, errors.New("a folder as a bucket needs a Unix system: it is locked with flock")
}
