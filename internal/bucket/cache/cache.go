package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/weirlog/weir/internal/bucket"
)

// Options of a cache.
type Options struct {
	Immutable   func(key string) bool // selects the objects to cache: they never change, and a deletion is final
	Memory      int64                 // maximum size of the parts in memory, in bytes
	Folder      string                // on a local disk; if empty, parts are kept in memory only
	FolderBytes int64
	// parts older than this are dropped, so that objects deleted by other processes are dropped too
	MaxAge time.Duration
	Logger *slog.Logger
	// if not nil, called for each requested part with where it came from: memory, folder, store or damaged
	Observe func(from string)
}

// Bucket is a bucket with a cache before it, for storage where each request costs time and money. It caches parts of
// immutable objects, all of the same size. Consecutive missing parts are fetched by one request, and the reader gets
// them as they arrive.
//
// The cache returns only data of the bucket: a part in the folder has a digest, and a damaged part is fetched again.
// Beyond that the cache is not trusted: its objects have no Version, so a caller that verifies digests does so each
// time. A failing disk costs only speed.
type Bucket struct {
	bucket.Store
	options Options
	memory  *lru[part]
	folder  *partFolder // nil if there is none
	stop    chan struct{}
	work    sync.WaitGroup
}

// partBytes is the size of a part in bytes; the last part of an object is shorter. A reader holds at most one part.
const partBytes = 64 << 10

// part is a part of an object.
type part struct {
	data []byte
	size int64 // of the whole object
	at   time.Time
}

// New puts a cache before a bucket. Close closes the bucket too.
func New(b bucket.Store, o Options) (*Bucket, error) {
	c := &Bucket{Store: b, options: o, memory: newLRU[part](o.Memory, nil), stop: make(chan struct{})}
	if c.options.Observe == nil {
		c.options.Observe = func(string) {}
	}
	if o.Folder != "" {
		var err error
		if c.folder, err = openPartFolder(o.Folder, o.FolderBytes, o.Logger); err != nil {
			return nil, fmt.Errorf("cache: %w", err)
		}
	}
	c.work.Go(c.age)
	return c, nil
}

// Close closes the bucket too. The folder keeps its content for the next start.
func (c *Bucket) Close() error {
	close(c.stop)
	c.work.Wait()
	err := c.Store.Close()
	if c.folder != nil {
		err = errors.Join(err, c.folder.close())
	}
	return err
}

// age drops old parts, even if nobody asks for them.
func (c *Bucket) age() {
	every := time.NewTicker(max(c.options.MaxAge/24, time.Second))
	defer every.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-every.C:
			c.memory.remove(func(_ string, p part) bool { return c.old(p.at) })
			if c.folder != nil {
				c.folder.remove(func(_ string, at time.Time) bool { return c.old(at) })
			}
		}
	}
}

func (c *Bucket) old(at time.Time) bool { return time.Since(at) > c.options.MaxAge }

// Bytes returns the size of the parts in memory and in the folder, in bytes.
func (c *Bucket) Bytes() (memory, folder int64) {
	if c.folder != nil {
		folder = c.folder.bytes()
	}
	return c.memory.bytes(), folder
}

// Forget drops the parts of an object that turned out to be damaged.
func (c *Bucket) Forget(key string) {
	c.Store.Forget(key)
	id := objectID(key)
	c.memory.remove(func(name string, _ part) bool { return isPartOf(name, id) })
	if c.folder != nil {
		c.folder.remove(func(name string, _ time.Time) bool { return isPartOf(name, id) })
	}
}

// Writable implements bucket.Prober. It returns nil if the bucket is no Prober.
func (c *Bucket) Writable(ctx context.Context) error {
	if p, ok := c.Store.(bucket.Prober); ok {
		return p.Writable(ctx)
	}
	return nil
}

// Delete drops the parts of the deleted objects.
func (c *Bucket) Delete(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		if c.options.Immutable(key) {
			c.Forget(key)
		}
	}
	return c.Store.Delete(ctx, keys...)
}

func (c *Bucket) Get(ctx context.Context, key string, r bucket.Range) (*bucket.Object, error) {
	if !c.options.Immutable(key) || r.Offset < 0 {
		return c.Store.Get(ctx, key, r)
	}
	o := &cachedObject{ctx: ctx, cache: c, key: key, id: objectID(key), next: r.Offset, end: -1}
	if r.Length > 0 {
		o.end = r.Offset + r.Length
	}
	if err := o.fill(); err != nil {
		o.Close()
		return nil, err
	}
	if o.end < 0 || o.end > o.size {
		o.end = o.size
	}
	return &bucket.Object{ReadCloser: o, Size: o.size}, nil
}

// kept returns a part from the cache.
func (c *Bucket) kept(id, key string, number int64) (part, bool) {
	name := partName(id, number)
	if p, ok := c.memory.get(name); ok && !c.old(p.at) {
		c.options.Observe("memory")
		return p, true
	}
	if c.folder == nil {
		return part{}, false
	}
	p, err := c.folder.read(name, key)
	switch {
	case errors.Is(err, errDamagedPart):
		c.options.Observe("damaged")
	case err == nil && !c.old(p.at):
		c.options.Observe("folder")
		c.memory.put(name, p, int64(len(p.data)))
		return p, true
	}
	return part{}, false
}

func (c *Bucket) has(id string, number int64) bool {
	name := partName(id, number)
	return c.memory.has(name) || c.folder != nil && c.folder.has(name)
}

func (c *Bucket) keep(id, key string, number int64, p part) {
	name := partName(id, number)
	c.memory.put(name, p, int64(len(p.data)))
	if c.folder != nil {
		c.folder.write(name, key, p)
	}
}

// cachedObject reads a range of an object from the cache, and missing parts from the bucket.
type cachedObject struct {
	ctx       context.Context // of the Get
	cache     *Bucket
	key, id   string
	next, end int64  // the rest of the range; end < 0 means up to the object's end, which is not known yet
	size      int64  // of the whole object
	have      []byte // the bytes of the current part from next on

	source    io.ReadCloser // the running request; nil if there is none
	sourceAt  int64         // number of the part that it returns next
	sourceEnd int64         // number of the part before which it ends
}

func (o *cachedObject) Read(p []byte) (int, error) {
	if o.next >= o.end {
		return 0, io.EOF
	}
	if len(o.have) == 0 {
		if err := o.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, o.have[:min(int64(len(o.have)), o.end-o.next)])
	o.have, o.next = o.have[n:], o.next+int64(n)
	if o.next >= o.end {
		o.have = nil
	}
	return n, nil
}

func (o *cachedObject) Close() error {
	o.have = nil
	if o.source == nil {
		return nil
	}
	source := o.source
	o.source = nil
	return source.Close()
}

// fill gets the part that is read next.
func (o *cachedObject) fill() error {
	number := o.next / partBytes
	p, ok := o.cache.kept(o.id, o.key, number)
	if !ok {
		var err error
		if p, err = o.fetch(number); err != nil {
			return err
		}
		o.cache.options.Observe("store")
	}
	o.size = p.size
	o.have = p.data[min(o.next-number*partBytes, int64(len(p.data))):]
	return nil
}

// fetch reads a part from the bucket. It continues the running request if that is at this part.
func (o *cachedObject) fetch(number int64) (part, error) {
	if o.source == nil || o.sourceAt != number || number >= o.sourceEnd {
		if err := o.request(number); err != nil {
			return part{}, err
		}
	}
	first := number * partBytes
	data := make([]byte, max(0, min(partBytes, o.size-first)))
	if _, err := io.ReadFull(o.source, data); err != nil {
		return part{}, fmt.Errorf("get %s at %d: %w", o.key, first, err)
	}
	o.sourceAt++
	p := part{data: data, size: o.size, at: time.Now()}
	o.cache.keep(o.id, o.key, number, p)
	return p, nil
}

// request requests the missing parts from a number on, as far as the reader wants them.
func (o *cachedObject) request(number int64) error {
	if o.source != nil {
		o.source.Close()
		o.source = nil
	}
	r, last := bucket.Range{Offset: number * partBytes}, int64(math.MaxInt64)
	if o.end >= 0 {
		last = number + 1
		for last*partBytes < o.end && !o.cache.has(o.id, last) {
			last++
		}
		r.Length = last*partBytes - r.Offset
	}
	source, err := o.cache.Store.Get(o.ctx, o.key, r)
	if err != nil {
		return err
	}
	o.source, o.sourceAt, o.sourceEnd, o.size = source, number, last, source.Size
	return nil
}
