//go:build !unix

package profile

import (
	"fmt"
	"os"
)

// isPrivate returns an error if f is no file. The user's folder for configuration is kept from others by the system.
func isPrivate(f *os.File) error {
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("not a regular file: it has mode %s", info.Mode())
	}
	return err
}
