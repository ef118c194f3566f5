package deliver

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Memory for batches, in bytes. A place that has not accepted anything since it last failed takes from memory of its
// own, so that those that hang cannot take that of the others.
const (
	memory        = 256 << 20
	unprovenBytes = 64 << 20
)

// pool is memory that is taken before it is used. The deliveries of one project may have half of it, so that those of
// another go on, however many places accept something and then hang.
type pool struct {
	all   *semaphore.Weighted
	share int64

	mu       sync.Mutex
	projects map[string]*tenant // those that have memory, or wait for it
}

type tenant struct {
	own   *semaphore.Weighted
	users int
}

func newPool(bytes int64) *pool {
	return &pool{all: semaphore.NewWeighted(bytes), share: bytes / 2, projects: map[string]*tenant{}}
}

// take waits for memory for a project: at most half of the pool. release gives it back, once. The error is that of ctx.
func (p *pool) take(ctx context.Context, project string, bytes int64) (release func(), err error) {
	of := p.join(project)
	if err := of.own.Acquire(ctx, bytes); err != nil {
		p.leave(project)
		return nil, err
	}
	if err := p.all.Acquire(ctx, bytes); err != nil {
		of.own.Release(bytes)
		p.leave(project)
		return nil, err
	}
	return sync.OnceFunc(func() {
		p.all.Release(bytes)
		of.own.Release(bytes)
		p.leave(project)
	}), nil
}

func (p *pool) join(project string) *tenant {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := p.projects[project]
	if of == nil {
		of = &tenant{own: semaphore.NewWeighted(p.share)}
		p.projects[project] = of
	}
	of.users++
	return of
}

func (p *pool) leave(project string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if of := p.projects[project]; of.users == 1 {
		delete(p.projects, project)
	} else {
		of.users--
	}
}
