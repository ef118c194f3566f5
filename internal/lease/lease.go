// Package lease divides work among the processes that share a bucket. Each process is a member, and shows that it is
// alive by beats: objects whose keys contain all that others need, so that one listing shows all members. From the
// listing each member computes which work is its own, by rendezvous hashing. Nothing is assigned centrally.
//
// Leases save work and guarantee nothing. Members may notice each other late, and two may believe for a while that they
// hold the same work. So work under a lease must be safe if several members do it.
//
// Members never compare clocks: each measures only how much of its own time passes. The key of a beat says within how
// many seconds the next one comes. A member counts as dead when that time and two fast intervals more have passed since
// others first saw its last beat. It gives up its work one fast interval earlier. Keys are never used twice, since a
// member's id is random.
package lease

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/weirlog/weir/internal/bucket"
)

// Options configures a Member. The zero value of each field means its default.
type Options struct {
	Works       int           // number of pieces of work, which are numbered from 0 (default 1)
	Fast        time.Duration // interval between beats, whole seconds, the same for all members (default 3 s)
	Slow        time.Duration // interval between beats while there is nothing to do, whole seconds (default 60 s)
	SlowAfter   time.Duration // time without anything to do after which beats become slow (default 5 min)
	DeleteAfter time.Duration // time after which others delete the beats of a dead member (default 10 min)
	Version     string        // version of the program, for people
	Logger      *slog.Logger  // default slog.Default()
	Now         func() time.Time
}

func (o Options) withDefaults() Options {
	set(&o.Works, 1)
	set(&o.Fast, 3*time.Second)
	set(&o.Slow, time.Minute)
	set(&o.SlowAfter, 5*time.Minute)
	set(&o.DeleteAfter, 10*time.Minute)
	set(&o.Logger, slog.Default())
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Member is this process among those of a role. It may be used concurrently.
type Member struct {
	bucket  bucket.Bucket
	role    string
	id      string
	about   []byte
	options Options
	wake    chan struct{} // beat now

	beating sync.Mutex // held during a beat
	number  int64      // of the last beat, whether it succeeded or not
	past    []string   // beats to be deleted after the next

	mu       sync.Mutex
	good     time.Time            // when the last successful beat began; zero if there was none, or the member has left
	promised time.Duration        // time until the next beat, as the last successful one says
	active   time.Time            // when there was something to do last
	seen     map[string]*sighting // the others, by id
	live     []string             // ids of the living members, sorted, including this one's
	epoch    int64
	changed  chan struct{} // closed at the next epoch
}

// about is the content of a beat, for people.
type about struct {
	Host    string    `json:"host"`
	PID     int       `json:"pid"`
	Version string    `json:"version,omitempty"`
	Started time.Time `json:"started"`
}

// Join makes this process a member of those with a role. Others see it after the first Beat.
func Join(b bucket.Bucket, role string, o Options) *Member {
	o = o.withDefaults()
	var random [8]byte
	rand.Read(random[:]) // never fails
	host, _ := os.Hostname()
	data, err := json.Marshal(about{host, os.Getpid(), o.Version, o.Now().UTC()})
	if err != nil {
		panic(err) // strings and numbers only
	}
	return &Member{bucket: b, role: role, id: hex.EncodeToString(random[:]), about: data, options: o,
		wake:   make(chan struct{}, 1),
		active: o.Now(), seen: map[string]*sighting{}, changed: make(chan struct{})}
}

// Run beats until ctx ends. A beat that fails is logged, and repeated soon.
func (m *Member) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-m.wake:
		}
		select {
		case <-m.wake: // several wake-ups cause one beat
		default:
		}
		began := time.Now()
		limited, cancel := context.WithTimeout(ctx, 2*m.options.Fast)
		err := m.Beat(limited)
		cancel()
		if ctx.Err() != nil {
			return
		}
		wait := m.interval() - time.Since(began)
		if err != nil {
			wait = m.options.Fast / 3
		}
		m.logFailure(err, failing)
		failing = err != nil
		timer.Reset(max(wait, m.options.Fast/3))
	}
}

// logFailure logs the first of several failures, and their end.
func (m *Member) logFailure(err error, failing bool) {
	switch {
	case err != nil && !failing:
		m.options.Logger.Warn("cannot write a beat; other nodes will take over this node's background work", "member",
			m.id, "err", err)
	case err == nil && failing:
		m.options.Logger.Info("writing beats again", "member", m.id)
	}
}

// Beat shows that this member is alive, and reads the beats of the others. After an error it may be called again at any
// time.
func (m *Member) Beat(ctx context.Context) error {
	m.beating.Lock()
	defer m.beating.Unlock()
	began := m.options.Now()
	promised := m.interval()
	m.number++ // the key is used up, even if this beat fails
	key := beatKey(m.role, m.id, m.number, promised)
	putErr := m.bucket.PutNew(ctx, key, m.about)
	if past := m.past; putErr == nil {
		m.past = []string{key}
		m.remove(ctx, past) // also if the listing fails, so that beats never pile up
	} else {
		m.past = append(past, key)
	}
	all, err := m.list(ctx)
	if err != nil {
		return errors.Join(putErr, err)
	}
	if putErr != nil && !slices.Contains(all[m.id].keys, key) {
		return putErr
	}
	// These took effect late, or could not be deleted.
	left := slices.DeleteFunc(all[m.id].keys, func(k string) bool { return k == key })
	m.remove(ctx, append(left, m.look(all, began, promised)...))
	return nil
}

// remove deletes past beats. If that fails, a later beat finds them in its listing.
func (m *Member) remove(ctx context.Context, past []string) {
	if len(past) == 0 {
		return
	}
	if err := m.bucket.Delete(ctx, past...); err != nil {
		m.options.Logger.Debug("cannot delete past beats", "member", m.id, "err", err)
	}
}

// interval returns the time until the next beat.
func (m *Member) interval() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.options.Now().Sub(m.active) > m.options.SlowAfter {
		return m.options.Slow
	}
	return m.options.Fast
}

// Active reports that there is something to do, so that beats are fast.
func (m *Member) Active() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.active = m.options.Now()
	if m.promised <= m.options.Fast {
		return
	}
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Leave gives up all work and deletes this member's beats, so that others take over with their next beat. Beat must not
// be called afterwards.
func (m *Member) Leave(ctx context.Context) error {
	m.beating.Lock()
	defer m.beating.Unlock()
	m.mu.Lock()
	m.good = time.Time{}
	m.mu.Unlock()
	if m.number == 0 {
		return nil
	}
	all, err := m.list(ctx)
	if err == nil && len(all[m.id].keys) > 0 {
		err = m.bucket.Delete(ctx, all[m.id].keys...)
	}
	if err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	return nil
}
