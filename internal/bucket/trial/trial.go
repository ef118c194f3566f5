// Package trial finds out whether a storage takes objects now. Its callers share trial writes.
package trial

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a Trial.
type Options struct {
	// Write stores size bytes, and removes them. Its error says why the storage did not take them. At most one call
	// runs at a time.
	Write func(size int) error

	Every time.Duration // how long the result of a trial write is valid
	Quiet time.Duration // how long a successful write of others shows that the storage takes objects; 0 if it does not
	Least int           // minimum size of a trial write, in bytes
	Most  int           // maximum size of a trial write, in bytes
}

// Trial records whether a storage takes objects. It may be used concurrently.
type Trial struct {
	Options

	refused atomic.Int64 // size of the largest object that was refused since one as large was taken; 0 if none
	taken   atomic.Int64 // when an object was last taken, in nanoseconds since 1970

	mu    sync.Mutex
	ended chan struct{} // closed when the running write ends; nil if none runs
	at    time.Time     // when the last write ended
	err   error         // result of the last write
}

// New returns a Trial without any result.
func New(o Options) *Trial { return &Trial{Options: o} }

// Noted records the outcome of storing an object of a size in bytes.
func (t *Trial) Noted(size int, err error) {
	known, of := t.refused.Load(), max(1, int64(size)) // a refused object of no bytes counts too
	switch {
	case err != nil && of > known:
		t.refused.CompareAndSwap(known, of)
	case err == nil && of >= known:
		t.refused.CompareAndSwap(known, 0)
	}
	if err == nil {
		t.taken.Store(time.Now().UnixNano())
	}
}

// Ask returns nil if the storage takes objects, and otherwise the reason. It writes as many bytes as were last refused,
// within bounds, because a storage may have room for a few bytes but not for a batch of events. Callers share a write.
// If the context ends before the write does, Ask returns an error, since a storage that hangs takes no objects.
func (t *Trial) Ask(ctx context.Context) error {
	if t.refused.Load() == 0 && time.Since(time.Unix(0, t.taken.Load())) < t.Quiet {
		return nil
	}
	ended, err := t.start()
	if ended == nil {
		return err
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("it has not ended a write yet: %w", ctx.Err())
	case <-ended:
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// start returns the result of the last write if it is recent. Otherwise it returns a channel that is closed when the
// running write ends. If none runs, it starts one.
func (t *Trial) start() (ended <-chan struct{}, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended == nil {
		if time.Since(t.at) < t.Every {
			return nil, t.err
		}
		t.ended = make(chan struct{})
		go t.run(t.ended)
	}
	return t.ended, nil
}

func (t *Trial) run(ended chan<- struct{}) {
	size := int(min(max(int64(t.Least), t.refused.Load()), int64(t.Most)))
	err := t.Write(size)
	if err == nil {
		t.refused.Store(0)
		t.taken.Store(time.Now().UnixNano())
	} else {
		t.Noted(size, err)
		err = fmt.Errorf("it cannot store %d bytes: %w", size, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at, t.err, t.ended = time.Now(), err, nil
	close(ended)
}

// Forget makes the next Ask write again.
func (t *Trial) Forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at = time.Time{}
	t.taken.Store(0)
}

// Wait waits until no write is running.
func (t *Trial) Wait() {
	t.mu.Lock()
	ended := t.ended
	t.mu.Unlock()
	if ended != nil {
		<-ended
	}
}
