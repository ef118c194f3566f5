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
// on while everything moves, and of the number of events.
func (c *cluster) ask(ctx context.Context, rnd *rand.Rand, n *node, q tlog.Query) {
	err := c.page(ctx, rnd, n, q)
	if err == nil {
		err = c.count(ctx, n, q)
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
	must := map[string][]string{}
	for _, log := range c.logs {
		must[log.id] = c.acknowledged(log)
	}
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
		if err := c.compare(log, found[log.id], must[log.id], q); err != nil {
			return fmt.Errorf("log %s: %w", log.id, err)
		}
	}
	return nil
}

// count compares the number of events with what it must be at least and at most.
func (c *cluster) count(ctx context.Context, n *node, q tlog.Query) error {
	asked, err := c.question(q)
	if err != nil {
		return err
	}
	least := c.number(q, true)
	s, err := search.New(n.logs, search.Options{Workers: 2}).Summary(ctx, asked, search.Outline{})
	if err != nil {
		return err
	}
	if most := c.number(q, false); s.Total < least || s.Total > most {
		return fmt.Errorf("%d events counted, there are %d to %d", s.Total, least, most)
	}
	return nil
}

// number returns how many events that q selects were acknowledged and cannot be gone, or how many were sent.
func (c *cluster) number(q tlog.Query, acknowledged bool) (n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, log := range c.logs {
		for line, e := range log.sent {
			if e.time < q.Start || e.time >= q.End || q.Processor != "" && q.Processor != e.processor {
				continue
			}
			if !acknowledged || log.acked[line] && !log.mayBeGone(line) {
				n++
			}
		}
	}
	return n
}
