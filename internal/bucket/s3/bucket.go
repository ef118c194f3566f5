package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/layout"
	"github.com/weirlog/weir/internal/bucket/trial"
)

// Bucket is a bucket in a storage that implements S3 and honours If-None-Match: * on PutObject.
//
// The client library never repeats a request, since MaxRetries is 1. The function repeat repeats requests that may be
// repeated. PutNew does not use it.
type Bucket struct {
	client    *minio.Core
	transport *http.Transport
	name      string // name of the S3 bucket
	prefix    string // prefix of all keys; empty or ending in '/'
	trial     *trial.Trial
	stop      context.CancelFunc // ends a running trial
}

const (
	maxSinglePut = 5 << 30  // in bytes; the limit of S3's PutObject
	multipartAt  = 64 << 20 // size in bytes from which Put uploads in parts
	partSize     = 16 << 20 // bytes
)

// ErrNoConditionalPut is returned (wrapped) by Open for a storage on which PutNew would replace objects.
var ErrNoConditionalPut = errors.New("the store does not honour If-None-Match: * on PutObject, without which " +
	"events would be lost; " +
	"upgrade it, or use another store (Amazon S3, MinIO and VersityGW do)")

// Open opens the bucket at a URL s3://name/prefix, and checks that its storage keeps the contract.
func Open(ctx context.Context, location string, o Options) (*Bucket, error) {
	b, err := newBucket(location, o)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", location, err)
	}
	if err := b.probe(ctx); err != nil {
		b.Close()
		return nil, fmt.Errorf("open %s: %w", location, err)
	}
	return b, nil
}

// OpenReadOnly opens the bucket at a URL s3://name/prefix for reading. It changes nothing there.
func OpenReadOnly(location string, o Options) (*Bucket, error) {
	b, err := newBucket(location, o)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", location, err)
	}
	return b, nil
}

// probe checks, on a new key, that the storage refuses to create an object that exists.
func (b *Bucket) probe(ctx context.Context) (err error) {
	key := layout.Probe.Prefix() + rand.Text()
	defer func() {
		if deleteErr := b.Delete(context.WithoutCancel(ctx), key); err == nil && deleteErr != nil {
			err = deleteErr
		}
	}()
	if err := b.PutNew(ctx, key, []byte("first")); err != nil {
		return err
	}
	if err := b.PutNew(ctx, key, []byte("second")); err == nil {
		return ErrNoConditionalPut
	} else if !errors.Is(err, bucket.ErrExist) {
		return err
	}
	there, err := bucket.Read(ctx, b, key, bucket.Range{})
	if err == nil && string(there) != "first" {
		err = ErrNoConditionalPut
	}
	return err
}

// Close closes idle connections.
func (b *Bucket) Close() error {
	b.stop()
	b.trial.Wait()
	b.transport.CloseIdleConnections()
	return nil
}

// Forget does nothing, since nothing is cached.
func (b *Bucket) Forget(string) {}

func (b *Bucket) Get(ctx context.Context, key string, r bucket.Range) (*bucket.Object, error) {
	if err := bucket.Begin(ctx, key); err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	var o *bucket.Object
	err := repeat(ctx, func() (err error) {
		o, err = b.get(ctx, key, r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", key, b.explain(err))
	}
	return o, nil
}

func (b *Bucket) get(ctx context.Context, key string, r bucket.Range) (*bucket.Object, error) {
	options := minio.GetObjectOptions{}
	if header := rangeHeader(r); header != "" {
		options.Set("Range", header)
	}
	body, info, h, err := b.client.GetObject(ctx, b.name, b.prefix+key, options)
	if minio.ToErrorResponse(err).StatusCode == http.StatusRequestedRangeNotSatisfiable {
		return b.getNothing(ctx, key) // the object is empty, or ends before the range begins
	}
	if err != nil {
		return nil, err
	}
	off, n, size := int64(0), info.Size, info.Size
	if text := h.Get("Content-Range"); text != "" {
		if off, n, size, err = contentRange(text); err != nil {
			body.Close()
			return nil, err
		}
	}
	wantOff, wantN := r.Resolve(size)
	got := min(wantN, n-(wantOff-off))
	if wantOff < off || got < wantN { // too much is cut below: the storage may ignore Range
		body.Close()
		return nil, fmt.Errorf("the store sent bytes %d to %d of %d for range %+v", off, off+n, size, r)
	}
	whole := &wholeReader{body: body, left: n}
	if _, err := io.CopyN(io.Discard, whole, wantOff-off); err != nil {
		body.Close()
		return nil, err
	}
	if wantOff-off+wantN < n {
		return &bucket.Object{ReadCloser: &cutReader{whole, wantN}, Size: size, Version: info.ETag}, nil
	}
	return &bucket.Object{ReadCloser: whole, Size: size, Version: info.ETag}, nil
}

// getNothing returns an empty range of the object at key.
func (b *Bucket) getNothing(ctx context.Context, key string) (*bucket.Object, error) {
	info, err := b.client.StatObject(ctx, b.name, b.prefix+key, minio.StatObjectOptions{})
	if err != nil {
		return nil, err
	}
	return &bucket.Object{ReadCloser: http.NoBody, Size: info.Size}, nil
}

// rangeHeader returns r as the value of a Range header (RFC 9110, section 14.2), or "" for the whole object. If r
// counts from the end, the header requests all bytes to the end, since it cannot ask for fewer.
func rangeHeader(r bucket.Range) string {
	switch {
	case r.Offset < 0:
		return fmt.Sprintf("bytes=%d", r.Offset)
	case r.Length > 0:
		return fmt.Sprintf("bytes=%d-%d", r.Offset, r.Offset+r.Length-1)
	case r.Offset > 0:
		return fmt.Sprintf("bytes=%d-", r.Offset)
	}
	return ""
}

// contentRange parses "bytes 3-7/10".
func contentRange(text string) (off, n, size int64, err error) {
	span, total, _ := strings.Cut(strings.TrimPrefix(text, "bytes "), "/")
	first, last, _ := strings.Cut(span, "-")
	off, err1 := strconv.ParseInt(first, 10, 64)
	end, err2 := strconv.ParseInt(last, 10, 64)
	size, err3 := strconv.ParseInt(total, 10, 64)
	if errors.Join(err1, err2, err3) != nil || off < 0 || end < off || end >= size {
		return 0, 0, 0, fmt.Errorf("the store sent an invalid Content-Range %q", text)
	}
	return off, end - off + 1, size, nil
}

// wholeReader makes a body that ends early an error.
type wholeReader struct {
	body io.ReadCloser
	left int64
}

func (w *wholeReader) Read(p []byte) (int, error) {
	n, err := w.body.Read(p)
	w.left -= int64(n)
	if err == io.EOF && w.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (w *wholeReader) Close() error { return w.body.Close() }

// cutReader returns the first bytes of another reader.
type cutReader struct {
	r    *wholeReader
	left int64
}

func (c *cutReader) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

func (c *cutReader) Close() error { return c.r.Close() }

func (b *Bucket) Put(ctx context.Context, key string, data []byte) error {
	if err := bucket.Begin(ctx, key); err != nil {
		return fmt.Errorf("put: %w", err)
	}
	err := b.noted(ctx, len(data), repeat(ctx, func() error {
		if len(data) < multipartAt {
			return b.putOnce(ctx, key, data, minio.PutObjectOptions{})
		}
		_, err := b.client.Client.PutObject(ctx, b.name, b.prefix+key, bytes.NewReader(data), int64(len(data)),
			minio.PutObjectOptions{PartSize: partSize})
		return err
	}))
	if err != nil {
		return fmt.Errorf("put %s: %w", key, b.explain(err))
	}
	return nil
}

// PutNew sends one request, once. If it were repeated after a lost reply, "it exists" could refer to the caller's own
// object; or, if that object has been deleted meanwhile, the object would exist a second time. PutNew never uploads in
// parts: the conditional request would then be the completion, where stores have supported the condition later than on
// PutObject or not at all, and S3 may reply 200 to a completion that then fails. PutObject takes 5 GiB; the largest
// objects of weir, segments, are a hundredth of that.
func (b *Bucket) PutNew(ctx context.Context, key string, data []byte) error {
	if err := bucket.Begin(ctx, key); err != nil {
		return fmt.Errorf("put new: %w", err)
	}
	if len(data) > maxSinglePut {
		return fmt.Errorf("put new %s: %d bytes are more than the %d that S3 takes at once", key, len(data),
			maxSinglePut)
	}
	options := minio.PutObjectOptions{}
	options.SetMatchETagExcept("*")
	err := b.putOnce(ctx, key, data, options)
	if minio.ToErrorResponse(err).StatusCode == http.StatusPreconditionFailed {
		return fmt.Errorf("put new %s: %w", key, bucket.ErrExist)
	}
	if b.noted(ctx, len(data), err) == nil {
		return nil
	}
	return fmt.Errorf("put new %s: %w", key, b.explainPut(err))
}

// putOnce sends data in one request, signed with its SHA-256, so that the storage takes all of it or nothing.
func (b *Bucket) putOnce(ctx context.Context, key string, data []byte, options minio.PutObjectOptions) error {
	sum := sha256.Sum256(data)
	options.DisableContentSha256 = true // digests of chunks; the digest of the whole replaces them
	_, err := b.client.PutObject(ctx, b.name, b.prefix+key, bytes.NewReader(data), int64(len(data)), "",
		hex.EncodeToString(sum[:]), options)
	return err
}

// List requests one page at a time. After an error it continues behind the last key that it has yielded.
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[bucket.Info, error] {
	return func(yield func(bucket.Info, error) bool) {
		stopped := false
		err := repeat(ctx, func() error {
			for info, err := range b.list(ctx, prefix, after) {
				if err != nil {
					return err
				}
				if info.Key <= after {
					return fmt.Errorf("the store listed %q after %q: %w", info.Key, after, errDisorder)
				}
				after = info.Key
				if !yield(info, nil) {
					stopped = true
					return nil
				}
			}
			return nil
		})
		if err != nil && !stopped {
			yield(bucket.Info{}, fmt.Errorf("list %s: %w", prefix, b.explain(err)))
		}
	}
}

var errDisorder = errors.New("its listings are not sorted")

func (b *Bucket) list(ctx context.Context, prefix, after string) iter.Seq2[bucket.Info, error] {
	return func(yield func(bucket.Info, error) bool) {
		owner := false
		options := minio.ListObjectsOptions{Prefix: b.prefix + prefix, Recursive: true, FetchOwner: &owner}
		if after != "" {
			options.StartAfter = b.prefix + after
		}
		for o := range b.client.ListObjectsIter(ctx, b.name, options) {
			if o.Err != nil {
				yield(bucket.Info{}, o.Err)
				return
			}
			key := strings.TrimPrefix(o.Key, b.prefix)
			if bucket.CheckKey(key) != nil {
				continue // not an object of weir, such as the marker of a folder
			}
			if !yield(bucket.Sized(key, o.Size), nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil { // the library ends without an error
			yield(bucket.Info{}, err)
		}
	}
}

// Delete sends one request for each 1,000 keys.
func (b *Bucket) Delete(ctx context.Context, keys ...string) error {
	if len(keys) == 0 {
		return nil
	}
	for _, key := range keys {
		if err := bucket.Begin(ctx, key); err != nil {
			return fmt.Errorf("delete: %w", err)
		}
	}
	if err := repeat(ctx, func() error { return b.delete(ctx, keys) }); err != nil {
		return fmt.Errorf("delete %s and %d others: %w", keys[0], len(keys)-1, b.explain(err))
	}
	return nil
}

func (b *Bucket) delete(ctx context.Context, keys []string) error {
	if len(keys) == 1 {
		err := b.client.RemoveObject(ctx, b.name, b.prefix+keys[0], minio.RemoveObjectOptions{})
		if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
			return nil
		}
		return err
	}
	objects := func(yield func(minio.ObjectInfo) bool) {
		for _, key := range keys {
			if !yield(minio.ObjectInfo{Key: b.prefix + key}) {
				return
			}
		}
	}
	results, err := b.client.RemoveObjectsWithIter(ctx, b.name, objects, minio.RemoveObjectsOptions{})
	if err != nil {
		return err
	}
	for r := range results {
		if r.Err != nil && minio.ToErrorResponse(r.Err).Code != minio.NoSuchKey {
			return r.Err
		}
	}
	return ctx.Err()
}
