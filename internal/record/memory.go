package record

import (
	"errors"
	"slices"
	"sync"
)

// ErrOverloaded is returned when a bound is reached. The caller may retry later.
var ErrOverloaded = errors.New("too much is waiting to be recorded")

// memory bounds the memory of arriving events, in total and for each holder: a sender, its project and its
// organization. So no tenant fills it, however many credentials it has.
type memory struct {
	limit int64 // in total
	share int64 // maximum for one sender

	mu   sync.Mutex
	used int64
	held map[holder]int64
}

// holder names the holder of memory: a sender (level 0), a project (1) or an organization (2).
type holder struct {
	level int
	id    string
}

// most returns the maximum for one holder of a level. Beside a project with a sender at its maximum, and an
// organization with such a project, there is room for others.
func (m *memory) most(level int) int64 { return m.share + (m.limit-m.share)*int64(level)/4 }

// Reservation is the memory that one request holds. It grows as bytes arrive. It may not be used concurrently.
type Reservation struct {
	memory  *memory
	holders []holder
	held    int64
}

// Reserve begins an empty reservation for a sender, such as a credential, in a project of an organization; what is
// empty is not charged. The caller calls Release. If sender is empty, the memory is weir's own and is not counted.
func (r *Recorder) Reserve(sender, project, org string) *Reservation {
	if sender == "" {
		return new(Reservation)
	}
	res := &Reservation{memory: &r.memory}
	for level, id := range []string{sender, project, org} {
		if id != "" {
			res.holders = append(res.holders, holder{level, id})
		}
	}
	return res
}

// Grow reserves n more bytes, before they are allocated. n may be negative. If this exceeds the total bound or the
// share of a holder, it returns ErrOverloaded and changes nothing. If this reservation alone exceeds the share of a
// sender, a retry does not help, and the error is a *TooLarge.
func (r *Reservation) Grow(n int64) error {
	m := r.memory
	if m == nil {
		return nil // weir's own events are few and small
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case n <= 0:
	case r.held+n > m.share:
		return &TooLarge{What: "bytes in the memory of the node: send it in parts", Most: m.share}
	case m.used+n > m.limit, slices.ContainsFunc(r.holders, func(h holder) bool { return m.held[h]+n > m.most(h.level) }):
		return ErrOverloaded
	}
	if m.held == nil {
		m.held = make(map[holder]int64)
	}
	m.used += n
	r.held += n
	for _, h := range r.holders {
		if m.held[h] += n; m.held[h] == 0 {
			delete(m.held, h)
		}
	}
	return nil
}

// refusesMemory tells whether an error comes from Grow.
func refusesMemory(err error) bool {
	return errors.Is(err, ErrOverloaded) || errors.As(err, new(*TooLarge))
}

// shrink releases n bytes.
func (r *Reservation) shrink(n int64) { _ = r.Grow(-n) }

// Release releases all memory of the reservation.
func (r *Reservation) Release() { r.shrink(r.held) }
