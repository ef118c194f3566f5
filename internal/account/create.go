package account

import (
	"cmp"
	"crypto/md5" // HTTP Digest as Atlas uses it
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"
)

// Realm is the realm of HTTP Digest, the same as Atlas's.
const Realm = "MMS Public API"

// NewID returns an id of 24 hex digits: the time in seconds and 64 random bits.
func NewID(now time.Time) string {
	var id [12]byte
	binary.BigEndian.PutUint32(id[:], uint32(now.Unix()))
	rand.Read(id[4:]) // never fails
	return hex.EncodeToString(id[:])
}

var (
	idPattern   = regexp.MustCompile(`^[0-9a-f]{24}$`)
	keyPattern  = regexp.MustCompile(`^[a-z]{8}$`)            // of an API key's public key
	namePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`) // of a workspace
)

// ValidID tells whether id has the form of an organization's or project's id.
func ValidID(id string) bool { return idPattern.MatchString(id) }

// ValidCredentialID tells whether id has the form of an id for a credential of this kind: the client id of a service
// account, the public key of an API key, or the id of an ingest token.
func ValidCredentialID(kind Kind, id string) bool {
	if kind == APIKey {
		return keyPattern.MatchString(id)
	}
	prefix := serviceAccountPrefix
	if kind == IngestToken {
		prefix = tokenPrefix
	}
	rest, ok := strings.CutPrefix(id, prefix)
	return ok && ValidID(rest)
}

// NewPerson returns the credential of a person. Its id is person_ and 32 hex digits, which depend only on the issuer
// and the subject. It belongs to no organization yet and has no roles.
func NewPerson(i Identity) *Credential {
	sum := sha256.Sum256([]byte(i.Issuer + "\x00" + i.Subject))
	id := hex.EncodeToString(sum[:16])
	return &Credential{ID: personPrefix + id, Kind: Person, UserID: id[:24], Name: cmp.Or(i.Email, i.Subject), Identity: i}
}

// NewWorkspace returns a workspace with new logs. If the name does not have 1 to 64 letters, digits, '-' and '_', it
// returns an error.
func NewWorkspace(name string, now time.Time) (Workspace, error) {
	if !namePattern.MatchString(name) {
		return Workspace{}, fmt.Errorf("workspace name %q: want 1 to 64 letters, digits, '-' and '_'", name)
	}
	return Workspace{ID: NewID(now), Name: name, AuditLog: NewID(now), OperationalLog: NewID(now),
		CloudProvider: "AWS", Region: "VIRGINIA_USA", Tier: "SP30", Created: now.UTC()}, nil
}

// NewServiceAccount returns a service account and its secret, which is not stored.
func NewServiceAccount(org, name string, roles []Grant, now time.Time, life time.Duration) (Credential, string) {
	id := NewID(now)
	secret, text := NewSecret(now, life)
	return Credential{ID: serviceAccountPrefix + id, Kind: ServiceAccount, UserID: id, Org: org, Name: name,
		Roles:   roles,
		Created: now.UTC(), Secrets: []Secret{secret}}, text
}

const (
	serviceAccountPrefix = "mdb_sa_id_"
	personPrefix         = "person_"
)

// NewSecret returns a secret of a service account: the part that is stored, and the secret itself.
func NewSecret(now time.Time, life time.Duration) (Secret, string) {
	text := "mdb_sa_sk_" + randomText(40)
	sum := sha256.Sum256([]byte(text))
	return Secret{ID: NewID(now), SHA256: sum[:], Masked: "mdb_sa_sk_..." + text[len(text)-4:],
		Created: now.UTC(), Expires: now.Add(life).UTC()}, text
}

// NewAPIKey returns an API key and its private key, which is not stored.
func NewAPIKey(org, description string, roles []Grant, now time.Time) (Credential, string) {
	public := make([]byte, 8)
	rand.Read(public)
	for i := range public {
		public[i] = 'a' + public[i]%26
	}
	var u [16]byte
	rand.Read(u[:])
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80 // RFC 9562, version 4
	private := fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
	return Credential{ID: string(public), Kind: APIKey, UserID: NewID(now), Org: org, Description: description,
		Roles: roles,
		HA1:   NewHA1(string(public), private), Created: now.UTC()}, private
}

// NewHA1 returns the stored part of an API key.
func NewHA1(public, private string) HA1 {
	text := []byte(public + ":" + Realm + ":" + private)
	m, s := md5.Sum(text), sha256.Sum256(text)
	return HA1{MD5: m[:], SHA256: s[:], Masked: "********-****-****-" + private[max(0, len(private)-12):]}
}

// randomText returns n random characters of base64url.
func randomText(n int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	text := make([]byte, n)
	rand.Read(text)
	for i := range text {
		text[i] = alphabet[text[i]%64]
	}
	return string(text)
}

// ParseBlock returns the network of an address or a CIDR block. An IPv4 network in IPv6 notation becomes an IPv4
// network.
func ParseBlock(text string) (netip.Prefix, error) {
	var p netip.Prefix
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		p = netip.PrefixFrom(a, a.BitLen())
	} else if p, err = netip.ParsePrefix(text); err != nil {
		return p, fmt.Errorf("%.50q is neither an address nor a CIDR block", text)
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}
