package doc

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/weirlog/weir/internal/bucket"
)

// ErrNotFound is returned (wrapped) by a Cache for a document that does not exist.
var ErrNotFound = errors.New("not found")

// MaxAge is how long a Cache believes a document without asking for a newer version, so how long a change on another
// node may go unseen. Changes on this node are seen at once, and so is what was missing.
const MaxAge = 2 * time.Second

// Cache is the documents of one kind, as they are stored and as they are remembered. It may be used concurrently. What
// it returns is shared: nobody may change it.
type Cache[T any] struct {
	bucket bucket.Bucket
	prefix string
	docs   *otter.Cache[string, cached[T]]

	changed chan struct{} // has an element if a document was changed through this cache
}

type cached[T any] struct {
	doc     *T
	version int64
	checked time.Time
}

// NewCache returns the documents below a prefix of b, which ends with a slash. It remembers so many of them.
func NewCache[T any](b bucket.Bucket, prefix string, size int) *Cache[T] {
	return &Cache[T]{b, prefix, otter.Must(&otter.Options[string, cached[T]]{MaximumSize: size}), make(chan struct{}, 1)}
}

// Prefix returns where the document with an id lies: what the keys of its versions begin with.
func (c *Cache[T]) Prefix(id string) string { return c.prefix + id }

// maxID bounds an identifier, in bytes. What is longer names nothing, and is neither looked up nor kept.
const maxID = 64

func (c *Cache[T]) valid(id string) bool {
	return len(id) <= maxID && bucket.CheckKey(c.prefix+id) == nil
}

// Get returns a document by its id; ErrNotFound if there is none.
func (c *Cache[T]) Get(ctx context.Context, id string) (*T, error) {
	if !c.valid(id) {
		return nil, fmt.Errorf("%s%.*q: %w", c.prefix, maxID, id, ErrNotFound)
	}
	now := time.Now()
	have, ok := c.docs.GetIfPresent(id)
	ok = ok && have.version > 0
	if ok && now.Sub(have.checked) < MaxAge {
		return have.doc, nil
	}
	if ok {
		version, err := Highest(ctx, c.bucket, c.prefix+id, have.version)
		if err != nil {
			return nil, err
		}
		if version == have.version {
			return c.keep(id, cached[T]{have.doc, have.version, now}), nil
		}
	}
	return c.read(ctx, id)
}

// read returns a document as it is stored.
func (c *Cache[T]) read(ctx context.Context, id string) (*T, error) {
	now := time.Now()
	v := new(T)
	version, err := Read(ctx, c.bucket, c.prefix+id, v)
	if errors.Is(err, bucket.ErrNotExist) {
		return nil, fmt.Errorf("%s%s: %w", c.prefix, id, ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return c.keep(id, cached[T]{v, version, now}), nil
}

// GetOrEmpty returns an empty document for one that does not exist, and believes that for MaxAge too.
func (c *Cache[T]) GetOrEmpty(ctx context.Context, id string) (*T, error) {
	if !c.valid(id) {
		return new(T), nil
	}
	now := time.Now()
	if have, ok := c.docs.GetIfPresent(id); ok && now.Sub(have.checked) < MaxAge {
		return have.doc, nil
	}
	v, err := c.Get(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return c.keep(id, cached[T]{new(T), 0, now}), nil
	}
	return v, err
}

// keep puts a version into the cache, and returns the newest: who was slow to read must not hide what was written
// since.
func (c *Cache[T]) keep(id string, new cached[T]) *T {
	newest, ok := c.docs.Compute(id, func(have cached[T], ok bool) (cached[T], otter.ComputeOp) {
		if ok && (have.version > new.version || have.version == new.version && have.checked.After(new.checked)) {
			return have, otter.CancelOp
		}
		return new, otter.WriteOp
	})
	if !ok { // evicted at once
		return new.doc
	}
	return newest.doc
}

// Create stores a new document; ErrConflict if there is one with this id.
func (c *Cache[T]) Create(ctx context.Context, id string, v T) error {
	defer c.tell()
	return Write(ctx, c.bucket, c.prefix+id, 0, v)
}

// Changed returns a channel that has an element if documents may have been changed through this cache since one was
// taken from it. It is for one reader, who need not look often then: only for what other nodes changed.
func (c *Cache[T]) Changed() <-chan struct{} { return c.changed }

func (c *Cache[T]) tell() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// Update has change change a document, and returns it as it is now; an error of change leaves it as it is. ErrNotFound
// if there is none.
func (c *Cache[T]) Update(ctx context.Context, id string, change func(*T) error) (*T, error) {
	defer c.tell()
	now := time.Now()
	have, _ := c.docs.GetIfPresent(id)
	v, version, err := Update(ctx, c.bucket, c.prefix+id, have.version, change)
	if errors.Is(err, bucket.ErrNotExist) {
		return nil, fmt.Errorf("%s%s: %w", c.prefix, id, ErrNotFound)
	}
	if errors.Is(err, ErrPutBack) {
		return nil, err // What is in memory is newer, and stays.
	}
	if err != nil {
		c.docs.Invalidate(id) // it may have taken effect
		return nil, err
	}
	return c.keep(id, cached[T]{&v, version, now}), nil
}

// UpdateOrCreate is Update for a document that need not exist: change is then given an empty one.
func (c *Cache[T]) UpdateOrCreate(ctx context.Context, id string, change func(*T) error) (*T, error) {
	for {
		v, err := c.Update(ctx, id, change)
		if !errors.Is(err, ErrNotFound) {
			return v, err
		}
		if err := c.Create(ctx, id, *new(T)); err != nil && !errors.Is(err, ErrConflict) {
			return nil, err
		}
	}
}

// Remembers tells whether a document is in memory, so that finding it costs little.
func (c *Cache[T]) Remembers(id string) bool {
	_, ok := c.docs.GetIfPresent(id)
	return ok
}

// Invalidate forgets a document, so that it is read as it is stored.
func (c *Cache[T]) Invalidate(id string) { c.docs.Invalidate(id) }

// All yields all documents in the order of their ids. An error is that of one document, behind which it goes on with
// the next, or that of the listing, which ends it. What is remembered in its newest version is not read again.
func (c *Cache[T]) All(ctx context.Context) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		began := time.Now()
		id, highest := "", int64(0)
		for info, err := range c.bucket.List(ctx, c.prefix, "") {
			if err != nil {
				yield(nil, err)
				return
			}
			of, version, ok := parse(info.Key)
			if !ok {
				continue // Checks of the bucket name it.
			}
			if of = of[len(c.prefix):]; of != id && highest > 0 && !yield(c.at(ctx, id, highest, began)) {
				return
			}
			id, highest = of, version
		}
		if highest > 0 {
			yield(c.at(ctx, id, highest, began))
		}
	}
}

// at returns a document whose highest version was so at a time, or a newer one.
func (c *Cache[T]) at(ctx context.Context, id string, version int64, at time.Time) (*T, error) {
	if have, ok := c.docs.GetIfPresent(id); ok && have.version >= version {
		return c.keep(id, cached[T]{have.doc, have.version, at}), nil
	}
	return c.read(ctx, id)
}
