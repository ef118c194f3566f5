package record

import (
	"errors"
	"io"
)

// ReadWhole reads a body that can only be interpreted as a whole. Its memory is reserved as it arrives, until the
// intake is closed. The errors are those of ReadLines.
func (in *Intake) ReadWhole(src io.Reader) ([]byte, error) {
	var body []byte
	for {
		if len(body) == cap(body) {
			size := max(2*cap(body), peeked)
			if err := in.hold.Grow(int64(size)); err != nil {
				return nil, err
			}
			in.hold.shrink(int64(cap(body)))
			body = append(make([]byte, 0, size), body...)
		}
		n, err := src.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if most := in.limits.RequestBytes; most > 0 && int64(len(body)) > most {
			return nil, &TooLarge{What: "bytes, after decompression", Most: most}
		}
		switch {
		case errors.Is(err, io.EOF):
			return body, nil
		case err == nil:
		case refusesMemory(err), errors.As(err, new(*Unreadable)):
			return nil, err
		default:
			return nil, &Unreadable{err}
		}
	}
}

// Reserve reserves n more bytes for data that is made of the body, until the intake is closed. An error is
// ErrOverloaded or a *TooLarge.
func (in *Intake) Reserve(n int) error { return in.hold.Grow(int64(n)) }

// EventBytes returns the maximum size of an event, in bytes.
func (in *Intake) EventBytes() int { return in.eventBytes() }

// Events returns how many events were taken or refused so far.
func (in *Intake) Events() int { return in.events }

// RefuseTooLong counts and refuses an event of n bytes, which exceeds the maximum size.
func (in *Intake) RefuseTooLong(n int) error {
	if err := in.count(); err != nil {
		return err
	}
	return in.refuse("event", in.events, tooLong(n, in.eventBytes()))
}
