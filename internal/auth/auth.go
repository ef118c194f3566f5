// Package auth turns an HTTP request into the credential that made it: OAuth 2.0 bearer tokens of service accounts,
// HTTP Digest of API keys, sessions of either and of people whom an OpenID provider vouches for, access lists, and
// limits on failures.
//
// Nodes that share a Secret accept each other's tokens, nonces and sessions; nothing of them is stored.
package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/limit"
)

// Principal is an authenticated caller.
type Principal struct {
	Credential *account.Credential // read only
	Address    netip.Addr
	Session    *Session // in which it calls; nil if it calls by a token or a digest
}

// Unauthorized says that a request has no credentials, or wrong ones. Which, nobody is told.
type Unauthorized struct {
	Stale  bool // The digest was right, but its nonce is not valid: the client may try again without asking its user.
	Bearer bool // There was a token, but it is not valid.

	Session bool // There was a session, but it is not valid, or has ended.

	// Known is the credential that somebody failed to prove to be; nil if there is none such. Why says what was wrong;
	// empty if it was the secret. Both are for the audit log, not for the reply.
	Known *account.Credential
	Why   string
}

func (*Unauthorized) Error() string { return "not authenticated" }

// NotOnAccessList says that a credential may not be used from where it was used.
type NotOnAccessList struct{ Credential *account.Credential }

func (*NotOnAccessList) Error() string { return "the address is not on the credential's access list" }

// TooManyFailures says that a wrong credential was sent, and that its address has sent such too often.
type TooManyFailures struct{ RetryAfter time.Duration }

func (e *TooManyFailures) Error() string {
	return fmt.Sprintf("too many wrong credentials, again in %v", e.RetryAfter)
}

// TooManyTokens says that a service account has been issued too many tokens lately.
type TooManyTokens struct{ RetryAfter time.Duration }

func (e *TooManyTokens) Error() string {
	return fmt.Sprintf("too many tokens, again in %v", e.RetryAfter)
}

// Options of an Authenticator. The zero value of each field means its default.
type Options struct {
	FailuresPerMinute int           // Maximum number of failures for each address and credential. If 0, there is no limit.
	TokensPerMinute   int           // Maximum number of tokens issued to each service account (default 600).
	TokenLife         time.Duration // of a service account (default and maximum MaxTokenLife)
	NonceLife         time.Duration // of a digest nonce (default 5 minutes)
	SessionLife       time.Duration // of a session that is used all the time (default and maximum MaxSessionLife)
	SessionIdle       time.Duration // after which a session that is not used ends (default 1 hour)
	People            *People       // people who may sign in; if nil, only credentials can
}

// Authenticator checks credentials. It may be used concurrently.
type Authenticator struct {
	accounts *account.Directory
	tokens   tokens
	digests  *digests
	sessions sessions
	people   *People // nil if there are none
	codes    codes

	references []byte // key of what Refer returns

	failures  *limit.Limiter[claim]
	addresses *limit.Limiter[netip.Prefix] // failures of all claims
	issued    *limit.Limiter[string]       // tokens, by client id
	uses      *limit.Limiter[string]       // of ingest tokens that are noted, by id
}

// New returns an Authenticator for the credentials in accounts.
func New(b bucket.Bucket, accounts *account.Directory, secret Secret, o Options) *Authenticator {
	if o.TokensPerMinute == 0 {
		o.TokensPerMinute = 600
	}
	if o.TokenLife == 0 || o.TokenLife > MaxTokenLife {
		o.TokenLife = MaxTokenLife
	}
	if o.NonceLife == 0 {
		o.NonceLife = 5 * time.Minute
	}
	if o.SessionLife == 0 || o.SessionLife > MaxSessionLife {
		o.SessionLife = MaxSessionLife
	}
	if o.SessionIdle == 0 {
		o.SessionIdle = time.Hour
	}
	return &Authenticator{
		accounts: accounts,
		tokens:   newTokens(b, secret, o.TokenLife),
		digests:  newDigests(secret, o.NonceLife),
		sessions: newSessions(b, o),
		people:   o.People,

		references: secret.derive("references"),

		failures:  limit.New[claim](o.FailuresPerMinute),
		addresses: limit.New[netip.Prefix](o.FailuresPerMinute * addressShare),
		issued:    limit.New[string](o.TokensPerMinute),
		uses:      limit.New[string](1),
	}
}

// Challenges returns the values of WWW-Authenticate for a 401 reply. MD5 is the first of the digests, since Atlas's
// clients know only MD5. A token that is not valid is answered in its own scheme first (RFC 6750, 3). A session is
// answered in its own scheme only: otherwise a browser would ask its user for a password.
func (a *Authenticator) Challenges(why *Unauthorized) []string {
	if why.Session {
		return []string{fmt.Sprintf("Session realm=%q", account.Realm)}
	}
	challenges := a.digests.challenges(time.Now(), why.Stale)
	if why.Bearer {
		challenges = append([]string{fmt.Sprintf(`Bearer realm=%q, error="invalid_token", `+
			`error_description="The token is malformed, expired or revoked."`, account.Realm)}, challenges...)
	}
	return challenges
}

// Authenticate returns the caller of r, which came from addr. Its errors are *Unauthorized, *NotOnAccessList,
// *TooManyFailures, or that something could not be read.
func (a *Authenticator) Authenticate(r *http.Request, addr netip.Addr) (*Principal, error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return nil, &Unauthorized{}
	}
	scheme, rest, _ := strings.Cut(header, " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return a.bearer(r.Context(), strings.TrimSpace(rest), addr)
	case strings.EqualFold(scheme, "Digest"):
		return a.digest(r, rest, addr)
	case strings.EqualFold(scheme, sessionScheme):
		return a.session(r.Context(), strings.TrimSpace(rest), addr)
	}
	return a.admit(addr, "", func(bool) (*account.Credential, error) { return nil, &Unauthorized{} })
}

// Still returns the caller of a request that it was authenticated for before, and that is still being answered: as its
// credential is now. Its errors are those of Authenticate. It counts no failure. A token, or a session, must still be
// good. A digest proves once that the caller has a key. The caller stays authenticated as long as the credential has
// this key.
func (a *Authenticator) Still(r *http.Request, was *Principal) (*Principal, error) {
	c, err := a.still(r, was.Credential)
	if err == nil && c.Deleted {
		err = &Unauthorized{}
	}
	if err != nil {
		return nil, err
	}
	addr := was.Address.Unmap().WithZone("") // no list names a zone
	if !c.Admits(addr) {
		return nil, &NotOnAccessList{c}
	}
	return &Principal{Credential: c, Address: addr}, nil
}

func (a *Authenticator) still(r *http.Request, was *account.Credential) (*account.Credential, error) {
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case strings.EqualFold(scheme, sessionScheme):
		said, ok := a.read(strings.TrimSpace(rest))
		if !ok || said.Credential != was.ID {
			return nil, &Unauthorized{Session: true}
		}
		return a.inSession(r.Context(), said, time.Now())
	case strings.EqualFold(scheme, "Bearer"):
		said, ok := a.tokens.parse(strings.TrimSpace(rest))
		if !ok || said.Subject != was.ID {
			return nil, &Unauthorized{Bearer: true}
		}
		return a.holder(r.Context(), said)
	case was.Kind != account.APIKey:
		return nil, &Unauthorized{}
	}
	c, err := a.credential(r.Context(), was.ID, was.Kind, false)
	if err == nil && !bytes.Equal(c.HA1.SHA256, was.HA1.SHA256) {
		err = &Unauthorized{}
	}
	return c, err
}

// Issue returns a token for a service account that shows its secret.
func (a *Authenticator) Issue(ctx context.Context, clientID, secret string, addr netip.Addr) (token string,
	life time.Duration, err error) {
	p, err := a.client(ctx, clientID, secret, addr)
	if err != nil {
		return "", 0, err
	}
	now := time.Now()
	if ok, _, wait := a.issued.Take(p.Credential.ID, now); !ok {
		return "", 0, &TooManyTokens{wait}
	}
	secretID, _ := secretOf(p.Credential, secret, now)
	token, err = a.tokens.issue(p.Credential.ID, secretID, now)
	return token, a.tokens.life, err
}

// Revoke makes a token of the client's own invalid, on all nodes within seconds (RFC 7009). A token that is not valid,
// or another's, is left alone without an error.
func (a *Authenticator) Revoke(ctx context.Context, clientID, secret, token string, addr netip.Addr) error {
	p, err := a.client(ctx, clientID, secret, addr)
	if err != nil {
		return err
	}
	return a.tokens.revoke(ctx, p.Credential.ID, token, time.Now())
}

// Sweep removes from the bucket what nobody needs any more of the revocations of tokens.
func (a *Authenticator) Sweep(ctx context.Context) error {
	return a.tokens.revoked.sweep(ctx, time.Now())
}

// Forget has this node forget how often an address has sent wrong credentials, as whatever it claimed to be.
func (a *Authenticator) Forget(addr netip.Addr) {
	from := Network(addr)
	a.failures.Forget(func(c claim) bool { return c.from == from })
	a.addresses.Forget(func(p netip.Prefix) bool { return p == from })
}

// Network returns the network that counts as one address: for IPv6 a /64, since one host commonly has that.
func Network(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("") // no list names a zone
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // the zero Addr has the zero Prefix
	return p
}

// client authenticates a service account by its secret.
func (a *Authenticator) client(ctx context.Context, clientID, secret string, addr netip.Addr) (*Principal, error) {
	return a.admit(addr, identity(account.ServiceAccount, clientID), func(limited bool) (*account.Credential, error) {
		c, err := a.credential(ctx, clientID, account.ServiceAccount, limited)
		if err != nil {
			return nil, err
		}
		if _, ok := secretOf(c, secret, time.Now()); !ok {
			return nil, &Unauthorized{Known: known(c)}
		}
		return c, nil
	})
}

// claim is a network that claims to be a credential. Failures are counted for each claim.
type claim struct {
	from     netip.Prefix
	identity string // client id or public key; empty if none of that form is claimed
}

// addressShare is the number of credentials for which an address may have the maximum number of failures. Then the
// whole address is limited.
const addressShare = 10

// admit runs check for a caller that claims to be a credential, counts its failure, and looks at the access list.
//
// A right credential is accepted however often its address, or others under its name, have failed. weir makes all
// secrets itself, with 120 random bits or more, so they cannot be guessed even without a limit. The limit bounds the
// cost of wrong ones. They are answered as too many, and check may not read a credential from the bucket that is not
// listed there. The answer to a wrong one does not depend on whether there is such a credential.
func (a *Authenticator) admit(addr netip.Addr, identity string, check func(limited bool) (*account.Credential,
	error)) (*Principal, error) {
	addr = addr.Unmap().WithZone("") // no list names a zone
	by, now := claim{Network(addr), identity}, time.Now()
	wait := max(a.failures.Wait(by, now), a.addresses.Wait(by.from, now))
	c, err := check(wait > 0)
	var wrong *Unauthorized
	if errors.As(err, &wrong) && !wrong.Stale {
		if wait > 0 {
			return nil, &TooManyFailures{wait}
		}
		a.failures.Take(by, now)
		a.addresses.Take(by.from, now)
	}
	if err != nil {
		return nil, err
	}
	if !c.Admits(addr) {
		return nil, &NotOnAccessList{c}
	}
	return &Principal{Credential: c, Address: addr}, nil
}

// nobody stands for a credential that does not exist, so that checking takes the same work.
var nobody = &account.Credential{
	Secrets: []account.Secret{{SHA256: make([]byte, 32), Expires: time.Unix(1<<40, 0)}},
	HA1:     account.HA1{MD5: make([]byte, 16), SHA256: make([]byte, 32)},
	Token:   account.Token{SHA256: make([]byte, 32)},
	Deleted: true,
}

func known(c *account.Credential) *account.Credential {
	if c == nobody {
		return nil
	}
	return c
}

// credential returns the credential of that id and kind, or nobody. For a caller that is limited it looks at those
// only that are in memory or were there a moment ago: made-up ids cost nothing, and a right credential is taken by a
// node that has not seen it yet.
func (a *Authenticator) credential(ctx context.Context, id string, kind account.Kind,
	limited bool) (*account.Credential, error) {
	if !account.ValidCredentialID(kind, id) || limited && !a.accounts.Listed(ctx, id) {
		return nobody, nil
	}
	c, err := a.accounts.Credential(ctx, id)
	if errors.Is(err, account.ErrNotFound) || err == nil && c.Kind != kind {
		return nobody, nil
	}
	return c, err
}

// identity returns the id under which the failures of a claim are counted.
func identity(kind account.Kind, id string) string {
	if !account.ValidCredentialID(kind, id) {
		return ""
	}
	return id
}
