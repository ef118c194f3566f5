package auth

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket"
)

const (
	tokenLife = time.Hour // as Atlas's
	issuer    = "weir"

	// A revocation is seen by other nodes after revocationsAge, and tokens are refused when revocations could not be read
	// for revocationsLimit.
	revocationsAge   = 2 * time.Second
	revocationsLimit = 30 * time.Second
)

// tokens issues and checks JSON Web Tokens, signed with Ed25519.
type tokens struct {
	key     ed25519.PrivateKey
	parser  *jwt.Parser
	revoked *revocations
}

func newTokens(b bucket.Bucket, s Secret) tokens {
	return tokens{key: s.signingKey(), revoked: &revocations{bucket: b},
		parser: jwt.NewParser(jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithIssuer(issuer), jwt.WithExpirationRequired(), jwt.WithIssuedAt())}
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
	claims := new(jwt.RegisteredClaims)
	_, err := t.parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return t.key.Public(), nil })
	return claims, err == nil
}

// bearer authenticates by a token. The token itself needs no lookup; what its client may do is looked up, so that a change
// of roles does not wait for tokens to expire.
func (a *Authenticator) bearer(ctx context.Context, token string) (*account.Credential, error) {
	claims, ok := a.tokens.parse(token)
	if !ok {
		return nil, &Unauthorized{}
	}
	revoked, err := a.tokens.revoked.has(ctx, claims.ID, time.Now())
	if err != nil {
		return nil, err
	}
	if revoked {
		return nil, &Unauthorized{}
	}
	c, err := a.credential(ctx, claims.Subject, account.ServiceAccount)
	if err != nil {
		return nil, err
	}
	if c.Deleted {
		return nil, &Unauthorized{}
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

// revocations are the tokens that are not valid although they look it: empty objects revocations/<expiry>-<token id>,
// which any node may make, and remove once the token has expired anyway.
type revocations struct {
	bucket bucket.Bucket

	mu     sync.Mutex
	listed time.Time
	ids    map[string]struct{}
}

const revocationsPrefix = "revocations/"

func (r *revocations) add(ctx context.Context, id string, expires, now time.Time) error {
	key := fmt.Sprintf("%s%012d-%s", revocationsPrefix, expires.Unix(), id)
	if err := r.bucket.PutNew(ctx, key, nil); err != nil && !errors.Is(err, bucket.ErrExist) {
		return fmt.Errorf("revoke token: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids == nil {
		r.ids = map[string]struct{}{}
	}
	r.ids[id] = struct{}{}
	return nil
}

func (r *revocations) has(ctx context.Context, id string, now time.Time) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.listed) >= revocationsAge {
		if err := r.list(ctx, now); err != nil && now.Sub(r.listed) >= revocationsLimit {
			return false, fmt.Errorf("read revoked tokens: %w", err)
		}
	}
	_, ok := r.ids[id]
	return ok, nil
}

// list reads all revocations and removes those of expired tokens.
func (r *revocations) list(ctx context.Context, now time.Time) error {
	ids := map[string]struct{}{}
	var expired []string
	for info, err := range r.bucket.List(ctx, revocationsPrefix, "") {
		if err != nil {
			return err
		}
		stamp, id, _ := strings.Cut(strings.TrimPrefix(info.Key, revocationsPrefix), "-")
		if expires, err := strconv.ParseInt(stamp, 10, 64); err == nil && expires < now.Unix() {
			expired = append(expired, info.Key)
			continue
		}
		ids[id] = struct{}{}
	}
	r.ids, r.listed = ids, now
	return r.bucket.Delete(ctx, expired...)
}
