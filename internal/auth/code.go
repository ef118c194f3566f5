package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"maps"
	"strings"
	"sync"
	"time"
)

const (
	codeLife = 10 * time.Minute
	maxCodes = 100 // that wait to be used
)

// codes are the codes that sign in once. They are in the memory of one node.
type codes struct {
	mu   sync.Mutex
	made map[[sha256.Size]byte]code // by the SHA-256 of the text, so that a look-up's time tells nothing of it
}

// code says what a code signs in, and until when.
type code struct {
	credential, secret string // ids
	expires            time.Time
}

// make returns the text of a new code. If too many wait it forgets them all.
func (c *codes) make(as code, now time.Time) string {
	text := strings.ToLower(rand.Text())
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.made, func(_ [sha256.Size]byte, old code) bool { return !now.Before(old.expires) })
	if c.made == nil || len(c.made) >= maxCodes {
		c.made = map[[sha256.Size]byte]code{}
	}
	c.made[sha256.Sum256([]byte(text))] = as
	return text
}

// take uses a code up; false if there is none such.
func (c *codes) take(text string, now time.Time) (code, bool) {
	sum := sha256.Sum256([]byte(text))
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.made[sum]
	delete(c.made, sum)
	return found, ok && now.Before(found.expires)
}
