// Package bucket is the storage that weir keeps all its state in: immutable objects under slash-separated
// keys. A local folder is a bucket, memory (for tests) is one, an S3-compatible store can be one.
//
// The contract, on which every other package relies:
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
}

// Info describes an object in a listing.
type Info struct {
	Key  string
	Size int64 // bytes
}

// Range selects a part of an object. The zero Range is all of it.
type Range struct {
	Offset int64 // first byte; negative: that many bytes before the end (or from the start, if there are fewer)
	Length int64 // number of bytes; 0: up to the end. A Length that reaches beyond the end is cut there.
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
	_, n := r.within(o.Size)
	data := make([]byte, n)
	if _, err := io.ReadFull(o, data); err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return data, nil
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
			if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
				return fmt.Errorf("key %q: character %q is not allowed", key, c)
			}
		}
	}
	return nil
}
