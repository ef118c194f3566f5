package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/weirlog/weir/internal/follow"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/wal"
)

// followEvery is the time between two passes of a follower. No other task of a node has a period that coincides with
// it: what goes off at the same moment goes off in any order, and a history would not be the same twice.
const followEvery = 17 * time.Second

// follower returns the follower of the i-th node, which follows the logs of the shards that the node holds.
func (c *cluster) follower(i int, n *node) *follow.Follower {
	return &follow.Follower{Name: "simulated", Bucket: n.sealed, Logs: n.logs, Every: followEvery,
		Handler: &handler{cluster: c, rnd: c.world.Rand(fmt.Sprint("handler", i))},
		All: func(context.Context) (ids []string, err error) {
			for _, log := range c.logs {
				ids = append(ids, log.id)
			}
			return ids, nil
		},
		Mine: func(log string) bool { return n.holds(wal.ShardOf(log, simulatedShards)) },
	}
}

// handler checks that no entry is skipped, whichever nodes follow a log and however often they die.
type handler struct {
	cluster *cluster
	rnd     *rand.Rand
}

var errRefused = errors.New("refused")

// Entries implements follow.Handler. It refuses now and then, until the cluster is healthy.
func (h *handler) Entries(_ context.Context, id string, entries []tlog.Indexed) error {
	h.cluster.mu.Lock()
	defer h.cluster.mu.Unlock()
	if !h.cluster.healthy && h.rnd.IntN(10) == 0 {
		return errRefused
	}
	log := h.cluster.log(id)
	for i, e := range entries {
		if i > 0 && e.Index != entries[i-1].Index+1 {
			h.wrong(id, "entry %d is followed by %d", entries[i-1].Index, e.Index)
		}
		if e.Index > log.followed {
			h.wrong(id, "the follower was given entry %d before %d", e.Index, log.followed)
		}
		if e.Index >= int64(len(log.lines)) || log.lines[e.Index]+"\n" != string(e.Line) {
			h.wrong(id, "the follower was given %q as entry %d", e.Line, e.Index)
		}
		log.followed = max(log.followed, e.Index+1)
	}
	return nil
}

// Gap implements follow.Handler.
func (h *handler) Gap(_ context.Context, id string, first, end int64) error {
	h.cluster.mu.Lock()
	defer h.cluster.mu.Unlock()
	log := h.cluster.log(id)
	if first > log.followed || end > log.gone {
		h.wrong(id, "entries %d to %d are said to be gone; followed are %d, gone are %d", first, end-1,
			log.followed, log.gone)
	}
	log.followed = max(log.followed, end)
	return nil
}

func (h *handler) wrong(log, format string, args ...any) {
	h.cluster.world.Wrong(fmt.Errorf("log %s: %s", log, fmt.Sprintf(format, args...)))
}

func (c *cluster) log(id string) *simulatedLog {
	return c.logs[slices.IndexFunc(c.logs, func(l *simulatedLog) bool { return l.id == id })]
}

// allFollowed checks that the follower has come to the end of each log.
func (c *cluster) allFollowed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, log := range c.logs {
		if log.followed != int64(len(log.lines)) {
			return fmt.Errorf("log %s: the follower was given %d of %d entries", log.id, log.followed, len(log.lines))
		}
	}
	return nil
}
