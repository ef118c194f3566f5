package doc

import (
	"context"
	"sync"
	"time"
)

// listing is which documents there were at the last listing.
type listing struct {
	making sync.Mutex // held by the one that lists

	mu  sync.Mutex
	at  time.Time
	ids map[string]struct{}
}

// ListEvery is the time between two listings for Listed. So a document that another node creates is missed for so long.
const ListEvery = 5 * time.Second

// maxListed bounds how many identifiers Listed remembers.
const maxListed = 1 << 18

// Listed tells whether a document is in memory or was there at the last listing, which is made at most every ListEvery,
// however often and for whatever identifiers it is asked: the answer costs no look into the bucket for each. It may
// miss a document that is new, is in none of the first 262,144, or cannot be listed.
func (c *Cache[T]) Listed(ctx context.Context, id string) bool {
	if _, ok := c.docs.GetIfPresent(id); ok {
		return true
	}
	c.list(ctx)
	c.known.mu.Lock()
	defer c.known.mu.Unlock()
	_, ok := c.known.ids[id]
	return ok
}

// list lists the documents, unless that was done a moment ago or another call is doing it.
func (c *Cache[T]) list(ctx context.Context) {
	if !c.known.making.TryLock() {
		return
	}
	defer c.known.making.Unlock()
	c.known.mu.Lock()
	due := time.Since(c.known.at) >= ListEvery
	c.known.mu.Unlock()
	if !due {
		return
	}
	ids, err := c.ids(ctx)
	c.known.mu.Lock()
	defer c.known.mu.Unlock()
	c.known.at = time.Now()
	if err == nil {
		c.known.ids = ids
	}
}

func (c *Cache[T]) ids(ctx context.Context) (map[string]struct{}, error) {
	ids := map[string]struct{}{}
	for info, err := range c.bucket.List(ctx, c.prefix, "") {
		if err != nil {
			return nil, err
		}
		if of, _, ok := parse(info.Key); ok {
			ids[of[len(c.prefix):]] = struct{}{}
		}
		if len(ids) == maxListed {
			break
		}
	}
	return ids, nil
}
