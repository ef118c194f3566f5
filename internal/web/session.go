package web

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	secureCookie  = "__Host-weir" // A browser takes it over TLS only, and from this host only.
	localCookie   = "weir"        // over plain HTTP to the browser's own machine
	sessionHeader = "Weir-Session"
	apiSession    = "/api/weir/v1/session"
	maxForm       = 64 << 10 // bytes
)

// session returns the text of the request's session; empty if it has none.
func (s *server) session(r *http.Request) string {
	c, err := r.Cookie(s.cookieName(r))
	if err != nil {
		return ""
	}
	return c.Value
}

func (s *server) cookieName(r *http.Request) string {
	if s.isSecure(r) {
		return secureCookie
	}
	return localCookie
}

// cookie returns the cookie of a session. The browser keeps it for life, or until it is closed if life is 0. A negative
// life has it forgotten. The session's own end is in its text.
func (s *server) cookie(r *http.Request, text string, life time.Duration) *http.Cookie {
	return &http.Cookie{Name: s.cookieName(r), Value: text, Path: "/", MaxAge: int(life.Seconds()), HttpOnly: true,
		Secure: s.isSecure(r), SameSite: http.SameSiteStrictMode}
}

// maySignIn tells whether a page of this origin asks, over a connection that a session may be sent over. If not, it has
// replied so.
func (s *server) maySignIn(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case !fromPage(r):
		refuseOrigin(w, r)
		return false
	case !s.isSecure(r) && !isLoopback(r):
		refuse(w, http.StatusForbidden, "HTTPS_REQUIRED", "Sign-in needs HTTPS. Serve with --tls-cert and --tls-key; or "+
			"behind a proxy that has TLS, with --public-url https://… or --trusted-proxies.")
		return false
	}
	return true
}

// signIn begins a session, and gives its text to the browser in a cookie that no script can read. The session is always
// a new one, whatever cookie the request has.
func (s *server) signIn(w http.ResponseWriter, r *http.Request) {
	if !s.maySignIn(w, r) {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	var got captured
	s.api.ServeHTTP(&got, inSession(r, apiSession, ""))
	body := got.body.Bytes()
	if got.status == http.StatusCreated {
		var text string
		var err error
		if body, text, err = without("session", body); err != nil || text == "" {
			refuse(w, http.StatusInternalServerError, "UNEXPECTED_ERROR", "The sign-in could not be completed.")
			return
		}
		http.SetCookie(w, s.cookie(r, text, 0))
	}
	got.reply(w, body)
}

// without takes a text that no script of the page may see out of the API's reply.
func without(name string, body []byte) (rest []byte, text string, err error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, "", err
	}
	if err := json.Unmarshal(all[name], &text); err != nil {
		return nil, "", err
	}
	delete(all, name)
	rest, err = json.Marshal(all)
	return rest, text, err
}

// signOut ends the session, or all of its credential's, and has the browser forget it.
func (s *server) signOut(w http.ResponseWriter, r *http.Request) {
	session := s.ofPage(w, r)
	if session == "" {
		return
	}
	var got captured
	s.api.ServeHTTP(&got, inSession(r, apiSession, session))
	if got.status == http.StatusNoContent || got.status == http.StatusUnauthorized {
		http.SetCookie(w, s.cookie(r, "", -time.Second))
		w.WriteHeader(http.StatusNoContent)
		return
	}
	got.reply(w, got.body.Bytes())
}

// captured keeps a small reply of the API.
type captured struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (c *captured) Header() http.Header {
	if c.header == nil {
		c.header = http.Header{}
	}
	return c.header
}

// reply passes the reply on with another body.
func (c *captured) reply(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	for _, name := range []string{"Retry-After", "X-Request-Id"} {
		if v := c.Header().Get(name); v != "" {
			w.Header().Set(name, v)
		}
	}
	w.WriteHeader(c.status)
	w.Write(body) // An error means that the client has gone.
}

func (c *captured) WriteHeader(status int) {
	if c.status == 0 && status >= http.StatusOK {
		c.status = status
	}
}

func (c *captured) Write(p []byte) (int, error) {
	c.WriteHeader(http.StatusOK)
	return c.body.Write(p)
}

// refuse replies with an error in the API's form.
func refuse(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	data, _ := json.Marshal(map[string]any{"error": status, "errorCode": code, "detail": detail,
		"reason": http.StatusText(status)}) // cannot fail
	io.Copy(w, bytes.NewReader(data)) // An error means that the client has gone.
}

func refuseOrigin(w http.ResponseWriter, r *http.Request) {
	detail := "Only the page itself may ask for this."
	if strings.HasPrefix(r.URL.Path, apiPath) {
		detail += " Other programs use the API below /api/."
	}
	refuse(w, http.StatusForbidden, "CROSS_ORIGIN", detail)
}
