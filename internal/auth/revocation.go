package auth

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weirlog/weir/internal/bucket"
)

const (
	revocationsAge   = 2 * time.Second  // how long a list of revocations is believed, so how long another's may go unseen
	revocationsLimit = 30 * time.Second // how long it is used while no newer one can be had; then tokens are refused
	revocationsWait  = 10 * time.Second // how long the bucket may take to list them

	// A revocation is kept longer than its token lives, because the node that removes it may have a clock that is ahead.
	revocationsKept   = 10 * time.Minute
	revocationsPrefix = "revocations/"
	maxRemoved        = 100 // at a time, so that no request pays for all that have gathered
)

// revocations are the tokens that are not valid although they look it: empty objects revocations/<expiry>-<token id>,
// which any node may make, and remove once the token has expired everywhere.
type revocations struct {
	bucket bucket.Bucket

	mu      sync.Mutex
	expires map[string]time.Time // by token id
	listed  time.Time            // what was there then is known
	tried   time.Time            // when it was last attempted to list them
	failed  error                // of the last attempt, unless who made it lost patience
	listing chan struct{}        // closed when who lists them now is done; nil: nobody does
}

func (r *revocations) add(ctx context.Context, id string, expires, now time.Time) error {
	key := fmt.Sprintf("%s%012d-%s", revocationsPrefix, expires.Unix(), id)
	if err := r.bucket.PutNew(ctx, key, nil); err != nil && !errors.Is(err, bucket.ErrExist) {
		return fmt.Errorf("revoke token: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.learn(map[string]time.Time{id: expires}, now)
	return nil
}

// learn adds revocations to those known, which are never taken back: one that was made here while others were being
// listed is not lost.
func (r *revocations) learn(more map[string]time.Time, now time.Time) {
	if r.expires == nil {
		r.expires = map[string]time.Time{}
	}
	maps.Copy(r.expires, more)
	maps.DeleteFunc(r.expires, func(_ string, expires time.Time) bool { return gone(expires, now) })
}

func gone(expires, now time.Time) bool { return now.Sub(expires) > revocationsKept }

// has tells whether a token is revoked. One of those who ask lists the revocations when that is due; the others use what
// is known meanwhile, and wait only if it is too old.
func (r *revocations) has(ctx context.Context, id string, now time.Time) (bool, error) {
	for waited := false; ; waited = true {
		r.mu.Lock()
		_, revoked := r.expires[id]
		busy, failed := r.listing, r.failed
		known := now.Sub(r.listed) < revocationsLimit
		due := now.Sub(r.listed) >= revocationsAge && (!known || now.Sub(r.tried) >= revocationsAge)
		if revoked || !due || busy != nil && known {
			r.mu.Unlock()
			return revoked, nil
		}
		if waited && failed != nil { // nobody tries what has just failed: all who wait would, one after the other
			r.mu.Unlock()
			return false, failed
		}
		if busy != nil {
			r.mu.Unlock()
			select {
			case <-busy:
				continue
			case <-ctx.Done():
				return false, fmt.Errorf("wait for revoked tokens: %w", ctx.Err())
			}
		}
		done := make(chan struct{})
		r.listing, r.tried = done, now
		r.mu.Unlock()
		old, err := r.list(ctx, now)
		close(done)
		if err != nil && !known {
			return false, err
		}
		if err == nil {
			r.remove(ctx, old)
		}
	}
}

// list reads all revocations, and returns the objects of some that nobody needs any more.
func (r *revocations) list(caller context.Context, now time.Time) (old []string, err error) {
	ctx, cancel := context.WithTimeout(caller, revocationsWait)
	defer cancel()
	found, old, err := r.read(ctx, now)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listing, r.failed = nil, nil
	if err != nil {
		err = fmt.Errorf("read revoked tokens: %w", err)
		if caller.Err() == nil {
			r.failed = err
		}
		return nil, err
	}
	r.learn(found, now)
	r.listed = now
	return old, nil
}

// remove removes objects. What could not be removed is found again by the next list, so its error concerns nobody.
func (r *revocations) remove(ctx context.Context, keys []string) {
	ctx, cancel := context.WithTimeout(ctx, revocationsWait)
	defer cancel()
	_ = r.bucket.Delete(ctx, keys...)
}

func (r *revocations) read(ctx context.Context, now time.Time) (found map[string]time.Time, old []string, err error) {
	found = map[string]time.Time{}
	for info, err := range r.bucket.List(ctx, revocationsPrefix, "") {
		if err != nil {
			return nil, nil, err
		}
		stamp, id, _ := strings.Cut(strings.TrimPrefix(info.Key, revocationsPrefix), "-")
		seconds, err := strconv.ParseInt(stamp, 10, 64)
		if err != nil {
			continue // no node made this; refusing every token for it would help nobody
		}
		expires := time.Unix(seconds, 0)
		if !gone(expires, now) {
			found[id] = expires
		} else if len(old) < maxRemoved {
			old = append(old, info.Key)
		}
	}
	return found, old, nil
}
