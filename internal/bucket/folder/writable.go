package folder

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// trial is what is known of whether the disk takes files.
type trial struct {
	refused atomic.Int64 // size of the largest file that the disk refused since it took one as large; 0 if there is none

	mu  sync.Mutex // held while a trial is under way
	at  time.Time  // of the last one
	err error      // what became of it
}

const (
	trialEvery = time.Second // how long the result of a trial is believed
	trialLeast = 64 << 10    // size in bytes of the file that is tried
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
// removes it: a disk may be too full for a batch of events and have room for a few bytes.
func (b *Bucket) Writable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t := &b.trial
	if !t.mu.TryLock() {
		return errors.New("the disk has not ended a write yet")
	}
	defer t.mu.Unlock()
	if time.Since(t.at) < trialEvery {
		return t.err
	}
	size := min(max(trialLeast, t.refused.Load()), trialMost)
	name := filepath.Join(b.root, tmpFolder, rand.Text())
	err := b.disk.writeFile(name, make([]byte, size))
	b.disk.remove(name)
	if err != nil {
		err = fmt.Errorf("the disk of the bucket takes no file of %d bytes: %w", size, err)
	} else {
		t.refused.Store(0)
	}
	t.at, t.err = time.Now(), err
	return err
}
