package folder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/weirlog/weir/internal/bucket"
)

// Reader reads the bucket in a folder, while another process may be writing. It takes no lock and changes nothing. So
// it also shows objects that are written but not durable yet.
type Reader struct {
	files  *Bucket
	prefix string
}

// ErrReadOnly is returned (wrapped) by methods that would change the bucket.
var ErrReadOnly = errors.New("the bucket is open for reading only")

// OpenReader opens the folder root. The key of an object is prefix followed by the path of its file. It returns
// fs.ErrNotExist (wrapped) if the folder does not exist.
func OpenReader(root, prefix string) (*Reader, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	info, err := os.Stat(root)
	if err == nil && !info.IsDir() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", root, err)
	}
	return &Reader{&Bucket{root: root, disk: osDisk{}}, prefix}, nil
}

// Get implements bucket.Bucket.
func (f *Reader) Get(ctx context.Context, key string, r bucket.Range) (*bucket.Object, error) {
	name, ok := strings.CutPrefix(key, f.prefix)
	if !ok {
		return nil, fmt.Errorf("get %s: %w", key, bucket.ErrNotExist)
	}
	return f.files.Get(ctx, name, r)
}

// List implements bucket.Bucket.
func (f *Reader) List(ctx context.Context, prefix, after string) iter.Seq2[bucket.Info, error] {
	return func(yield func(bucket.Info, error) bool) {
		for info, err := range f.files.List(ctx, strings.TrimPrefix(prefix, f.prefix), "") {
			info.Key = f.prefix + info.Key
			if err == nil && (info.Key <= after || !strings.HasPrefix(info.Key, prefix)) {
				continue
			}
			if !yield(info, err) || err != nil {
				return
			}
		}
	}
}

// Put returns ErrReadOnly.
func (f *Reader) Put(context.Context, string, []byte) error { return ErrReadOnly }

// PutNew returns ErrReadOnly.
func (f *Reader) PutNew(context.Context, string, []byte) error { return ErrReadOnly }

// Delete returns ErrReadOnly.
func (f *Reader) Delete(context.Context, ...string) error { return ErrReadOnly }

// Forget does nothing, since nothing is cached.
func (f *Reader) Forget(string) {}

// Close does nothing, since nothing is held open.
func (f *Reader) Close() error { return nil }
