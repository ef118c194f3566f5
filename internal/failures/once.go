package failures

import (
	"maps"
	"strings"
	"sync"
	"time"
)

// Once tells which failures to log of an operation that is repeated, such as every few seconds. A failure is logged
// when it begins, when its text changes, and when an hour has passed. The zero Once is ready. It may be used
// concurrently.
type Once struct {
	mu   sync.Mutex
	told map[string]*told // by the name of the operation
}

// told says what was logged of an operation.
type told struct {
	text  string    // of the failure that lasts; empty if none does
	at    time.Time // when it was last logged
	since time.Time // of the hour in which times counts
	times int
}

const (
	again    = time.Hour
	mostText = 512    // bytes of a failure that are compared
	mostKept = 10_000 // things that are remembered

	// mostTimes bounds how often a thing is logged in an hour, whose failure is another one each time, or comes and goes.
	mostTimes = 10
)

// Tell tells whether the log is to have an error of something. If err is nil, which says that it has succeeded, it is
// not, and the next error is a new one.
func (o *Once) Tell(about string, err error) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	t := o.told[about]
	if err == nil {
		if t != nil {
			t.text = ""
		}
		return false
	}
	if t == nil {
		t = o.add(strings.Clone(about), now)
	}
	if now.Sub(t.since) >= again {
		t.since, t.times = now, 0
	}
	text := err.Error()
	text = strings.Clone(text[:min(len(text), mostText)])
	if text == t.text && now.Sub(t.at) < again || t.times >= mostTimes {
		return false
	}
	t.text, t.at = text, now
	t.times++
	return true
}

// Forget forgets something that is not done any more.
func (o *Once) Forget(about string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.told, about)
}

// add makes room for an operation. It first forgets those that were not logged for an hour, since they would be logged
// again anyway. If that is not enough, it forgets all.
func (o *Once) add(about string, now time.Time) *told {
	if o.told == nil {
		o.told = map[string]*told{}
	}
	if len(o.told) >= mostKept {
		maps.DeleteFunc(o.told, func(_ string, t *told) bool { return now.Sub(t.at) >= again })
	}
	if len(o.told) >= mostKept {
		clear(o.told)
	}
	t := &told{since: now}
	o.told[about] = t
	return t
}
