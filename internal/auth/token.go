package auth

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/maypok86/otter/v2"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket"
)

const (
	tokenLife = time.Hour // as Atlas's
	issuer    = "weir"

	maxToken = 4 << 10 // bytes; those that weir issues have some 300
)

// tokens issues and checks JSON Web Tokens, signed with Ed25519.
type tokens struct {
	key     ed25519.PrivateKey
	parser  *jwt.Parser
	revoked *revocations

	verified *otter.Cache[[sha256.Size]byte, *jwt.RegisteredClaims] // by SHA-256 of the token; none enters that is not good
}

// maxVerified is how many tokens are remembered to be good: checking a signature costs more than all else of a small request.
const maxVerified = 10_000

// newTokens does not have the time of issue checked: a node whose clock is a little ahead makes good tokens.
func newTokens(b bucket.Bucket, s Secret) tokens {
	return tokens{key: s.signingKey(), revoked: &revocations{bucket: b},
		parser:   jwt.NewParser(jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithIssuer(issuer), jwt.WithExpirationRequired()),
		verified: otter.Must(&otter.Options[[sha256.Size]byte, *jwt.RegisteredClaims]{MaximumSize: maxVerified})}
}

func (t tokens) issue(clientID string, now time.Time) (string, error) {
	token, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.RegisteredClaims{
		Issuer: issuer, Subject: clientID, ID: strings.ToLower(rand.Text()),
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(tokenLife)),
	}).SignedString(t.key)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return token, nil
}

func (t tokens) parse(token string) (*jwt.RegisteredClaims, bool) {
	if len(token) > maxToken {
		return nil, false
	}
	sum := sha256.Sum256([]byte(token))
	if claims, ok := t.verified.GetIfPresent(sum); ok {
		return claims, time.Now().Before(claims.ExpiresAt.Time)
	}
	claims := new(jwt.RegisteredClaims)
	if _, err := t.parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return t.key.Public(), nil }); err != nil {
		return nil, false
	}
	t.verified.Set(sum, claims)
	return claims, true
}

// bearer authenticates by a token. The token itself needs no lookup; what its client may do is looked up, so that a change
// of roles does not wait for tokens to expire.
func (a *Authenticator) bearer(ctx context.Context, token string) (*account.Credential, error) {
	claims, ok := a.tokens.parse(token)
	if !ok {
		return nil, &Unauthorized{Bearer: true}
	}
	revoked, err := a.tokens.revoked.has(ctx, claims.ID, time.Now())
	if err != nil {
		return nil, err
	}
	if revoked {
		return nil, &Unauthorized{Bearer: true}
	}
	c, err := a.credential(ctx, claims.Subject, account.ServiceAccount)
	if err != nil {
		return nil, err
	}
	if c.Deleted {
		return nil, &Unauthorized{Bearer: true}
	}
	return c, nil
}

// holdsSecret tells whether secret is one of the service account's, in a time that does not depend on how wrong it is.
func holdsSecret(c *account.Credential, secret string, now time.Time) bool {
	sum := sha256.Sum256([]byte(secret))
	found := 0
	for _, s := range c.Secrets {
		if now.Before(s.Expires) {
			found |= subtle.ConstantTimeCompare(s.SHA256, sum[:])
		}
	}
	return found == 1 && !c.Deleted
}

func (t tokens) revoke(ctx context.Context, clientID, token string, now time.Time) error {
	claims, ok := t.parse(token)
	if !ok || claims.Subject != clientID {
		return nil
	}
	return t.revoked.add(ctx, claims.ID, claims.ExpiresAt.Time, now)
}
