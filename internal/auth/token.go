package auth

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/maypok86/otter/v2"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket"
)

// MaxTokenLife is how long tokens live, as Atlas's, unless they are to live shorter. A revocation is remembered for as
// long, since another node may issue tokens that live longer than this node's.
const MaxTokenLife = time.Hour

const (
	issuer   = "weir"
	maxToken = 4 << 10 // bytes; those that weir issues have some 300
)

// claims are the claims of a token.
type claims struct {
	jwt.RegisteredClaims
	Secret string `json:"sid"` // id of the secret that it was issued for: it ends with that
}

// tokens issues and checks JSON Web Tokens, signed with Ed25519.
type tokens struct {
	key     ed25519.PrivateKey
	parser  *jwt.Parser
	life    time.Duration // of a token
	revoked *revocations

	verified *otter.Cache[[sha256.Size]byte, *claims] // by SHA-256 of the token; none enters that is not good
}

// maxVerified is how many tokens are remembered to be good: checking a signature costs more than all else of a small
// request.
const maxVerified = 10_000

// newTokens does not have the time of issue checked: a node whose clock is a little ahead makes good tokens.
func newTokens(b bucket.Bucket, s Secret, life time.Duration) tokens {
	return tokens{key: s.signingKey(), life: life, revoked: newRevocations(b, MaxTokenLife, ""),
		parser: jwt.NewParser(jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithIssuer(issuer),
			jwt.WithExpirationRequired()),
		verified: otter.Must(&otter.Options[[sha256.Size]byte, *claims]{MaximumSize: maxVerified})}
}

// issue makes a token that no revocation covers, as far as this node knows them. A token names whole seconds: it lives
// up to one longer than it has to.
func (t tokens) issue(clientID, secretID string, now time.Time) (string, error) {
	expires := t.revoked.of(clientID).after(now.Add(t.life + time.Second - 1).Truncate(time.Second))
	token, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims{jwt.RegisteredClaims{
		Issuer: issuer, Subject: clientID, ID: strings.ToLower(rand.Text()),
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(expires),
	}, secretID}).SignedString(t.key)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return token, nil
}

func (t tokens) parse(token string) (*claims, bool) {
	if len(token) > maxToken {
		return nil, false
	}
	sum := sha256.Sum256([]byte(token))
	if said, ok := t.verified.GetIfPresent(sum); ok {
		return said, time.Now().Before(said.ExpiresAt.Time)
	}
	said := new(claims)
	if _, err := t.parser.ParseWithClaims(token, said,
		func(*jwt.Token) (any, error) { return t.key.Public(), nil }); err != nil {
		return nil, false
	}
	t.verified.Set(sum, said)
	return said, true
}

// bearer authenticates by a token. The token itself needs no lookup; what its client may do is looked up, so that a
// change of roles does not wait for tokens to expire. A token that weir has signed is never limited.
func (a *Authenticator) bearer(ctx context.Context, token string, addr netip.Addr) (*Principal, error) {
	said, ok := a.tokens.parse(token)
	if !ok {
		return a.admit(addr, "", func(bool) (*account.Credential, error) { return nil, &Unauthorized{Bearer: true} })
	}
	return a.admit(addr, said.Subject, func(bool) (*account.Credential, error) { return a.holder(ctx, said) })
}

// holder returns the credential that a token was issued to. The secret that it was issued for must still be good.
func (a *Authenticator) holder(ctx context.Context, said *claims) (*account.Credential, error) {
	now := time.Now()
	revoked, err := a.tokens.revoked.of(said.Subject).has(ctx, said.ID, said.ExpiresAt.Time, now)
	if err != nil {
		return nil, err
	}
	if revoked {
		return nil, &Unauthorized{Bearer: true}
	}
	c, err := a.credential(ctx, said.Subject, account.ServiceAccount, false)
	if err != nil {
		return nil, err
	}
	if c.Deleted || !c.HasSecret(said.Secret, now) {
		return nil, &Unauthorized{Bearer: true}
	}
	return c, nil
}

// secretOf returns the id of the service account's secret that is shown, in a time that does not depend on how wrong it
// is. False if it is none that is good.
func secretOf(c *account.Credential, shown string, now time.Time) (id string, ok bool) {
	sum := sha256.Sum256([]byte(shown))
	for _, s := range c.Secrets {
		if subtle.ConstantTimeCompare(s.SHA256, sum[:]) == 1 && now.Before(s.Expires) {
			id, ok = s.ID, true
		}
	}
	return id, ok && !c.Deleted
}

// revoke makes a token invalid. One that is not valid, or not the client's, costs nothing.
func (t tokens) revoke(ctx context.Context, clientID, token string, now time.Time) error {
	said, ok := t.parse(token)
	if !ok || said.Subject != clientID {
		return nil
	}
	return t.revoked.of(clientID).add(ctx, said.ID, said.ExpiresAt.Time, now)
}
