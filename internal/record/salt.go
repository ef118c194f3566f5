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

// salts makes the salts of events: that of a log is another one each minute and in each process, and nobody who does
// not read the log can guess it. So the hash of a line, or of a tree, confirms no guess of the line, and lines that
// come one after the other cost next to nothing on disk, since they repeat their salt.
type salts struct{ key [32]byte }

func newSalts() (s salts) {
	rand.Read(s.key[:]) // never fails
	return s
}

// saltDigits are the digits of a salt, of 5 bits each: nobody can try 2^85 of them for each guess.
const saltDigits = 17

// of returns the salt of the events that a log takes in at a time, small letters and digits.
func (s salts) of(log string, at time.Time) string {
	h := hmac.New(sha256.New, s.key[:])
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(at.Unix()/60)))
	h.Write([]byte(log))
	return strings.ToLower(base32.StdEncoding.EncodeToString(h.Sum(nil))[:saltDigits])
}
