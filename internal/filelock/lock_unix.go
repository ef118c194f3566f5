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
		err = fmt.Errorf("%w (%s); stop it first, or give each its own folder", ErrLocked, strings.TrimSpace(string(holder[:n])))
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
