package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/weirlog/weir/internal/account"
)

// AuthenticateSender returns the caller of a request that sends events. It takes what Authenticate takes, and ingest
// tokens as "Bearer TOKEN", "Splunk TOKEN", or the password of HTTP Basic with any user. Its errors are those of
// Authenticate.
func (a *Authenticator) AuthenticateSender(r *http.Request, addr netip.Addr) (*Principal, error) {
	token, ok := ingestToken(r)
	if !ok {
		return a.Authenticate(r, addr)
	}
	id, ok := account.IngestTokenID(token)
	if !ok {
		return a.admit(addr, "", func(bool) (*account.Credential, error) { return nil, &Unauthorized{Bearer: true} })
	}
	p, err := a.admit(addr, id, func(limited bool) (*account.Credential, error) {
		return a.sender(r.Context(), id, token, limited)
	})
	if err == nil {
		a.noteUse(r.Context(), p.Credential)
	}
	return p, err
}

// ingestToken returns what a request shows as an ingest token; false if it shows something else.
func ingestToken(r *http.Request) (string, bool) {
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	rest = strings.TrimSpace(rest)
	switch {
	case strings.EqualFold(scheme, "Splunk"):
		return rest, true
	case strings.EqualFold(scheme, "Bearer"):
		return rest, account.IsIngestToken(rest)
	}
	_, password, ok := r.BasicAuth()
	return password, ok
}

// sender returns the credential of an ingest token, if it is good.
func (a *Authenticator) sender(ctx context.Context, id, token string, limited bool) (*account.Credential, error) {
	c, err := a.credential(ctx, id, account.IngestToken, limited)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(c.Token.SHA256, sum[:]) != 1 || !c.MaySignIn(time.Now()) {
		return nil, &Unauthorized{Bearer: true, Known: known(c)}
	}
	return c, nil
}

// noteUse notes that a token is used. That it could not be noted is no reason to refuse events: the next request tries
// again, a minute later at the soonest.
func (a *Authenticator) noteUse(ctx context.Context, c *account.Credential) {
	now := time.Now()
	if now.Sub(c.Used) < account.UseInterval {
		return
	}
	if ok, _, _ := a.uses.Take(c.ID, now); ok {
		_ = a.accounts.NoteUse(context.WithoutCancel(ctx), c, now)
	}
}
