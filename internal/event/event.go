// Package event knows one audit event: a JSON object on one line, in the shape of OCSF.
package event

import (
	"crypto/sha256"
	"encoding/binary"
)

// Key identifies an event within a log: events with equal time and uid are one event. It is the first 16 bytes
// of the SHA-256 of the time (8 bytes, big-endian, milliseconds) followed by the uid.
type Key [16]byte

// KeyOf returns the key of the event with this time (milliseconds since the epoch) and uid.
func KeyOf(time int64, uid []byte) Key {
	var buf [128]byte
	b := binary.BigEndian.AppendUint64(buf[:0], uint64(time))
	h := sha256.Sum256(append(b, uid...))
	return Key(h[:16])
}
