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

// MaxAge is how long a Cache uses a document without asking for a newer version. So a change on another node may be
// missed for this long. Changes on this node, and documents that another node creates, are seen at once.
const MaxAge = 2 * time.Second

// Cache reads and changes the documents of one kind, and remembers some of them. It may be used concurrently. The
// documents that it returns are shared and must not be changed.
type Cache[T any] struct {
	bucket bucket.Bucket
	prefix string
	docs   *otter.Cache[string, cached[T]]

	known   listing
	changed chan struct{} // has an element if a document was changed through this cache
}

type cached[T any] struct {
	doc     *T
	version int64
	checked time.Time
}

// NewCache returns the documents below a prefix of b, which ends with a slash. It remembers at most size documents.
func NewCache[T any](b bucket.Bucket, prefix string, size int) *Cache[T] {
	return &Cache[T]{bucket: b, prefix: prefix, docs: otter.Must(&otter.Options[string, cached[T]]{MaximumSize: size}),
		changed: make(chan struct{}, 1)}
}

// Prefix returns the prefix of a document, with which the keys of its versions begin.
func (c *Cache[T]) Prefix(id string) string { return c.prefix + id }

// maxID bounds an identifier, in bytes. A longer one names no document, and is neither looked up nor remembered.
const maxID = 64

func (c *Cache[T]) valid(id string) bool {
	return len(id) <= maxID && bucket.CheckKey(c.prefix+id) == nil
}

// Get returns a document by its id. If there is none, it returns ErrNotFound (wrapped).
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

// read returns a document as it is stored, and remembers it.
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

// GetOrEmpty is Get, but returns an empty document for one that does not exist. It also uses that answer for MaxAge.
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

// keep puts a version into the cache, and returns the newest that the cache has: a slow reader must not hide a version
// that was written since.
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

// Create stores a new document. If there is one with this id, it returns ErrConflict (wrapped).
func (c *Cache[T]) Create(ctx context.Context, id string, v T) error {
	defer c.tell()
	return Write(ctx, c.bucket, c.prefix+id, 0, v)
}

// Changed returns a channel that has an element if documents may have been changed through this cache since the last
// element was taken. It is for one reader, which then needs to look for changes of other nodes only.
func (c *Cache[T]) Changed() <-chan struct{} { return c.changed }

func (c *Cache[T]) tell() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// Update calls change with a document, stores the result, and returns it. If change returns an error, the document
// stays as it is. If there is none, Update returns ErrNotFound (wrapped). change may be called more than once.
func (c *Cache[T]) Update(ctx context.Context, id string, change func(*T) error) (*T, error) {
	defer c.tell()
	now := time.Now()
	have, _ := c.docs.GetIfPresent(id)
	v, version, err := Update(ctx, c.bucket, c.prefix+id, have.version, change)
	if errors.Is(err, bucket.ErrNotExist) {
		return nil, fmt.Errorf("%s%s: %w", c.prefix, id, ErrNotFound)
	}
	if errors.Is(err, ErrPutBack) {
		return nil, err // the version in memory is newer, and stays
	}
	if err != nil {
		c.docs.Invalidate(id) // the change may have taken effect
		return nil, err
	}
	return c.keep(id, cached[T]{&v, version, now}), nil
}

// UpdateOrCreate is Update for a document that need not exist. In that case, change is given an empty one.
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

// Invalidate forgets a document, so that the next Get reads it from the bucket.
func (c *Cache[T]) Invalidate(id string) { c.docs.Invalidate(id) }

// All yields all documents in the order of their ids. An error concerns one document, and All continues with the next;
// an error of the listing ends it. A document that is remembered in its newest version is not read again.
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
				continue // checks of the bucket report it
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

// Names yields what name returns for each document, unless it is empty. Errors are as for All.
func (c *Cache[T]) Names(ctx context.Context, name func(*T) string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for v, err := range c.All(ctx) {
			of := ""
			if err == nil {
				of = name(v)
			}
			if (err != nil || of != "") && !yield(of, err) {
				return
			}
		}
	}
}

// at returns a document, given the highest version that a listing showed and when the listing began. The document may
// be newer.
func (c *Cache[T]) at(ctx context.Context, id string, version int64, at time.Time) (*T, error) {
	if have, ok := c.docs.GetIfPresent(id); ok && have.version >= version {
		return c.keep(id, cached[T]{have.doc, have.version, at}), nil
	}
	return c.read(ctx, id)
}
