// Package oidc has people sign in at an OpenID provider: the authorization code flow with PKCE (RFC 7636), a state and
// a nonce. It keeps nothing of a sign-in: the end of one needs a Flow, which the browser keeps and nobody else sees.
//
// A provider is asked over TLS only, except on this machine. Its replies are bounded in size and time, and no redirect
// is followed.
package oidc

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	maxReply   = 1 << 20          // bytes of one reply of a provider
	maxHeaders = 64 << 10         // bytes of its headers
	askTimeout = 10 * time.Second // for one request to a provider
	endTimeout = 20 * time.Second // for all that the end of a sign-in asks
	maxAsking  = 16               // sign-ins that ask a provider at one time
	knownFor   = time.Hour        // after which what a provider says of itself is read again
	failedFor  = 5 * time.Second  // for which a provider that could not be asked is not asked again
)

// Options of a Provider.
type Options struct {
	Issuer       string // URL, as the provider's tokens name it
	ClientID     string
	ClientSecret string   // empty for a public client, which PKCE protects
	Scopes       []string // that are asked for beside openid
}

// Provider is an OpenID provider. It may be used concurrently.
type Provider struct {
	options Options
	local   bool // The issuer is on this machine, where HTTP will do.
	client  *http.Client
	asking  chan struct{} // has an element for each sign-in that asks the provider

	mu     sync.Mutex // is held while the provider's metadata is requested
	known  *metadata
	read   time.Time // when known was
	tried  time.Time // when it was last attempted
	failed error     // of the last attempt
}

// metadata is the metadata of a provider (OpenID Connect Discovery).
type metadata struct {
	provider    *oidc.Provider
	verifier    *oidc.IDTokenVerifier
	endpoint    oauth2.Endpoint
	sendsIssuer bool // Its answers name the issuer (RFC 9207).
}

// New returns a Provider. It asks for nothing yet. An error says what is wrong with the issuer.
func New(o Options) (*Provider, error) {
	u, err := url.Parse(o.Issuer)
	if err != nil {
		return nil, fmt.Errorf("the issuer is not a URL: %w", err)
	}
	local := u.Scheme == "http" && isLoopback(u.Hostname())
	if u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && !local {
		return nil, fmt.Errorf("the issuer must be an https:// URL without user, query and fragment")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = maxHeaders
	transport.ResponseHeaderTimeout = askTimeout
	return &Provider{options: o, local: local, asking: make(chan struct{}, maxAsking),
		client: &http.Client{Transport: bounded{transport}, Timeout: askTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// Issuer returns the URL by which the provider is known.
func (p *Provider) Issuer() string { return p.options.Issuer }

// bounded bounds the replies that it passes on: behind maxReply bytes, reading fails.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.next.RoundTrip(r)
	if err == nil {
		res.Body = http.MaxBytesReader(nil, res.Body, maxReply)
	}
	return res, err
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// metadata returns the provider's metadata, which is kept for an hour. One request reads it at a time, and its failure
// is the answer to all that come within seconds. If it cannot be read again, the metadata from before is used.
func (p *Provider) metadata(ctx context.Context) (*metadata, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	switch {
	case p.known != nil && now.Sub(p.read) < knownFor:
		return p.known, nil
	case p.failed != nil && now.Sub(p.tried) < failedFor:
		return p.orKnown()
	}
	// Those that wait share the answer, so it does not end with the request that happens to ask.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
	defer cancel()
	found, err := p.discover(ctx)
	if p.tried, p.failed = time.Now(), err; err == nil {
		p.known, p.read = found, p.tried
	}
	return p.orKnown()
}

func (p *Provider) orKnown() (*metadata, error) {
	if p.known != nil {
		return p.known, nil
	}
	return nil, &Unavailable{p.failed}
}

// discover reads the provider's metadata (OpenID Connect Discovery 1.0).
func (p *Provider) discover(ctx context.Context) (*metadata, error) {
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.options.Issuer)
	if err != nil {
		return nil, fmt.Errorf("%.300v", err) // It may have all that the provider sent.
	}
	var said struct {
		JWKS        string   `json:"jwks_uri"`
		Methods     []string `json:"token_endpoint_auth_methods_supported"`
		SendsIssuer bool     `json:"authorization_response_iss_parameter_supported"`
	}
	if err := found.Claims(&said); err != nil {
		return nil, err
	}
	endpoint := found.Endpoint()
	for _, at := range []string{endpoint.AuthURL, endpoint.TokenURL, said.JWKS} {
		if !p.mayBeAsked(at) {
			return nil, fmt.Errorf("the provider names %.200q, which is not an https:// URL", at)
		}
	}
	if at := found.UserInfoEndpoint(); at != "" && !p.mayBeAsked(at) {
		return nil, fmt.Errorf("the provider names %.200q, which is not an https:// URL", at)
	}
	endpoint.AuthStyle = oauth2.AuthStyleInHeader // what every provider takes that says nothing else
	if p.options.ClientSecret == "" || len(said.Methods) > 0 && !slices.Contains(said.Methods, "client_secret_basic") {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	verifier := found.Verifier(&oidc.Config{ClientID: p.options.ClientID,
		Now: func() time.Time { return time.Now().Add(-clockSkew) }})
	return &metadata{found, verifier, endpoint, said.SendsIssuer}, nil
}

// mayBeAsked tells whether an address of the provider's is protected on the way.
func (p *Provider) mayBeAsked(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Host != "" && (u.Scheme == "https" || p.local && u.Scheme == "http" && isLoopback(u.Hostname()))
}

// take returns when one more sign-in may ask the provider.
func (p *Provider) take(ctx context.Context) (release func(), err error) {
	select {
	case p.asking <- struct{}{}:
		return func() { <-p.asking }, nil
	case <-ctx.Done():
		return nil, &Unavailable{ctx.Err()}
	}
}

// Unavailable says that the provider could not be asked, or that its reply cannot be used.
type Unavailable struct{ Err error }

func (e *Unavailable) Error() string { return fmt.Sprintf("the OpenID provider: %.500v", e.Err) }
func (e *Unavailable) Unwrap() error { return e.Err }
