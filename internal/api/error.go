package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/record"
)

// problem is an error as clients see it: Atlas's error body.
type problem struct {
	status     int
	code       string
	detail     string
	parameters []any // nil: the body has none
	fields     []field
	retryAfter time.Duration
	cause      error // for the log only
}

type field struct {
	Field       string `json:"field"`
	Description string `json:"description"`
}

func (p *problem) Error() string { return fmt.Sprintf("%d %s: %s", p.status, p.code, p.detail) }
func (p *problem) Unwrap() error { return p.cause }

func unauthorized() *problem {
	return &problem{status: 401, code: "UNEXPECTED_ERROR", detail: "You are not authorized for this resource."}
}

func notOnAccessList(address string) *problem {
	return &problem{status: 403, code: "IP_ADDRESS_NOT_ON_ACCESS_LIST", parameters: []any{address},
		detail: fmt.Sprintf("IP address %s is not allowed to access this resource.", address)}
}

func forbidden() *problem {
	return &problem{status: 403, code: "USER_UNAUTHORIZED", parameters: []any{},
		detail: "Current user is not authorized to perform this action."}
}

func invalidGroupID(id string) *problem {
	return &problem{status: 404, code: "INVALID_GROUP_ID", parameters: []any{id},
		detail: fmt.Sprintf("An invalid group ID %s was specified.", id)}
}

func groupNotFound(id string) *problem {
	return &problem{status: 404, code: "GROUP_NOT_FOUND", parameters: []any{id},
		detail: fmt.Sprintf("No group with ID %s exists.", id)}
}

func invalidOrgID(id string) *problem {
	return &problem{status: 404, code: "INVALID_ORG_ID", parameters: []any{id},
		detail: fmt.Sprintf("An invalid organization ID %s was specified.", id)}
}

func orgNotFound(id string) *problem {
	return notFoundAs("ORG_NOT_FOUND", "No organization with ID %s exists.", id)
}

// notFoundAs is a 404 with a code of its own. The arguments are the detail's, and the parameters.
func notFoundAs(code, detail string, args ...any) *problem {
	return &problem{status: 404, code: code, parameters: args, detail: fmt.Sprintf(detail, args...)}
}

// conflict is a 409. The arguments are the detail's, and the parameters.
func conflict(code, detail string, args ...any) *problem {
	if args == nil {
		args = []any{}
	}
	return &problem{status: 409, code: code, parameters: args, detail: fmt.Sprintf(detail, args...)}
}

func tenantNotFound(name, project string) *problem {
	return &problem{status: 404, code: "STREAM_TENANT_NOT_FOUND_FOR_NAME", parameters: []any{name, project},
		detail: fmt.Sprintf("No stream workspace named %s exists in group %s.", name, project)}
}

func resourceNotFound(path string) *problem {
	return &problem{status: 404, code: "RESOURCE_NOT_FOUND", parameters: []any{path},
		detail: fmt.Sprintf("Cannot find resource %s.", path)}
}

func methodNotAllowed(method string) *problem {
	return &problem{status: 405, code: "METHOD_NOT_ALLOWED", parameters: []any{method},
		detail: fmt.Sprintf("The method %s is not allowed for this resource.", method)}
}

func invalidVersion() *problem {
	return &problem{status: 406, code: "INVALID_VERSION_DATE", parameters: []any{}, detail: "Invalid accept header or version date."}
}

func tooLarge(detail string, args ...any) *problem {
	return &problem{status: 413, code: "REQUEST_TOO_LARGE", parameters: []any{}, detail: fmt.Sprintf(detail, args...)}
}

func unsupportedType(detail string) *problem {
	return &problem{status: 415, code: "UNSUPPORTED_MEDIA_TYPE", parameters: []any{}, detail: detail}
}

func invalid(detail string, fields ...field) *problem {
	return &problem{status: 400, code: "VALIDATION_ERROR", parameters: []any{}, detail: detail, fields: fields}
}

func tooManyFailures(wait time.Duration) *problem {
	return &problem{status: 429, code: "RATE_LIMITED_TOKEN_BUCKET", parameters: []any{}, retryAfter: wait,
		detail: fmt.Sprintf("Too many failed authentications from this address. Please retry after %d seconds.", seconds(wait))}
}

func unavailable(cause error) *problem {
	return &problem{status: 503, code: "SERVICE_UNAVAILABLE", parameters: []any{}, retryAfter: time.Second, cause: cause,
		detail: "The service cannot do this at the moment. Please retry."}
}

// elsewhere is the reply to what only nodes with another role do.
func elsewhere(role string) *problem {
	return &problem{status: 503, code: "SERVICE_UNAVAILABLE", parameters: []any{role}, retryAfter: time.Second,
		detail: fmt.Sprintf("This node does not have the role %s. Please ask one that has.", role)}
}

func unexpected() *problem {
	return &problem{status: 500, code: "UNEXPECTED_ERROR", parameters: []any{}, detail: "Unexpected error."}
}

// seconds rounds up, to at least 1.
func seconds(d time.Duration) int { return max(1, int(math.Ceil(d.Seconds()))) }

// body is the wire form of a problem. weir adds requestId, which Atlas does not have.
type body struct {
	BadRequestDetail *badRequestDetail `json:"badRequestDetail,omitempty"`
	Detail           string            `json:"detail"`
	Error            int               `json:"error"`
	ErrorCode        string            `json:"errorCode"`
	Parameters       []any             `json:"parameters,omitzero"`
	Reason           string            `json:"reason"`
	RequestID        string            `json:"requestId"`
}

type badRequestDetail struct {
	Fields []field `json:"fields"`
}

// fail replies with an error.
func (c *call) fail(err error) {
	p := new(problem)
	switch {
	case errors.As(err, &p):
	case errors.Is(err, account.ErrNotFound): // deleted since it was found
		p = resourceNotFound(c.r.URL.Path)
	case errors.Is(err, record.ErrOverloaded):
		p = unavailable(err)
		p.detail = "Too much is waiting to be recorded. Please retry."
	default:
		p = unavailable(err)
	}
	if p.cause != nil && c.context().Err() == nil {
		c.server.options.Logger.Error("request failed", "err", p.cause, "request", c.id)
	}
	h := c.w.Header()
	h.Set("X-Error-Code", p.code)
	h.Set("Content-Type", "application/json")
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(seconds(p.retryAfter)))
	}
	b := body{Detail: p.detail, Error: p.status, ErrorCode: p.code, Parameters: p.parameters,
		Reason: http.StatusText(p.status), RequestID: c.id}
	if len(p.fields) > 0 {
		b.BadRequestDetail = &badRequestDetail{p.fields}
	}
	c.write(p.status, b)
}

// write replies with JSON, in an envelope and indented if the query asks for it. A challenge to authenticate stays a 401:
// in an envelope no client would answer it.
func (c *call) write(status int, content any) {
	if c.flag("envelope") && status != http.StatusUnauthorized {
		content = envelope(status, content)
		status = http.StatusOK
	}
	if status == http.StatusNoContent {
		c.w.Header().Del("Content-Type")
		c.w.WriteHeader(status)
		return
	}
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	if c.flag("pretty") {
		encoder.SetIndent("", "  ")
	}
	if err := encoder.Encode(content); err != nil {
		panic(err) // strings and numbers only
	}
	data := bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
	c.w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	c.w.WriteHeader(status)
	if c.r.Method != http.MethodHead {
		c.w.Write(data) // an error means that the client has gone
	}
}

// envelope wraps a reply with its status, for clients that see nothing else of it.
func envelope(status int, content any) any {
	if l, ok := content.(list); ok {
		return struct {
			Status int `json:"status"`
			list
		}{status, l}
	}
	if content == nil {
		content = struct{}{}
	}
	return struct {
		Content any `json:"content"`
		Status  int `json:"status"`
	}{content, status}
}

// flag tells whether the query sets a boolean parameter.
func (c *call) flag(name string) bool { return c.r.URL.Query().Get(name) == "true" }
