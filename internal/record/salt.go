package record

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"
)

// salts makes the salts of events. The salt changes with the log, the minute and the process, and cannot be guessed by
// anyone who does not read the log. So the hash of a line, or of a tree, does not help to confirm a guess of the line.
// Consecutive lines share their salt, so it costs almost nothing on disk.
type salts struct{ key [32]byte }

func newSalts() (s salts) {
	rand.Read(s.key[:]) // never fails
	return s
}

// saltDigits is the number of digits of a salt, of 5 bits each. 2^85 salts are too many to try for each guess.
const saltDigits = 17

// of returns the salt for the events that a log takes in at a time: lower-case letters and digits.
func (s salts) of(log string, at time.Time) string {
	h := hmac.New(sha256.New, s.key[:])
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(at.Unix()/60)))
	h.Write([]byte(log))
	return strings.ToLower(base32.StdEncoding.EncodeToString(h.Sum(nil))[:saltDigits])
}
