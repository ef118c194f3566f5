//go:build unix

package profile

import (
	"fmt"
	"os"
	"path/filepath"
)

// isPrivate returns an error if others can read a file, write it, or put another in its place.
func isPrivate(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("not a regular file: it has mode %s", info.Mode())
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("it has secrets, and others can read or write it: it has mode %04o; run chmod 600 on it, and "+
			"make new secrets if others may have read it", mode)
	}
	folder := filepath.Dir(f.Name())
	info, err = os.Stat(folder)
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("others can replace it: its folder has mode %04o; run chmod 700 %s", mode, folder)
	}
	return nil
}
