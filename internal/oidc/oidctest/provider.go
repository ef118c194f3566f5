// Package oidctest is an OpenID provider for tests: the one of github.com/zitadel/oidc, with people of a test's own.
package oidctest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// Client is what the provider knows weir as.
const (
	ClientID = "weir"
	Secret   = "the client's secret"
)

// Password is that of each person.
const Password = "correct horse"

// Person is somebody who can sign in.
type Person struct {
	Name     string // with which it signs in, and its subject
	Email    string
	Verified bool
	Groups   []string // its claim "groups"
}

// Provider is a running provider.
type Provider struct {
	Issuer string

	public bool // Its client has no secret.

	mu        sync.Mutex
	people    map[string]Person
	redirects []string
}

// Start runs a provider until the test ends. It sends browsers to the redirect addresses only.
func Start(t *testing.T, public bool, redirects []string, people ...Person) *Provider {
	t.Helper()
	p := &Provider{public: public, people: map[string]Person{}, redirects: redirects}
	for _, one := range people {
		p.people[one.Name] = one
	}
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.Issuer = server.URL
	kept := &kept{storage.NewStorageWithClients(p, map[string]*storage.Client{ClientID: p.client()}), p}
	config := &op.Config{CryptoKey: sha256.Sum256([]byte(t.Name())), CryptoKeyId: "key", CodeMethodS256: true,
		AuthMethodPost: true}
	provider, err := op.NewProvider(config, kept, op.StaticIssuer(p.Issuer), op.WithAllowInsecure(),
		op.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", provider)
	mux.HandleFunc("GET "+loginPath, showLogin)
	interceptor := op.NewIssuerInterceptor(provider.IssuerFromRequest)
	mux.Handle("POST "+loginPath, interceptor.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := kept.CheckUsernamePassword(r.FormValue("username"), r.FormValue("password"), r.FormValue("id"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		http.Redirect(w, r, op.AuthCallbackURL(provider)(r.Context(), r.FormValue("id")), http.StatusFound)
	}))
	handler = mux
	return p
}

const loginPath = "/login/username" // where storage's clients send people

// showLogin shows the form in which people sign in.
func showLogin(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprintf(w, `<form method="POST"><input type="hidden" name="id" value="%s"><input id="username" name="username">`+
		`<input id="password" name="password" type="password"><button>Sign in</button></form>`,
		html.EscapeString(r.FormValue("authRequestID")))
}

// client returns what the provider knows of weir.
func (p *Provider) client() *storage.Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.public {
		return storage.NativeClient(ClientID, p.redirects...)
	}
	return storage.WebClient(ClientID, Secret, p.redirects...)
}

// Redirect adds an address to which the provider sends browsers.
func (p *Provider) Redirect(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.redirects = append(p.redirects, address)
}

// Change changes what the provider says of somebody from the next sign-in on.
func (p *Provider) Change(one Person) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.people[one.Name] = one
}

func (p *Provider) person(name string) (Person, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	one, ok := p.people[name]
	return one, ok
}

// GetUserByID is of storage.UserStore.
func (p *Provider) GetUserByID(id string) *storage.User {
	one, ok := p.person(id)
	if !ok {
		return nil
	}
	return &storage.User{ID: one.Name, Username: one.Name, Password: Password, FirstName: one.Name, Email: one.Email,
		EmailVerified: one.Verified}
}

// GetUserByUsername is of storage.UserStore.
func (p *Provider) GetUserByUsername(name string) *storage.User { return p.GetUserByID(name) }

// ExampleClientID is of storage.UserStore.
func (p *Provider) ExampleClientID() string { return "service" }

// kept is the provider's memory. It adds people's groups to what the userinfo endpoint says.
type kept struct {
	*storage.Storage
	provider *Provider
}

func (k *kept) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	if id == ClientID {
		return k.provider.client(), nil
	}
	return k.Storage.GetClientByClientID(ctx, id)
}

func (k *kept) SetUserinfoFromToken(ctx context.Context, info *oidc.UserInfo, token, subject, origin string) error {
	err := k.Storage.SetUserinfoFromToken(ctx, info, token, subject, origin)
	if one, ok := k.provider.person(subject); ok && len(one.Groups) > 0 {
		info.AppendClaims("groups", one.Groups)
	}
	return err
}

var loginForm = regexp.MustCompile(`name="id" value="([^"]+)"`)

// SignIn signs a person in, as a browser does that has been sent to an address of the provider's. It returns the
// address to which the provider sends the browser then.
func (p *Provider) SignIn(ctx context.Context, address, name string) (*url.URL, error) {
	jar, _ := cookiejar.New(nil) // cannot fail
	var back *url.URL
	client := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if !strings.HasPrefix(r.URL.String(), p.Issuer) {
			back = r.URL
			return http.ErrUseLastResponse
		}
		return nil
	}}
	page, err := send(ctx, client, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	id := loginForm.FindStringSubmatch(page)
	if id == nil {
		return nil, fmt.Errorf("no form to sign in with: %.500s", page)
	}
	page, err = send(ctx, client, http.MethodPost, p.Issuer+loginPath,
		url.Values{"id": {id[1]}, "username": {name}, "password": {Password}})
	if err == nil && back == nil {
		err = fmt.Errorf("not signed in: %.500s", page)
	}
	return back, err
}

func send(ctx context.Context, c *http.Client, method, address string, form url.Values) (string, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := c.Do(r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return string(data), err
}
