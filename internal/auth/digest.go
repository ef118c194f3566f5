package auth

import (
	"crypto/hmac"
	"crypto/md5" // HTTP Digest as Atlas speaks it
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weirlog/weir/internal/account"
)

// digests is the server's side of HTTP Digest (RFC 7616). A nonce carries its own time and a MAC, so any node that
// shares the secret knows it; only which nonce counts were used is remembered, by each node for itself. So what
// somebody reads on the way can be sent once more to each of the other nodes. They take a nonce of this one for a
// minute only: long enough for a client behind a balancer, whose answer to a challenge goes to another node than the
// challenge came from. If they took none, such a client, which tries once more, would never get in.
type digests struct {
	key  []byte
	node [8]byte // random; tells the nonces that this process made
	life time.Duration

	mu   sync.Mutex
	used map[string]*counts
	// Nonces made before are stale: their counts may have been forgotten, by forget or with an earlier process.
	oldest time.Time
}

// counts are the nonce counts seen: the highest, and which of the 64 up to it, since concurrent requests of a client
// may overtake each other.
type counts struct {
	highest uint64
	seen    uint64 // bit i: highest-i
	made    time.Time
}

// maxNonces bounds how many nonces are remembered.
const maxNonces = 100_000

func newDigests(s Secret, life time.Duration) *digests {
	d := &digests{key: s.derive("nonces"), life: life, used: map[string]*counts{}, oldest: time.Now()}
	rand.Read(d.node[:]) // never fails
	return d
}

func (d *digests) challenges(now time.Time, stale bool) []string {
	nonce := d.nonce(now)
	var list []string
	for _, algorithm := range []string{"MD5", "SHA-256"} {
		list = append(list, fmt.Sprintf(`Digest realm=%q, domain="", nonce=%q, algorithm=%s, qop="auth", stale=%t`,
			account.Realm, nonce, algorithm, stale))
	}
	return list
}

// foreignLife is how long a nonce is taken by nodes that did not make it.
const foreignLife = time.Minute

// nonce returns base64(time, node, random, MAC of the three).
func (d *digests) nonce(now time.Time) string {
	b := append(binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano())), d.node[:]...)
	var random [8]byte
	rand.Read(random[:]) // never fails
	b = append(b, random[:]...)
	return base64.RawURLEncoding.EncodeToString(append(b, d.mac(b)...))
}

func (d *digests) mac(b []byte) []byte {
	h := hmac.New(sha256.New, d.key)
	h.Write(b)
	return h.Sum(nil)[:16]
}

// nonce is one that some node made.
type nonce struct {
	text string
	made time.Time
	life time.Duration // at this node
}

// parse reads a nonce; false if no node with this secret made it.
func (d *digests) parse(text string) (nonce, bool) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) != 40 || !hmac.Equal(b[24:], d.mac(b[:24])) {
		return nonce{}, false
	}
	n := nonce{text, time.Unix(0, int64(binary.BigEndian.Uint64(b))), d.life}
	if [8]byte(b[8:]) != d.node {
		n.life = min(d.life, foreignLife)
	}
	return n, true
}

// take takes a nonce count. It is refused if it was taken before or is too far behind to tell, and as stale if the
// nonce is. Both are decided under one lock: a nonce that is forgotten in between would be new again.
func (d *digests) take(n nonce, now time.Time, count uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Sub(n.made).Abs() >= n.life || n.made.Before(d.oldest) {
		return &Unauthorized{Stale: true}
	}
	c := d.used[n.text]
	if c == nil {
		if len(d.used) >= maxNonces {
			d.forget()
		}
		c = &counts{made: n.made}
		d.used[n.text] = c
	}
	if !c.take(count) {
		return &Unauthorized{}
	}
	return nil
}

func (c *counts) take(count uint64) bool {
	switch {
	case count > c.highest:
		shift := count - c.highest
		c.seen = c.seen<<min(shift, 64) | 1
		c.highest = count
		return true
	case c.highest-count >= 64 || c.seen&(1<<(c.highest-count)) != 0:
		return false
	}
	c.seen |= 1 << (c.highest - count)
	return true
}

// forget drops the older half of the nonces; what is dropped becomes stale. The half is found by when the nonces were
// made, not by this node's clock: of a nonce that a node ahead of this one has made, now is no bound.
func (d *digests) forget() {
	made := make([]time.Time, 0, len(d.used))
	for _, c := range d.used {
		made = append(made, c.made)
	}
	slices.SortFunc(made, time.Time.Compare)
	d.oldest = made[len(made)/2].Add(1)
	maps.DeleteFunc(d.used, func(_ string, c *counts) bool { return c.made.Before(d.oldest) })
}

// digest authenticates by a Digest header, without its scheme.
func (a *Authenticator) digest(r *http.Request, header string, addr netip.Addr) (*Principal, error) {
	p, err := parseDigest(header)
	if err != nil {
		return a.admit(addr, "", func(bool) (*account.Credential, error) { return nil, &Unauthorized{} })
	}
	return a.admit(addr, identity(account.APIKey, p["username"]), func(limited bool) (*account.Credential, error) {
		return a.answered(r, p, limited)
	})
}

// answered returns the credential that has answered a challenge. A right answer to a nonce that is not valid, because
// it is too old, of another secret or made up, is stale. By RFC 7616, 3.3, stale says that only the nonce was wrong.
// Without it a client must ask its user for another password.
func (a *Authenticator) answered(r *http.Request, p map[string]string, limited bool) (*account.Credential, error) {
	sent, ours := a.digests.parse(p["nonce"])
	count, countErr := strconv.ParseUint(p["nc"], 16, 64)
	if countErr != nil || len(p["nc"]) != 8 || count == 0 { // RFC 7616, 3.4: counts begin at 1
		return nil, &Unauthorized{} // before anything is read: noise costs no look into the bucket
	}
	c, err := a.credential(r.Context(), p["username"], account.APIKey, limited)
	if err != nil {
		return nil, err
	}
	want, offered := expected(p, r.Method, c.HA1)
	right := subtle.ConstantTimeCompare([]byte(want), []byte(p["response"])) == 1
	if !offered || !right || c.Deleted || !sameTarget(p["uri"], r.RequestURI) {
		return nil, &Unauthorized{Known: known(c)}
	}
	if !ours {
		return nil, &Unauthorized{Stale: true}
	}
	if err := a.digests.take(sent, time.Now(), count); err != nil {
		return nil, err
	}
	return c, nil
}

// expected returns the response that a client with this HA1 sends (RFC 7616, 3.4.1); false if the header asks for
// something that was not offered.
func expected(p map[string]string, method string, ha1 account.HA1) (response string, offered bool) {
	hash := func(text string) []byte { sum := md5.Sum([]byte(text)); return sum[:] }
	secret := ha1.MD5
	switch strings.ToUpper(p["algorithm"]) {
	case "SHA-256":
		hash = func(text string) []byte { sum := sha256.Sum256([]byte(text)); return sum[:] }
		secret = ha1.SHA256
	case "MD5", "":
	default:
		return "", false
	}
	if p["qop"] != "auth" || p["realm"] != account.Realm {
		return "", false
	}
	ha2 := hex.EncodeToString(hash(method + ":" + p["uri"]))
	return hex.EncodeToString(hash(strings.Join([]string{hex.EncodeToString(secret), p["nonce"], p["nc"], p["cnonce"],
		p["qop"], ha2}, ":"))), true
}

// sameTarget tells whether the uri that a client has hashed is the one that it asked for; proxies may have made it
// absolute, or relative.
func sameTarget(uri, requested string) bool { return originForm(uri) == originForm(requested) }

// originForm returns a target without scheme and authority (RFC 9112, 3.2.1).
func originForm(target string) string {
	if u, err := url.Parse(target); err == nil && u.Host != "" && u.IsAbs() {
		return u.RequestURI()
	}
	return target
}

var errDigest = errors.New("not a Digest header")

// maxDigest bounds a header in bytes.
const maxDigest = 16 << 10

// parseDigest reads the parameters of a Digest header: names, each once, with tokens or quoted strings (RFC 9110,
// 11.2).
func parseDigest(header string) (map[string]string, error) {
	if len(header) > maxDigest {
		return nil, errDigest
	}
	p := map[string]string{}
	for rest := strings.TrimSpace(header); rest != ""; {
		name, after, ok := strings.Cut(rest, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if !ok || name == "" || strings.ContainsAny(name, " \t\",") {
			return nil, errDigest
		}
		if _, twice := p[name]; twice {
			return nil, errDigest
		}
		value, after, err := digestValue(strings.TrimLeft(after, " \t"))
		if err != nil {
			return nil, err
		}
		p[name] = value
		after = strings.TrimLeft(after, " \t")
		if after != "" && after[0] != ',' {
			return nil, errDigest
		}
		rest = strings.TrimLeft(strings.TrimPrefix(after, ","), " \t")
	}
	return p, nil
}

// digestValue reads a token or a quoted string from the beginning of s.
func digestValue(s string) (value, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, ", \t")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], nil
		case '\\':
			if i++; i == len(s) {
				return "", "", errDigest
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", errDigest
}
