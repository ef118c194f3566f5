package client

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/weirlog/weir/internal/retry"
	"github.com/weirlog/weir/internal/visible"
)

// Field is one problem in a request.
type Field struct {
	Field       string `json:"field"`       // name of the attribute or parameter
	Description string `json:"description"` // what is wrong with it
}

// Error is an error reply of the server. A request that failed with status 429, or 500 and above, may be sent again.
type Error struct {
	Status     int           // HTTP status
	Code       string        // Atlas's errorCode; empty if the reply had none
	Detail     string        // explanation for people
	Fields     []Field       // the problems of a bad request
	RequestID  string        // names the request in the server's logs
	RetryAfter time.Duration // how long to wait before the next try; 0 if the server does not say
	Next       int64         // entry to continue with; 0 if the server does not say
}

// Error returns one line. Control characters in the server's text cannot act on a terminal.
func (e *Error) Error() string {
	text := fmt.Sprintf("the server says %d", e.Status)
	if e.Code != "" {
		text += " " + e.Code
	}
	text += ": " + e.Detail
	for i, f := range e.Fields {
		if i == 5 {
			text += fmt.Sprintf("; and %d more", len(e.Fields)-i)
			break
		}
		text += fmt.Sprintf("; %s: %s", f.Field, f.Description)
	}
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	return visible.Text(text)
}

const noAPI = "this URL is not that of the API: is it weir's admin address (--admin-listen), or does it lack a path?"

// connectionError turns a refused token into an *Error, and adds advice to an error about a private certificate
// authority. It leaves out the query of the request, which may be long.
func connectionError(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		u.URL, _, _ = strings.Cut(u.URL, "?")
	}
	if errors.As(err, new(x509.UnknownAuthorityError)) {
		return fmt.Errorf("%w; if it is a private authority, name its PEM file with --ca-file or WEIR_CA_FILE", err)
	}
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) || refused.Response == nil {
		return err
	}
	e := &Error{Status: refused.Response.StatusCode, Code: refused.ErrorCode, Detail: refused.ErrorDescription,
		RequestID: refused.Response.Header.Get("X-Request-Id"), RetryAfter: retry.Asked(refused.Response.Header)}
	if e.Detail != "" {
		return e
	}
	e.Detail = "no token was issued at " + place(refused.Response.Request.URL)
	if e.Code == "" && (e.Status == http.StatusNotFound || e.Status == http.StatusMethodNotAllowed || e.Status < 300) {
		e.Detail += "; " + noAPI
	}
	return e
}

func newError(resp *http.Response) *Error {
	var body struct {
		Detail           string `json:"detail"`
		ErrorCode        string `json:"errorCode"`
		BadRequestDetail struct {
			Fields []Field `json:"fields"`
		} `json:"badRequestDetail"`
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil || json.Unmarshal(data, &body) != nil || body.Detail == "" {
		body.Detail = strings.TrimSpace(strings.ToValidUTF8(string(data[:min(len(data), 200)]), ""))
	}
	if body.Detail == "" {
		body.Detail = http.StatusText(resp.StatusCode)
	}
	if body.ErrorCode == "" && (resp.StatusCode == http.StatusNotFound ||
		resp.StatusCode == http.StatusMethodNotAllowed) {
		body.Detail += " at " + place(resp.Request.URL) + "; " + noAPI
	}
	next, _ := strconv.ParseInt(resp.Header.Get("Weir-Next"), 10, 64)
	return &Error{Status: resp.StatusCode, Code: body.ErrorCode, Detail: body.Detail, Next: next,
		Fields:    body.BadRequestDetail.Fields,
		RequestID: resp.Header.Get("X-Request-Id"), RetryAfter: retry.Asked(resp.Header)}
}
