// Package api is the HTTP surface: Atlas's paths, versioned media types and error bodies, as atlas-sdk and curl expect
// them, and weir's own siblings. It knows nothing of how logs are stored.
package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"path"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/auth"
	"github.com/weirlog/weir/internal/record"
	"github.com/weirlog/weir/internal/tlog"
)

// Options of a Server. The zero value of each field but Now, NewRequestID and Logger means no limit.
type Options struct {
	MaxEventBytes    int            // of one event
	MaxRequestBytes  int64          // of a request's events, after decompression
	MaxRequestEvents int            // in one request
	DownloadRate     int            // downloads a minute for each credential
	PublicURL        string         // under which clients reach the API, for links; empty: as the request came
	BodyTimeout      time.Duration  // within which a request's body must have arrived
	TrustedProxies   []netip.Prefix // whose X-Forwarded-For and X-Request-Id are believed
	NoIngest         bool           // other nodes take events
	NoRead           bool           // other nodes serve logs

	Logger       *slog.Logger
	Registry     prometheus.Registerer // nil: metrics are kept nowhere
	Now          func() time.Time
	NewRequestID func() string
}

// Server answers requests.
type Server struct {
	options  Options
	accounts *account.Directory
	auth     *auth.Authenticator
	logs     *tlog.Logs
	recorder *record.Recorder
	limits   *limits
	metrics  *metrics
	mux      *http.ServeMux

	background sync.WaitGroup // what goes on after a reply was sent
	failing    chan struct{}  // one element for each failed authentication that is being recorded
}

// New returns a Server.
func New(accounts *account.Directory, authenticator *auth.Authenticator, logs *tlog.Logs, recorder *record.Recorder, o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewRequestID == nil {
		o.NewRequestID = newRequestID
	}
	s := &Server{options: o, accounts: accounts, auth: authenticator, logs: logs, recorder: recorder,
		limits: newLimits(o.DownloadRate), metrics: newMetrics(o.Registry), mux: http.NewServeMux(), failing: make(chan struct{}, maxFailing)}
	s.route()
	return s
}

func newRequestID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// ServeHTTP answers a request. A path that is not clean ("//", "/../") names nothing: the mux would redirect, in HTML.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !isClean(r.URL.EscapedPath()) {
		s.handle(notFound).ServeHTTP(w, r)
		return
	}
	s.mux.ServeHTTP(w, r)
}

func isClean(p string) bool {
	return p == "/" || strings.HasPrefix(p, "/") && !strings.Contains(p, "//") && path.Clean(p) == strings.TrimSuffix(p, "/")
}

func notFound(c *call) error { return resourceNotFound(c.r.URL.Path) }

// handler answers a request. An error that it returns becomes the reply; it must then have written nothing.
type handler func(*call) error

// call is one request and what is known of it.
type call struct {
	server  *Server
	w       *response
	r       *http.Request
	id      string // request id
	address netip.AddrPort
	now     time.Time

	operation string                // its id
	caller    *auth.Principal       // nil until authenticated
	org       *account.Organization // that the path names, if the caller may know of it
	target    target                // that the path names
}

func (c *call) context() context.Context { return c.r.Context() }

// handle wraps a handler with what every request has: an id, the caller's address, headers, errors, metrics, a log line.
func (s *Server) handle(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{server: s, w: &response{ResponseWriter: w}, r: r, now: s.options.Now()}
		c.address = callerAddress(r, s.options.TrustedProxies)
		c.id = s.requestID(r)
		securityHeaders(w.Header(), r.TLS != nil)
		w.Header().Set("X-Request-Id", c.id)
		started := time.Now()
		c.limitBody()
		s.metrics.inFlight.Inc()
		defer s.metrics.inFlight.Dec()
		defer func() {
			aborted := c.aborted(recover())
			s.metrics.observe(c, time.Since(started))
			s.logRequest(c, time.Since(started), aborted)
			if aborted {
				panic(http.ErrAbortHandler) // the server closes the connection
			}
		}()
		if err := h(c); err != nil {
			c.fail(err)
		}
	})
}

// limitBody sets a time until which the body must have arrived. It holds for every request, not only where a body is
// read: the server itself reads the rest of a body that the handler has left, before it sends the reply.
func (c *call) limitBody() {
	if c.server.options.BodyTimeout <= 0 || c.r.Body == nil || c.r.Body == http.NoBody {
		return
	}
	deadline := time.Now().Add(c.server.options.BodyTimeout)
	if err := http.NewResponseController(c.w).SetReadDeadline(deadline); err != nil && !errors.Is(err, http.ErrNotSupported) {
		c.server.options.Logger.Error("deadline of a body", "err", err, "request", c.id)
	}
}

// aborted tells whether the connection must be broken, given what a handler panicked with. A bug becomes a 500 if nothing
// is sent yet.
func (c *call) aborted(panicked any) bool {
	if panicked == nil || panicked == http.ErrAbortHandler {
		return panicked != nil
	}
	c.server.options.Logger.Error("panic", "value", panicked, "stack", string(debug.Stack()), "request", c.id)
	if c.w.status != 0 {
		return true
	}
	for _, name := range []string{"Content-Disposition", "Content-Length"} {
		c.w.Header().Del(name)
	}
	c.fail(unexpected())
	return false
}

func (s *Server) requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	if id == "" || len(id) > 128 || !trustedPeer(r, s.options.TrustedProxies) {
		return s.options.NewRequestID()
	}
	for _, b := range []byte(id) {
		if b <= ' ' || b >= 0x7f || b == '"' || b == '\\' {
			return s.options.NewRequestID()
		}
	}
	return id
}

func securityHeaders(h http.Header, secure bool) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "strict-origin-when-cross-origin")
	if secure {
		h.Set("Strict-Transport-Security", "max-age=31536000; includeSubdomains")
	}
}

func (s *Server) logRequest(c *call, took time.Duration, aborted bool) {
	level := slog.LevelInfo
	if c.w.status >= 500 || aborted {
		level = slog.LevelWarn
	}
	caller := ""
	if c.caller != nil {
		caller = c.caller.Credential.ID
	}
	s.options.Logger.Log(c.context(), level, "request", "method", c.r.Method, "path", c.r.URL.Path, "status", c.w.status,
		"bytes", c.w.bytes, "seconds", took.Seconds(), "aborted", aborted, "caller", caller, "address", c.address.Addr(), "request", c.id)
}

// authenticate finds out who calls. On errors the reply tells how to authenticate.
func (c *call) authenticate() error {
	p, err := c.server.auth.Authenticate(c.r, c.address.Addr())
	if err == nil {
		c.caller = p
		return nil
	}
	c.signInFailed(err)
	return c.authError(err)
}

func (c *call) authError(err error) error {
	var wrong *auth.Unauthorized
	var many *auth.TooManyFailures
	switch {
	case errors.As(err, &wrong):
		for _, challenge := range c.server.auth.Challenges(wrong.Stale) {
			c.w.Header().Add("WWW-Authenticate", challenge)
		}
		return unauthorized()
	case errors.As(err, &many):
		return tooManyFailures(many.RetryAfter)
	case errors.As(err, new(*auth.NotOnAccessList)):
		return notOnAccessList(c.address.Addr().String())
	}
	return unavailable(err)
}
