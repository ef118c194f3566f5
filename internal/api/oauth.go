package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/weirlog/weir/internal/auth"
)

// maxForm bounds the body of a request for a token.
const maxForm = 64 << 10

// oauthError is an error as RFC 6749, 5.2 has it.
type oauthError struct {
	Code        string `json:"error"`
	Description string `json:"error_description"`
}

// token answers POST /api/oauth/token: the client credentials grant (RFC 6749, 4.4).
func (s *Server) token(c *call) error {
	form, id, secret, ok := c.form()
	if !ok {
		return nil
	}
	switch form.Get("grant_type") {
	case "client_credentials":
	case "":
		return c.oauthFail(400, "invalid_request", "The parameter grant_type is missing.")
	default:
		return c.oauthFail(400, "unsupported_grant_type", "The only grant type is client_credentials.")
	}
	token, life, err := s.auth.Issue(c.context(), id, secret, c.address.Addr())
	if err != nil {
		return c.oauthAuthError(err)
	}
	return c.oauthReply(200, struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
		TokenType   string `json:"token_type"`
	}{token, int(life.Seconds()), "Bearer"})
}

// revoke answers POST /api/oauth/revoke (RFC 7009).
func (s *Server) revoke(c *call) error {
	form, id, secret, ok := c.form()
	if !ok {
		return nil
	}
	if form.Get("token") == "" {
		return c.oauthFail(400, "invalid_request", "The parameter token is missing.")
	}
	if err := s.auth.Revoke(c.context(), id, secret, form.Get("token"), c.address.Addr()); err != nil {
		return c.oauthAuthError(err)
	}
	c.w.Header().Set("Cache-Control", "no-store")
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// form reads the parameters, and the client's id and secret from the Authorization header or from them. If ok is false
// the reply has been sent.
func (c *call) form() (form url.Values, id, secret string, ok bool) {
	c.r.Body = http.MaxBytesReader(c.w, c.r.Body, maxForm)
	if err := c.r.ParseForm(); err != nil {
		c.oauthFail(400, "invalid_request", "The body is not application/x-www-form-urlencoded, or too large.")
		return nil, "", "", false
	}
	form = c.r.PostForm
	for name, values := range form {
		if len(values) > 1 { // RFC 6749, 3.2
			c.oauthFail(400, "invalid_request", fmt.Sprintf("The parameter %.40q stands there more than once.", name))
			return nil, "", "", false
		}
	}
	user, password, basic := c.r.BasicAuth()
	if !basic {
		return form, form.Get("client_id"), form.Get("client_secret"), true
	}
	if form.Has("client_secret") { // RFC 6749, 2.3
		c.oauthFail(400, "invalid_request", "Send the client's credentials in the Authorization header or in the body, not in both.")
		return nil, "", "", false
	}
	id, idErr := url.QueryUnescape(user) // RFC 6749, 2.3.1
	secret, secretErr := url.QueryUnescape(password)
	if idErr != nil || secretErr != nil {
		id, secret = "", "" // nobody's: answered, and counted, as wrong ones
	}
	return form, id, secret, true
}

func (c *call) oauthAuthError(err error) error {
	c.signInFailed(err)
	var wrong *auth.Unauthorized
	var many *auth.TooManyFailures
	switch {
	case errors.As(err, &wrong):
		c.w.Header().Set("WWW-Authenticate", `Basic realm="weir"`)
		return c.oauthFail(401, "invalid_client", "Invalid credentials provided.")
	case errors.As(err, &many):
		c.w.Header().Set("Retry-After", strconv.Itoa(seconds(many.RetryAfter)))
		return c.oauthFail(429, "too_many_requests", "Too many failed authentications from this address.")
	case errors.As(err, new(*auth.NotOnAccessList)):
		return c.oauthFail(403, "access_denied", "The address is not on the access list.")
	}
	c.server.options.Logger.Error("request failed", "err", err, "request", c.id)
	return c.oauthFail(500, "server_error", "The service cannot do this at the moment.")
}

func (c *call) oauthFail(status int, code, description string) error {
	return c.oauthReply(status, oauthError{code, description})
}

func (c *call) oauthReply(status int, content any) error {
	data, err := json.Marshal(content)
	if err != nil {
		return err
	}
	c.w.Header().Set("Cache-Control", "no-store")
	c.w.Header().Set("Pragma", "no-cache") // RFC 6749, 5.1
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	c.w.Write(data) // an error means that the client has gone
	return nil
}
