package bucketest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/layout"
)

// Memory is a bucket in memory, for tests and simulations. If a simulated process crashes, its Memory survives
// unchanged.
type Memory struct {
	mu      sync.RWMutex
	objects map[string]memoryContent
	keys    []string // of objects, in order
	writes  int      // number of writes so far
	anyKeys bool     // allows keys that package layout does not have
}

type memoryContent struct {
	data    []byte // never modified
	version int
}

// NewMemory returns an empty bucket. A write to a key that package layout does not have panics, since checks, copies
// and the documentation of the format would miss the object.
func NewMemory() *Memory { return &Memory{objects: make(map[string]memoryContent)} }

// NewAnyKeys returns an empty bucket in which objects may have any keys.
func NewAnyKeys() *Memory { return NewMemory().AllowAnyKeys() }

// AllowAnyKeys allows any keys from now on. It returns m.
func (m *Memory) AllowAnyKeys() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.anyKeys = true
	return m
}

// Clone returns a bucket with the same objects.
func (m *Memory) Clone() *Memory {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return &Memory{objects: maps.Clone(m.objects), keys: slices.Clone(m.keys), writes: m.writes, anyKeys: m.anyKeys}
}

func (m *Memory) Get(ctx context.Context, key string, r bucket.Range) (*bucket.Object, error) {
	if err := bucket.Begin(ctx, key); err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	m.mu.RLock()
	content, ok := m.objects[key]
	m.mu.RUnlock()
	if !ok {
		return nil, fmt.Errorf("get %s: %w", key, bucket.ErrNotExist)
	}
	off, n := r.Resolve(int64(len(content.data)))
	return &bucket.Object{ReadCloser: memoryObject{bytes.NewReader(content.data[off : off+n])},
		Size:    int64(len(content.data)),
		Version: strconv.Itoa(content.version)}, nil
}

type memoryObject struct{ *bytes.Reader }

func (memoryObject) Close() error { return nil }

var _ io.WriterTo = memoryObject{}

func (m *Memory) Put(ctx context.Context, key string, data []byte) error {
	if err := bucket.Begin(ctx, key); err != nil {
		return fmt.Errorf("put: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set(key, data)
	return nil
}

// set is called with the lock held.
func (m *Memory) set(key string, data []byte) {
	if _, ok := layout.Of(key); !ok && !m.anyKeys {
		panic("bucketest: package layout has no kind of object with the key " + key)
	}
	if i, ok := slices.BinarySearch(m.keys, key); !ok {
		m.keys = slices.Insert(m.keys, i, key)
	}
	m.writes++
	m.objects[key] = memoryContent{slices.Clone(data), m.writes}
}

func (m *Memory) PutNew(ctx context.Context, key string, data []byte) error {
	if err := bucket.Begin(ctx, key); err != nil {
		return fmt.Errorf("put new: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.objects[key]; ok {
		return fmt.Errorf("put new %s: %w", key, bucket.ErrExist)
	}
	m.set(key, data)
	return nil
}

func (m *Memory) List(ctx context.Context, prefix, after string) iter.Seq2[bucket.Info, error] {
	return func(yield func(bucket.Info, error) bool) {
		m.mu.RLock()
		var infos []bucket.Info
		first, _ := slices.BinarySearch(m.keys, max(prefix, after))
		for _, key := range m.keys[first:] {
			if !strings.HasPrefix(key, prefix) {
				break
			}
			if key > after {
				infos = append(infos, bucket.Sized(key, int64(len(m.objects[key].data))))
			}
		}
		m.mu.RUnlock()
		for _, info := range infos {
			if err := ctx.Err(); err != nil {
				yield(bucket.Info{}, fmt.Errorf("list %s: %w", prefix, err))
				return
			}
			if !yield(info, nil) {
				return
			}
		}
	}
}

func (m *Memory) Delete(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		if err := bucket.Begin(ctx, key); err != nil {
			return fmt.Errorf("delete: %w", err)
		}
		m.mu.Lock()
		m.remove(key)
		m.mu.Unlock()
	}
	return nil
}

// remove is called with the lock held.
func (m *Memory) remove(key string) {
	if i, ok := slices.BinarySearch(m.keys, key); ok {
		m.keys = slices.Delete(m.keys, i, i+1)
		delete(m.objects, key)
	}
}

// Forget does nothing: nothing is cached.
func (m *Memory) Forget(string) {}
