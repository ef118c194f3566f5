package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// RedirectError is the error (wrapped) for a request that was to go to another server than the one it was meant for, or
// to be sent with another method. Nothing was sent there.
type RedirectError struct {
	From, To string // URLs, without what stands behind '?'
	Method   string // that it would have had
}

func (e *RedirectError) Error() string {
	return fmt.Sprintf("%s redirects to %s %s, which is not followed: credentials and events stay with the server "+
		"that they are for; "+
		"if that one is meant, give its URL", e.From, e.Method, e.To)
}

// NewHTTPClient returns what every request of weir's commands goes through: it follows redirects within the origin
// (scheme, host and port) of the first URL only, and never with another method. A nil transport is
// http.DefaultTransport.
func NewHTTPClient(transport http.RoundTripper) *http.Client {
	return &http.Client{Transport: transport, CheckRedirect: stayAtOrigin}
}

const maxRedirects = 10

func stayAtOrigin(req *http.Request, via []*http.Request) error {
	first := via[0]
	if origin(req.URL) != origin(first.URL) || req.Method != first.Method {
		return &RedirectError{From: place(first.URL), To: place(req.URL), Method: req.Method}
	}
	if len(via) >= maxRedirects {
		return errors.New("the server redirects in a circle")
	}
	return nil
}

// pinned sends requests to one origin only, whatever made them.
type pinned struct {
	to   *url.URL
	next http.RoundTripper
}

func (p *pinned) RoundTrip(req *http.Request) (*http.Response, error) {
	if origin(req.URL) != origin(p.to) {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, &RedirectError{From: place(p.to), To: place(req.URL), Method: req.Method}
	}
	return p.next.RoundTrip(req)
}

// origin returns scheme, host and port (RFC 6454).
func origin(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "http":
		port = "80"
	case u.Scheme == "https":
		port = "443"
	}
	return strings.ToLower(u.Scheme + "://" + u.Hostname() + ":" + port)
}

// place returns a URL without secrets that may stand in it.
func place(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
