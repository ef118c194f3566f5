package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/weirlog/weir/internal/auth"
)

// tokens are the operations on tokens of service accounts (RFC 6749, RFC 7009). Clients authenticate with their secret.
type tokens struct {
	auth   *auth.Authenticator
	failed func(*call, error) // called for each failed authentication
}

// maxForm bounds the body of a request for a token, in bytes.
const maxForm = 64 << 10

// oauthForm is the form of errors in RFC 6749, 5.2.
var oauthForm = &wireForm{
	headers: http.Header{"Cache-Control": {"no-store"}, "Pragma": {"no-cache"}}, // RFC 6749, 5.1
	body: func(_ *call, p *problem) any {
		return struct {
			Code        string `json:"error"`
			Description string `json:"error_description"`
		}{oauthCode(p), cut(p.detail, maxDetail)}
	}}

// oauthCode returns the code of an error.
func oauthCode(p *problem) string {
	switch p.status {
	case http.StatusUnauthorized:
		return "invalid_client"
	case http.StatusForbidden:
		return "access_denied"
	case http.StatusTooManyRequests:
		return "too_many_requests"
	case http.StatusServiceUnavailable:
		return "temporarily_unavailable"
	case http.StatusInternalServerError:
		return "server_error"
	case http.StatusBadRequest:
		if p.code == unsupportedGrant {
			return p.code
		}
	}
	return "invalid_request"
}

const unsupportedGrant = "unsupported_grant_type"

func invalidForm(detail string, args ...any) *problem {
	return &problem{status: 400, code: "invalid_request", detail: fmt.Sprintf(detail, args...)}
}

type tokenView struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int    `json:"expires_in"`
	TokenType   string `json:"token_type"`
}

// issue implements the client credentials grant (RFC 6749, 4.4).
func (h tokens) issue(c *call) (any, error) {
	form, id, secret, err := readForm(c)
	if err != nil {
		return nil, err
	}
	switch form.Get("grant_type") {
	case "client_credentials":
	case "":
		return nil, invalidForm("The parameter grant_type is missing.")
	default:
		return nil, &problem{status: 400, code: unsupportedGrant, detail: "The only grant type is client_credentials."}
	}
	token, life, err := h.auth.Issue(c.context(), id, secret, c.address.Addr())
	if err != nil {
		return nil, h.refused(c, err)
	}
	return tokenView{token, int(life.Seconds()), "Bearer"}, nil
}

// revoke ends a token (RFC 7009).
func (h tokens) revoke(c *call) error {
	form, id, secret, err := readForm(c)
	if err != nil {
		return err
	}
	if form.Get("token") == "" {
		return invalidForm("The parameter token is missing.")
	}
	if err := h.auth.Revoke(c.context(), id, secret, form.Get("token"), c.address.Addr()); err != nil {
		return h.refused(c, err)
	}
	return nil
}

// refused returns the error of RFC 6749 for a failed authentication.
func (h tokens) refused(c *call, err error) error {
	h.failed(c, err)
	var wrong *auth.Unauthorized
	switch {
	case errors.As(err, &wrong):
		return &problem{status: 401, detail: "Invalid credentials provided.",
			headers: http.Header{"Www-Authenticate": {`Basic realm="weir"`}}}
	case errors.As(err, new(*auth.NotOnAccessList)):
		return &problem{status: 403, detail: "The address is not on the access list."}
	}
	return err
}

// readForm reads the parameters of the body. The client's id and secret are in the Authorization header or in the body.
func readForm(c *call) (form url.Values, id, secret string, err error) {
	c.r.Body = http.MaxBytesReader(nil, c.r.Body, maxForm)
	if err := c.r.ParseForm(); errors.As(err, new(*http.MaxBytesError)) {
		return nil, "", "", invalidForm("The body may have at most %d bytes.", maxForm)
	} else if err != nil {
		return nil, "", "", invalidForm("The body, or the query, is not valid application/x-www-form-urlencoded.")
	}
	form = c.r.PostForm
	for name, values := range form {
		if len(values) > 1 { // RFC 6749, 3.2
			return nil, "", "", invalidForm("The parameter %s is given more than once.", quoted(name))
		}
	}
	user, password, basic := c.r.BasicAuth()
	if !basic {
		return form, clientIDOf(form.Get("client_id")), form.Get("client_secret"), nil
	}
	if form.Has("client_secret") { // RFC 6749, 2.3
		return nil, "", "", invalidForm("Send the client's credentials in the Authorization header or in the body, " +
			"not in both.")
	}
	id, idErr := url.QueryUnescape(user) // RFC 6749, 2.3.1
	secret, secretErr := url.QueryUnescape(password)
	if idErr != nil || secretErr != nil {
		return form, "", "", nil // no client has this id: answered, and counted, like a wrong secret
	}
	return form, clientIDOf(id), secret, nil
}
