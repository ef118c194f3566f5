package record

import (
	"sync"

	"github.com/weirlog/weir/internal/event"
)

// recent remembers recently recorded events, in two generations. When the younger is full, it becomes the older one,
// and the former older one is forgotten. By then its events are sequenced, at any load, and the log's filters know
// them.
type recent struct {
	limit int // maximum number of events of a generation

	mu             sync.Mutex
	younger, older generation
}

// generation holds the events of a period.
type generation struct {
	logs map[string]*event.Once
	size int
}

// note marks the entries of a log that are remembered.
func (r *recent) note(log string, entries []event.Entry, known []event.Standing) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range []generation{r.younger, r.older} {
		if once := g.logs[log]; once != nil {
			once.Look(entries, known)
		}
	}
}

func (r *recent) add(b event.Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range b.Entries {
		if r.younger.size >= r.limit {
			r.older, r.younger = r.younger, generation{}
		}
		r.younger.add(b.Log, e)
	}
}

func (g *generation) add(log string, e event.Entry) {
	once := g.logs[log]
	if once == nil {
		if g.logs == nil {
			g.logs = make(map[string]*event.Once)
		}
		once = new(event.Once)
		g.logs[log] = once
	}
	g.size -= once.Len()
	once.Add(e)
	g.size += once.Len()
}
