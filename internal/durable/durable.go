// Package durable writes files that survive a power cut. A file is written under a temporary name and synced, is
// renamed, and then its folder is synced. So after a crash at any instant there is the old file or the whole new one,
// and perhaps a temporary file beside it. A file for which a call returned nil stays.
package durable

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Replace writes a file that only its owner may read. It replaces an existing file.
func Replace(name string, data []byte) error {
	return put(system{}, name, 0o600, writer(data), system{}.rename)
}

// Create is Replace for a file that does not exist yet. If the name exists, it returns fs.ErrExist (wrapped).
func Create(name string, data []byte) error {
	return put(system{}, name, 0o600, writer(data), system{}.link)
}

// ReplaceFrom is Replace for a file with other permissions (before the umask), whose content write writes. If write
// fails, nothing changes.
func ReplaceFrom(name string, mode fs.FileMode, write func(io.Writer) error) error {
	return put(system{}, name, mode, write, system{}.rename)
}

// CreateFrom is ReplaceFrom for a file that does not exist yet. If the name exists, it returns fs.ErrExist (wrapped).
// On a file system without links, a file that is made under the name meanwhile is replaced.
func CreateFrom(name string, mode fs.FileMode, write func(io.Writer) error) error {
	return put(system{}, name, mode, write, linkOrRename)
}

func linkOrRename(from, to string) error {
	err := system{}.link(from, to)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, statErr := os.Lstat(to); !errors.Is(statErr, fs.ErrNotExist) {
		return errors.Join(err, statErr)
	}
	return system{}.rename(from, to)
}

// WriteNew creates a file that only its owner may read, and syncs it, but not its folder, so its name is not durable
// yet. A failed call may leave a part of the file. If the name exists, WriteNew returns fs.ErrExist (wrapped).
func WriteNew(name string, data []byte) error {
	return writeNew(system{}, name, 0o600, writer(data))
}

// SyncFolder makes the names in a folder durable.
func SyncFolder(name string) error { return system{}.syncFolder(name) }

func writer(data []byte) func(io.Writer) error {
	return func(w io.Writer) error { _, err := w.Write(data); return err }
}

// calls are the system calls that change files, so that a test can record them.
type calls interface {
	create(name string, mode fs.FileMode) (file, error) // fails if the name exists
	link(from, to string) error                         // fails if the name exists
	rename(from, to string) error
	remove(name string) error
	syncFolder(name string) error
}

type file interface {
	io.WriteCloser
	Sync() error
}

// put writes a file under a temporary name in the same folder, and gives it its name with place.
func put(s calls, name string, mode fs.FileMode, write func(io.Writer) error, place func(from, to string) error) error {
	folder, base := filepath.Split(name)
	temporary := filepath.Join(folder, "."+strings.TrimPrefix(base, ".")+"."+rand.Text()+".tmp")
	err := writeNew(s, temporary, mode, write)
	if err == nil {
		err = place(temporary, name)
	}
	if removeErr := s.remove(temporary); err == nil && !errors.Is(removeErr, fs.ErrNotExist) {
		err = removeErr // after a rename there is nothing to remove
	}
	if err == nil {
		err = s.syncFolder(filepath.Dir(name))
	}
	return err
}

func writeNew(s calls, name string, mode fs.FileMode, write func(io.Writer) error) error {
	f, err := s.create(name, mode)
	if err != nil {
		return err
	}
	if err = write(f); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// system is the operating system.
type system struct{}

func (system) create(name string, mode fs.FileMode) (file, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
}

func (system) link(from, to string) error   { return os.Link(from, to) }
func (system) rename(from, to string) error { return os.Rename(from, to) }
func (system) remove(name string) error     { return os.Remove(name) }

func (system) syncFolder(name string) error { return syncFolder(name) }
