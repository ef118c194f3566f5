package api

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"
)

// exchange is one request with its reply: what every request has, whatever it asks for.
type exchange struct {
	server *Server
	w      *response
	r      *http.Request
	call   call
	cause  error // of a failure, for the log only; nil if there is none
}

// handle makes a handler of something that answers with a result: with an id, the caller's address, headers, errors,
// metrics, a line in the log.
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
				panic(http.ErrAbortHandler) // The server closes the connection.
			}
		}()
		x.answer(answer)
	})
}

// answer sends a result, or the error that there is instead. A reply of which a part is sent cannot become an error any
// more: the connection is broken.
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

// WithinBodyTime returns a handler of requests whose bodies must have arrived within the server's time for that. It holds
// whether or not next reads the body: what it leaves, the HTTP server itself reads before it sends the reply.
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
		s.options.Logger.Error("deadline of a body", "err", err, "request", w.Header().Get("X-Request-Id"))
	}
}

// aborted tells whether the connection must be broken, given what a handler panicked with. A bug becomes a 500 if
// nothing is sent yet.
func (x *exchange) aborted(panicked any) bool {
	if panicked == nil || panicked == http.ErrAbortHandler {
		return panicked != nil
	}
	x.server.options.Logger.Error("panic", "value", visible(fmt.Sprint(panicked), maxDetail), "stack",
		string(debug.Stack()), "request", x.call.id)
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

// BaseURL returns how clients reach this server: as it is configured, else as the request came. It is http:// or
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
