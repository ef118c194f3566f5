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

// follower returns the follower of the i-th node, which follows the logs of the shards that the node holds.
func (c *cluster) follower(i int, n *node) *follow.Follower {
	return &follow.Follower{Name: "simulated", Bucket: n.bucket, Logs: n.logs, Every: 5 * time.Second,
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

func (h *handler) log(id string) *simulatedLog {
	i := slices.IndexFunc(h.cluster.logs, func(l *simulatedLog) bool { return l.id == id })
	return h.cluster.logs[i]
}

func (h *handler) Entries(_ context.Context, id string, entries []tlog.Indexed) error {
	h.cluster.mu.Lock()
	defer h.cluster.mu.Unlock()
	if h.rnd.IntN(10) == 0 {
		return errRefused
	}
	log := h.log(id)
	for i, e := range entries {
		switch {
		case i > 0 && e.Index != entries[i-1].Index+1:
			h.cluster.world.Wrong(fmt.Errorf("log %s: entry %d is followed by %d", id, entries[i-1].Index, e.Index))
		case e.Index > log.followed:
			h.cluster.world.Wrong(fmt.Errorf("log %s: the follower was given entry %d before %d", id, e.Index, log.followed))
		case e.Index >= int64(len(log.lines)) || log.lines[e.Index]+"\n" != string(e.Line):
			h.cluster.world.Wrong(fmt.Errorf("log %s: the follower was given %q as entry %d", id, e.Line, e.Index))
		}
		log.followed = max(log.followed, e.Index+1)
	}
	return nil
}

func (h *handler) Gap(_ context.Context, id string, first, end int64) error {
	h.cluster.mu.Lock()
	defer h.cluster.mu.Unlock()
	log := h.log(id)
	if first > log.followed || end > log.gone {
		h.cluster.world.Wrong(fmt.Errorf("log %s: entries %d to %d are said to be gone; followed are %d, gone are %d",
			id, first, end-1, log.followed, log.gone))
	}
	log.followed = max(log.followed, end)
	return nil
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

// lose takes away an object that is not the only copy of anything acknowledged. Nothing else may be lost with it.
func (c *cluster) lose(ctx context.Context, rnd *rand.Rand, _ *node) {
	var keys []string
	list := func(prefix string) (found []string) {
		for info := range c.world.Bucket.List(ctx, prefix, "") {
			found = append(found, info.Key)
		}
		return found
	}
	switch rnd.IntN(4) {
	case 0:
		keys = list("plans/")
	case 1:
		keys = list("leases/")
	case 2:
		keys = list("cursors/")
	case 3:
		for _, log := range c.logs {
			if all := list("logs/" + log.id + "/manifest/"); len(all) > 1 {
				keys = append(keys, all[:len(all)-1]...)
			}
		}
	}
	if len(keys) == 0 {
		return
	}
	if err := c.world.Bucket.Delete(ctx, keys[rnd.IntN(len(keys))]); err != nil {
		c.world.Wrong(fmt.Errorf("lose: %w", err))
	}
}
