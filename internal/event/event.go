// Package event knows one audit event: a JSON object on one line, in the shape of OCSF (https://schema.ocsf.io).
//
// What is asked of an event is little, so that what MongoDB really writes is taken as it is: one JSON object (RFC 8259,
// with the restrictions of RFC 7493 on UTF-8 and names: each name once in its object) with an integer time. Conform
// says how far an event is from its OCSF class. What is recorded is what the producer sent, byte for byte, with what
// was missing in metadata put behind the rest of it.
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

// Key identifies an event within a log: events with equal time and uid are one event. It is the first 16 bytes
// of the SHA-256 of the time (8 bytes, big-endian, milliseconds) followed by the uid.
type Key [16]byte

// Compare returns a negative number, 0 or a positive number if k is smaller than, equal to or larger than other.
func (k Key) Compare(other Key) int { return bytes.Compare(k[:], other[:]) }

// KeyOf returns the key of the event with this time (milliseconds since the epoch) and uid.
func KeyOf(time int64, uid []byte) Key {
	var buf [128]byte
	b := binary.BigEndian.AppendUint64(buf[:0], uint64(time))
	h := sha256.Sum256(append(b, uid...))
	return Key(h[:16])
}

// Limits on one event. A zero field means its default.
type Limits struct {
	// MaxBytes bounds an event as it was sent, in bytes (default 1 MiB). White space around it does not count, nor do
	// up to 1 KiB of what a weir may have added to it, so that a download can be recorded again.
	MaxBytes int
	MaxDepth int // of nesting, the event itself being 1; 64, at most 10,000
}

// Origin is what weir knows of an event, and writes where the producer left it out.
type Origin struct {
	Workspace string    // metadata.log_name
	Project   string    // metadata.tenant_uid
	Received  time.Time // metadata.logged_time
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
