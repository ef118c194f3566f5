package cache

import (
	"container/list"
	"sync"
)

// lru keeps the values that were used last, up to a total size in bytes.
type lru[V any] struct {
	limit   int64
	dropped func(name string, v V) // if not nil, called with the lock held when a value is dropped

	mu      sync.Mutex
	used    int64
	entries map[string]*list.Element
	order   list.List // of *lruEntry[V], the one used last in front
}

type lruEntry[V any] struct {
	name  string
	value V
	bytes int64
}

func newLRU[V any](limit int64, dropped func(string, V)) *lru[V] {
	if dropped == nil {
		dropped = func(string, V) {}
	}
	return &lru[V]{limit: limit, dropped: dropped, entries: map[string]*list.Element{}}
}

func (l *lru[V]) get(name string) (v V, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.entries[name]
	if !ok {
		return v, false
	}
	l.order.MoveToFront(e)
	return e.Value.(*lruEntry[V]).value, true
}

func (l *lru[V]) has(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.entries[name]
	return ok
}

// put adds a value, and drops others to make room. It returns false, and adds nothing, if the value exceeds the limit.
func (l *lru[V]) put(name string, v V, bytes int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.entries[name]; ok {
		l.forget(e)
	}
	if bytes > l.limit {
		return false
	}
	for l.used+bytes > l.limit {
		l.drop(l.order.Back())
	}
	l.entries[name] = l.order.PushFront(&lruEntry[V]{name, v, bytes})
	l.used += bytes
	return true
}

// remove drops the values for which chosen returns true.
func (l *lru[V]) remove(chosen func(name string, v V) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := l.order.Front(); e != nil; {
		next := e.Next()
		if entry := e.Value.(*lruEntry[V]); chosen(entry.name, entry.value) {
			l.drop(e)
		}
		e = next
	}
}

func (l *lru[V]) bytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.used
}

// drop removes a value and calls dropped. The caller of drop or forget holds the lock.
func (l *lru[V]) drop(e *list.Element) {
	l.forget(e)
	entry := e.Value.(*lruEntry[V])
	l.dropped(entry.name, entry.value)
}

func (l *lru[V]) forget(e *list.Element) {
	entry := l.order.Remove(e).(*lruEntry[V])
	delete(l.entries, entry.name)
	l.used -= entry.bytes
}
