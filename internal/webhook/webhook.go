// Package webhook signs what is sent to webhooks as Standard Webhooks says, so that a receiver can tell who sent it,
// and when. The headers are webhook-id, webhook-timestamp (seconds since 1970) and webhook-signature: "v1," and the
// base64 of HMAC-SHA256 over the id, a full stop, the timestamp, a full stop and the body.
package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A key has at least and at most so many bytes.
const (
	leastKey = 24
	mostKey  = 64
)

const secretPrefix = "whsec_"

// ErrSecret is returned for a text that is no secret. The error does not show the text.
var ErrSecret = errors.New(`the secret must be "whsec_" and the base64 of 24 to 64 random bytes`)

// Secret is the secret that a sender and a receiver share. It may be used concurrently.
type Secret struct{ key []byte }

// NewSecret returns the text of a random secret.
func NewSecret() string {
	key := make([]byte, 32)
	rand.Read(key)
	return secretPrefix + base64.StdEncoding.EncodeToString(key)
}

// ParseSecret reads the text of a secret. It fails with ErrSecret.
func ParseSecret(text string) (Secret, error) {
	encoded, ok := strings.CutPrefix(text, secretPrefix)
	if !ok || len(encoded) > base64.StdEncoding.EncodedLen(mostKey) {
		return Secret{}, ErrSecret
	}
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || len(key) < leastKey || len(key) > mostKey || strings.ContainsAny(encoded, "\r\n") {
		return Secret{}, ErrSecret
	}
	return Secret{key}, nil
}

// Sign sets the headers of a message that is sent at a time. The id must be the same for each attempt at one message,
// so that a receiver can tell a repetition, and has no full stop.
func (s Secret) Sign(h http.Header, id string, at time.Time, body []byte) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", timestamp)
	h.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// String does not show the secret, so that none is printed by mistake.
func (Secret) String() string { return secretPrefix + "…" }

// GoString is String.
func (s Secret) GoString() string { return s.String() }
