// Package web is the page for people: files that are part of the program, sessions as cookies, and a way to the API in
// a session. It speaks to the API only, in this process, and can do nothing that the API cannot.
//
// The API knows no cookies, so no other site can have a browser use it. The page's own way to it, below /web/api/,
// does, and so accepts only requests of a page of the same origin.
package web

import (
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// API is the API that the page calls.
type API interface {
	http.Handler
	BaseURL(r *http.Request) string // under which clients reach it: http:// or https://, without a slash at the end
}

// Paths of the page's own endpoints.
const (
	sessionPath = "/web/session"
	waysPath    = sessionPath + "/ways"
	startPath   = sessionPath + "/start"
	answerPath  = sessionPath + "/callback" // where an OpenID provider sends the browser
	apiPath     = "/web/api/"
	filesPath   = "/web/"
)

// pageHeader is a header that the page's own scripts send with each request.
const pageHeader = "Weir-Page"

// changedBelow are the paths below which the page changes things. Sign-in and sign-out have paths of their own.
var changedBelow = []string{apiPath + "atlas/v2/", apiPath + "weir/v1/groups/", apiPath + "weir/v1/orgs/"}

// server answers requests for the page.
type server struct {
	api      API
	files    map[string]file
	provider string
}

// New returns a handler of "/" and of all below "/web/". The name of the OpenID provider at which people sign in is
// shown to them; it is empty if there is none.
func New(api API, provider string) http.Handler {
	s := &server{api: api, files: loadFiles(), provider: provider}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.file)
	mux.HandleFunc("GET "+filesPath, s.file)
	mux.HandleFunc("POST "+sessionPath, s.signIn)
	mux.HandleFunc("DELETE "+sessionPath, s.signOut)
	mux.HandleFunc("GET "+waysPath, s.ways)
	mux.HandleFunc("POST "+startPath, s.start)
	mux.HandleFunc("GET "+answerPath, s.answer)
	mux.HandleFunc("GET "+apiPath, s.pass)
	mux.HandleFunc("GET "+downloadPath+"{project}/{log}", s.download)
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
		for _, path := range changedBelow {
			mux.HandleFunc(method+" "+path, s.change)
		}
	}
	guarded := http.NewCrossOriginProtection()
	guarded.SetDenyHandler(http.HandlerFunc(refuseOrigin))
	return headers(guarded.Handler(mux))
}

// policy lets a browser load nothing but the page's own files, run no script but those, make no markup of text, and
// show the page in no frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// headers sets the headers of each reply. Only files of the page may be cached.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Cache-Control", "no-store")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000; includeSubdomains")
		}
		next.ServeHTTP(w, r)
	})
}

// fromPage tells whether a page of this origin asks. A browser says so itself; of one that does not, only a page of
// this origin can send a header of its own without being allowed to.
func fromPage(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	return r.Header.Get(pageHeader) != ""
}

// isSecure tells whether the browser's connection is encrypted, as far as this node can know.
func (s *server) isSecure(r *http.Request) bool {
	return r.TLS != nil || strings.HasPrefix(s.api.BaseURL(r), "https://")
}

// isLoopback tells whether the browser speaks to its own machine: nobody is on the way then.
func isLoopback(r *http.Request) bool {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// ofPage returns the session in which a page of this origin asks; empty if it does not, or in none, which is replied.
func (s *server) ofPage(w http.ResponseWriter, r *http.Request) string {
	if !fromPage(r) {
		refuseOrigin(w, r)
		return ""
	}
	session := s.session(r)
	if session == "" {
		refuse(w, http.StatusUnauthorized, "NO_SESSION", "Nobody is signed in.")
	}
	return session
}

// pass asks the API in the session of the request's cookie.
func (s *server) pass(w http.ResponseWriter, r *http.Request) {
	session := s.ofPage(w, r)
	if session == "" {
		return
	}
	s.api.ServeHTTP(&reply{ResponseWriter: w, server: s, r: r}, inSession(r, strings.TrimPrefix(r.URL.Path, "/web"),
		session))
}

// change passes a change that the page asks for. No form and no script of another origin can send it: a browser asks
// before it sends a header of the page's own, or JSON.
func (s *server) change(w http.ResponseWriter, r *http.Request) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Header.Get(pageHeader) == "" || err != nil || kind != "application/json" {
		refuseOrigin(w, r)
		return
	}
	s.pass(w, r)
}

// inSession returns a request for the API, made in a session. The API sees no other credential that the browser sends.
func inSession(r *http.Request, path, session string) *http.Request {
	asked := r.Clone(r.Context())
	asked.URL = &url.URL{Path: path, RawQuery: r.URL.RawQuery}
	if r.URL.RawPath != "" {
		asked.URL.RawPath = strings.TrimPrefix(r.URL.RawPath, "/web")
	}
	asked.RequestURI, asked.Pattern = asked.URL.RequestURI(), ""
	asked.Header.Del("Cookie")
	asked.Header.Del("Authorization")
	if session != "" {
		asked.Header.Set("Authorization", "Session "+session)
	}
	return asked
}

// reply is the API's to the page. A session that goes on becomes the cookie, and one that has ended leaves none.
type reply struct {
	http.ResponseWriter
	server *server
	r      *http.Request
	begun  bool
}

func (w *reply) begin(status int) {
	if w.begun || status < http.StatusOK {
		return
	}
	w.begun = true
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	if text := h.Get(sessionHeader); text != "" {
		http.SetCookie(w, w.server.cookie(w.r, text, 0))
	}
	h.Del(sessionHeader)
	if status == http.StatusUnauthorized {
		http.SetCookie(w, w.server.cookie(w.r, "", -time.Second))
		h.Del("WWW-Authenticate") // which would have the browser ask for a password
	}
}

func (w *reply) WriteHeader(status int) {
	w.begin(status)
	w.ResponseWriter.WriteHeader(status)
}

func (w *reply) Write(p []byte) (int, error) {
	w.begin(http.StatusOK)
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the server's own writer.
func (w *reply) Unwrap() http.ResponseWriter { return w.ResponseWriter }
