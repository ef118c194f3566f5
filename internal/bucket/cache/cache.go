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

// Options say what a Cached keeps.
type Options struct {
	Immutable   func(key string) bool // tells which objects never change and are never made anew: only these are kept
	Memory      int64                 // bytes
	Folder      string                // on a local disk; empty: memory only
	FolderBytes int64
	// what was fetched so long ago is forgotten: what others delete from the bucket is gone here by then
	MaxAge time.Duration
	Logger *slog.Logger
	// called with each part that is wanted: memory, folder, store, or damaged; nil: nobody counts
	Observe func(from string)
}

// Cached is a bucket with a cache before it, of parts of immutable objects, for buckets where each request costs time
// and money. It keeps parts of a fixed size; parts that are missing one behind the other are fetched by one request,
// which the reader takes them from as they come.
//
// What comes from the cache is what came from the bucket: a part in the folder has a digest, and one that is damaged is
// fetched again. Beyond that a cache is not trusted: objects have no Version here, so that who compares them with
// digests of its own does so each time. A disk that fails costs speed only.
type Bucket struct {
	bucket.Store
	options Options
	memory  *lru[part]
	folder  *partFolder // nil: none
	stop    chan struct{}
	work    sync.WaitGroup
}

// partBytes is the length of parts in bytes. The last one of an object is shorter. A reader holds at most one.
const partBytes = 64 << 10

// part is a part of an object as it was fetched.
type part struct {
	data []byte
	size int64 // of the whole object
	at   time.Time
}

// New puts a cache before a bucket, which Close closes.
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

// Close closes the bucket, too. The folder keeps what is in it for the next start.
func (c *Bucket) Close() error {
	close(c.stop)
	c.work.Wait()
	err := c.Store.Close()
	if c.folder != nil {
		err = errors.Join(err, c.folder.close())
	}
	return err
}

// age forgets what is too old, also if nobody asks for it.
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

// Bytes returns how much is kept in memory and in the folder.
func (c *Bucket) Bytes() (memory, folder int64) {
	if c.folder != nil {
		folder = c.folder.bytes()
	}
	return c.memory.bytes(), folder
}

// Forget drops what is kept of an object that turned out not to be what it should.
func (c *Bucket) Forget(key string) {
	c.Store.Forget(key)
	id := objectID(key)
	c.memory.remove(func(name string, _ part) bool { return isPartOf(name, id) })
	if c.folder != nil {
		c.folder.remove(func(name string, _ time.Time) bool { return isPartOf(name, id) })
	}
}

// Writable implements bucket.Prober for a bucket that can tell.
func (c *Bucket) Writable(ctx context.Context) error {
	if p, ok := c.Store.(bucket.Prober); ok {
		return p.Writable(ctx)
	}
	return nil
}

// Delete forgets what it deletes.
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

// cachedObject reads a range of an object from the cache, and from the bucket where the cache has nothing.
type cachedObject struct {
	ctx       context.Context // of the Get, as for every object
	cache     *Bucket
	key, id   string
	next, end int64  // range that is still to be read; end < 0: up to the object's end, which is not known yet
	size      int64  // of the whole object
	have      []byte // of the part that next lies in, what lies behind next

	source    io.ReadCloser // a request under way; nil: none
	sourceAt  int64         // number of the part that it goes on with
	sourceEnd int64         // and of the part before which it ends
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

// fill gets the part that is to be read next.
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

// fetch reads a part from the bucket, by the request that is under way if that has come to it.
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

// request asks the bucket for the parts from a number on that the cache does not have, as far as they are wanted.
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
