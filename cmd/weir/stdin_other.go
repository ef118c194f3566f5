//go:build !unix

package main

import (
	"context"
	"io"
)

// interruptible returns in, since a blocked Read cannot be ended here.
func interruptible(_ context.Context, in io.Reader) io.Reader { return in }
