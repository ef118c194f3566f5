// Package event knows one audit event: a JSON object on one line, in the shape of OCSF (https://schema.ocsf.io).
//
// What is asked of an event is little, so that what MongoDB really writes is taken as it is: one JSON object (RFC 8259,
// with the restrictions of RFC 7493 on UTF-8 and names: each name once in its object) with an integer time. Conform
// says how far an event is from its OCSF class. What is recorded is what the producer sent, byte for byte, with what
// was missing in metadata put behind the rest of it, and with facts that only weir sets.
package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"
	"unsafe"
)

// Key identifies an event within a log: events with equal keys are one event. Its first 8 bytes are the beginning of
// the SHA-256 of the time (8 bytes, big-endian, milliseconds) followed by the uid. The other 16 are that of the SHA-256
// of the length of the uid (8 bytes, big-endian), the time, the uid, and what the producer sent (see Parser.sent).
type Key [idSize + 16]byte

// ID is the part of a key that tells events apart by time and uid alone. Events with equal ids and other keys conflict:
// one of their producers has used a uid again, or has guessed it.
type ID [idSize]byte

const idSize = 8

// ID returns the id of the event.
func (k Key) ID() ID { return ID(k[:idSize]) }

// Compare returns a negative number, 0 or a positive number if k is smaller than, equal to or larger than other. Keys
// with equal ids follow each other.
func (k Key) Compare(other Key) int { return bytes.Compare(k[:], other[:]) }

// KeyOf returns the key of the event with this time (milliseconds since the epoch) and uid of which a producer sent
// this.
func KeyOf(time int64, uid []byte, sent ...[]byte) (k Key) {
	var buf [256]byte
	b := binary.BigEndian.AppendUint64(buf[:0], uint64(len(uid)))
	b = append(binary.BigEndian.AppendUint64(b, uint64(time)), uid...)
	id := sha256.Sum256(b[8:])
	copy(k[:], id[:idSize])
	if len(sent) == 0 {
		h := sha256.Sum256(b)
		copy(k[idSize:], h[:])
		return k
	}
	h := sha256.New()
	h.Write(b)
	for _, part := range sent {
		h.Write(part)
	}
	copy(k[idSize:], h.Sum(buf[:0]))
	return k
}

// Standing is what a log has of an event.
type Standing uint8

// The standings of an event. Whoever determines one may know less than all that the log has.
const (
	New         Standing = iota // Nothing is known of it.
	Known                       // The log has it.
	Conflicting                 // The log does not have it, and has another event with its time and uid.
)

// see raises a standing by one more place where the event was looked for.
func (s *Standing) see(found Standing) {
	if found == Known || *s == New {
		*s = found
	}
}

// Limits on one event. A zero field means its default.
type Limits struct {
	// MaxBytes bounds an event as it was sent, in bytes (default 1 MiB). White space around it does not count, nor do
	// up to 1 KiB of what a weir may have added to it, so that a download can be recorded again.
	MaxBytes int
	MaxDepth int // of nesting, the event itself being 1; 64, at most 10,000
}

// Origin is what weir knows of an event. By and Received become its Facts; Received and the rest are written into
// metadata where the producer left them out.
type Origin struct {
	By        string    // id of the credential that sends it, or System
	Workspace string    // metadata.log_name
	Project   string    // metadata.tenant_uid
	Received  time.Time // metadata.logged_time

	// Salt becomes a fact too, unless it is empty. Whoever gets hashes and not the lines must be unable to guess it.
	Salt string
}

// Fields is what weir reads of an event.
type Fields struct {
	Time int64 // milliseconds since the epoch

	// UID is metadata.uid, decoded. It may alias the line, and is valid until the Parser's next call.
	UID []byte

	// Processors are the names of the stream processors that the event concerns, sorted, each once. The slice is valid
	// until the Parser's next call, the strings for ever.
	Processors []string
}

// Concerns tells whether the event concerns a stream processor.
func (f Fields) Concerns(processor string) bool { return slices.Contains(f.Processors, processor) }

// MayConcern is false only if the event on a line certainly does not concern a stream processor, and is much faster
// than reading the event: without a backslash there are no escapes, so the name would stand there as it is.
func MayConcern(line []byte, processor string) bool {
	text := unsafe.String(unsafe.SliceData(line), len(line)) // converting the name instead allocates if it is long
	return strings.Contains(text, processor) || strings.IndexByte(text, '\\') >= 0
}

// Error says why an event is refused, in words for who sent it.
type Error struct {
	Offset int // the byte at which it was found, counted from 0; 0 also if it concerns the whole
	Reason string
}

func (e *Error) Error() string {
	if e.Offset == 0 {
		return e.Reason
	}
	return fmt.Sprintf("%s (at byte %d)", e.Reason, e.Offset)
}
