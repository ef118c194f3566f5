package node

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/config"
	"github.com/weirlog/weir/internal/oidc/oidctest"
)

// withProvider returns a node at which people sign in at a real OpenID provider.
func withProvider(t *testing.T, people ...oidctest.Person) (*running, *visitor, *oidctest.Provider) {
	t.Helper()
	at := oidctest.Start(t, false, []string{"http://127.0.0.1:1/"}, people...)
	secret := filepath.Join(t.TempDir(), "client-secret")
	if err := os.WriteFile(secret, []byte(oidctest.Secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	first := run(t, unchanged) // which makes the project that the rules name
	first.stop()
	if err := <-first.done; err != nil {
		t.Fatal(err)
	}
	r, b := browse(t, func(c *config.Config) {
		c.Bucket, c.EnvFile = first.config.Bucket, first.config.EnvFile
		c.OIDC = config.OIDC{Issuer: at.Issuer, ClientID: oidctest.ClientID, SecretFile: secret, Scopes: []string{"email"},
			Rules: []string{"groups=security:GROUP_DATA_ACCESS_READ_ONLY@" + first.creds.project,
				"email=boss@example.com:GROUP_OWNER@" + first.creds.project}}
	})
	at.Redirect(b.base + "/web/session/callback")
	return r, b, at
}

// start begins the sign-in of a person. It returns where the provider is, and keeps what a browser keeps.
func (b *visitor) start() (address string, flow *http.Cookie) {
	b.t.Helper()
	res := b.ask("POST", "/web/session/start", "")
	var said struct{ AuthorizationURL, Flow string }
	body := text(res)
	if err := json.Unmarshal([]byte(body), &said); err != nil || res.StatusCode != 200 || len(res.Cookies()) != 1 ||
		said.AuthorizationURL == "" || said.Flow != "" {
		b.t.Fatalf("start: %d %v %s", res.StatusCode, res.Cookies(), body)
	}
	return said.AuthorizationURL, res.Cookies()[0]
}

// arrive comes back from the provider, as a browser does: from another site.
func (b *visitor) arrive(back *url.URL, flow *http.Cookie) *http.Response {
	b.t.Helper()
	b.cookie = flow
	res := b.ask("GET", back.RequestURI(), "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")
	for _, c := range res.Cookies() {
		if c.Name == "weir" {
			b.cookie = c
		}
	}
	return res
}

var joe = oidctest.Person{Name: "joe", Email: "joe@example.com", Verified: true, Groups: []string{"security"}}

func TestPeopleSignInAtAProvider(t *testing.T) {
	r, b, at := withProvider(t, joe, oidctest.Person{Name: "nobody"})
	if body := text(b.ask("GET", "/web/session/ways", "")); !strings.Contains(body, `"provider":"127.0.0.1"`) {
		t.Errorf("the page is told %s", body)
	}
	address, flow := b.start()
	if !flow.HttpOnly || flow.SameSite != http.SameSiteLaxMode || flow.MaxAge != 600 || flow.Path != "/" {
		t.Errorf("the cookie is %v", flow)
	}
	back, err := at.SignIn(t.Context(), address, "joe")
	if err != nil {
		t.Fatal(err)
	}
	res := b.arrive(back, flow)
	if res.StatusCode != 303 || res.Header.Get("Location") != "/" || b.cookie.SameSite != http.SameSiteStrictMode ||
		!b.cookie.HttpOnly {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	if body := text(b.ask("GET", whoAmI, "")); !strings.Contains(body, `"name":"joe@example.com"`) ||
		!strings.Contains(body, `"subject":"joe"`) {
		t.Errorf("signed in as %s", body)
	}
	if res := b.ask("GET", "/web/api/weir/v1/groups/"+r.creds.project+"/events?limit=1", ""); res.StatusCode != 200 {
		t.Errorf("events: %d", res.StatusCode)
	}
	if res := b.ask("DELETE", "/web/session?everywhere=true", ""); res.StatusCode != 204 {
		t.Errorf("sign-out: %d", res.StatusCode)
	}
	if res := b.ask("GET", whoAmI, ""); res.StatusCode != 401 {
		t.Errorf("after the sign-out: %d", res.StatusCode)
	}
	address, flow = b.start()
	if back, err = at.SignIn(t.Context(), address, "nobody"); err != nil {
		t.Fatal(err)
	}
	b.refusedAs("refused", b.arrive(back, flow))
}

// refusedAs fails unless the browser is sent to the page with a word, and without a session.
func (b *visitor) refusedAs(word string, res *http.Response) {
	b.t.Helper()
	if res.StatusCode != 303 || res.Header.Get("Location") != "/#signin="+word {
		b.t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	for _, c := range res.Cookies() {
		if c.Name == "weir" || c.MaxAge >= 0 {
			b.t.Errorf("it leaves %v", c)
		}
	}
}

// The answer of a provider signs in the browser that began, once, and sends it to the page and nowhere else.
func TestAnswersAreForTheBrowserThatBegan(t *testing.T) {
	_, b, at := withProvider(t, joe)
	address, flow := b.start()
	back, err := at.SignIn(t.Context(), address, "joe")
	if err != nil {
		t.Fatal(err)
	}
	victim := &visitor{t: t, base: b.base}
	victim.refusedAs("begin", victim.arrive(back, nil))
	_, other := victim.start()
	victim.refusedAs("refused", victim.arrive(back, other))
	long := *back
	long.RawQuery += "&x=" + strings.Repeat("x", 9000)
	victim.refusedAs("begin", victim.arrive(&long, other))
	elsewhere := *back
	elsewhere.RawQuery += "&redirect=https://evil.example&next=//evil.example"
	if res := b.arrive(&elsewhere, flow); res.StatusCode != 303 || res.Header.Get("Location") != "/" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	b.refusedAs("refused", b.arrive(back, flow))
	for name, headers := range map[string][]string{"another site": {"Sec-Fetch-Site", "cross-site"},
		"over HTTP": {"Host", "audit.example.com"}} {
		if res := b.ask("POST", "/web/session/start", "", headers...); res.StatusCode != 403 || len(res.Cookies()) > 0 {
			t.Errorf("%s: %d %v", name, res.StatusCode, res.Cookies())
		}
	}
}

func TestWithoutAProviderNobodyBegins(t *testing.T) {
	_, b := browse(t, unchanged)
	if res := b.ask("POST", "/web/session/start", ""); res.StatusCode != 404 || len(res.Cookies()) > 0 {
		t.Errorf("%d %v", res.StatusCode, res.Cookies())
	}
	if body := text(b.ask("GET", "/web/session/ways", "")); body != `{"provider":""}` {
		t.Errorf("the page is told %s", body)
	}
}

func TestBadProvidersAreRefusedByTheSettingsName(t *testing.T) {
	usual := config.OIDC{Issuer: "https://login.example.com", ClientID: "weir",
		Rules: []string{"a=b:GROUP_OWNER@6a7941c22c88faeba59c580e"}}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*config.OIDC){
		"oidc-issuer":             func(o *config.OIDC) { o.Issuer = "http://login.example.com" },
		"oidc-role":               func(o *config.OIDC) { o.Rules = []string{"a=b:GROUP_BOSS@6a7941c22c88faeba59c580e"} },
		"oidc-client-secret-file": func(o *config.OIDC) { o.SecretFile = empty },
	} {
		c := config.Default()
		c.OIDC = usual
		if _, err := peopleOf(&c); err != nil {
			t.Fatal(err)
		}
		change(&c.OIDC)
		var wrong *config.Error
		if _, err := peopleOf(&c); !errors.As(err, &wrong) || wrong.Setting != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*config.OIDC){
		"oidc-client-id": func(o *config.OIDC) { o.ClientID = "" },
		"oidc-role":      func(o *config.OIDC) { o.Rules = nil },
		"oidc-issuer":    func(o *config.OIDC) { o.Issuer = "" },
	} {
		c := config.Default()
		c.OIDC = usual
		change(&c.OIDC)
		var wrong *config.Error
		if err := c.Check(); !errors.As(err, &wrong) || wrong.Setting != name {
			t.Errorf("%s: %v", name, err)
		}
	}
}
