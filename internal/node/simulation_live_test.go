package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/live"
	"github.com/weirlog/weir/internal/tlog"
)

// listen listens to all logs on a node for a while, and checks what it is told: each event once, none that was
// acknowledged before, and all that were sent and acknowledged since, unless the node dies or cannot read.
func (c *cluster) listen(ctx context.Context, rnd *rand.Rand, n *node) {
	every := time.Second + time.Duration(rnd.Int64N(int64(time.Second)))
	feed := live.New(n.logs, live.Options{Looks: 1, LookEvery: every})
	var ids []string
	old := map[string]map[string]bool{} // acknowledged before, by log
	for _, log := range c.logs {
		ids = append(ids, log.id)
		old[log.id] = setOf(c.acknowledged(log))
	}
	l, err := feed.Listen(ctx, ids, func([]byte, event.Entry) bool { return true })
	if err != nil {
		// It took too long, or retention removed what waited.
		if !expected(ctx, n.process(), err) && !errors.Is(err, context.DeadlineExceeded) &&
			!(c.limited() && errors.Is(err, tlog.ErrPruned)) {
			c.world.Wrong(fmt.Errorf("listen: %w", err))
		}
		return
	}
	defer feed.Wait()
	defer l.Close()
	sent := map[string]bool{}
	c.mu.Lock()
	for _, log := range c.logs {
		for line := range log.sent {
			sent[line] = true
		}
	}
	c.mu.Unlock()
	h := &hearing{cluster: c, old: old, heard: map[string]bool{}}
	h.hear(ctx, l, time.Duration(rnd.Int64N(int64(20*time.Second))))
	must := map[string]string{}
	for _, log := range c.logs {
		for _, line := range c.acknowledged(log) {
			if !sent[line] && !c.mayBeGone(log, line) {
				must[line] = log.id
			}
		}
	}
	for until := time.Now(); !l.UpTo().After(until); {
		if ctx.Err() != nil || n.dead() || time.Since(until) > time.Minute {
			return // It has not been told up to then.
		}
		h.hear(ctx, l, time.Second)
	}
	h.hear(ctx, l, 0)
	for line, log := range must {
		if !h.heard[line] && h.missed == 0 && !n.dead() {
			c.world.Wrong(fmt.Errorf("log %s: who listened was not told %s", log, line))
		}
	}
}

// limited tells whether retention removes events of any log.
func (c *cluster) limited() bool {
	return slices.ContainsFunc(c.logs, func(log *simulatedLog) bool { return log.limited })
}

// mayBeGone tells whether retention may remove an event now.
func (c *cluster) mayBeGone(log *simulatedLog, line string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return log.mayBeGone(line)
}

// hearing is what somebody who listens was told.
type hearing struct {
	cluster *cluster
	old     map[string]map[string]bool
	heard   map[string]bool
	missed  int64
}

// hear hears for a while, and then all that is there.
func (h *hearing) hear(ctx context.Context, l *live.Listener, long time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, long)
	defer cancel()
	for {
		e, ok := l.Take()
		if !ok {
			var err error
			if e, err = l.Next(ctx); err != nil {
				return
			}
		}
		h.missed += e.Missed
		if e.Log != "" {
			h.told(e.Log, string(e.Line))
		}
	}
}

func (h *hearing) told(id, line string) {
	h.cluster.mu.Lock()
	defer h.cluster.mu.Unlock()
	log := h.cluster.log(id)
	_, sent := log.sent[line]
	switch {
	case sent && log.mayBeGone(line): // It may be recorded anew when retention has removed it.
	case !sent:
		h.cluster.world.Wrong(fmt.Errorf("log %s: who listened was told what was never sent: %s", id, line))
	case h.heard[line]:
		h.cluster.world.Wrong(fmt.Errorf("log %s: who listened was told twice of %s", id, line))
	case h.old[id][line]:
		h.cluster.world.Wrong(fmt.Errorf("log %s: who listened was told of what was there before: %s", id, line))
	}
	h.heard[line] = true
}

func setOf(lines []string) map[string]bool {
	set := map[string]bool{}
	for _, line := range lines {
		set[line] = true
	}
	return set
}
