package node

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/config"
)

// visitor is a client that sends what a browser sends for a page of the node, unless a test says otherwise.
type visitor struct {
	t      *testing.T
	base   string
	cookie *http.Cookie
}

// ask sends a request with headers as pairs; an empty value leaves a header out.
func (b *visitor) ask(method, target, body string, headers ...string) *http.Response {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.base+target, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if b.cookie != nil {
		r.AddCookie(b.cookie)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
		}
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { res.Body.Close() })
	return res
}

// signIn signs in, and keeps the cookie.
func (b *visitor) signIn(id, secret string) *http.Cookie {
	b.t.Helper()
	res := b.ask("POST", "/web/session", url.Values{"client_id": {id}, "client_secret": {secret}}.Encode())
	if res.StatusCode != 201 || len(res.Cookies()) != 1 {
		b.t.Fatalf("sign-in: %d %v %s", res.StatusCode, res.Cookies(), text(res))
	}
	b.cookie = res.Cookies()[0]
	return b.cookie
}

func text(res *http.Response) string {
	data, _ := io.ReadAll(res.Body)
	return string(data)
}

const whoAmI = "/web/api/weir/v1/session"

func browse(t *testing.T, change func(*config.Config)) (*running, *visitor) {
	r := run(t, change)
	return r, &visitor{t: t, base: r.creds.url}
}

func unchanged(*config.Config) {}

func TestThePageSignsInAndOut(t *testing.T) {
	r, b := browse(t, unchanged)
	for id, secret := range map[string]string{r.creds.clientID: r.creds.clientSecret,
		r.creds.publicKey: r.creds.privateKey} {
		c := b.signIn(id, secret)
		if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.Name != "weir" {
			t.Errorf("the cookie is %v", c)
		}
		res := b.ask("GET", whoAmI, "")
		if body := text(res); res.StatusCode != 200 || !strings.Contains(body, id) || strings.Contains(body, c.Value) {
			t.Errorf("%d %s", res.StatusCode, body)
		}
		res = b.ask("GET", "/web/api/weir/v1/groups/"+r.creds.project+"/events?limit=1", "")
		if res.StatusCode != 200 || res.Header.Get("Cache-Control") != "no-store" ||
			!strings.Contains(res.Header.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("events: %d %v", res.StatusCode, res.Header)
		}
		res = b.ask("DELETE", "/web/session", "")
		if cookies := res.Cookies(); res.StatusCode != 204 || len(cookies) != 1 || cookies[0].MaxAge >= 0 {
			t.Errorf("sign-out: %d %v", res.StatusCode, res.Cookies())
		}
		res = b.ask("GET", whoAmI, "") // with the cookie that somebody has kept
		if res.StatusCode != 401 || res.Header.Get("WWW-Authenticate") != "" {
			t.Errorf("after the sign-out: %d %v", res.StatusCode, res.Header)
		}
	}
	b.signIn(r.creds.publicKey, r.creds.privateKey)
	other := &visitor{t: t, base: b.base}
	other.signIn(r.creds.publicKey, r.creds.privateKey)
	if res := other.ask("DELETE", "/web/session?everywhere=true", ""); res.StatusCode != 204 {
		t.Errorf("sign-out everywhere: %d", res.StatusCode)
	}
	if res := b.ask("GET", whoAmI, ""); res.StatusCode != 401 {
		t.Errorf("after the sign-out everywhere: %d", res.StatusCode)
	}
}

func TestWrongSignInsLeaveNoCookie(t *testing.T) {
	r, b := browse(t, unchanged)
	for _, form := range []string{"client_id=" + r.creds.publicKey + "&client_secret=x", "code=x", "", "x"} {
		res := b.ask("POST", "/web/session", form, "Content-Type", "application/x-www-form-urlencoded")
		if res.StatusCode != 401 || len(res.Cookies()) > 0 || res.Header.Get("WWW-Authenticate") != "" {
			t.Errorf("%q: %d %v %s", form, res.StatusCode, res.Header, text(res))
		}
	}
	form := url.Values{"client_id": {r.creds.clientID}, "client_secret": {r.creds.clientSecret}}
	res := b.ask("POST", "/web/session", form.Encode()+"&x="+strings.Repeat("x", 70_000))
	if res.StatusCode < 400 || len(res.Cookies()) > 0 {
		t.Errorf("a large form: %d", res.StatusCode)
	}
}

// A request of a browser for another site, or for a page of another port of this host, never gets to the API, whatever
// cookie it has.
func TestOtherSitesGetNothing(t *testing.T) {
	r, b := browse(t, unchanged)
	form := url.Values{"client_id": {r.creds.clientID}, "client_secret": {r.creds.clientSecret}}.Encode()
	b.signIn(r.creds.clientID, r.creds.clientSecret)
	for name, headers := range map[string][]string{
		"another site":        {"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"},
		"another port":        {"Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:1"},
		"an address typed in": {"Sec-Fetch-Site", "none"},
		"an old browser":      {"Sec-Fetch-Site", ""},
		"an old browser, another origin": {"Sec-Fetch-Site", "", "Origin", "https://evil.example",
			"Content-Type", "text/plain"},
	} {
		for _, ask := range [][3]string{{"POST", "/web/session", form}, {"POST", "/web/session", "code=x"},
			{"DELETE", "/web/session", ""}, {"DELETE", "/web/session?everywhere=true", ""}, {"GET", whoAmI, ""},
			{"HEAD", whoAmI, ""},
			{"GET", "/web/api/weir/v1/groups/" + r.creds.project + "/events:export", ""}} {
			res := b.ask(ask[0], ask[1], ask[2], headers...)
			if res.StatusCode != 403 || len(res.Cookies()) > 0 {
				t.Errorf("%s: %s %s: %d %s", name, ask[0], ask[1], res.StatusCode, text(res))
			}
		}
	}
	if res := b.ask("GET", whoAmI, "", "Sec-Fetch-Site", "", "Weir-Page", "1"); res.StatusCode != 200 {
		t.Errorf("the page in an old browser: %d", res.StatusCode)
	}
	if res := b.ask("GET", whoAmI, ""); res.StatusCode != 200 {
		t.Errorf("the session has ended: %d", res.StatusCode)
	}
}

// The page changes things in its session: as JSON, asked for by the page itself, below the paths of what is set up.
func TestOnlyThePageChangesThings(t *testing.T) {
	r, b := browse(t, unchanged)
	b.signIn(r.creds.clientID, r.creds.clientSecret)
	settings := "/web/api/weir/v1/groups/" + r.creds.project + "/settings"
	const body = `{"legalHold":true}`
	page := []string{"Weir-Page", "1", "Content-Type", "application/json"}
	for name, headers := range map[string][]string{
		"no header of the page's": {"Content-Type", "application/json"},
		"a form":                  {"Weir-Page", "1", "Content-Type", "application/x-www-form-urlencoded"},
		"a text":                  {"Weir-Page", "1", "Content-Type", "text/plain"},
		"no type":                 {"Weir-Page", "1", "Content-Type", ""},
		"another site": append([]string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"},
			page...),
		"another port": append([]string{"Sec-Fetch-Site", "same-site"}, page...),
		"an old browser, another origin": append([]string{"Sec-Fetch-Site", "", "Origin", "https://evil.example"},
			page...),
	} {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
			if res := b.ask(method, settings, body, headers...); res.StatusCode != 403 {
				t.Errorf("%s, %s: %d %s", name, method, res.StatusCode, text(res))
			}
		}
	}
	for _, path := range []string{"/web/api/weir/v1/session", "/web/api/weir/v1/session:authorize",
		"/web/api/oauth/token", "/web/api/oauth/revoke"} {
		if res := b.ask("POST", path, "{}", page...); res.StatusCode != 405 {
			t.Errorf("%s: %d %s", path, res.StatusCode, text(res))
		}
	}
	if res := b.ask("GET", settings, ""); strings.Contains(text(res), `"legalHold":true`) {
		t.Error("somebody else has changed the settings")
	}
	if res := b.ask("PATCH", settings, body, page...); res.StatusCode != 200 {
		t.Errorf("the page: %d %s", res.StatusCode, text(res))
	}
	if res := b.ask("GET", settings, ""); !strings.Contains(text(res), `"legalHold":true`) {
		t.Error("the page has changed nothing")
	}
	b.cookie = nil
	if res := b.ask("PATCH", settings, body, page...); res.StatusCode != 401 {
		t.Errorf("without a session: %d %s", res.StatusCode, text(res))
	}
}

// The API itself knows no cookies, and the page's way to it no other credentials.
func TestTheCookieIsForThePageOnly(t *testing.T) {
	r, b := browse(t, unchanged)
	c := b.signIn(r.creds.clientID, r.creds.clientSecret)
	if res := b.ask("GET", "/api/weir/v1/session", ""); res.StatusCode != 401 {
		t.Errorf("the API took a cookie: %d", res.StatusCode)
	}
	b.cookie = nil
	if res := b.ask("GET", whoAmI, "", "Authorization", "Session "+c.Value); res.StatusCode != 401 {
		t.Errorf("the page took an Authorization header: %d", res.StatusCode)
	}
	for _, path := range []string{"/web/api/../api/weir/v1/session", "/web/api//weir/v1/session",
		"/web/api/%2e%2e/session", "/web/api/"} {
		b.cookie = c
		if res := b.ask("GET", path, ""); res.StatusCode != 404 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}

// Over a network without TLS nobody signs in; over TLS, also a proxy's, the cookie is the host's own.
func TestSessionsNeedTLS(t *testing.T) {
	r, b := browse(t, unchanged)
	form := url.Values{"client_id": {r.creds.clientID}, "client_secret": {r.creds.clientSecret}}.Encode()
	for _, host := range []string{"audit.example.com", "192.0.2.1:8080", "localhost.example.com",
		"127.0.0.1.example.com"} {
		if res := b.ask("POST", "/web/session", form, "Host", host); res.StatusCode != 403 || len(res.Cookies()) > 0 {
			t.Errorf("%s: %d %v", host, res.StatusCode, res.Cookies())
		}
	}
	for _, host := range []string{"localhost:8080", "[::1]:8080", "127.0.0.9"} {
		if res := b.ask("POST", "/web/session", form, "Host", host); res.StatusCode != 201 {
			t.Errorf("%s: %d %s", host, res.StatusCode, text(res))
		}
	}
	untrusted := b.ask("POST", "/web/session", form, "Host", "audit.example.com", "X-Forwarded-Proto", "https")
	if untrusted.StatusCode != 403 {
		t.Errorf("a header of nobody who is trusted: %d", untrusted.StatusCode)
	}
	r, b = browse(t, func(c *config.Config) { c.PublicURL = "https://audit.example.com" })
	form = url.Values{"client_id": {r.creds.clientID}, "client_secret": {r.creds.clientSecret}}.Encode()
	res := b.ask("POST", "/web/session", form, "Host", "audit.example.com")
	if c := res.Cookies(); res.StatusCode != 201 || len(c) != 1 || c[0].Name != "__Host-weir" || !c[0].Secure ||
		!c[0].HttpOnly || c[0].SameSite != http.SameSiteStrictMode {
		t.Fatalf("%d %v", res.StatusCode, c)
	}
	plain := *res.Cookies()[0]
	plain.Name = "weir" // which another host of the domain could have set
	b.cookie = &plain
	if res := b.ask("GET", whoAmI, "", "Host", "audit.example.com"); res.StatusCode != 401 {
		t.Errorf("a cookie without the prefix: %d", res.StatusCode)
	}
}

// --dev prints a link that signs in once.
func TestDevLinkSignsInOnce(t *testing.T) {
	r, b := browse(t, unchanged)
	_, code, ok := strings.Cut(r.announced, "/#code=")
	code, _, _ = strings.Cut(code, "\n")
	if !ok {
		t.Fatalf("no link in %q", r.announced)
	}
	res := b.ask("POST", "/web/session", url.Values{"code": {code}}.Encode())
	if res.StatusCode != 201 || len(res.Cookies()) != 1 {
		t.Fatalf("%d %s", res.StatusCode, text(res))
	}
	b.cookie = res.Cookies()[0]
	if res := b.ask("GET", whoAmI, ""); res.StatusCode != 200 {
		t.Errorf("signed in, and then %d", res.StatusCode)
	}
	if res := b.ask("POST", "/web/session", url.Values{"code": {code}}.Encode()); res.StatusCode != 401 {
		t.Errorf("the second time: %d", res.StatusCode)
	}
	if r, _ := browse(t, func(c *config.Config) { c.NoWeb = true }); strings.Contains(r.announced, "code=") {
		t.Error("a link although there is no page")
	}
}

func TestThePageIsServedWhereItIsWanted(t *testing.T) {
	_, b := browse(t, unchanged)
	res := b.ask("GET", "/", "")
	if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	_, b = browse(t, func(c *config.Config) { c.NoWeb = true })
	for _, path := range []string{"/", "/web/style.css", whoAmI} {
		if res := b.ask("GET", path, ""); res.StatusCode != 404 || res.Header.Get("X-Error-Code") != "RESOURCE_NOT_FOUND" {
			t.Errorf("%s with --no-web: %d", path, res.StatusCode)
		}
	}
}

// A body that never comes holds no connection, whatever of the page it is sent to.
func TestThePageWaitsForNoBody(t *testing.T) {
	r := run(t, func(c *config.Config) { c.BodyTimeout = 100 * time.Millisecond })
	for _, request := range []string{"GET / ", "GET /web/x ", "GET " + whoAmI + " ", "POST /web/session ",
		"DELETE /web/session ", "PUT /web/nothing "} {
		c, err := net.Dial("tcp", strings.TrimPrefix(r.creds.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "%sHTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 10\r\n"+
			"Content-Type: application/x-www-form-urlencoded\r\n\r\n", request)
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Errorf("%s: the connection is held: %v", request, err)
		}
	}
}
