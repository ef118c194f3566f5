package s3

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/weirlog/weir/internal/bucket/trial"
)

const (
	trialEvery  = 3 * time.Second // how long the result of a trial is believed
	trialQuiet  = time.Minute     // how long it is believed that the store takes objects, since it took the last one
	trialWithin = 30 * time.Second
	trialLeast  = 64 << 10 // size in bytes of the object that is tried
	trialMost   = 1 << 20
)

// Writable implements bucket.Prober. A trial is made only if the store refused the last object, or none was stored for
// a minute: each costs a request to pay for. It puts an object as large as the last one that was refused, within
// bounds, and deletes it.
func (b *Bucket) Writable(ctx context.Context) error {
	if err := b.trial.Ask(ctx); err != nil {
		return fmt.Errorf("the store of the bucket: %w", err)
	}
	return nil
}

// newTrial returns a trial that uses one key, so that a process leaves at most one object if it cannot delete it. Stop
// ends a put that is under way.
func (b *Bucket) newTrial() (_ *trial.Trial, stop context.CancelFunc) {
	key := "probe/" + rand.Text()
	open, stop := context.WithCancel(context.Background())
	return trial.New(trial.Options{Every: trialEvery, Quiet: trialQuiet, Least: trialLeast, Most: trialMost,
		Write: func(size int) error {
			ctx, cancel := context.WithTimeout(open, trialWithin)
			defer cancel()
			err := b.putOnce(ctx, key, make([]byte, size), minio.PutObjectOptions{})
			b.Delete(ctx, key) // A store that takes objects is good enough for this.
			if err != nil {
				return b.explain(err)
			}
			return nil
		}}), stop
}

// noted keeps the outcome of a put for Writable, and returns it. What the caller gave up tells nothing of the store.
func (b *Bucket) noted(ctx context.Context, size int, err error) error {
	if err == nil || ctx.Err() == nil {
		b.trial.Noted(size, err)
	}
	return err
}
