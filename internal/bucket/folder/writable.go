package folder

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"time"

	"github.com/weirlog/weir/internal/bucket/trial"
)

const (
	trialEvery = 3 * time.Second // how long the result of a trial is valid
	trialLeast = 64 << 10        // minimum size of the file of a trial, in bytes
	trialMost  = 16 << 20
)

// Writable implements bucket.Prober. It makes and removes a file as large as the last one that the disk refused, within
// bounds.
func (b *Bucket) Writable(ctx context.Context) error {
	if err := b.trial.Ask(ctx); err != nil {
		return fmt.Errorf("the disk of the bucket: %w", err)
	}
	return nil
}

func (b *Bucket) newTrial() *trial.Trial {
	return trial.New(trial.Options{Every: trialEvery, Least: trialLeast, Most: trialMost, Write: func(size int) error {
		name := filepath.Join(b.root, tmpFolder, rand.Text())
		defer b.disk.remove(name)
		return b.disk.writeFile(name, make([]byte, size))
	}})
}
