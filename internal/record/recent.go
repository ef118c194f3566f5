package record

import (
	"sync"

	"github.com/weirlog/weir/internal/event"
)

// recent remembers events that were recorded lately, in two generations: when the younger is full it becomes the older,
// and the older is forgotten. By then its events are sequenced, under any load, and the log's filters know them.
type recent struct {
	limit int // of a generation

	mu             sync.Mutex
	younger, older map[recorded]struct{}
}

type recorded struct {
	log string
	key event.Key
}

// note marks those entries of a log that are remembered.
func (r *recent) note(log string, entries []event.Entry, known []bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, e := range entries {
		k := recorded{log, e.Key}
		if _, ok := r.younger[k]; ok {
			known[i] = true
		} else if _, ok := r.older[k]; ok {
			known[i] = true
		}
	}
}

func (r *recent) add(b event.Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range b.Entries {
		if len(r.younger) >= r.limit {
			r.older, r.younger = r.younger, nil
		}
		if r.younger == nil {
			r.younger = make(map[recorded]struct{})
		}
		r.younger[recorded{b.Log, e.Key}] = struct{}{}
	}
}
