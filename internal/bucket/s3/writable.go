package s3

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/weirlog/weir/internal/bucket/layout"
	"github.com/weirlog/weir/internal/bucket/trial"
)

const (
	trialEvery  = 3 * time.Second // how long the result of a trial is valid
	trialQuiet  = time.Minute     // how long a stored object shows that the storage takes objects
	trialWithin = 30 * time.Second
	trialLeast  = 64 << 10 // minimum size of the object of a trial, in bytes
	trialMost   = 1 << 20
)

// Writable implements bucket.Prober. It makes a trial only if the storage refused the last object, or if none was
// stored for a minute, since each trial costs a request. The trial puts and deletes an object as large as the last one
// that was refused, within bounds.
func (b *Bucket) Writable(ctx context.Context) error {
	if err := b.trial.Ask(ctx); err != nil {
		return fmt.Errorf("the store of the bucket: %w", err)
	}
	return nil
}

// newTrial returns a trial that uses a single key, so that a process leaves at most one object if it cannot delete it.
// stop ends a running put.
func (b *Bucket) newTrial() (_ *trial.Trial, stop context.CancelFunc) {
	key := layout.Probe.Prefix() + rand.Text()
	open, stop := context.WithCancel(context.Background())
	return trial.New(trial.Options{Every: trialEvery, Quiet: trialQuiet, Least: trialLeast, Most: trialMost,
		Write: func(size int) error {
			ctx, cancel := context.WithTimeout(open, trialWithin)
			defer cancel()
			err := b.putOnce(ctx, key, make([]byte, size), minio.PutObjectOptions{})
			b.Delete(ctx, key) // A storage that takes objects but does not delete this one counts as writable.
			if err != nil {
				return b.explain(err)
			}
			return nil
		}}), stop
}

// noted records the outcome of a put for Writable, and returns err. A call that the caller cancelled does not count.
func (b *Bucket) noted(ctx context.Context, size int, err error) error {
	if err == nil || ctx.Err() == nil {
		b.trial.Noted(size, err)
	}
	return err
}
