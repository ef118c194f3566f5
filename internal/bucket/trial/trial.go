// Package trial finds out whether a storage takes objects at the moment, by a write that many callers share.
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
	// Write stores so many bytes, and removes them. Its error says why the storage did not take them. At most one call
	// runs at a time.
	Write func(size int) error

	Every time.Duration // how long the result of a write is believed
	Quiet time.Duration // how long a write of others that succeeded is believed; 0 if it is not
	Least int           // bytes that are tried
	Most  int           // bytes that are tried, at most, after the storage refused so many
}

// Trial is what is known of whether a storage takes objects. It may be used concurrently.
type Trial struct {
	Options

	refused atomic.Int64 // bytes of the largest object refused since one as large was taken; 0 if there is none
	taken   atomic.Int64 // when an object was last taken, in nanoseconds since 1970

	mu    sync.Mutex
	ended chan struct{} // closed when the write that is under way ends; nil if none is
	at    time.Time     // when the last one ended
	err   error         // what became of it
}

// New returns a Trial of a storage of which nothing is known.
func New(o Options) *Trial { return &Trial{Options: o} }

// Noted keeps the outcome of storing an object of a size in bytes.
func (t *Trial) Noted(size int, err error) {
	known, of := t.refused.Load(), max(1, int64(size)) // A refused object of no bytes is one, too.
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

// Ask returns why the storage takes no objects, and nil if it does. It writes as many bytes as were last refused, within
// bounds: a storage may be too full for a batch of events and have room for a few bytes. Callers share a write. One
// whose context ends before the write does is told so: a storage that hangs takes no objects either.
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

// start returns what the last write found, if that is fresh. If not, it returns what is closed when the write that is
// under way ends. It starts one if there is none.
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
		err = fmt.Errorf("it takes no %d bytes: %w", size, err)
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

// Wait waits until no write is under way.
func (t *Trial) Wait() {
	t.mu.Lock()
	ended := t.ended
	t.mu.Unlock()
	if ended != nil {
		<-ended
	}
}
