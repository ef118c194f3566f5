package bucket

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Memory is a bucket in memory, for tests and simulations. Its "crash" loses nothing: what survives a crash of the
// process that uses it is the Memory itself.
type Memory struct {
	mu      sync.RWMutex
	objects map[string]memoryContent
	writes  int // so far
}

type memoryContent struct {
	data    []byte // never modified
	version int
}

// NewMemory returns an empty bucket.
func NewMemory() *Memory { return &Memory{objects: make(map[string]memoryContent)} }

func (m *Memory) Get(ctx context.Context, key string, r Range) (*Object, error) {
	if err := begin(ctx, key); err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	m.mu.RLock()
	content, ok := m.objects[key]
	m.mu.RUnlock()
	if !ok {
		return nil, fmt.Errorf("get %s: %w", key, ErrNotExist)
	}
	off, n := r.within(int64(len(content.data)))
	return &Object{ReadCloser: memoryObject{bytes.NewReader(content.data[off : off+n])}, Size: int64(len(content.data)),
		Version: strconv.Itoa(content.version)}, nil
}

type memoryObject struct{ *bytes.Reader }

func (memoryObject) Close() error { return nil }

var _ io.WriterTo = memoryObject{}

func (m *Memory) Put(ctx context.Context, key string, data []byte) error {
	if err := begin(ctx, key); err != nil {
		return fmt.Errorf("put: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set(key, data)
	return nil
}

// set is called with the lock held.
func (m *Memory) set(key string, data []byte) {
	m.writes++
	m.objects[key] = memoryContent{slices.Clone(data), m.writes}
}

func (m *Memory) PutNew(ctx context.Context, key string, data []byte) error {
	if err := begin(ctx, key); err != nil {
		return fmt.Errorf("put new: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.objects[key]; ok {
		return fmt.Errorf("put new %s: %w", key, ErrExist)
	}
	m.set(key, data)
	return nil
}

func (m *Memory) List(ctx context.Context, prefix, after string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		m.mu.RLock()
		var infos []Info
		for key, content := range m.objects {
			if strings.HasPrefix(key, prefix) && key > after {
				infos = append(infos, Info{Key: key, Size: int64(len(content.data))})
			}
		}
		m.mu.RUnlock()
		slices.SortFunc(infos, func(a, b Info) int { return strings.Compare(a.Key, b.Key) })
		for _, info := range infos {
			if err := ctx.Err(); err != nil {
				yield(Info{}, fmt.Errorf("list %s: %w", prefix, err))
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
		if err := begin(ctx, key); err != nil {
			return fmt.Errorf("delete: %w", err)
		}
		m.mu.Lock()
		delete(m.objects, key)
		m.mu.Unlock()
	}
	return nil
}

// begin checks what every call checks first.
func begin(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return CheckKey(key)
}

// within resolves r against an object of size bytes.
func (r Range) within(size int64) (off, n int64) {
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
