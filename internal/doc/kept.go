package doc

import (
	"context"
	"errors"
	"fmt"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/seal"
)

// Kept is a document that records progress. It changes often, and one writer at a time changes it. Only its last
// versions are kept, so a change may be lost if its writer slept. A Kept must be used by one goroutine at a time.
type Kept[T any] struct {
	Value T

	bucket  bucket.Bucket
	prefix  string
	version int64
}

// keptVersions is the number of versions that are kept, so that a reader which has listed the highest still finds it.
const keptVersions = 4

// NewKept returns the document at prefix. It must be loaded first.
func NewKept[T any](b bucket.Bucket, prefix string) *Kept[T] {
	return &Kept[T]{bucket: b, prefix: prefix}
}

// Load reads the document. If there is none, its value is the zero one. If versions of it were lost, an older one
// counts. If the newest does not verify, Load returns ErrDoesNotCount (wrapped); then its value is the zero one too,
// and Keep writes the next version.
func (k *Kept[T]) Load(ctx context.Context) error {
	var zero T
	k.Value, k.version = zero, 0
	highest, err := Highest(ctx, k.bucket, k.prefix, 0)
	if err != nil || highest == 0 {
		return err
	}
	k.version, err = Read(ctx, k.bucket, k.prefix, &k.Value)
	if errors.Is(err, seal.ErrForged) || errors.Is(err, ErrDamaged) {
		k.Value, k.version = zero, highest
		return fmt.Errorf("%w: %w", ErrDoesNotCount, err)
	}
	return err
}

// ErrDoesNotCount is returned (wrapped) if the newest version of a document was damaged, or written by somebody else.
var ErrDoesNotCount = errors.New("the document is not valid")

// Keep writes the value. It returns ErrConflict (wrapped) if another writer has written since Load, however much: this
// process may have slept while others created the next version and deleted it again. Then the version written here is
// below the highest, and does not count.
func (k *Kept[T]) Keep(ctx context.Context) error {
	if err := Write(ctx, k.bucket, k.prefix, k.version, k.Value); err != nil {
		return err
	}
	k.version++
	highest, err := Highest(ctx, k.bucket, k.prefix, k.version)
	if err != nil {
		return err
	}
	if highest > k.version {
		return fmt.Errorf("document %s, version %d: %w", k.prefix, k.version, ErrConflict)
	}
	if k.version%keptVersions != 0 {
		return nil
	}
	return Clean(ctx, k.bucket, k.prefix, k.version-keptVersions)
}

// Change loads the document, calls change with the value, and writes it. If another writer was faster, it starts again,
// so change may be called several times. An error of change ends it. After success, the value is the one stored.
func (k *Kept[T]) Change(ctx context.Context, change func(*T) error) error {
	for {
		if err := k.Load(ctx); err != nil && !errors.Is(err, ErrDoesNotCount) {
			return err
		}
		if err := change(&k.Value); err != nil {
			return err
		}
		if err := k.Keep(ctx); !errors.Is(err, ErrConflict) {
			return err
		}
	}
}
