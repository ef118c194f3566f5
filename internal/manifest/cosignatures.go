package manifest

import (
	"context"
	"errors"
	"iter"

	"github.com/weirlog/weir/internal/bucket"
)

// maxCosignature is the maximum size of a cosignature in bytes. Longer objects are no cosignatures.
const maxCosignature = 16 << 10

// Cosignature is an object that is stored as a witness's signature of a checkpoint. It may be invalid.
type Cosignature struct{ Key, Line string }

// Cosignatures yields the objects stored as cosignatures of the checkpoint of a size.
func Cosignatures(ctx context.Context, b bucket.Bucket, log string, size int64) iter.Seq2[Cosignature, error] {
	return func(yield func(Cosignature, error) bool) {
		for info, err := range b.List(ctx, CosignaturesOf(log, size), "") {
			if err != nil {
				yield(Cosignature{}, err)
				return
			}
			line, err := bucket.Read(ctx, b, info.Key, bucket.Range{Length: maxCosignature})
			if errors.Is(err, bucket.ErrNotExist) {
				continue // deleted since, because there is a larger tree
			}
			if !yield(Cosignature{info.Key, string(line)}, err) || err != nil {
				return
			}
		}
	}
}
