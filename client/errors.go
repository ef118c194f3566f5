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

// Field names one bad thing in a request.
type Field struct {
	Field       string `json:"field"`
	Description string `json:"description"`
}

// Error is an error that the server replied. Requests that fail with status 429, or 500 and more, may be sent again.
type Error struct {
	Status     int           // HTTP status
	Code       string        // Atlas's errorCode; empty if the reply had none
	Detail     string        // for people
	Fields     []Field       // of a bad request
	RequestID  string        // for those who run the server
	RetryAfter time.Duration // 0 if the server does not say
	Next       int64         // the entry to go on with, if the server says so
}

// Error returns one line, in which what the server said cannot act on a terminal.
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

const noAPI = "what answers there is not the API: is it weir's admin address (--admin-listen), or does the URL " +
	"lack a path?"

// connectionError makes an *Error of a token that was refused, and says what to do about a private authority. What a
// request asked for, which may be long, is left out.
func connectionError(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		u.URL, _, _ = strings.Cut(u.URL, "?")
	}
	if errors.As(err, new(x509.UnknownAuthorityError)) {
		return fmt.Errorf("%w; if it is a private authority, name its PEM file: --ca-file, WEIR_CA_FILE", err)
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
