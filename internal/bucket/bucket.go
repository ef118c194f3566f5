// Package bucket is the contract of the storage that weir keeps all its state in: immutable objects under
// slash-separated keys. The packages below it keep the contract: folder and s3 store objects, cache stands before
// another bucket, location opens a bucket by its name, and bucketest has a bucket in memory and a suite of tests that
// every kind of bucket passes.
//
// Every other package relies on this:
//
//   - Reads are strongly consistent: what a write returned nil for, every later Get and List sees.
//   - PutNew is the only primitive for agreement: of any number of PutNew of one key, at most one succeeds.
//   - Durable: an object for which a write returned nil, or which a Get or a List showed, survives a crash.
//   - Whole: a Get never returns a part of an object that a writer was still writing.
//   - An error that is not ErrExist or ErrNotExist leaves the outcome of a write unknown: it may have taken
//     effect, or may still do so. The caller settles it by reading back, never by repeating a PutNew of the
//     same key.
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

// Bucket is the whole contract. All methods may be called concurrently; a cancelled context makes them return
// early, a write then with an unknown outcome.
type Bucket interface {
	// Get opens the object at key, or the part of it that r selects.
	Get(ctx context.Context, key string, r Range) (*Object, error)
	// Put stores data at key and replaces what was there.
	Put(ctx context.Context, key string, data []byte) error
	// PutNew stores data at key, or fails with ErrExist if the key has an object, whatever its content.
	PutNew(ctx context.Context, key string, data []byte) error
	// List yields the objects whose keys begin with prefix and are greater than after, in the byte order of
	// their keys. It ends after the first error.
	List(ctx context.Context, prefix, after string) iter.Seq2[Info, error]
	// Delete removes objects; a key without an object is not an error.
	Delete(ctx context.Context, keys ...string) error
	// Forget drops what caches on the way to the object at key keep of it, for an object that turned out to be
	// damaged: the next Get asks the storage itself. A bucket without a cache does nothing. It is part of the contract
	// because a wrapper that left it out would make damage stay for as long as the cache keeps it.
	Forget(key string)
}

// Store is a bucket that is open until it is closed.
type Store interface {
	Bucket
	io.Closer
}

// Prober is a Store that can tell, by a trial, whether it takes objects at the moment.
type Prober interface {
	// Writable returns why the storage takes no objects, and nil if it does. It may return what it found some seconds
	// ago.
	Writable(ctx context.Context) error
}

// Info describes an object in a listing.
type Info struct {
	Key  string
	Size int64 // bytes
}

// Range selects a part of an object. The zero Range is all of it.
type Range struct {
	// Offset is the first byte. If it is negative, it counts from the end; it then never lies before the first byte.
	Offset int64
	// Length is the number of bytes. If it is 0, or reaches beyond the end, the range ends where the object does.
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

// Object is an open object. The caller closes it. Its reader has a WriteTo that uses the kernel's copy
// (sendfile) where the bucket and the writer can.
type Object struct {
	io.ReadCloser
	Size    int64  // of the whole object, in bytes
	Version string // another one if the object was replaced or changed; empty if the bucket cannot tell
}

// WriteTo implements io.WriterTo.
func (o *Object) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, o.ReadCloser) }

// Read returns the bytes of the object at key that r selects.
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

// Begin is what every call to a bucket does first: it returns an error if the context is done or the key is not valid.
func Begin(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return CheckKey(key)
}

// CheckKey returns an error unless key can be used in every kind of bucket: non-empty segments of ASCII
// letters, digits, '.', '_' and '-' that do not begin with '.', joined by '/', at most 512 bytes in all.
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
