//go:build unix

package main

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// interruptible returns a reader of in that returns an error when ctx has ended. If in is an open file, it reads
// nothing after that, so bytes that others have written to a pipe are not lost.
func interruptible(ctx context.Context, in io.Reader) io.Reader {
	if f, ok := in.(*os.File); ok {
		return &polled{ctx, f}
	}
	return in
}

type polled struct {
	ctx  context.Context
	file *os.File
}

const pollEvery = 50 // milliseconds

func (p *polled) Read(b []byte) (int, error) {
	for p.ctx.Err() == nil {
		fds := []unix.PollFd{{Fd: int32(p.file.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, pollEvery)
		switch {
		case errors.Is(err, unix.EINTR) || err == nil && n == 0:
		case err != nil:
			return 0, err
		case p.ctx.Err() == nil:
			return p.file.Read(b)
		}
	}
	return 0, p.ctx.Err()
}
