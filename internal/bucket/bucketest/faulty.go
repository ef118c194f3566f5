package bucketest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"testing/iotest"

	"github.com/weirlog/weir/internal/bucket"
)

// Op is an operation of a bucket.
type Op string

const (
	Get    Op = "get"
	Put    Op = "put"
	PutNew Op = "put new"
	List   Op = "list"
	Delete Op = "delete"
)

// Faulty is a bucket that fails on command.
type Faulty struct {
	bucket.Bucket
	// If not nil, Before is called before each operation. An error makes the operation fail without effect. Before may
	// block, to delay the operation.
	Before func(ctx context.Context, op Op, key string) error
	// If not nil, After is called after the effect of each operation that changes something. An error makes the
	// operation look failed.
	After func(ctx context.Context, op Op, key string) error
	// If not nil, Content replaces the content of an object in a Get. If it returns less, the transfer is cut off
	// (io.ErrUnexpectedEOF).
	Content func(key string, data []byte) []byte
}

func (f *Faulty) before(ctx context.Context, op Op, key string) error {
	if f.Before == nil {
		return nil
	}
	if err := f.Before(ctx, op, key); err != nil {
		return fmt.Errorf("%s %s: %w", op, key, err)
	}
	return nil
}

func (f *Faulty) after(ctx context.Context, op Op, key string, err error) error {
	if err != nil || f.After == nil {
		return err
	}
	if err := f.After(ctx, op, key); err != nil {
		return fmt.Errorf("%s %s: %w", op, key, err)
	}
	return nil
}

func (f *Faulty) Get(ctx context.Context, key string, r bucket.Range) (*bucket.Object, error) {
	if err := f.before(ctx, Get, key); err != nil {
		return nil, err
	}
	o, err := f.Bucket.Get(ctx, key, r)
	if err != nil || f.Content == nil {
		return o, err
	}
	defer o.Close()
	data, err := io.ReadAll(o)
	if err != nil {
		return nil, err
	}
	changed := f.Content(key, slices.Clone(data))
	var body io.Reader = bytes.NewReader(changed)
	if len(changed) < len(data) {
		body = io.MultiReader(body, iotest.ErrReader(io.ErrUnexpectedEOF))
	}
	return &bucket.Object{ReadCloser: io.NopCloser(body), Size: o.Size, Version: o.Version}, nil
}

func (f *Faulty) Put(ctx context.Context, key string, data []byte) error {
	if err := f.before(ctx, Put, key); err != nil {
		return err
	}
	return f.after(ctx, Put, key, f.Bucket.Put(ctx, key, data))
}

func (f *Faulty) PutNew(ctx context.Context, key string, data []byte) error {
	if err := f.before(ctx, PutNew, key); err != nil {
		return err
	}
	return f.after(ctx, PutNew, key, f.Bucket.PutNew(ctx, key, data))
}

func (f *Faulty) List(ctx context.Context, prefix, after string) iter.Seq2[bucket.Info, error] {
	return func(yield func(bucket.Info, error) bool) {
		if err := f.before(ctx, List, prefix); err != nil {
			yield(bucket.Info{}, err)
			return
		}
		f.Bucket.List(ctx, prefix, after)(yield)
	}
}

func (f *Faulty) Delete(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		if err := f.before(ctx, Delete, key); err != nil {
			return err
		}
		if err := f.after(ctx, Delete, key, f.Bucket.Delete(ctx, key)); err != nil {
			return err
		}
	}
	return nil
}
