//go:build !linux

package syslog

import "net"

// unacknowledged returns 0: this system does not tell.
func unacknowledged(net.Conn) (int, error) { return 0, nil }
