package auth

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket"
)

// MaxSessionLife is how long a session lives at most, however often it is used.
const MaxSessionLife = 12 * time.Hour

// ChangesFor is how long after the sign-in a session may be used to change things. Its text, stolen later, reads.
const ChangesFor = 15 * time.Minute

const (
	sessionScheme    = "Session"   // of the Authorization header
	sessionReference = "session"   // purpose of the reference that a client keeps
	sessionsFolder   = ".sessions" // what the folder of their revocations ends with

	renewAfter = time.Minute // A session's text that was made before is replaced when it is used.
)

// Session is that a credential has signed in. No node keeps it: a client keeps its text, which any node with the same
// secret believes.
type Session struct {
	ID      string
	Began   time.Time
	Expires time.Time     // at the latest
	Idle    time.Duration // after which it ends if it is not used
	Changes bool          // It began within ChangesFor.

	Renewed string // the text that a client is to keep from now on; empty if it is the one that it has
}

// sessionText is the content of a session's text.
type sessionText struct {
	ID         string       `json:"i"`
	Credential string       `json:"c"`
	Kind       account.Kind `json:"k"`
	Secret     string       `json:"s,omitempty"` // id of the service account's secret: the session ends with that
	Person     *personText  `json:"p,omitempty"` // of a person
	Began      int64        `json:"b"`           // seconds since the epoch, as the times below
	Expires    int64        `json:"e"`
	Used       int64        `json:"u"` // when the text was made
}

type sessions struct {
	life, idle time.Duration
	revoked    *revocations
}

func newSessions(b bucket.Bucket, o Options) sessions {
	return sessions{o.SessionLife, o.SessionIdle, newRevocations(b, MaxSessionLife, sessionsFolder)}
}

// SignIn begins a session for a caller that shows the secret of a service account, or the private key of an API key. It
// returns the session's text, which is as good as the secret for as long as the session lives. Its errors are those of
// Authenticate, and *TooManyTokens.
func (a *Authenticator) SignIn(ctx context.Context, id, secret string, addr netip.Addr) (*Principal, string, error) {
	if !account.ValidCredentialID(account.APIKey, id) {
		p, err := a.client(ctx, id, secret, addr)
		if err != nil {
			return nil, "", err
		}
		secretID, _ := secretOf(p.Credential, secret, time.Now())
		return a.begin(p, secretID)
	}
	p, err := a.admit(addr, id, func(limited bool) (*account.Credential, error) {
		c, err := a.credential(ctx, id, account.APIKey, limited)
		if err != nil {
			return nil, err
		}
		shown := account.NewHA1(id, secret)
		if subtle.ConstantTimeCompare(shown.SHA256, c.HA1.SHA256) != 1 || c.Deleted {
			return nil, &Unauthorized{Known: known(c)}
		}
		return c, nil
	})
	if err != nil {
		return nil, "", err
	}
	return a.begin(p, "")
}

// SignInByCode begins a session for a caller that shows a code that Code returned at this node. A code is good once.
func (a *Authenticator) SignInByCode(ctx context.Context, text string, addr netip.Addr) (*Principal, string, error) {
	var secretID string
	p, err := a.admit(addr, "", func(bool) (*account.Credential, error) {
		made, ok := a.codes.take(text, time.Now())
		if !ok {
			return nil, &Unauthorized{}
		}
		secretID = made.secret
		c, err := a.credential(ctx, made.credential, account.ServiceAccount, false)
		if err != nil {
			return nil, err
		}
		if c.Deleted || !c.HasSecret(secretID, time.Now()) {
			return nil, &Unauthorized{}
		}
		return c, nil
	})
	if err != nil {
		return nil, "", err
	}
	return a.begin(p, secretID)
}

// begin returns the text of a new session.
func (a *Authenticator) begin(p *Principal, secretID string) (*Principal, string, error) {
	return a.beginText(p, sessionText{Secret: secretID})
}

// beginText completes what is said of a session's credential to the text of a new one.
func (a *Authenticator) beginText(p *Principal, text sessionText) (*Principal, string, error) {
	now := time.Now()
	if ok, _, wait := a.issued.Take(p.Credential.ID, now); !ok {
		return nil, "", &TooManyTokens{wait}
	}
	expires := a.sessions.revoked.of(p.Credential.ID).after(now.Add(a.sessions.life).Truncate(time.Second))
	text.ID, text.Credential, text.Kind = strings.ToLower(rand.Text()), p.Credential.ID, p.Credential.Kind
	text.Began, text.Expires, text.Used = now.Unix(), expires.Unix(), now.Unix()
	p.Session = a.sessions.of(text)
	return p, a.write(text), nil
}

func (s *sessions) of(t sessionText) *Session {
	began := time.Unix(t.Began, 0)
	return &Session{ID: t.ID, Began: began, Expires: time.Unix(t.Expires, 0), Idle: s.idle,
		Changes: time.Since(began) < ChangesFor}
}

func (a *Authenticator) write(t sessionText) string {
	var data bytes.Buffer
	encoder := json.NewEncoder(&data)
	encoder.SetEscapeHTML(false) // which would make a subject up to six times as long
	_ = encoder.Encode(t)        // cannot fail
	return a.Refer(sessionReference, data.Bytes())
}

// read reads what write has written; false for any other text.
func (a *Authenticator) read(text string) (*sessionText, bool) {
	said := new(sessionText)
	data, ok := a.Referred(sessionReference, text)
	return said, ok && json.Unmarshal(data, said) == nil
}

// session authenticates by a session's text. Only a text that no node has made counts as a wrong credential: an honest
// client may have one that has expired.
func (a *Authenticator) session(ctx context.Context, text string, addr netip.Addr) (*Principal, error) {
	said, ok := a.read(text)
	if !ok {
		return a.admit(addr, "", func(bool) (*account.Credential, error) { return nil, &Unauthorized{Session: true} })
	}
	now := time.Now()
	p, err := a.admit(addr, said.Credential, func(bool) (*account.Credential, error) {
		return a.inSession(ctx, said, now)
	})
	if err != nil {
		return nil, err
	}
	p.Session = a.sessions.of(*said)
	if now.Sub(time.Unix(said.Used, 0)) >= renewAfter {
		said.Used = now.Unix()
		p.Session.Renewed = a.write(*said)
	}
	return p, nil
}

// inSession returns the credential of a session that has not ended. Its roles are looked up each time, as for a token.
func (a *Authenticator) inSession(ctx context.Context, said *sessionText, now time.Time) (*account.Credential, error) {
	ended := &Unauthorized{Session: true, Stale: true}
	expires := time.Unix(said.Expires, 0)
	if !now.Before(expires) || now.Sub(time.Unix(said.Used, 0)) >= a.sessions.idle {
		return nil, ended
	}
	revoked, err := a.sessions.revoked.of(said.Credential).has(ctx, said.ID, expires, now)
	if err != nil {
		return nil, err
	}
	if revoked {
		return nil, ended
	}
	if said.Kind == account.Person {
		return a.personIn(ctx, said.Person)
	}
	c, err := a.credential(ctx, said.Credential, said.Kind, false)
	if err != nil {
		return nil, err
	}
	if c.Deleted || said.Kind == account.ServiceAccount && !c.HasSecret(said.Secret, now) {
		return nil, ended
	}
	return c, nil
}

// SignOut ends a session, on all nodes within seconds.
func (a *Authenticator) SignOut(ctx context.Context, credential string, s *Session) error {
	return a.sessions.revoked.of(credential).add(ctx, s.ID, s.Expires, time.Now())
}

// SignOutEverywhere ends all sessions of a credential, on all nodes within seconds.
func (a *Authenticator) SignOutEverywhere(ctx context.Context, credential string) error {
	return a.sessions.revoked.of(credential).addAll(ctx, time.Now())
}

// errNoSecret says that a code cannot be made for a credential.
var errNoSecret = errors.New("the credential is not a service account with a secret that has not expired")

// Code returns a text that signs its caller in as a service account (see SignInByCode): at this node, once and within
// 10 minutes.
func (a *Authenticator) Code(ctx context.Context, clientID string) (string, error) {
	c, err := a.credential(ctx, clientID, account.ServiceAccount, false)
	if err != nil {
		return "", err
	}
	now := time.Now()
	for _, s := range c.Secrets {
		if c.HasSecret(s.ID, now) && !c.Deleted {
			return a.codes.make(code{c.ID, s.ID, now.Add(codeLife)}, now), nil
		}
	}
	return "", errNoSecret
}
