//go:build unix

package filelock

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// Acquire takes the lock on the file name, which it makes if it does not exist, and writes into it which process holds
// the lock. Closing releases the lock; the kernel does so when the process ends, however it ends.
func Acquire(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder := make([]byte, 32)
		n, _ := f.Read(holder)
		err = fmt.Errorf("%w (%s); stop it first, or give each its own folder", ErrLocked,
			strings.TrimSpace(string(holder[:n])))
	}
	if err == nil {
		err = current(f, name)
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = fmt.Fprintf(f, "pid %d\n", os.Getpid())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// current returns ErrLocked if name does not name the file f any more: a process that leaves an empty folder removes it
// with its lock, and a lock on a removed file keeps nobody away.
func current(f *os.File, name string) error {
	locked, err := f.Stat()
	if err != nil {
		return err
	}
	if named, err := os.Stat(name); err != nil || !os.SameFile(locked, named) {
		return fmt.Errorf("%w, which is removing it", ErrLocked)
	}
	return nil
}
