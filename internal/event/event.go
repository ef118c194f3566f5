// Package event defines an audit event: a JSON object on one line, in the shape of OCSF (https://schema.ocsf.io).
//
// The requirements are few, so that the events of MongoDB are accepted as they are: an event is one JSON object (RFC
// 8259, with the restrictions of RFC 7493 that it is UTF-8 and that each name occurs once in its object) with an
// integer time. Conform says how an event deviates from its OCSF class. The recorded line has the bytes of the
// producer; weir adds missing members at the end of metadata, and facts that only weir sets.
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

// Key identifies an event within a log: events with equal keys are the same event. Its first 8 bytes are the first
// bytes of the SHA-256 of the time (8 bytes, big-endian, milliseconds) and the uid. The other 16 are the first bytes of
// the SHA-256 of the length of the uid (8 bytes, big-endian), the time, the uid, and the bytes that the producer sent
// (see Parser.sent).
type Key [idSize + 16]byte

// ID is the part of a key that depends on time and uid only. Events with equal ids and different keys conflict: a
// producer has used a uid twice, or has guessed another's.
type ID [idSize]byte

const idSize = 8

// ID returns the id of the event.
func (k Key) ID() ID { return ID(k[:idSize]) }

// Compare returns a negative number, 0 or a positive number if k is smaller than, equal to or larger than other. In
// sorted keys, equal ids are adjacent.
func (k Key) Compare(other Key) int { return bytes.Compare(k[:], other[:]) }

// KeyOf returns the key of an event with a time (milliseconds since the epoch) and a uid, of which a producer sent the
// bytes sent.
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

// Standing says whether a log has an event.
type Standing uint8

// The values of a Standing. It may be determined by a part of the log only.
const (
	New         Standing = iota // The event is not known.
	Known                       // The log has it.
	Conflicting                 // The log lacks the event, and has another event with the same time and uid.
)

// see raises a standing to the standing that another look-up found.
func (s *Standing) see(found Standing) {
	if found == Known || *s == New {
		*s = found
	}
}

// Limits bound one event. A zero field means its default.
type Limits struct {
	// MaxBytes is the maximum size of an event as it is sent, in bytes (default 1 MiB). White space around the event
	// does not count. Up to 1 KiB that a weir may have added does not count either, so that a download can be recorded
	// again.
	MaxBytes int
	MaxDepth int // maximum nesting; the event itself has depth 1 (default 64, at most 10,000)
}

// Origin is what weir knows about the source of an event. By and Received become its Facts. Received, Workspace and
// Project are written into metadata if the producer left them out.
type Origin struct {
	By        string    // id of the credential that sends it, or System
	Workspace string    // metadata.log_name
	Project   string    // metadata.tenant_uid
	Received  time.Time // metadata.logged_time

	// If not empty, Salt becomes a fact. A reader who gets hashes but not the lines must be unable to guess it.
	Salt string
}

// Fields holds what weir reads of an event.
type Fields struct {
	Time int64 // milliseconds since the epoch

	// UID is metadata.uid, decoded. It may alias the line, and is valid until the next call of the Parser.
	UID []byte

	// Processors are the names of the stream processors that the event concerns, sorted and without repetition. The
	// slice is valid until the next call of the Parser. The strings stay valid.
	Processors []string
}

// Concerns tells whether the event concerns a stream processor.
func (f Fields) Concerns(processor string) bool { return slices.Contains(f.Processors, processor) }

// MayConcern returns false only if the event on a line certainly does not concern a stream processor. It is much faster
// than reading the event: a line without a backslash has no escapes, so it contains the name literally.
func MayConcern(line []byte, processor string) bool {
	text := unsafe.String(unsafe.SliceData(line), len(line)) // converting the name instead would allocate if it is long
	return strings.Contains(text, processor) || strings.IndexByte(text, '\\') >= 0
}

// Error says why an event is refused, in words for its sender.
type Error struct {
	Offset int // offset of the byte at fault, from 0; also 0 if the error concerns the whole event
	Reason string
}

func (e *Error) Error() string {
	if e.Offset == 0 {
		return e.Reason
	}
	return fmt.Sprintf("%s (at byte %d)", e.Reason, e.Offset)
}
