package lease

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"
)

// sighting is a member's memory of another one.
type sighting struct {
	number   int64 // of its last beat
	promised time.Duration
	moved    time.Time // when that beat was first seen
}

// found has the beats of one member in a listing.
type found struct {
	number   int64
	promised time.Duration
	keys     []string
}

// list returns the members that have beats in the bucket, by id. It ignores other objects.
func (m *Member) list(ctx context.Context) (map[string]found, error) {
	all := map[string]found{}
	for info, err := range m.bucket.List(ctx, prefix(m.role), "") {
		if err != nil {
			return nil, err
		}
		id, number, promised, ok := parseBeat(m.role, info.Key)
		if !ok {
			continue
		}
		f := all[id]
		if f.keys = append(f.keys, info.Key); number > f.number {
			f.number, f.promised = number, promised
		}
		all[id] = f
	}
	return all, nil
}

// look applies a listing that followed a successful beat. It returns the beats of long dead members, which the first of
// the living members deletes.
func (m *Member) look(all map[string]found, began time.Time, promised time.Duration) (stale []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.options.Now()
	touch := m.inTouch(now)
	m.good, m.promised = began, promised
	maps.DeleteFunc(m.seen, func(id string, _ *sighting) bool { _, there := all[id]; return !there })
	live := []string{m.id}
	for id, f := range all {
		if id == m.id {
			continue
		}
		s := m.seen[id]
		if s == nil || f.number > s.number {
			s = &sighting{f.number, f.promised, now}
			m.seen[id] = s
		}
		late := now.Sub(s.moved) - s.promised - 2*m.options.Fast
		if late <= 0 {
			live = append(live, id)
		} else if late > m.options.DeleteAfter {
			stale = append(stale, f.keys...)
		}
	}
	slices.Sort(live)
	slices.Sort(stale)
	if !touch || !slices.Equal(live, m.live) {
		m.live = live
		m.begin(now)
	}
	if live[0] != m.id {
		return nil
	}
	return stale
}

// begin starts a new epoch. It is called with the lock held.
func (m *Member) begin(now time.Time) {
	m.epoch++
	close(m.changed)
	m.changed = make(chan struct{})
	m.options.Logger.Info("background work is spread again over the nodes", "member", m.id, "epoch", m.epoch, "members",
		m.live, "shards", m.held(now))
}

// Changed returns a channel that is closed when the members change, or when this one reaches the bucket again.
func (m *Member) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// inTouch tells whether the last successful beat is recent enough for others to rely on this member. It is called with
// the lock held.
func (m *Member) inTouch(now time.Time) bool {
	return !m.good.IsZero() && now.Sub(m.good) <= m.promised+m.options.Fast
}

// Holds tells whether a piece of work is this member's at this time.
func (m *Member) Holds(work int) bool { return m.Rank(work) == 0 }

// Rank returns the number of members that come before this one for a piece of work. It is 0 if the work is its own. A
// member that cannot reach the bucket comes after all others.
func (m *Member) Rank(work int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rank(work, m.options.Now())
}

// rank is called with the lock held.
func (m *Member) rank(work int, now time.Time) int {
	if !m.inTouch(now) {
		return max(1, len(m.live))
	}
	rank, own := 0, weight(m.id, work)
	for _, id := range m.live {
		if w := weight(id, work); w > own || w == own && id < m.id {
			rank++
		}
	}
	return rank
}

// held returns the work that this member holds. It is called with the lock held.
func (m *Member) held(now time.Time) []int {
	works := []int{}
	for work := range m.options.Works {
		if m.rank(work, now) == 0 {
			works = append(works, work)
		}
	}
	return works
}

// weight returns how strongly a piece of work is tied to a member: the member with the highest weight holds it. If a
// member comes or goes, only work that it takes or leaves moves.
func weight(id string, work int) uint64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", id, work))
	return binary.BigEndian.Uint64(sum[:])
}

// Status is how a member sees itself and the others.
type Status struct {
	ID      string
	Epoch   int64         // starts at 1 with the process
	Members int           // number of living members, including this one
	Held    []int         // work that this member holds
	InTouch bool          // whether it reaches the bucket
	Beaten  time.Duration // time since the last successful beat began; negative if there was none
}

// Status returns the current state.
func (m *Member) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.options.Now()
	s := Status{ID: m.id, Epoch: m.epoch, Members: len(m.live), Held: m.held(now), InTouch: m.inTouch(now), Beaten: -1}
	if !m.good.IsZero() {
		s.Beaten = now.Sub(m.good)
	}
	return s
}
