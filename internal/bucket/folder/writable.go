package folder

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// trial is what is known of whether the disk takes files.
type trial struct {
	// size of the largest file that the disk refused since it took one as large; 0 if there is none
	refused atomic.Int64

	mu    sync.Mutex
	ended chan struct{} // closed when the trial that is under way ends; nil if none is
	at    time.Time     // when the last one ended
	err   error         // what became of it
}

const (
	trialEvery = 3 * time.Second // how long the result of a trial is believed
	trialLeast = 64 << 10        // size in bytes of the file that is tried
	trialMost  = 16 << 20
)

// noted keeps the outcome of writing a file of a size.
func (t *trial) noted(size int, err error) {
	known := t.refused.Load()
	switch {
	case err != nil && int64(size) > known:
		t.refused.CompareAndSwap(known, max(1, int64(size)))
	case err == nil && known > 0 && int64(size) >= known:
		t.refused.CompareAndSwap(known, 0)
	}
}

// Writable implements bucket.Prober. It makes a file as large as the last one that the disk refused, within bounds, and
// removes it: a disk may be too full for a batch of events and have room for a few bytes. Callers share a trial. One
// whose context ends before the trial does is told so: a disk that hangs takes no files either.
func (b *Bucket) Writable(ctx context.Context) error {
	ended, err := b.tried()
	if ended == nil {
		return err
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("the disk of the bucket has not ended a write yet: %w", ctx.Err())
	case <-ended:
	}
	b.trial.mu.Lock()
	defer b.trial.mu.Unlock()
	return b.trial.err
}

// tried returns what the last trial found, if that is fresh. If not, it returns what is closed when the trial that is
// under way ends. It starts one if there is none.
func (b *Bucket) tried() (ended <-chan struct{}, err error) {
	t := &b.trial
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended == nil {
		if time.Since(t.at) < trialEvery {
			return nil, t.err
		}
		t.ended = make(chan struct{})
		go b.try(t.ended)
	}
	return t.ended, nil
}

// try makes a file, removes it, and keeps what became of that. Close waits for it.
func (b *Bucket) try(ended chan<- struct{}) {
	t := &b.trial
	size := min(max(trialLeast, t.refused.Load()), trialMost)
	name := filepath.Join(b.root, tmpFolder, rand.Text())
	err := b.disk.writeFile(name, make([]byte, size))
	b.disk.remove(name)
	if err != nil {
		err = fmt.Errorf("the disk of the bucket takes no file of %d bytes: %w", size, err)
	} else {
		t.refused.Store(0)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at, t.err, t.ended = time.Now(), err, nil
	close(ended)
}

// wait waits until no trial is under way.
func (t *trial) wait() {
	t.mu.Lock()
	ended := t.ended
	t.mu.Unlock()
	if ended != nil {
		<-ended
	}
}
