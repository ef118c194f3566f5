package simulation

import (
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
)

// changes tells whether an operation changes the bucket.
func changes(op bucketest.Op) bool {
	return op == bucketest.Put || op == bucketest.PutNew || op == bucketest.Delete
}

// repeatable tells whether a client may send an operation twice. By the contract of bucket.Bucket, PutNew must not be.
func repeatable(op bucketest.Op) bool { return op == bucketest.Put || op == bucketest.Delete }

// call is a call to the bucket that is in progress.
type call struct {
	process *Process
	op      bucketest.Op
	key     string
	part    string // the part that is read, beside the key
	arrival int
	ready   time.Time // it must not continue before this
	run     func(luck uint64) error

	result    error
	done      bool // it took effect, and the reply is on its way
	failed    bool // it was reported as failed, but will take effect
	abandoned bool // the caller no longer waits for it
	released  chan struct{}
}

// Process is the bucket as one process sees it.
type Process struct {
	world  *World
	name   string
	asleep time.Time // until this time it sleeps
	storm  time.Time // until this time most of its calls fail
	died   chan struct{}
}

// pageSize is the number of objects in a page of a listing.
const pageSize = 4

var _ bucket.Bucket = (*Process)(nil)

// Process starts a process. Names must not be used twice.
func (w *World) Process(name string) *Process {
	p := &Process{world: w, name: name, died: make(chan struct{})}
	w.mu.Lock()
	w.processes = append(w.processes, p)
	ended := w.ended
	w.mu.Unlock()
	if ended {
		p.Kill()
	}
	return p
}

// Died is closed when the process dies.
func (p *Process) Died() <-chan struct{} { return p.died }

// Dead tells whether the process has died.
func (p *Process) Dead() bool {
	select {
	case <-p.died:
		return true
	default:
		return false
	}
}

// Kill ends the process. From then on its calls fail, without effect.
func (p *Process) Kill() {
	w := p.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.Dead() {
		return
	}
	close(p.died)
	w.waiting = slices.DeleteFunc(w.waiting, func(c *call) bool {
		if c.process != p {
			return false
		}
		c.result = ErrDead
		close(c.released)
		return true
	})
}

// call waits until the world has answered a call.
func (p *Process) call(ctx context.Context, op bucketest.Op, key, part string, run func(luck uint64) error) error {
	w := p.world
	w.mu.Lock()
	if p.Dead() {
		w.mu.Unlock()
		return fmt.Errorf("%s %s: %w", op, key, ErrDead)
	}
	w.arrived++
	c := &call{process: p, op: op, key: key, part: part, arrival: w.arrived, run: run, released: make(chan struct{})}
	w.waiting = append(w.waiting, c)
	w.mu.Unlock()
	select {
	case <-c.released:
	case <-ctx.Done():
		w.mu.Lock()
		c.abandoned = true
		w.mu.Unlock()
		return fmt.Errorf("%s %s: %w", op, key, ctx.Err())
	}
	if c.result != nil {
		return fmt.Errorf("%s %s: %w", op, key, c.result)
	}
	return nil
}

func (p *Process) Get(ctx context.Context, key string, r bucket.Range) (*bucket.Object, error) {
	var o *bucket.Object
	err := p.call(ctx, bucketest.Get, key, fmt.Sprint(r), func(luck uint64) (err error) {
		o, err = p.world.Bucket.Get(context.Background(), key, r)
		if n := uint64(p.world.Faults.Cut); err == nil && n > 0 && luck%n == 0 {
			o.ReadCloser = &cut{o.ReadCloser, int64(luck / n % uint64(1+o.Size))}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return o, nil
}

// cut is an object whose connection breaks after a number of bytes.
type cut struct {
	io.ReadCloser
	left int64
}

func (c *cut) Read(data []byte) (int, error) {
	if c.left == 0 {
		return 0, fmt.Errorf("%w: %w", errInjected, io.ErrUnexpectedEOF) // as in every bucket
	}
	n, err := c.ReadCloser.Read(data[:min(int64(len(data)), c.left)])
	c.left -= int64(n)
	return n, err
}

// Forget calls Forget of the bucket. It makes no request, so it cannot fail.
func (p *Process) Forget(key string) { p.world.Bucket.Forget(key) }

func (p *Process) Put(ctx context.Context, key string, data []byte) error {
	data = slices.Clone(data)
	return p.call(ctx, bucketest.Put, key, "", func(uint64) error {
		return p.world.Bucket.Put(context.Background(), key, data)
	})
}

func (p *Process) PutNew(ctx context.Context, key string, data []byte) error {
	data = slices.Clone(data)
	return p.call(ctx, bucketest.PutNew, key, "", func(uint64) error {
		return p.world.Bucket.PutNew(context.Background(), key, data)
	})
}

func (p *Process) List(ctx context.Context, prefix, after string) iter.Seq2[bucket.Info, error] {
	return func(yield func(bucket.Info, error) bool) {
		for {
			var page []bucket.Info
			err := p.call(ctx, bucketest.List, prefix, after, func(uint64) error {
				page = nil
				for info, err := range p.world.Bucket.List(context.Background(), prefix, after) {
					if err != nil || len(page) == pageSize {
						return err
					}
					page = append(page, info)
				}
				return nil
			})
			if err != nil {
				yield(bucket.Info{}, err)
				return
			}
			for _, info := range page {
				if !yield(info, nil) {
					return
				}
			}
			if len(page) < pageSize {
				return
			}
			after = page[len(page)-1].Key
		}
	}
}

func (p *Process) Delete(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		err := p.call(ctx, bucketest.Delete, key, "", func(uint64) error {
			return p.world.Bucket.Delete(context.Background(), key)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Close does nothing: the process may continue.
func (p *Process) Close() error { return nil }
