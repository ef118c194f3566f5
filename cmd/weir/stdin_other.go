//go:build !unix

package main

import (
	"context"
	"io"
)

// interruptible returns in: a Read that blocks cannot be ended here.
func interruptible(_ context.Context, in io.Reader) io.Reader { return in }
