package search

import (
	"bytes"
	"container/heap"
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/tlog"
)

// Page is the first matching events after a position.
type Page struct {
	Hits []Hit // in order

	// Next is where the next page begins: all matching events up to there are in Hits, or came before. It is nil if
	// there are no more.
	Next *Position

	// Cut tells whether the time limit has ended the search. The page may then have few hits, or none: all matching
	// events before Next are in it, or came before.
	Cut bool
}

// Page returns the first matching events after a position, in an order; if after is nil, from the beginning. It returns
// at most limit events, and fewer if their lines are long or the time limit passes. If the time limit passes before
// anything is known about the beginning, it returns ErrTooSlow.
//
// Positions never change. So if each page begins where the previous one ended, no event is shown twice, and each event
// that existed when its page was asked for is shown.
func (s *Searcher) Page(ctx context.Context, q Question, o Order, after *Position, limit int) (*Page, error) {
	m, err := query.Compile(q.Query)
	if err != nil {
		return nil, err
	}
	if after != nil && o == Newest {
		q.End = min(q.End, after.Time+1)
	}
	if after != nil && o == Oldest {
		q.Start = max(q.Start, after.Time)
	}
	limited, cancel := context.WithTimeout(ctx, s.options.TimeLimit)
	defer cancel()
	var p *pager
	err = again(limited, func() error {
		p = &pager{question: q, order: o, after: after, matcher: m, searcher: s, best: best{order: o, limit: limit + 1,
			bytes: s.options.PageBytes}}
		return p.run(limited, s)
	})
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil && limited.Err() != nil:
		return p.inPart(limit)
	case err != nil:
		return nil, err
	}
	return p.whole(limit), nil
}

// pager finds the events of a page. It reads segments and blocks in the order of their earliest times, until no unread
// event can be among the first.
type pager struct {
	question Question
	order    Order
	after    *Position
	matcher  *query.Matcher
	searcher *Searcher

	mu   sync.Mutex // of best
	best best

	queued bool // whether everything to read is, or was, in the queue
	queue  queue
	asks   int // number of segments in the last step
}

// whole returns the page of a search that was completed. best has one more event than the page if there are more.
func (p *pager) whole(limit int) *Page {
	hits := p.best.sorted()
	more := p.best.dropped
	if len(hits) > limit {
		hits, more = hits[:limit], true
	}
	page := &Page{Hits: hits}
	if more {
		page.Next = &hits[len(hits)-1].Position
	}
	return page
}

// inPart returns the page of a search that the time limit has ended: the events before everything that was not read.
func (p *pager) inPart(limit int) (*Page, error) {
	if !p.queued || len(p.queue.items) == 0 {
		return nil, ErrTooSlow
	}
	next := Position{Time: p.queue.items[0].time} // comes before the positions of all events with this time
	begin := p.earliest(p.question.Start, p.question.End-1)
	if p.order.times(next.Time, begin) <= 0 {
		return nil, ErrTooSlow
	}
	hits := slices.DeleteFunc(p.best.sorted(), func(h Hit) bool { return p.order.compare(h.Position, next) >= 0 })
	switch {
	case len(hits) > limit:
		hits = hits[:limit]
		next = hits[limit-1].Position
	case p.best.dropped && p.order.compare(p.best.bound, next) < 0:
		next = hits[len(hits)-1].Position
	}
	return &Page{hits, &next, true}, nil
}

func (p *pager) run(ctx context.Context, s *Searcher) error {
	snapshots, err := s.snapshots(ctx, p.question)
	if err != nil {
		return err
	}
	p.queue.order = p.order
	for i, snapshot := range snapshots {
		if err := p.begin(ctx, p.question.Logs[i], snapshot); err != nil {
			return err
		}
	}
	p.queued = true
	for len(p.queue.items) > 0 && p.best.mayTake(p.queue.items[0].time) {
		if err := p.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// begin queues the segments of a log, and takes its waiting events.
func (p *pager) begin(ctx context.Context, log string, s *tlog.Snapshot) error {
	for seg, err := range s.Segments(ctx) {
		if err != nil {
			return err
		}
		heap.Push(&p.queue, item{time: p.earliest(seg.MinTime, seg.MaxTime), log: log, segment: seg})
	}
	return s.Waiting(ctx, func(line []byte, e event.Entry) error {
		h := Hit{Position{e.Time, log, e.Key}, tlog.Unsequenced, bytes.TrimSuffix(line, []byte{'\n'})}
		if p.matcher.Match(h.Line) {
			p.take(h)
		}
		return ctx.Err()
	})
}

// earliest returns the first time, in the page's order, in a range of times.
func (p *pager) earliest(lowest, highest int64) int64 {
	if p.order == Newest {
		return min(highest, p.question.End-1)
	}
	return max(lowest, p.question.Start)
}

// step reads the first items of the queue: several segments, whose blocks it queues, or several blocks. They stay in
// the queue until they are read.
func (p *pager) step(ctx context.Context) error {
	read, most := p.read, p.searcher.options.Workers
	if p.queue.items[0].block == nil {
		p.asks = min(2*p.asks+1, mostAsks)
		read, most = p.ask, p.asks
	}
	var taken []item
	for len(taken) < most && len(p.queue.items) > 0 && p.best.mayTake(p.queue.items[0].time) &&
		(len(taken) == 0 || (p.queue.items[0].block == nil) == (taken[0].block == nil)) {
		taken = append(taken, heap.Pop(&p.queue).(item))
	}
	err := read(ctx, taken)
	if err != nil {
		for _, one := range taken {
			heap.Push(&p.queue, one)
		}
	}
	return err
}

// mostAsks bounds the number of segments whose indexes are asked at a time. These requests cost little except waiting
// for the store. A search begins with one, since most questions are about recent events, and asks more the longer it
// takes.
const mostAsks = 15

// ask asks the indexes of segments concurrently, and queues the blocks that may contain matching events.
func (p *pager) ask(ctx context.Context, items []item) error {
	found := make([][]block, len(items))
	group, ctx := errgroup.WithContext(ctx)
	for i, one := range items {
		group.Go(func() (err error) {
			found[i], err = p.searcher.candidates(ctx, &p.question, one.log, one.segment)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for n, one := range items {
		for i := range found[n] {
			b := &found[n][i]
			heap.Push(&p.queue, item{p.earliest(b.MinTime, b.MaxTime), one.log, one.segment, b})
		}
	}
	return nil
}

// read reads blocks concurrently.
func (p *pager) read(ctx context.Context, items []item) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, one := range items {
		group.Go(func() error {
			return one.block.each(ctx, &p.question, p.matcher, func(h Hit) error {
				p.take(h)
				return nil
			})
		})
	}
	return group.Wait()
}

// take takes a matching event, if it is after the start of the page.
func (p *pager) take(h Hit) {
	if p.after != nil && p.order.compare(h.Position, *p.after) <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.best.take(h)
}

// best keeps the first of the hits that it takes, up to a number and a size in bytes, but at least one.
type best struct {
	order   Order
	limit   int
	bytes   int
	hits    []Hit // a heap, the last one at the root
	size    int   // bytes of their lines
	dropped bool
	bound   Position // if dropped is set, hits from here on are not wanted
}

func (b *best) Len() int { return len(b.hits) }
func (b *best) Less(i, j int) bool {
	return b.order.compare(b.hits[i].Position, b.hits[j].Position) > 0
}
func (b *best) Swap(i, j int) { b.hits[i], b.hits[j] = b.hits[j], b.hits[i] }
func (b *best) Push(h any)    { b.hits = append(b.hits, h.(Hit)) }

func (b *best) Pop() any {
	last := b.hits[len(b.hits)-1]
	b.hits = b.hits[:len(b.hits)-1]
	return last
}

// mayTake tells whether a hit at this time, or later in the order, could be kept.
func (b *best) mayTake(time int64) bool {
	if b.dropped && b.order.times(time, b.bound.Time) > 0 {
		return false
	}
	return len(b.hits) < b.limit || b.order.times(time, b.hits[0].Time) <= 0
}

// take takes a hit. It copies the line.
func (b *best) take(h Hit) {
	if b.dropped && b.order.compare(h.Position, b.bound) >= 0 ||
		len(b.hits) == b.limit && b.order.compare(h.Position, b.hits[0].Position) > 0 {
		return
	}
	h.Line = slices.Clone(h.Line)
	heap.Push(b, h)
	b.size += len(h.Line)
	for len(b.hits) > b.limit || b.size > b.bytes && len(b.hits) > 1 {
		last := heap.Pop(b).(Hit)
		b.size -= len(last.Line)
		b.dropped, b.bound = true, last.Position
	}
}

// sorted returns the hits in order. best must not be used afterwards.
func (b *best) sorted() []Hit {
	return slices.SortedFunc(slices.Values(b.hits), func(x, y Hit) int { return b.order.compare(x.Position, y.Position) })
}

// item is a segment to read, or a block of one.
type item struct {
	time    int64 // no event in it is before this, in the page's order
	log     string
	segment *tlog.Segment
	block   *block // if nil, the blocks of the segment are not known yet
}

// queue is a heap of items, with the first one at the root.
type queue struct {
	order Order
	items []item
}

func (q *queue) Len() int           { return len(q.items) }
func (q *queue) Less(i, j int) bool { return q.order.times(q.items[i].time, q.items[j].time) < 0 }
func (q *queue) Swap(i, j int)      { q.items[i], q.items[j] = q.items[j], q.items[i] }
func (q *queue) Push(one any)       { q.items = append(q.items, one.(item)) }

func (q *queue) Pop() any {
	last := q.items[len(q.items)-1]
	q.items = q.items[:len(q.items)-1]
	return last
}
