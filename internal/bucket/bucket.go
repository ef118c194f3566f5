// Package bucket defines the contract of the storage that holds all state of weir: immutable objects under
// slash-separated keys. The packages below it implement it: folder and s3 store objects, cache is put before another
// bucket, location opens a bucket by its location, and bucketest has a bucket in memory and a conformance suite for
// every kind of bucket.
//
// Every other package relies on these properties:
//
//   - Reads are strongly consistent: after a write has returned nil, every Get and List sees it.
//   - PutNew is the only primitive for agreement: of any number of PutNew of one key, at most one succeeds.
//   - Objects are durable: an object survives a crash if its write has returned nil, or a Get or a List has shown it.
//   - Objects are whole: a Get never returns a part of an object that is still being written.
//   - Any error of a write but ErrExist leaves its outcome unknown: it may have taken effect, or may still do so. The
//     caller finds out by reading back, and never by repeating a PutNew of the same key.
package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

var (
	// ErrNotExist is returned (wrapped) by Get for a key that has no object.
	ErrNotExist = errors.New("object does not exist")
	// ErrExist is returned (wrapped) by PutNew for a key that has an object.
	ErrExist = errors.New("object exists already")
)

// Bucket is the contract. All methods may be called concurrently. If the context is cancelled, they return early; a
// write then has an unknown outcome.
type Bucket interface {
	// Get opens the object at key, or the part of it that r selects. If there is none, it returns ErrNotExist.
	Get(ctx context.Context, key string, r Range) (*Object, error)
	// Put stores data at key, and replaces an object that is there.
	Put(ctx context.Context, key string, data []byte) error
	// PutNew stores data at key, or fails with ErrExist if the key has an object, whatever its content.
	PutNew(ctx context.Context, key string, data []byte) error
	// List yields the objects whose keys begin with prefix and are greater than after, in the byte order of
	// their keys. It ends after the first error. An object that is written or deleted meanwhile may be left out or
	// not.
	List(ctx context.Context, prefix, after string) iter.Seq2[Info, error]
	// Delete removes objects; a key without an object is not an error.
	Delete(ctx context.Context, keys ...string) error
	// Forget makes caches drop the object at key, because it turned out to be damaged, so that the next Get reads from
	// the storage. A bucket without a cache does nothing. Forget is part of the contract because a wrapper without it
	// would keep damaged data for as long as the cache does.
	Forget(key string)
}

// Store is an open bucket that must be closed.
type Store interface {
	Bucket
	io.Closer
}

// Prober is a Store that can find out whether the storage takes objects now.
type Prober interface {
	// Writable returns nil if the storage takes objects, and otherwise the reason. The result may be some seconds old.
	Writable(ctx context.Context) error
}

// Info describes an object in a listing.
type Info struct {
	Key  string
	size func() (int64, error)
}

// Listed describes an object whose size is found with a call.
func Listed(key string, size func() (int64, error)) Info { return Info{key, size} }

// Sized describes an object of a size in bytes.
func Sized(key string, size int64) Info {
	return Info{key, func() (int64, error) { return size, nil }}
}

// Size returns the object's size in bytes, as it was in the listing or is now. It may ask the storage, which a listing
// of keys alone need not do for each of them; then it returns ErrNotExist (wrapped) if the object was deleted since.
func (i Info) Size() (int64, error) {
	if i.size == nil {
		return 0, errNoObject
	}
	return i.size()
}

var errNoObject = errors.New("size of no object: the listing has ended with an error")

// Range selects a part of an object. The zero Range is all of it.
type Range struct {
	// Offset is the first byte. If it is negative, it counts from the end, but not beyond the first byte.
	Offset int64
	// Length is the number of bytes. If it is 0, or exceeds the rest, the range ends at the end of the object.
	Length int64
}

// Resolve returns the first byte and the number of bytes that r selects in an object of size bytes.
func (r Range) Resolve(size int64) (off, n int64) {
	off = r.Offset
	if off < 0 {
		off = max(0, size+off)
	}
	off = min(off, size)
	n = size - off
	if r.Length > 0 {
		n = min(n, r.Length)
	}
	return off, n
}

// Object is an open object. The caller closes it. Its WriteTo uses the kernel's copy (sendfile) if the bucket and the
// writer support it.
type Object struct {
	io.ReadCloser
	Size    int64  // of the whole object, in bytes
	Version string // differs after the object was replaced or changed; empty if the bucket does not report versions
}

// WriteTo implements io.WriterTo.
func (o *Object) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, o.ReadCloser) }

// Read returns the bytes of the object at key that r selects. Its errors are those of Get.
func Read(ctx context.Context, b Bucket, key string, r Range) ([]byte, error) {
	o, err := b.Get(ctx, key, r)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	_, n := r.Resolve(o.Size)
	data := make([]byte, n)
	if _, err := io.ReadFull(o, data); err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return data, nil
}

// Begin is the first step of every call of a bucket. It returns an error if the context is done or the key is not
// valid.
func Begin(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return CheckKey(key)
}

// CheckKey returns an error unless key is valid in every kind of bucket: non-empty segments of ASCII letters, digits,
// '.', '_' and '-' that do not begin with '.', joined by '/', at most 512 bytes in total.
func CheckKey(key string) error {
	if len(key) > 512 {
		return fmt.Errorf("key of %d bytes: at most 512 are allowed", len(key))
	}
	for seg := range strings.SplitSeq(key, "/") {
		if seg == "" || seg[0] == '.' {
			return fmt.Errorf("key %q: segments must not be empty or begin with '.'", key)
		}
		for i := range len(seg) {
			c := seg[i]
			if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' ||
				c == '_' || c == '-') {
				return fmt.Errorf("key %q: character %q is not allowed", key, c)
			}
		}
	}
	return nil
}
