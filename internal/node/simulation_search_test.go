package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/search"
	"github.com/weirlog/weir/internal/tlog"
)

// ask searches all logs for what q selects, and checks what came, as of a download: of the pages of a search, which go
// on while everything moves, of the numbers of events, and of their fields.
func (c *cluster) ask(ctx context.Context, rnd *rand.Rand, n *node, q tlog.Query) {
	err := c.page(ctx, rnd, n, q)
	if err == nil {
		err = c.count(ctx, rnd, n, q)
	}
	if err == nil {
		err = c.fields(ctx, n, q)
	}
	if err != nil && !expected(ctx, n.process(), err) && !errors.Is(err, search.ErrTooSlow) {
		c.world.Wrong(fmt.Errorf("search: %w", err))
	}
}

func (c *cluster) question(q tlog.Query) (search.Question, error) {
	text := ""
	if q.Processor != "" {
		text = "entity.name:" + q.Processor
	}
	parsed, err := query.Parse(text)
	asked := search.Question{Query: parsed, Start: q.Start, End: q.End}
	for _, log := range c.logs {
		asked.Logs = append(asked.Logs, log.id)
	}
	return asked, err
}

func (c *cluster) page(ctx context.Context, rnd *rand.Rand, n *node, q tlog.Query) error {
	asked, err := c.question(q)
	if err != nil {
		return err
	}
	order := []search.Order{search.Newest, search.Oldest}[rnd.IntN(2)]
	s := search.New(n.logs, search.Options{Workers: 2})
	must := c.acknowledgedNow()
	found := map[string][]string{}
	for after, more := (*search.Position)(nil), true; more; more = after != nil {
		p, err := s.Page(ctx, asked, order, after, 1+rnd.IntN(30))
		if err != nil {
			return err
		}
		for _, hit := range p.Hits {
			found[hit.Log] = append(found[hit.Log], string(hit.Line))
		}
		after = p.Next
	}
	for _, log := range c.logs {
		if err := c.compare(log, found[log.id], must[log], q); err != nil {
			return fmt.Errorf("log %s: %w", log.id, err)
		}
	}
	return nil
}

// count compares what a summary says with what it must say at least and at most: how many events there are, how many
// in each bar, and how many of each value.
func (c *cluster) count(ctx context.Context, rnd *rand.Rand, n *node, q tlog.Query) error {
	asked, err := c.question(q)
	if err != nil {
		return err
	}
	outline := search.Outline{Facets: []query.Field{processorField}, Top: 1 + rnd.IntN(3)}
	if q.Start > tlog.All.Start {
		outline.Bars = 1 + rnd.IntN(20)
	}
	before := c.acknowledgedNow()
	s, err := search.New(n.logs, search.Options{Workers: 2}).Summary(ctx, asked, outline)
	if err != nil {
		return err
	}
	facet, sum := s.Facets[0], int64(0)
	for _, v := range facet.Values {
		sum += v.Count
		err = errors.Join(err, c.within(v.Count, before, q, func(e simulatedEvent) bool {
			return e.processor == v.Value.Text
		}))
	}
	if sum+facet.Other+facet.Missing != s.Total {
		err = errors.Join(err, fmt.Errorf("%+v of %d events", facet, s.Total))
	}
	sum = 0
	for i, bar := range s.Histogram {
		sum += bar.Count
		end := q.End
		if i+1 < len(s.Histogram) {
			end = s.Histogram[i+1].Start
		}
		err = errors.Join(err, c.within(bar.Count, before, q, func(e simulatedEvent) bool {
			return e.time >= bar.Start && e.time < end
		}))
	}
	if outline.Bars > 0 && sum != s.Total {
		err = errors.Join(err, fmt.Errorf("%d events in the bars, %d in all", sum, s.Total))
	}
	return errors.Join(err, c.within(s.Total, before, q, anyEvent))
}

// processorField is a field that some events have.
const processorField query.Field = "entity.name"

func anyEvent(simulatedEvent) bool { return true }

func hasProcessor(e simulatedEvent) bool { return e.processor != "" }

// fields compares what is said of the fields of events with what must be said at least and at most.
func (c *cluster) fields(ctx context.Context, n *node, q tlog.Query) error {
	asked, err := c.question(q)
	if err != nil {
		return err
	}
	before := c.acknowledgedNow()
	all, err := search.New(n.logs, search.Options{Workers: 2}).Fields(ctx, asked)
	if err != nil {
		return err
	}
	err = c.within(all.Total, before, q, anyEvent)
	said := map[query.Field]search.Field{}
	for _, f := range all.Fields {
		said[f.Field] = f
	}
	if uid := said["metadata.uid"]; uid.Events != all.Total {
		err = errors.Join(err, fmt.Errorf("%d of %d events have a uid", uid.Events, all.Total))
	}
	processors := said[processorField]
	return errors.Join(err, c.within(processors.Events, before, q, hasProcessor))
}

// acknowledgedNow returns the events that are acknowledged now, by log.
func (c *cluster) acknowledgedNow() map[*simulatedLog][]string {
	all := map[*simulatedLog][]string{}
	for _, log := range c.logs {
		all[log] = c.acknowledged(log)
	}
	return all
}

// within returns an error unless n may be the number of those events that q selects and for which is returns true:
// acknowledged before and not to be removed meanwhile, or at least sent.
func (c *cluster) within(n int64, before map[*simulatedLog][]string, q tlog.Query,
	is func(simulatedEvent) bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := func(e simulatedEvent) bool {
		return e.time >= q.Start && e.time < q.End && (q.Processor == "" || q.Processor == e.processor) && is(e)
	}
	var least, most int64
	for log, acked := range before {
		for _, line := range acked {
			if counts(log.sent[line]) && !log.mayBeGone(line) {
				least++
			}
		}
		for _, e := range log.sent {
			if counts(e) {
				most++
			}
		}
	}
	if n < least || n > most {
		return fmt.Errorf("%d events counted, there are %d to %d", n, least, most)
	}
	return nil
}
