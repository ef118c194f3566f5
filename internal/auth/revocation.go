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

	"github.com/maypok86/otter/v2"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/layout"
)

const (
	// how long a list of revocations is believed, so how long another's may go unseen
	revocationsAge   = 2 * time.Second
	revocationsLimit = 30 * time.Second // how long it is used while no newer one can be had; then tokens are refused
	revocationsWait  = 10 * time.Second // how long the bucket may take to list them

	// A revocation is kept longer than its token lives, because the node that removes it may have a clock that is
	// ahead.
	revocationsKept = 10 * time.Minute

	// maxRevoked is the maximum number of revoked tokens of a credential that are remembered one by one. With one more,
	// all tokens that the credential has are revoked, by one object.
	maxRevoked = 1000
	clockSkew  = time.Minute // by which the clocks of nodes may differ when all tokens are revoked
	maxRemoved = 1000        // objects at a time, so that no request pays for all that have gathered

	// maxRevoking is the maximum number of credentials whose revocations are kept in memory.
	maxRevoking = 10_000
)

var revocationsPrefix = layout.Revocation.Prefix()

// revocations are the tokens, or the sessions, that are not valid although they look it, each credential's by itself:
// empty objects
//
//	revocations/<client id>/<expiry>-<token id>   one token
//	revocations/<client id>/all-<expiry>          all tokens of the credential that expire then or before
//	revocations/<credential id>.sessions/…        the same of its sessions
//
// which any node may make, and remove once the tokens have expired everywhere. A credential's are listed when one of
// its tokens is used, so what one credential revokes costs the others nothing.
type revocations struct {
	bucket bucket.Bucket
	life   time.Duration                  // longest of a token
	suffix string                         // of the folder's name, behind the credential's id
	known  *otter.Cache[string, *revoked] // by credential id
}

func newRevocations(b bucket.Bucket, life time.Duration, suffix string) *revocations {
	return &revocations{b, life, suffix, otter.Must(&otter.Options[string, *revoked]{MaximumSize: maxRevoking})}
}

// of returns the revocations of a credential.
func (r *revocations) of(clientID string) *revoked {
	if have, ok := r.known.GetIfPresent(clientID); ok {
		return have
	}
	all, _ := r.known.SetIfAbsent(clientID, &revoked{bucket: r.bucket, life: r.life,
		prefix: revocationsPrefix + clientID + r.suffix + "/"})
	return all
}

// sweep removes the revocations of tokens that have expired everywhere. Those of a credential in use are removed when
// they are listed; this is for credentials that nobody uses any more.
func (r *revocations) sweep(ctx context.Context, now time.Time) error {
	var old []string
	for info, err := range r.bucket.List(ctx, revocationsPrefix, "") {
		if err != nil {
			return fmt.Errorf("list revoked tokens: %w", err)
		}
		_, name, _ := strings.Cut(strings.TrimPrefix(info.Key, revocationsPrefix), "/")
		if v, ok := parseRevocation(name); ok && gone(v.expires, now) {
			old = append(old, info.Key)
		}
		if len(old) >= maxRemoved {
			break // the rest is for the next time
		}
	}
	if err := r.bucket.Delete(ctx, old...); err != nil {
		return fmt.Errorf("remove old revocations: %w", err)
	}
	return nil
}

// revocation is the content of the name of an object.
type revocation struct {
	id      string // of the token; empty for all tokens
	expires time.Time
}

func (v revocation) name() string {
	if v.id == "" {
		return fmt.Sprintf("all-%012d", v.expires.Unix())
	}
	return fmt.Sprintf("%012d-%s", v.expires.Unix(), v.id)
}

// parseRevocation returns false for a name that no node makes.
func parseRevocation(name string) (revocation, bool) {
	stamp, id, _ := strings.Cut(name, "-")
	if stamp == "all" {
		stamp, id = id, ""
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	v := revocation{id, time.Unix(seconds, 0)}
	return v, err == nil && v.name() == name
}

func gone(expires, now time.Time) bool { return now.Sub(expires) > revocationsKept }

// revoked has the revocations of one credential.
type revoked struct {
	bucket bucket.Bucket
	life   time.Duration
	prefix string

	mu      sync.Mutex
	expires map[string]time.Time // by token id
	until   time.Time            // All tokens that expire then or before are revoked.
	adding  int                  // revocations that are being made
	listed  time.Time            // Revocations from before this moment are known.
	tried   time.Time            // when it was last attempted to list them
	failed  error                // of the last attempt, unless its caller lost patience
	listing chan struct{}        // closed when the caller that lists them now is done; nil if there is none
}

// add revokes a token. It costs nothing if the token is revoked already.
func (r *revoked) add(ctx context.Context, id string, expires, now time.Time) error {
	if done, err := r.has(ctx, id, expires, now); done || err != nil {
		return err
	}
	v := revocation{id, expires}
	r.mu.Lock()
	if len(r.expires)+r.adding >= maxRevoked {
		v = revocation{expires: latest(expires, now.Add(r.life))}
	}
	r.adding++
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.adding--
	}()
	return r.put(ctx, v, now)
}

// addAll revokes all tokens that the credential has, also those that a node with a clock which is a little ahead has
// issued.
// One that was issued after all were revoked expires later than they do (after), so what is revoked is listed first.
func (r *revoked) addAll(ctx context.Context, now time.Time) error {
	if _, err := r.list(ctx, now); err != nil {
		return err
	}
	return r.put(ctx, revocation{expires: r.after(now.Add(r.life + clockSkew).Truncate(time.Second))}, now)
}

// put makes a revocation known to all nodes.
func (r *revoked) put(ctx context.Context, v revocation, now time.Time) error {
	if err := r.bucket.PutNew(ctx, r.prefix+v.name(), nil); err != nil && !errors.Is(err, bucket.ErrExist) {
		return fmt.Errorf("revoke token: %w", err)
	}
	r.mu.Lock()
	covered := r.learn([]revocation{v}, now)
	r.mu.Unlock()
	r.remove(ctx, covered)
	return nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// learn adds revocations to those known, which are never taken back: one that was made here while others were being
// listed is not lost. It returns the names of objects that nobody needs any more.
func (r *revoked) learn(more []revocation, now time.Time) (old []string) {
	if r.expires == nil {
		r.expires = map[string]time.Time{}
	}
	for _, v := range more {
		if v.id == "" {
			r.until = latest(r.until, v.expires)
		} else {
			r.expires[v.id] = v.expires
		}
	}
	for _, v := range more {
		if gone(v.expires, now) || v.id == "" && v.expires.Before(r.until) {
			old = append(old, v.name())
		}
	}
	maps.DeleteFunc(r.expires, func(id string, expires time.Time) bool {
		covered := !expires.After(r.until)
		if covered {
			old = append(old, revocation{id, expires}.name())
		}
		return covered || gone(expires, now)
	})
	return old
}

// after returns a time of expiry that no revocation known here covers, at least expires.
func (r *revoked) after(expires time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return latest(expires, r.until.Add(time.Second)) // times of expiry are whole seconds
}

// has tells whether a token is revoked. One of those that ask lists the revocations when that is due; the others use
// what is known meanwhile, and wait only if it is too old.
func (r *revoked) has(ctx context.Context, id string, expires, now time.Time) (bool, error) {
	for waited := false; ; waited = true {
		r.mu.Lock()
		_, revoked := r.expires[id]
		revoked = revoked || !expires.After(r.until)
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

// list reads all revocations, and returns the names of objects that nobody needs any more.
func (r *revoked) list(caller context.Context, now time.Time) (old []string, err error) {
	ctx, cancel := context.WithTimeout(caller, revocationsWait)
	defer cancel()
	found, err := r.read(ctx)
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
	r.listed = now
	return r.learn(found, now), nil
}

// remove removes objects. It ignores errors, since the next list finds the remaining objects again.
func (r *revoked) remove(ctx context.Context, names []string) {
	if len(names) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revocationsWait)
	defer cancel()
	keys := make([]string, 0, maxRemoved)
	for _, name := range names[:min(len(names), maxRemoved)] {
		keys = append(keys, r.prefix+name)
	}
	_ = r.bucket.Delete(ctx, keys...)
}

func (r *revoked) read(ctx context.Context) (found []revocation, err error) {
	for info, err := range r.bucket.List(ctx, r.prefix, "") {
		if err != nil {
			return nil, err
		}
		// A name that no node makes is left out: refusing every token for it would help nobody.
		if v, ok := parseRevocation(strings.TrimPrefix(info.Key, r.prefix)); ok {
			found = append(found, v)
		}
	}
	return found, nil
}
