package record

import (
	"errors"
	"sync"
)

// ErrOverloaded is returned when a bound is reached: the caller should come again later.
var ErrOverloaded = errors.New("too much is waiting to be recorded")

// memory bounds what is held of what arrives, in all and for each sender.
type memory struct {
	limit int64 // in all
	share int64 // of one sender

	mu      sync.Mutex
	used    int64
	senders map[string]int64
}

// Reservation is memory that one request holds. It grows as bytes arrive. It may not be used concurrently.
type Reservation struct {
	memory *memory
	sender string
	held   int64
}

// Reserve begins a reservation of a sender, such as a credential. It holds nothing yet. The caller calls Release.
// Without a sender, that is for weir itself, nothing is accounted for.
func (r *Recorder) Reserve(sender string) *Reservation {
	if sender == "" {
		return new(Reservation)
	}
	return &Reservation{memory: &r.memory, sender: sender}
}

// Grow accounts for n more bytes, before they are allocated; n may be negative. Beyond the bound, or beyond what one
// sender may hold of it, it returns ErrOverloaded and changes nothing. If the reservation alone is beyond that,
// coming again does not help, and the error is a *TooLarge.
func (r *Reservation) Grow(n int64) error {
	m := r.memory
	if m == nil {
		return nil // weir's own events, which are few and small
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case n <= 0:
	case r.held+n > m.share:
		return &TooLarge{What: "bytes of memory", Most: m.share}
	case m.used+n > m.limit, m.senders[r.sender]+n > m.share:
		return ErrOverloaded
	}
	if m.senders == nil {
		m.senders = make(map[string]int64)
	}
	m.used += n
	r.held += n
	if m.senders[r.sender] += n; m.senders[r.sender] == 0 {
		delete(m.senders, r.sender)
	}
	return nil
}

// refusesMemory tells whether an error is one of Grow.
func refusesMemory(err error) bool {
	return errors.Is(err, ErrOverloaded) || errors.As(err, new(*TooLarge))
}

// shrink gives back n bytes.
func (r *Reservation) shrink(n int64) { _ = r.Grow(-n) }

// Release gives back everything that is held.
func (r *Reservation) Release() { r.shrink(r.held) }
