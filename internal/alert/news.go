package alert

import (
	"sync"
	"time"
)

// news says of logs whether they have grown. It knows only those that rules look at.
type news struct {
	mu   sync.Mutex
	last int64
	when map[string]int64 // by log: a number that is another one after each commit
}

// of returns the number of a log, which is never 0, and has it renewed with each commit from now on.
func (n *news) of(log string) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.when[log] == 0 {
		n.last++
		n.when[log] = n.last
	}
	return n.when[log]
}

// forget forgets the logs that rules have read.
func (n *news) forget(rules map[string]*held) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, h := range rules {
		for log := range h.read {
			delete(n.when, log)
		}
	}
}

// Committed says that a log has new entries.
func (e *Engine) Committed(log string) {
	n := &e.news
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.when[log] != 0 {
		n.last++
		n.when[log] = n.last
	}
}

// quiet tells whether a rule has read a log to its end, and nothing was committed to it since. That is known only of
// logs of whose commits this node hears; it is not believed for longer than the engine's PollEvery, since another node
// may have sequenced the log meanwhile.
func (p *project) quiet(h *held, log string) bool {
	return !p.lap.full && p.engine.Hears != nil && p.engine.Hears(log) && h.read[log] != 0 &&
		h.read[log] == p.engine.news.of(log)
}

// fullLap tells whether a lap that begins now is to read each log, even one without news.
func (p *project) fullLap(now time.Time) bool {
	if now.Sub(p.full) < p.engine.PollEvery {
		return false
	}
	p.full = now
	return true
}
