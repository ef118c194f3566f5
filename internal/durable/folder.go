//go:build !windows

package durable

import (
	"errors"
	"os"
)

// syncFolder makes durable what names the entries of a folder have.
func syncFolder(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
