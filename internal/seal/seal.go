// Package seal lets a node tell its own objects from those that somebody else has put into the bucket. A seal is a
// message authentication code (HMAC-SHA256, RFC 2104) over an object's key and its bytes. Its key is derived from the
// nodes' secret, which is never in the bucket. An attacker who can write the bucket can therefore delete an object,
// damage it, or put an older version of it back, but cannot make one that a node believes.
//
// Objects that a log's signed checkpoints cover need no seal. Documents, plans and WAL objects do.
package seal

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/weirlog/weir/internal/bucket"
)

// ErrForged is returned (wrapped) for an object whose seal does not fit: it is damaged, lies under another object's
// key, or was not written by a node with this secret. Reading it again does not help.
var ErrForged = errors.New("its seal does not fit: it is damaged, or no node with this secret wrote it under this key")

// Size is the length of a seal in bytes.
const Size = sha256.Size

// ErrNoSecret is returned (wrapped) by a write without a key.
var ErrNoSecret = errors.New("nothing can be sealed without the nodes' secret")

// Key makes and checks seals. It may be used concurrently. The zero Key is that of a reader without the secret. It
// accepts every seal, so a reader cannot know that a node wrote what it reads. It makes no seals.
type Key struct{ secret []byte }

// NewKey returns the key that the nodes with a secret share. The secret has at least 32 random bytes.
func NewKey(secret []byte) Key {
	key, err := hkdf.Key(sha256.New, secret, nil, "weir seals of objects", Size)
	if err != nil {
		panic(err) // 32 bytes always can be derived
	}
	return Key{key}
}

// Err returns ErrNoSecret if k is the zero Key.
func (k Key) Err() error {
	if k.secret == nil {
		return ErrNoSecret
	}
	return nil
}

// Sum returns the seal of data in the object at a key of the bucket. That of the zero Key fits nothing.
func (k Key) Sum(key string, data []byte) []byte {
	mac := hmac.New(sha256.New, k.secret)
	mac.Write(binary.BigEndian.AppendUint32(nil, uint32(len(key))))
	mac.Write([]byte(key))
	mac.Write(data)
	return mac.Sum(nil)
}

// Check returns ErrForged unless sum is the seal of data in the object at key.
func (k Key) Check(key string, data, sum []byte) error {
	if k.Err() == nil && !hmac.Equal(k.Sum(key, data), sum) {
		return ErrForged
	}
	return nil
}

// A sealed object is the object's bytes and one line of JSON behind them, so that a document stays a sequence of JSON
// values.
const (
	before = "\n{\"seal\":\""
	after  = "\"}\n"
)

var lineSize = len(before) + base64.StdEncoding.EncodedLen(Size) + len(after)

// maxObject is the size in bytes above which no sealed object is read: what is sealed as a whole is small.
const maxObject = 64 << 20

// Append returns data with its seal, as it lies in the bucket at key.
func (k Key) Append(key string, data []byte) []byte {
	sealed := make([]byte, 0, len(data)+lineSize)
	sealed = append(append(sealed, data...), before...)
	sealed = base64.StdEncoding.AppendEncode(sealed, k.Sum(key, data))
	return append(sealed, after...)
}

// Open returns the data of an object as it lies in the bucket at key, or ErrForged.
func (k Key) Open(key string, sealed []byte) ([]byte, error) {
	data, sum, err := split(sealed)
	if err != nil {
		return nil, err
	}
	return data, k.Check(key, data, sum)
}

// split parts an object from its seal.
func split(sealed []byte) (data, sum []byte, err error) {
	if len(sealed) < lineSize {
		return nil, nil, ErrForged
	}
	data, line := sealed[:len(sealed)-lineSize], sealed[len(sealed)-lineSize:]
	line, ok := bytes.CutPrefix(line, []byte(before))
	line, ok2 := bytes.CutSuffix(line, []byte(after))
	sum, err = base64.StdEncoding.Strict().DecodeString(string(line))
	if !ok || !ok2 || err != nil {
		return nil, nil, ErrForged
	}
	return data, sum, nil
}

// Bucket is a bucket whose objects are all sealed: it seals each object that is written, and reads only objects that
// its key has sealed. An object that another key has sealed, or none, exists in it and cannot be read (ErrForged).
type Bucket struct {
	under bucket.Bucket
	key   Key
}

// NewBucket returns the view of b in which all objects are sealed with key.
func NewBucket(b bucket.Bucket, key Key) *Bucket { return &Bucket{b, key} }

// Get implements bucket.Bucket. It reads the whole object whatever r selects, and once more, past all caches, if the
// seal does not fit: the bytes may have been damaged on the way.
func (b *Bucket) Get(ctx context.Context, key string, r bucket.Range) (*bucket.Object, error) {
	o, err := b.get(ctx, key, r)
	if errors.Is(err, ErrForged) {
		b.under.Forget(key)
		o, err = b.get(ctx, key, r)
	}
	return o, err
}

func (b *Bucket) get(ctx context.Context, key string, r bucket.Range) (*bucket.Object, error) {
	o, err := b.under.Get(ctx, key, bucket.Range{})
	if err != nil {
		return nil, err
	}
	defer o.Close()
	if o.Size > maxObject {
		return nil, fmt.Errorf("read %s: %w, it has %d bytes", key, ErrForged, o.Size)
	}
	sealed := make([]byte, o.Size)
	if _, err := io.ReadFull(o, sealed); err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	data, err := b.key.Open(key, sealed)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	off, n := r.Resolve(int64(len(data)))
	part := io.NopCloser(bytes.NewReader(data[off : off+n]))
	return &bucket.Object{ReadCloser: part, Size: int64(len(data)), Version: o.Version}, nil
}

// Put implements bucket.Bucket.
func (b *Bucket) Put(ctx context.Context, key string, data []byte) error {
	if err := b.key.Err(); err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return b.under.Put(ctx, key, b.key.Append(key, data))
}

// PutNew implements bucket.Bucket.
func (b *Bucket) PutNew(ctx context.Context, key string, data []byte) error {
	if err := b.key.Err(); err != nil {
		return fmt.Errorf("put new %s: %w", key, err)
	}
	return b.under.PutNew(ctx, key, b.key.Append(key, data))
}

// List implements bucket.Bucket.
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[bucket.Info, error] {
	return func(yield func(bucket.Info, error) bool) {
		for info, err := range b.under.List(ctx, prefix, after) {
			if err != nil {
				yield(info, err)
				return
			}
			contents := bucket.Listed(info.Key, func() (int64, error) {
				size, err := info.Size()
				return max(0, size-int64(lineSize)), err
			})
			if !yield(contents, nil) {
				return
			}
		}
	}
}

// Delete implements bucket.Bucket.
func (b *Bucket) Delete(ctx context.Context, keys ...string) error {
	return b.under.Delete(ctx, keys...)
}

// Forget implements bucket.Bucket.
func (b *Bucket) Forget(key string) { b.under.Forget(key) }
