package oidc

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	flowLife  = 10 * time.Minute // within which a person must have signed in at the provider
	clockSkew = time.Minute      // by which the provider's clock may be behind
	maxCode   = 4 << 10          // bytes of a code
	maxToken  = 64 << 10         // bytes of an ID token
)

// Flow is a sign-in that has begun: what its end is checked against. It is worth nothing without the provider's answer,
// and the answer nothing without it.
type Flow struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"` // of PKCE
	Redirect string `json:"r"` // where the provider sends the browser
	Expires  int64  `json:"e"` // seconds since the epoch
}

// Refused says that a sign-in is not taken.
type Refused struct {
	Why    string  // for the audit log
	Person *Person // that the provider has vouched for; nil if it has for nobody
}

func (e *Refused) Error() string { return "the sign-in is refused: " + e.Why }

// Begin returns the address where a person signs in, and the Flow against which the end of the sign-in is checked. The
// provider sends the browser to redirect with its answer. An error is *Unavailable.
func (p *Provider) Begin(ctx context.Context, redirect string) (string, Flow, error) {
	m, err := p.metadata(ctx)
	if err != nil {
		return "", Flow{}, err
	}
	f := Flow{State: strings.ToLower(rand.Text()), Nonce: strings.ToLower(rand.Text()),
		Verifier: oauth2.GenerateVerifier(), Redirect: redirect, Expires: time.Now().Add(flowLife).Unix()}
	return p.config(m, f).AuthCodeURL(f.State, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), f, nil
}

func (p *Provider) config(m *metadata, f Flow) *oauth2.Config {
	return &oauth2.Config{ClientID: p.options.ClientID, ClientSecret: p.options.ClientSecret, Endpoint: m.endpoint,
		RedirectURL: f.Redirect, Scopes: append([]string{oidc.ScopeOpenID}, p.options.Scopes...)}
}

// Finish ends a sign-in by the provider's answer, the parameters with which it sent the browser to Flow.Redirect. An
// error is *Refused or *Unavailable.
func (p *Provider) Finish(ctx context.Context, f Flow, answer url.Values) (*Person, error) {
	if time.Now().Unix() >= f.Expires {
		return nil, &Refused{Why: "it took too long"}
	}
	if f.State == "" || subtle.ConstantTimeCompare([]byte(answer.Get("state")), []byte(f.State)) != 1 {
		return nil, &Refused{Why: "another browser began it"}
	}
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	release, err := p.take(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	m, err := p.metadata(ctx)
	if err != nil {
		return nil, err
	}
	// An answer of another provider is not to be used at this one (RFC 9207).
	if issuer := answer.Get("iss"); issuer != p.options.Issuer && (issuer != "" || m.sendsIssuer) {
		return nil, &Refused{Why: "another provider answered"}
	}
	if said := answer.Get("error"); said != "" {
		return nil, &Refused{Why: "the provider said " + errorCode(said)}
	}
	if code := answer.Get("code"); len(code) > maxCode || !codeForm.MatchString(code) {
		return nil, &Refused{Why: "the answer has no code"}
	}
	ctx = oidc.ClientContext(ctx, p.client)
	token, err := p.config(m, f).Exchange(ctx, answer.Get("code"), oauth2.VerifierOption(f.Verifier))
	if err != nil {
		return nil, failedExchange(err)
	}
	return p.person(ctx, m, f, token)
}

// codeForm is that of a code (RFC 6749, appendix A.11).
var codeForm = regexp.MustCompile(`^[\x20-\x7e]+$`)

// failedExchange says whether the code is not good, or the provider not to be asked. A provider may call a code that it
// cannot read an invalid request; all else that the request says is weir's own.
func failedExchange(err error) error {
	said := new(oauth2.RetrieveError)
	if errors.As(err, &said) && slices.Contains([]string{"invalid_grant", "invalid_request"}, said.ErrorCode) {
		return &Refused{Why: "the provider does not know the code"}
	}
	if said.Response != nil { // Its text has the reply's body, which is the provider's.
		err = fmt.Errorf("the token endpoint replied %d %s", said.Response.StatusCode, errorCode(said.ErrorCode))
	}
	return &Unavailable{err}
}

var errorForm = regexp.MustCompile(`^[a-z_]{1,40}$`)

// errorCode returns an OAuth error code as it may be shown.
func errorCode(text string) string {
	if errorForm.MatchString(text) {
		return text
	}
	return "an error"
}

// person returns the person that the tokens describe. The ID token must be the provider's, for this client and this
// sign-in.
func (p *Provider) person(ctx context.Context, m *metadata, f Flow, token *oauth2.Token) (*Person, error) {
	raw, _ := token.Extra("id_token").(string)
	if raw == "" || len(raw) > maxToken {
		return nil, &Unavailable{errors.New("it sent no ID token, or one that is too large")}
	}
	id, err := m.verifier.Verify(ctx, raw)
	if err != nil {
		return nil, &Unavailable{fmt.Errorf("its ID token is not valid: %.300v", err)}
	}
	found, err := newPerson(p.options.Issuer, id)
	if err != nil {
		return nil, &Unavailable{err}
	}
	switch party := found.text("azp"); {
	case subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(f.Nonce)) != 1:
		return nil, &Refused{"the ID token is of another sign-in", found}
	case party != "" && party != p.options.ClientID, party == "" && len(id.Audience) > 1:
		return nil, &Refused{"the ID token is for another client", found}
	case id.AccessTokenHash != "" && id.VerifyAccessToken(token.AccessToken) != nil:
		return nil, &Refused{"the ID token belongs to another access token", found}
	}
	return found, p.ask(ctx, m, found, token)
}

// ask adds the claims of the provider's userinfo endpoint to a person. Those of the ID token take precedence.
func (p *Provider) ask(ctx context.Context, m *metadata, found *Person, token *oauth2.Token) error {
	if m.provider.UserInfoEndpoint() == "" {
		return nil
	}
	info, err := m.provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return &Unavailable{errors.New("its userinfo endpoint gave no usable answer")}
	}
	if info.Subject != found.Subject { // OpenID Connect Core 1.0, 5.3.2
		return &Refused{"the provider named two subjects", found}
	}
	more := map[string]json.RawMessage{}
	if err := info.Claims(&more); err != nil {
		return &Unavailable{errors.New("its userinfo endpoint did not send a JSON object")}
	}
	_, told := found.claims["email"] // The address and whether it is verified come from one place.
	for name, value := range more {
		if _, ok := found.claims[name]; !ok && !(told && name == "email_verified") {
			found.claims[name] = value
		}
	}
	found.Email = found.verifiedEmail()
	return nil
}

// Person is somebody whom the provider has vouched for. Issuer and Subject identify the person; the same subject of
// another issuer is somebody else, and an e-mail address may pass to another person.
type Person struct {
	Issuer  string
	Subject string // 1 to 255 bytes
	Email   string // that the provider has verified; empty if it has not, or there is none

	claims map[string]json.RawMessage
}

// maxSubject is what OpenID Connect Core 1.0, 2 allows, in bytes.
const maxSubject = 255

func newPerson(issuer string, id *oidc.IDToken) (*Person, error) {
	p := &Person{Issuer: issuer, Subject: id.Subject, claims: map[string]json.RawMessage{}}
	if p.Subject == "" || len(p.Subject) > maxSubject || strings.ContainsFunc(p.Subject, unprintable) {
		return nil, errors.New("its ID token has no subject, or one that cannot be used")
	}
	if err := id.Claims(&p.claims); err != nil {
		return nil, errors.New("its ID token is not a JSON object")
	}
	p.Email = p.verifiedEmail()
	return p, nil
}

func unprintable(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }

// Has tells whether a claim is a text, or an array that has it. An e-mail address counts only if it is verified.
func (p *Person) Has(claim, value string) bool {
	if claim == "email" {
		return p.Email != "" && p.Email == value
	}
	if p.text(claim) == value && value != "" {
		return true
	}
	var all []json.RawMessage
	if json.Unmarshal(p.claims[claim], &all) != nil {
		return false
	}
	for _, one := range all {
		var text string
		if json.Unmarshal(one, &text) == nil && text == value && value != "" {
			return true
		}
	}
	return false
}

// text returns a claim that is a text; empty if it is not a text.
func (p *Person) text(claim string) string {
	var text string
	if json.Unmarshal(p.claims[claim], &text) != nil {
		return ""
	}
	return text
}

// emailForm is OCSF's, with a limit.
var emailForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile("^[a-zA-Z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[a-zA-Z0-9-]{1,63}(\\.[a-zA-Z0-9-]{1,63})+$")
})

func (p *Person) verifiedEmail() string {
	email := p.text("email")
	verified := string(p.claims["email_verified"]) == "true" || p.text("email_verified") == "true" // as some have it
	if !verified || len(email) > 254 || !emailForm().MatchString(email) {
		return ""
	}
	return email
}
