package syslog

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// unacknowledged returns how many of the bytes that were written to a connection, its end among them, the other side's
// system has not acknowledged. The error is that of a connection that was reset, too.
func unacknowledged(c net.Conn) (n int, err error) {
	of, ok := c.(syscall.Conn)
	if !ok {
		return 0, nil
	}
	raw, err := of.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		if n, failed = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); failed != nil {
			return
		}
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if failed = err; code != 0 {
			failed = syscall.Errno(code)
		}
	})
	return n, errors.Join(err, failed)
}
