// Package filelock makes sure that one process at a time uses a folder.
package filelock

import "errors"

// ErrLocked is returned (wrapped) by Acquire for a lock that another process, or another user in this process, holds.
var ErrLocked = errors.New("the folder is in use by another process")
