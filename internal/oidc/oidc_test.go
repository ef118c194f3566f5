package oidc_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weirlog/weir/internal/oidc"
	"github.com/weirlog/weir/internal/oidc/oidctest"
)

const redirect = "http://127.0.0.1:1/web/session/callback"

var jane = oidctest.Person{Name: "jane", Email: "jane@example.com", Verified: true,
	Groups: []string{"security", "staff"}}

func provider(t *testing.T, o oidc.Options) *oidc.Provider {
	t.Helper()
	p, err := oidc.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// answered signs a person in at a provider, and returns the flow and the provider's answer.
func answered(t *testing.T, p *oidc.Provider, at *oidctest.Provider, name string) (oidc.Flow, url.Values) {
	t.Helper()
	address, f, err := p.Begin(t.Context(), redirect)
	if err != nil {
		t.Fatal(err)
	}
	back, err := at.SignIn(t.Context(), address, name)
	if err != nil {
		t.Fatal(err)
	}
	return f, back.Query()
}

// People sign in at a real provider, with a client that has a secret and with one that has none.
func TestPeopleSignIn(t *testing.T) {
	for _, public := range []bool{false, true} {
		at := oidctest.Start(t, public, []string{redirect}, jane, oidctest.Person{Name: "joe", Email: "jane@example.com"})
		secret := oidctest.Secret
		if public {
			secret = ""
		}
		p := provider(t, oidc.Options{Issuer: at.Issuer, ClientID: oidctest.ClientID, ClientSecret: secret,
			Scopes: []string{"email"}})
		f, answer := answered(t, p, at, "jane")
		got, err := p.Finish(t.Context(), f, answer)
		if err != nil {
			t.Fatal(err)
		}
		if got.Issuer != at.Issuer || got.Subject != "jane" || got.Email != "jane@example.com" ||
			!got.Has("groups", "staff") || !got.Has("sub", "jane") ||
			!got.Has("email", "jane@example.com") || got.Has("groups", "owners") {
			t.Errorf("public %v: got %+v", public, got)
		}
		f, answer = answered(t, p, at, "joe")
		got, err = p.Finish(t.Context(), f, answer)
		if err != nil || got.Email != "" || got.Has("email", "jane@example.com") {
			t.Errorf("an address that is not verified: %+v %v", got, err)
		}
	}
}

// refused returns why a sign-in is refused.
func refused(t *testing.T, err error) *oidc.Refused {
	t.Helper()
	var r *oidc.Refused
	if !errors.As(err, &r) {
		t.Fatalf("got %v, want a refusal", err)
	}
	return r
}

// An answer is good once, for the browser that began, with the verifier that it began with, and as the provider's.
func TestAnswersAreGoodForOneSignIn(t *testing.T) {
	at := oidctest.Start(t, false, []string{redirect}, jane)
	p := provider(t, oidc.Options{Issuer: at.Issuer, ClientID: oidctest.ClientID, ClientSecret: oidctest.Secret})
	f, answer := answered(t, p, at, "jane")
	_, other, err := p.Begin(t.Context(), redirect)
	if err != nil {
		t.Fatal(err)
	}
	change := func(do func(*oidc.Flow, url.Values)) error {
		f, answer := f, maps.Clone(answer)
		do(&f, answer)
		_, err := p.Finish(t.Context(), f, answer)
		return err
	}
	for name, do := range map[string]func(*oidc.Flow, url.Values){
		"another browser's":       func(f *oidc.Flow, _ url.Values) { *f = other },
		"no state":                func(f *oidc.Flow, a url.Values) { f.State = ""; a.Del("state") },
		"a changed state":         func(_ *oidc.Flow, a url.Values) { a.Set("state", f.State+"x") },
		"too late":                func(f *oidc.Flow, _ url.Values) { f.Expires = time.Now().Unix() },
		"another issuer":          func(_ *oidc.Flow, a url.Values) { a.Set("iss", "https://evil.example") },
		"an error":                func(_ *oidc.Flow, a url.Values) { a.Set("error", "access_denied") },
		"an error with a message": func(_ *oidc.Flow, a url.Values) { a.Set("error", "\x1b[2J look here") },
		"a code of nobody's":      func(_ *oidc.Flow, a url.Values) { a.Set("code", "wrong") },
		"no code":                 func(_ *oidc.Flow, a url.Values) { a.Del("code") },
		"an empty code":           func(_ *oidc.Flow, a url.Values) { a.Set("code", "") },
		"a code that is none":     func(_ *oidc.Flow, a url.Values) { a.Set("code", "\x00") },
		"a very long code":        func(_ *oidc.Flow, a url.Values) { a.Set("code", strings.Repeat("x", 100_000)) },
	} {
		if why := refused(t, change(do)); why.Person != nil || strings.ContainsRune(why.Why, '\x1b') {
			t.Errorf("%s: %+v", name, why)
		}
	}
	f, answer = answered(t, p, at, "jane")
	wrong := f
	wrong.Verifier = other.Verifier
	if _, err := p.Finish(t.Context(), wrong, answer); err == nil {
		t.Error("another verifier of PKCE is taken")
	}
	f, answer = answered(t, p, at, "jane")
	if _, err := p.Finish(t.Context(), f, answer); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Finish(t.Context(), f, answer); err == nil {
		t.Error("a code is taken twice")
	}
}

func TestIssuersThatAreNotProtectedAreRefused(t *testing.T) {
	for _, issuer := range []string{"", "login.example.com", "http://login.example.com", "https://", "ftp://127.0.0.1",
		"https://user@login.example.com", "https://login.example.com?x", "https://login.example.com#x",
		"http://127.0.0.1.example"} {
		if _, err := oidc.New(oidc.Options{Issuer: issuer, ClientID: "weir"}); err == nil {
			t.Errorf("%q is taken", issuer)
		}
	}
	provider(t, oidc.Options{Issuer: "https://login.example.com/tenant/v2.0", ClientID: "weir"})
	provider(t, oidc.Options{Issuer: "http://localhost:9000", ClientID: "weir"})
}

// forger is a provider that says what a test has it say.
type forger struct {
	*httptest.Server
	key *rsa.PrivateKey

	mu       sync.Mutex
	metadata map[string]any
	claims   jwt.MapClaims // of the ID token
	method   jwt.SigningMethod
	signer   any
	reply    http.HandlerFunc // to a request for tokens; if nil, a provider's reply
	info     map[string]any   // at the userinfo endpoint
	asked    int              // for the metadata
}

func forge(t *testing.T) *forger {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	f := &forger{key: key, method: jwt.SigningMethodRS256, signer: key}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.asked++
		writeJSON(w, f.metadata)
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]any{"keys": []any{map[string]any{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1",
			"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()), "e": "AQAB"}}})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.reply != nil {
			f.reply(w, r)
			return
		}
		token := jwt.NewWithClaims(f.method, f.claims)
		token.Header["kid"] = "1"
		signed, err := token.SignedString(f.signer)
		if err != nil {
			t.Error(err)
		}
		writeJSON(w, map[string]any{"access_token": "access", "token_type": "Bearer", "id_token": signed})
	})
	mux.HandleFunc("/info", func(w http.ResponseWriter, _ *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		writeJSON(w, f.info)
	})
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	f.metadata = map[string]any{"issuer": f.URL, "authorization_endpoint": f.URL + "/authorize",
		"token_endpoint": f.URL + "/token", "jwks_uri": f.URL + "/keys"}
	return f
}

// change changes what the forger says, once no request that somebody has given up reads it any more.
func (f *forger) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

// signIn begins and finishes a sign-in, for which the forger has claims.
func (f *forger) signIn(t *testing.T, p *oidc.Provider, change func(jwt.MapClaims)) (*oidc.Person, error) {
	t.Helper()
	_, flow, err := p.Begin(t.Context(), redirect)
	if err != nil {
		return nil, err
	}
	claims := jwt.MapClaims{"iss": f.URL, "aud": "weir", "sub": "jane", "nonce": flow.Nonce,
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	change(claims)
	f.change(func() { f.claims = claims })
	return p.Finish(t.Context(), flow, url.Values{"state": {flow.State}, "code": {"code"}})
}

func asItIs(jwt.MapClaims) {}

// A token counts only if this provider made it, for this client and this sign-in, and if it is valid now.
func TestTokensOfOthersAreRefused(t *testing.T) {
	f := forge(t)
	p := provider(t, oidc.Options{Issuer: f.URL, ClientID: "weir"})
	good := sha256.Sum256([]byte("access"))
	for name, change := range map[string]func(jwt.MapClaims){
		"as it is":                func(jwt.MapClaims) {},
		"a party of its own":      func(c jwt.MapClaims) { c["azp"] = "weir" },
		"several audiences":       func(c jwt.MapClaims) { c["aud"], c["azp"] = []string{"other", "weir"}, "weir" },
		"a clock a little behind": func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-30 * time.Second).Unix() },
		"a clock a little ahead":  func(c jwt.MapClaims) { c["nbf"] = time.Now().Add(time.Minute).Unix() },
		"an access token's hash": func(c jwt.MapClaims) {
			c["at_hash"] = base64.RawURLEncoding.EncodeToString(good[:16])
		},
	} {
		if got, err := f.signIn(t, p, change); err != nil || got.Subject != "jane" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(jwt.MapClaims){
		"another issuer":           func(c jwt.MapClaims) { c["iss"] = "https://evil.example" },
		"another audience":         func(c jwt.MapClaims) { c["aud"] = "other" },
		"another party":            func(c jwt.MapClaims) { c["azp"] = "other" },
		"an audience too many":     func(c jwt.MapClaims) { c["aud"] = []string{"other", "weir"} },
		"another nonce":            func(c jwt.MapClaims) { c["nonce"] = "x" },
		"no nonce":                 func(c jwt.MapClaims) { delete(c, "nonce") },
		"expired":                  func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-2 * time.Minute).Unix() },
		"no expiry":                func(c jwt.MapClaims) { delete(c, "exp") },
		"not yet":                  func(c jwt.MapClaims) { c["nbf"] = time.Now().Add(time.Hour).Unix() },
		"no subject":               func(c jwt.MapClaims) { delete(c, "sub") },
		"a long subject":           func(c jwt.MapClaims) { c["sub"] = strings.Repeat("x", 256) },
		"a subject that acts":      func(c jwt.MapClaims) { c["sub"] = "a\x1b[2J" },
		"another access token":     func(c jwt.MapClaims) { c["at_hash"] = base64.RawURLEncoding.EncodeToString(good[16:]) },
		"a token of 100,000 bytes": func(c jwt.MapClaims) { c["groups"] = strings.Repeat("x", 100_000) },
	} {
		if got, err := f.signIn(t, p, change); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	f.change(func() { f.signer = other })
	if _, err := f.signIn(t, p, asItIs); err == nil {
		t.Error("a token that another key signed is taken")
	}
	f.change(func() { f.method, f.signer = jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType })
	if _, err := f.signIn(t, p, asItIs); err == nil {
		t.Error("a token that nobody signed is taken")
	}
	f.change(func() { f.method, f.signer = jwt.SigningMethodHS256, f.key.N.Bytes() })
	if _, err := f.signIn(t, p, asItIs); err == nil {
		t.Error("a token that the public key signed is taken")
	}
}

// What the userinfo endpoint says counts only for the token's subject, and does not change what the token says.
func TestUserInfoIsOfTheSamePerson(t *testing.T) {
	f := forge(t)
	f.metadata["userinfo_endpoint"] = f.URL + "/info"
	p := provider(t, oidc.Options{Issuer: f.URL, ClientID: "weir"})
	f.change(func() {
		f.info = map[string]any{"sub": "jane", "groups": []string{"more"}, "role": "x", "email": "j@example.com",
			"email_verified": true}
	})
	got, err := f.signIn(t, p, func(c jwt.MapClaims) { c["groups"] = "staff" })
	if err != nil || !got.Has("groups", "staff") || got.Has("groups", "more") || !got.Has("role", "x") ||
		got.Email != "j@example.com" {
		t.Errorf("got %+v, %v", got, err)
	}
	got, err = f.signIn(t, p, func(c jwt.MapClaims) { c["email"] = "victim@example.com" })
	if err != nil || got.Email != "" {
		t.Errorf("an address of the token is verified by another place: %+v, %v", got, err)
	}
	f.change(func() { f.info = map[string]any{"sub": "joe"} })
	_, err = f.signIn(t, p, asItIs)
	if why := refused(t, err); why.Person == nil || why.Person.Subject != "jane" {
		t.Errorf("got %+v", why)
	}
}

// unavailable fails unless an error says that the provider cannot be asked, in few words.
func unavailable(t *testing.T, err error) {
	t.Helper()
	if !errors.As(err, new(*oidc.Unavailable)) || len(err.Error()) > 1000 {
		t.Errorf("got %.2000v", err)
	}
}

// A provider that sends much, nothing of use, or a redirect, costs no more than a failure.
func TestProvidersThatMisbehave(t *testing.T) {
	large := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for range 200 {
			w.Write([]byte(`{"access_token":"` + strings.Repeat("x", 64<<10)))
		}
	}
	for name, reply := range map[string]http.HandlerFunc{
		"much":     large,
		"nothing":  func(http.ResponseWriter, *http.Request) {},
		"no token": func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, map[string]any{"access_token": "x"}) },
		"an error": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, strings.Repeat("x", 10_000), 500) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := forge(t)
			f.reply = reply
			_, err := f.signIn(t, provider(t, oidc.Options{Issuer: f.URL, ClientID: "weir"}), asItIs)
			unavailable(t, err)
		})
	}
	// If the provider rejects the request as wrong, the caller is refused.
	for _, code := range []string{"invalid_grant", "invalid_request"} {
		f := forge(t)
		f.reply = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			writeJSON(w, map[string]any{"error": code})
		}
		_, err := f.signIn(t, provider(t, oidc.Options{Issuer: f.URL, ClientID: "weir"}), asItIs)
		refused(t, err)
	}
	for name, change := range map[string]func(map[string]any){
		"another issuer":          func(m map[string]any) { m["issuer"] = "https://evil.example" },
		"no keys":                 func(m map[string]any) { delete(m, "jwks_uri") },
		"tokens over HTTP":        func(m map[string]any) { m["token_endpoint"] = "http://login.example.com/token" },
		"people over HTTP":        func(m map[string]any) { m["userinfo_endpoint"] = "http://login.example.com/info" },
		"a place that is none":    func(m map[string]any) { m["authorization_endpoint"] = "javascript:alert(1)" },
		"a document of megabytes": func(m map[string]any) { m["x"] = strings.Repeat("x", 2<<20) },
	} {
		t.Run(name, func(t *testing.T) {
			f := forge(t)
			change(f.metadata)
			_, _, err := provider(t, oidc.Options{Issuer: f.URL, ClientID: "weir"}).Begin(t.Context(), redirect)
			unavailable(t, err)
		})
	}
}

// A provider that is down is not asked for each sign-in, and one that was reached once is not asked again.
func TestMetadataIsReadOnce(t *testing.T) {
	f := forge(t)
	issuer := f.metadata["issuer"]
	f.metadata["issuer"] = "https://evil.example"
	p := provider(t, oidc.Options{Issuer: f.URL, ClientID: "weir"})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			_, _, err := p.Begin(t.Context(), redirect)
			unavailable(t, err)
		})
	}
	all.Wait()
	f.change(func() { f.metadata["issuer"] = issuer })
	q := provider(t, oidc.Options{Issuer: f.URL, ClientID: "weir"})
	for range 3 {
		if _, _, err := q.Begin(t.Context(), redirect); err != nil {
			t.Error(err)
		}
	}
	f.change(func() {
		if f.asked > 4 { // Machines differ: a failure is kept for seconds.
			t.Errorf("asked %d times", f.asked)
		}
	})
}

// A caller that gives up neither blocks the provider nor makes other callers fail.
func TestGivingUpEndsTheWait(t *testing.T) {
	f := forge(t)
	f.reply = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	p := provider(t, oidc.Options{Issuer: f.URL, ClientID: "weir"})
	_, flow, err := p.Begin(t.Context(), redirect)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Finish(ctx, flow, url.Values{"state": {flow.State}, "code": {"code"}})
	unavailable(t, err)
}
