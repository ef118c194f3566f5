// Package auth turns an HTTP request into the credential that made it: OAuth 2.0 bearer tokens of service accounts, HTTP
// Digest of API keys, access lists, and limits on failures.
//
// Nodes that share a Secret accept each other's tokens and nonces; nothing of either is stored.
package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket"
)

// Principal is an authenticated caller.
type Principal struct {
	Credential *account.Credential // read only
	Address    netip.Addr
}

// Unauthorized says that a request has no credentials, or wrong ones. Which, nobody is told.
type Unauthorized struct {
	Stale  bool // The digest was right, but its nonce is not valid: the client may try again without asking its user.
	Bearer bool // There was a token, but it is not valid.

	// Known is the credential that somebody failed to prove to be; nil if there is none such. It is for the audit log,
	// not for the reply.
	Known *account.Credential
}

func (*Unauthorized) Error() string { return "not authenticated" }

// NotOnAccessList says that a credential may not be used from where it was used.
type NotOnAccessList struct{ Credential *account.Credential }

func (*NotOnAccessList) Error() string { return "the address is not on the credential's access list" }

// TooManyFailures says that an address has sent wrong credentials too often.
type TooManyFailures struct{ RetryAfter time.Duration }

func (e *TooManyFailures) Error() string {
	return fmt.Sprintf("too many wrong credentials, again in %v", e.RetryAfter)
}

// Options of an Authenticator. The zero value of each field means its default.
type Options struct {
	FailuresPerMinute int           // wrong credentials for each address; 0: unlimited
	NonceLife         time.Duration // of a digest nonce, 5 minutes
}

// Authenticator checks credentials. It may be used concurrently.
type Authenticator struct {
	accounts *account.Directory
	tokens   tokens
	digests  *digests
	failures *failures
}

// New returns an Authenticator for the credentials in accounts.
func New(b bucket.Bucket, accounts *account.Directory, secret Secret, o Options) *Authenticator {
	if o.NonceLife == 0 {
		o.NonceLife = 5 * time.Minute
	}
	return &Authenticator{
		accounts: accounts,
		tokens:   newTokens(b, secret),
		digests:  newDigests(secret, o.NonceLife),
		failures: newFailures(o.FailuresPerMinute),
	}
}

// Challenges returns the values of WWW-Authenticate for a 401 reply. Of the digests MD5 is the first, which is what Atlas's
// clients know. A token that is not valid is answered in its own scheme first (RFC 6750, 3).
func (a *Authenticator) Challenges(why *Unauthorized) []string {
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
	return a.limited(addr, func() (*account.Credential, error) {
		scheme, rest, _ := strings.Cut(header, " ")
		switch {
		case strings.EqualFold(scheme, "Bearer"):
			return a.bearer(r.Context(), strings.TrimSpace(rest))
		case strings.EqualFold(scheme, "Digest"):
			return a.digest(r, rest)
		}
		return nil, &Unauthorized{}
	})
}

// Issue returns a token for a service account that shows its secret.
func (a *Authenticator) Issue(ctx context.Context, clientID, secret string, addr netip.Addr) (token string, life time.Duration, err error) {
	p, err := a.client(ctx, clientID, secret, addr)
	if err != nil {
		return "", 0, err
	}
	token, err = a.tokens.issue(p.Credential.ID, time.Now())
	return token, tokenLife, err
}

// Revoke makes a token of the client's own invalid, on all nodes within seconds (RFC 7009). A token that is not valid, or
// another's, is left alone without an error.
func (a *Authenticator) Revoke(ctx context.Context, clientID, secret, token string, addr netip.Addr) error {
	p, err := a.client(ctx, clientID, secret, addr)
	if err != nil {
		return err
	}
	return a.tokens.revoke(ctx, p.Credential.ID, token, time.Now())
}

// client authenticates a service account by its secret.
func (a *Authenticator) client(ctx context.Context, clientID, secret string, addr netip.Addr) (*Principal, error) {
	return a.limited(addr, func() (*account.Credential, error) {
		c, err := a.credential(ctx, clientID, account.ServiceAccount)
		if err != nil {
			return nil, err
		}
		if !holdsSecret(c, secret, time.Now()) {
			return nil, &Unauthorized{Known: known(c)}
		}
		return c, nil
	})
}

// limited runs check for an address that has not failed too often, counts its failure, and looks at the access list.
func (a *Authenticator) limited(addr netip.Addr, check func() (*account.Credential, error)) (*Principal, error) {
	addr = addr.Unmap().WithZone("") // no list names a zone
	if wait := a.failures.wait(addr, time.Now()); wait > 0 {
		return nil, &TooManyFailures{wait}
	}
	c, err := check()
	var wrong *Unauthorized
	if errors.As(err, &wrong) && !wrong.Stale {
		a.failures.count(addr, time.Now())
	}
	if err != nil {
		return nil, err
	}
	if !onAccessList(c.AccessList, addr) {
		return nil, &NotOnAccessList{c}
	}
	return &Principal{Credential: c, Address: addr}, nil
}

// nobody stands for a credential that does not exist, so that checking takes the same work.
var nobody = &account.Credential{
	Secrets: []account.Secret{{SHA256: make([]byte, 32), Expires: time.Unix(1<<40, 0)}},
	HA1:     account.HA1{MD5: make([]byte, 16), SHA256: make([]byte, 32)},
	Deleted: true,
}

func known(c *account.Credential) *account.Credential {
	if c == nobody {
		return nil
	}
	return c
}

// credential returns the credential of that id and kind, or nobody.
func (a *Authenticator) credential(ctx context.Context, id string, kind account.Kind) (*account.Credential, error) {
	c, err := a.accounts.Credential(ctx, id)
	if errors.Is(err, account.ErrNotFound) || err == nil && c.Kind != kind {
		return nobody, nil
	}
	return c, err
}

// onAccessList tells whether addr is on an access list; an empty one has them all.
func onAccessList(list []account.AccessEntry, addr netip.Addr) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(e account.AccessEntry) bool { return e.Block.Contains(addr) })
}
