package client

import (
	"context"
	"net/http"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// tokens authorizes requests with tokens of a service account. A request that needs a new token has one issued; if its
// context is cancelled, so is the issuing, and the next request that waits for the token tries itself.
type tokens struct {
	config clientcredentials.Config
	issuer *http.Client
	next   http.RoundTripper

	turn  chan struct{} // has room for one; the request that fills it may use token
	token *oauth2.Token
}

func newTokens(c Config, base string, next http.RoundTripper) *tokens {
	issuer := NewHTTPClient(next)
	issuer.Timeout = time.Minute
	return &tokens{config: clientcredentials.Config{ClientID: c.ClientID, ClientSecret: c.ClientSecret,
		TokenURL: base + "/api/oauth/token", AuthStyle: oauth2.AuthStyleInHeader}, issuer: issuer, next: next,
		turn: make(chan struct{}, 1)}
}

func (t *tokens) RoundTrip(req *http.Request) (*http.Response, error) {
	token, err := t.valid(req.Context())
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	authorized := req.Clone(req.Context())
	token.SetAuthHeader(authorized)
	return t.next.RoundTrip(authorized)
}

// valid returns a token that is valid now.
func (t *tokens) valid(ctx context.Context) (*oauth2.Token, error) {
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-t.turn }()
	if t.token.Valid() {
		return t.token, nil
	}
	token, err := t.config.Token(context.WithValue(ctx, oauth2.HTTPClient, t.issuer))
	if err == nil {
		t.token = token
	}
	return token, err
}
