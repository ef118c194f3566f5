package record

import (
	"errors"
	"sync"
)

// ErrOverloaded is returned when a bound is reached. The caller may retry later.
var ErrOverloaded = errors.New("too much is waiting to be recorded")

// memory bounds the memory of arriving events, in total and for each sender.
type memory struct {
	limit int64 // in total
	share int64 // maximum for one sender

	mu      sync.Mutex
	used    int64
	senders map[string]int64
}

// Reservation is the memory that one request holds. It grows as bytes arrive. It may not be used concurrently.
type Reservation struct {
	memory *memory
	sender string
	held   int64
}

// Reserve begins an empty reservation for a sender, such as a credential. The caller calls Release. If sender is empty,
// the memory is weir's own and is not counted.
func (r *Recorder) Reserve(sender string) *Reservation {
	if sender == "" {
		return new(Reservation)
	}
	return &Reservation{memory: &r.memory, sender: sender}
}

// Grow reserves n more bytes, before they are allocated. n may be negative. If this exceeds the total bound or the
// share of the sender, it returns ErrOverloaded and changes nothing. If this reservation alone exceeds the share, a
// retry does not help, and the error is a *TooLarge.
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

// refusesMemory tells whether an error comes from Grow.
func refusesMemory(err error) bool {
	return errors.Is(err, ErrOverloaded) || errors.As(err, new(*TooLarge))
}

// shrink releases n bytes.
func (r *Reservation) shrink(n int64) { _ = r.Grow(-n) }

// Release releases all memory of the reservation.
func (r *Reservation) Release() { r.shrink(r.held) }
