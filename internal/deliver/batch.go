package deliver

import (
	"bytes"

	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/tlog"
)

// collector makes batches of the entries of one log. It copies what it keeps.
type collector struct {
	subject Subject
	filter  *query.Matcher // if nil, every event is wanted
	events  int            // most of them in a batch
	bytes   int            // most of them in a batch, but for one event that is longer alone
	until   int64          // If above next, a batch ends there and nowhere else.

	next   int64 // the first entry that was not looked at
	passed int   // entries since the batch began, wanted or not
	lines  []byte
	found  []found
	batch  []Event
}

// found is an event of the batch that is collected.
type found struct {
	index, time int64
	end         int // of its line, in lines
}

// mostPassed bounds the entries for which nothing is kept if a filter wants none of them.
const mostPassed = 100_000

// full tells whether the batch ends before an entry.
func (c *collector) full(e *tlog.Indexed) bool {
	if c.until > 0 {
		return e.Index >= c.until
	}
	return len(c.found) > 0 && len(c.lines)+len(e.Line) > c.bytes || len(c.found) >= c.events || c.passed >= mostPassed
}

// add takes an entry into the batch if it is wanted.
func (c *collector) add(e *tlog.Indexed) {
	c.next = e.Index + 1
	c.passed++
	line := bytes.TrimSuffix(e.Line, []byte("\n"))
	if c.filter != nil && !c.filter.Match(line) {
		return
	}
	c.lines = append(c.lines, line...)
	c.found = append(c.found, found{e.Index, e.Time, len(c.lines)})
}

// take returns the batch, which counts until the next call of add, and begins another.
func (c *collector) take() []Event {
	c.batch = c.batch[:0]
	start := 0
	for _, f := range c.found {
		c.batch = append(c.batch, Event{Log: c.subject.Log, Name: c.subject.Name, Index: f.index, Time: f.time,
			Line: c.lines[start:f.end:f.end]})
		start = f.end
	}
	c.lines, c.found, c.passed, c.until = c.lines[:0], c.found[:0], 0, 0
	return c.batch
}
