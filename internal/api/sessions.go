package api

import (
	"fmt"
	"net/http"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/auth"
	"github.com/weirlog/weir/internal/event"
)

// What is shown for a session, as events say it.
const bySecret, byCode, bySession = "Secret", "One-time code", "Session"

// SessionHeader is the header of a reply with the text that a client is to keep of its session from now on.
const SessionHeader = "Weir-Session"

// sessions are the operations by which somebody signs in, and out. In a session a caller reads, and changes nothing.
type sessions struct {
	control
	auth   *auth.Authenticator
	failed func(*call, error) // is told of each failed authentication
}

// sessionView is who a caller is. What concerns a session is left out if the caller has none.
type sessionView struct {
	CredentialID string          `json:"credentialId"`
	Kind         string          `json:"kind"` // Service Account, API Key
	Name         string          `json:"name"`
	OrgID        string          `json:"orgId"`
	Roles        []account.Grant `json:"roles"`
	Began        *time.Time      `json:"signedInAt,omitempty"`
	Expires      *time.Time      `json:"expiresAt,omitempty"`
	IdleSeconds  int             `json:"idleSeconds,omitempty"` // after which it ends if it is not used
	Session      string          `json:"session,omitempty"`     // its text, in the reply that begins it
}

func (c *call) viewOfSession() sessionView {
	a := c.actor(c.caller)
	v := sessionView{CredentialID: a.CallerID, Kind: a.CallerKind, Name: a.CallerName, OrgID: c.caller.Org,
		Roles: append([]account.Grant{}, c.caller.Roles...)}
	if s := c.session; s != nil {
		began, expires := s.Began.UTC(), s.Expires.UTC()
		v.Began, v.Expires, v.IdleSeconds = &began, &expires, int(s.Idle.Seconds())
	}
	return v
}

// begin signs in: with a client id or public key and its secret, in the form in which a token is asked for, or with a
// code that works once. The sign-in is an event before there is a session.
func (h sessions) begin(c *call) (any, error) {
	form, id, secret, err := readForm(c)
	if err != nil {
		return nil, err
	}
	p, text, how := (*auth.Principal)(nil), "", bySecret
	if code := form.Get("code"); code != "" {
		how = byCode
		p, text, err = h.auth.SignInByCode(c.context(), code, c.address.Addr())
	} else {
		p, text, err = h.auth.SignIn(c.context(), id, secret, c.address.Addr())
	}
	if err != nil {
		return nil, tokens{h.auth, h.failed}.refused(c, err)
	}
	c.caller, c.session = p.Credential, p.Session
	if err := h.record(c, event.Logon, p.Session.ID, how); err != nil {
		return nil, err
	}
	v := c.viewOfSession()
	v.Session = text
	return v, nil
}

// get shows who the caller is.
func (h sessions) get(c *call) (any, error) { return c.viewOfSession(), nil }

// end signs out: of the session in which it is called; or of all sessions of the caller's credential, if it is asked
// to or called in no session.
func (h sessions) end(c *call) error {
	ctx := c.detached()
	if c.session == nil || c.flag(everywhere.name) {
		if err := h.record(c, event.Logoff, "", bySession); err != nil {
			return err
		}
		return h.auth.SignOutEverywhere(ctx, c.caller.ID)
	}
	if err := h.record(c, event.Logoff, c.session.ID, bySession); err != nil {
		return err
	}
	return h.auth.SignOut(ctx, c.caller.ID, c.session)
}

// record makes a sign-in or a sign-out an event in the log of the caller's organization.
func (h sessions) record(c *call, activity event.SessionActivity, session, how string) error {
	org, err := h.accounts.Organization(c.context(), c.caller.Org)
	if err != nil {
		return fmt.Errorf("the organization of the session: %v", err) // It is not what the path names.
	}
	return h.recorder.RecordOwn(c.detached(), []string{org.Log},
		event.SessionChanged(c.actor(c.caller), activity, c.operation.id, session, how))
}

func sessionsOnlyRead() *problem {
	return &problem{status: http.StatusForbidden, code: "SESSION_READS_ONLY", parameters: []any{},
		detail: "A session reads and changes nothing. Call this with a token, or with an API key."}
}
