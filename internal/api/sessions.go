package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/auth"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/oidc"
)

// Credentials of sign-ins and sessions in events.
const bySecret, byCode, byProvider, bySession = "Secret", "One-time code", "OpenID Connect", "Session"

// maxRedirect bounds the URL to which a provider sends a browser, in bytes.
const maxRedirect = 1 << 10

// sessionHeader is the header of a reply with the new text of a session, which the client must use from then on.
const sessionHeader = "Weir-Session"

// sessions are the operations for signing in and out. A session allows reading. For a short time after the sign-in it
// also allows changes, by the roles of the caller.
type sessions struct {
	control
	auth   *auth.Authenticator
	failed func(*call, error) // called for each failed authentication
}

// sessionView describes the caller. Attributes of the session are missing if there is none.
type sessionView struct {
	CredentialID string          `json:"credentialId"`
	Kind         string          `json:"kind"` // Service Account, API Key, User
	Name         string          `json:"name"`
	Issuer       string          `json:"issuer,omitempty"`  // of a person: the provider
	Subject      string          `json:"subject,omitempty"` // of a person: the id at the provider
	OrgID        string          `json:"orgId"`
	Roles        []account.Grant `json:"roles"`
	Began        *time.Time      `json:"signedInAt,omitempty"`
	Expires      *time.Time      `json:"expiresAt,omitempty"`
	IdleSeconds  int             `json:"idleSeconds,omitempty"`  // time after which an unused session ends
	Changes      *time.Time      `json:"changesUntil,omitempty"` // after this it allows only reading
	Session      string          `json:"session,omitempty"`      // its text, in the reply that begins it
}

func (c *call) viewOfSession() sessionView {
	a := c.actor(c.caller)
	v := sessionView{CredentialID: a.CallerID, Kind: a.CallerKind, Name: a.CallerName, OrgID: c.caller.Org,
		Issuer: a.Person.Issuer, Subject: a.Person.Subject, Roles: append([]account.Grant{}, c.caller.Roles...)}
	if s := c.session; s != nil {
		began, expires, changes := s.Began.UTC(), s.Expires.UTC(), s.Began.Add(auth.ChangesFor).UTC()
		v.Began, v.Expires, v.IdleSeconds, v.Changes = &began, &expires, int(s.Idle.Seconds()), &changes
	}
	return v
}

// authorization is the URL where a person signs in, and the text to send with the result.
type authorization struct {
	URL  string `json:"authorizationUrl"`
	Flow string `json:"flow"`
}

// authorize begins the sign-in of a person at the OpenID provider. This is not a sign-in yet, and is not recorded.
func (h sessions) authorize(c *call) (any, error) {
	form, _, _, err := readForm(c)
	if err != nil {
		return nil, err
	}
	redirect := form.Get("redirect_uri")
	u, err := url.Parse(redirect)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || len(redirect) > maxRedirect {
		return nil, invalidForm("The parameter redirect_uri must be an http or https URL of at most %d bytes.", maxRedirect)
	}
	var v authorization
	if v.URL, v.Flow, err = h.auth.BeginPerson(c.context(), redirect); err != nil {
		return nil, providerProblem(err)
	}
	return v, nil
}

// providerProblem says that signing in at the provider is not possible, now or at all.
func providerProblem(err error) error {
	switch {
	case errors.Is(err, auth.ErrNoProvider):
		return &problem{status: http.StatusNotFound, code: "NO_OPENID_PROVIDER",
			detail: "No OpenID provider is set up. Sign in with a service account or an API key."}
	case errors.As(err, new(*oidc.Unavailable)):
		return &problem{status: http.StatusServiceUnavailable, code: "OPENID_PROVIDER_UNAVAILABLE", cause: err,
			detail:     "The OpenID provider is not available at the moment. The log of this node says why.",
			retryAfter: providerRetry}
	}
	return err
}

// providerRetry is the time after which a client may retry when the provider did not answer.
const providerRetry = 5 * time.Second

// begin signs in: with a client id or public key and its secret, in the form of a token request; with a one-time code;
// or with the answer of the OpenID provider after authorize. The sign-in is recorded before the session exists.
func (h sessions) begin(c *call) (any, error) {
	form, id, secret, err := readForm(c)
	if err != nil {
		return nil, err
	}
	p, text, how := (*auth.Principal)(nil), "", bySecret
	switch flow, code := form.Get("flow"), form.Get("code"); {
	case flow != "":
		how = byProvider
		answer, _ := url.ParseQuery(form.Get("answer")) // an unreadable answer lacks required parameters
		p, text, err = h.auth.SignInPerson(c.context(), flow, answer, c.address.Addr())
		err = providerProblem(err)
	case code != "":
		how = byCode
		p, text, err = h.auth.SignInByCode(c.context(), code, c.address.Addr())
	default:
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

// get returns a description of the caller.
func (h sessions) get(c *call) (any, error) { return c.viewOfSession(), nil }

// end signs out of the session of the request. If the request asks for it, or has no session, end signs out of all
// sessions of the caller's credential.
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

// record records a sign-in or a sign-out in the log of the caller's organization.
func (h sessions) record(c *call, activity event.SessionActivity, session, how string) error {
	org, err := h.accounts.Organization(c.context(), c.caller.Org)
	if err != nil {
		return fmt.Errorf("the organization of the session: %v", err) // %v: the path does not name it
	}
	return h.recorder.RecordOwn(c.detached(), []string{org.Log},
		event.SessionChanged(c.actor(c.caller), activity, c.operation.id, session, how))
}

func sessionRecordsNothing() *problem {
	return &problem{status: http.StatusForbidden, code: "SESSION_RECORDS_NOTHING", parameters: []any{},
		detail: "A session records no events. Call this with a token, or with an API key."}
}

func sessionTooOld() *problem {
	return &problem{status: http.StatusForbidden, code: "SESSION_TOO_OLD", parameters: []any{},
		detail: fmt.Sprintf("A session can change things only for %.0f minutes after the sign-in. Sign in again.",
			auth.ChangesFor.Minutes())}
}
