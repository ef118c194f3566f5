package api

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"
)

// exchange is one request and its reply, for any operation.
type exchange struct {
	server *Server
	w      *response
	r      *http.Request
	call   call
	cause  error // cause of a failure, for the log only; nil if there is none
}

// handle makes a handler of a function that returns a result. It adds an id, the caller's address, headers, errors,
// metrics, and a line in the log.
func (s *Server) handle(answer func(*exchange) (result, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{server: s, w: &response{ResponseWriter: w}, r: r}
		x.call = call{r: r, now: s.options.Now(), address: callerAddress(r, s.options.TrustedProxies),
			id: s.requestID(r), baseURL: s.BaseURL(r), query: r.URL.Query()}
		securityHeaders(w.Header(), r.TLS != nil)
		w.Header().Set("X-Request-Id", x.call.id)
		started := time.Now()
		s.limitBody(x.w, r)
		s.metrics.inFlight.Inc()
		defer s.metrics.inFlight.Dec()
		defer func() {
			aborted := x.aborted(recover())
			x.call.end()
			s.metrics.observe(x, time.Since(started))
			s.logRequest(x, time.Since(started), aborted)
			if aborted {
				panic(http.ErrAbortHandler) // the server closes the connection
			}
		}()
		x.answer(answer)
	})
}

// answer sends a result, or the error instead. If a part of the reply was sent already, the connection is broken.
func (x *exchange) answer(run func(*exchange) (result, error)) {
	res, err := run(x)
	if err == nil {
		for name, values := range x.form().headers {
			x.w.Header()[name] = values
		}
		err = res.send(x)
	}
	switch {
	case err == nil:
		return
	case x.w.status == 0:
		x.fail(err)
		return
	}
	x.cause = err
	panic(http.ErrAbortHandler)
}

// WithinBodyTime returns a handler for requests whose bodies must arrive within the server's BodyTimeout. This also
// holds if next does not read the body, since the HTTP server reads the rest before it sends the reply.
func (s *Server) WithinBodyTime(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.limitBody(w, r)
		next.ServeHTTP(w, r)
	})
}

func (s *Server) limitBody(w http.ResponseWriter, r *http.Request) {
	if s.options.BodyTimeout <= 0 || r.Body == nil || r.Body == http.NoBody {
		return
	}
	err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.options.BodyTimeout))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.options.Logger.Error("cannot set the deadline of a request body", "err", err, "request",
			w.Header().Get("X-Request-Id"))
	}
}

// aborted tells whether the connection must be broken after a handler panicked. If nothing was sent, a bug becomes a
// 500.
func (x *exchange) aborted(panicked any) bool {
	if panicked == nil || panicked == http.ErrAbortHandler {
		return panicked != nil
	}
	x.server.options.Logger.Error("panic while answering a request", "value", visible(fmt.Sprint(panicked), maxDetail),
		"stack", string(debug.Stack()), "request", x.call.id)
	if x.w.status != 0 {
		return true
	}
	x.fail(unexpected())
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

// BaseURL returns the URL of this server for clients, as configured, or else as in the request. It is http:// or
// https:// and a host, without a slash at the end.
func (s *Server) BaseURL(r *http.Request) string {
	if s.options.PublicURL != "" {
		return s.options.PublicURL
	}
	scheme := "http"
	if r.TLS != nil || trustedPeer(r, s.options.TrustedProxies) && r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

func securityHeaders(h http.Header, secure bool) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "strict-origin-when-cross-origin")
	if secure {
		h.Set("Strict-Transport-Security", "max-age=31536000; includeSubdomains")
	}
}
