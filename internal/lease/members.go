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

// sighting is what a member knows of another.
type sighting struct {
	number   int64 // of its last beat
	promised time.Duration
	moved    time.Time // when that beat was first seen
}

// found is what a listing shows of a member.
type found struct {
	number   int64
	promised time.Duration
	keys     []string
}

// list returns the members that have beats in the bucket, by id. What is none of their names is left alone.
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

// look takes in what a listing showed after a good beat. It returns what others left that have long been dead: the
// first of the members deletes it.
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

// begin begins an epoch. It is called with the lock held.
func (m *Member) begin(now time.Time) {
	m.epoch++
	close(m.changed)
	m.changed = make(chan struct{})
	m.options.Logger.Info("background work is spread anew", "member", m.id, "epoch", m.epoch, "members", m.live,
		"shards", m.held(now))
}

// Changed returns a channel that is closed when the members change, or this one is in touch with the bucket again.
func (m *Member) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// inTouch tells whether the last good beat is recent enough for others to count on this member. It is called with the
// lock held.
func (m *Member) inTouch(now time.Time) bool {
	return !m.good.IsZero() && now.Sub(m.good) <= m.promised+m.options.Fast
}

// Holds tells whether a piece of work is this member's now.
func (m *Member) Holds(work int) bool { return m.Rank(work) == 0 }

// Rank returns how many members come before this one for a piece of work: 0 if it is its own. A member that is not in
// touch with the bucket comes behind all others.
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

// held returns the work that is this member's. It is called with the lock held.
func (m *Member) held(now time.Time) []int {
	works := []int{}
	for work := range m.options.Works {
		if m.rank(work, now) == 0 {
			works = append(works, work)
		}
	}
	return works
}

// weight says how much a piece of work belongs to a member: it goes to the member with the highest. If a member comes
// or goes, no work moves but to or from it.
func weight(id string, work int) uint64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", id, work))
	return binary.BigEndian.Uint64(sum[:])
}

// Status is how a member sees itself and the others.
type Status struct {
	ID      string
	Epoch   int64         // counts from 1 since the process began
	Members int           // that live, this one among them
	Held    []int         // work that is this member's
	InTouch bool          // with the bucket
	Beaten  time.Duration // since the last good beat began; less than 0 if there was none
}

// Status returns how things are now.
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
