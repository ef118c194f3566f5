package client

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// RedirectError is the error (wrapped) for a request that a redirect would send to another server, or with another
// method. The request was not sent there.
type RedirectError struct {
	From, To string // URLs without query and fragment
	Method   string // method of the request to To
}

func (e *RedirectError) Error() string {
	return fmt.Sprintf("%s redirects to %s %s, which is not followed: credentials and events go only to the server that "+
		"they are for; if that one is right, give its URL", e.From, e.Method, e.To)
}

// NewHTTPClient returns the HTTP client that weir's commands use for every request. It follows a redirect only within
// the origin (scheme, host and port) of the first URL, and never with another method. If transport is nil, it uses
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
		return fmt.Errorf("the server redirects more than %d times", maxRedirects)
	}
	return nil
}

// pinned is a transport that sends requests to one origin only.
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

// origin returns scheme, host and port of a URL (RFC 6454).
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

// place returns a URL without the parts that may hold secrets: user, query and fragment.
func place(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
