package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/auth"
	"github.com/weirlog/weir/internal/record"
	"github.com/weirlog/weir/internal/tlog"
)

// problem is an error as clients see it: Atlas's error body.
type problem struct {
	status     int
	code       string
	detail     string
	parameters []any // if nil, the body has none
	fields     []field
	retryAfter time.Duration
	headers    http.Header // further headers of the reply
	cause      error       // for the log only
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

// forbidden says which roles allow an action. This text is the same for all projects and organizations, so it reveals
// nothing.
func forbidden(needs account.Action) *problem {
	return &problem{status: 403, code: "USER_UNAUTHORIZED", parameters: []any{},
		detail: "Current user is not authorized to perform this action. It needs one of these roles: " +
			rolesText(account.RolesThatAllow(needs)) + "."}
}

func rolesText(roles []account.Role) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = string(r)
	}
	return strings.Join(names, ", ")
}

func invalidGroupID(id string) *problem {
	return notFoundAs("INVALID_GROUP_ID", "An invalid group ID %s was specified.", id)
}

func groupNotFound(id string) *problem {
	return notFoundAs("GROUP_NOT_FOUND", "No group with ID %s exists.", id)
}

// groupNameNotFound has the code by which Atlas's Kubernetes operator detects that it must create the project.
func groupNameNotFound(name string) *problem {
	return notFoundAs("NOT_IN_GROUP", "No group with name %s exists.", name)
}

func invalidOrgID(id string) *problem {
	return notFoundAs("INVALID_ORG_ID", "An invalid organization ID %s was specified.", id)
}

func orgNotFound(id string) *problem {
	return notFoundAs("ORG_NOT_FOUND", "No organization with ID %s exists.", id)
}

// notFoundAs is a 404 with its own code. args are the arguments of the detail, and the parameters.
func notFoundAs(code, detail string, args ...any) *problem {
	args = boundedParameters(args)
	return &problem{status: 404, code: code, parameters: args, detail: fmt.Sprintf(detail, args...)}
}

// conflict is a 409. args are the arguments of the detail, and the parameters.
func conflict(code, detail string, args ...any) *problem {
	if args == nil {
		args = []any{}
	}
	return &problem{status: 409, code: code, parameters: args, detail: fmt.Sprintf(detail, args...)}
}

func keyNotFound(id string) *problem {
	return notFoundAs("API_KEY_NOT_FOUND", "No API key with ID %s exists.", id)
}

func serviceAccountNotFound(id string) *problem {
	return notFoundAs("SERVICE_ACCOUNT_NOT_FOUND", "No service account with client ID %s exists.", id)
}

func ingestTokenNotFound(id string) *problem {
	return notFoundAs("INGEST_TOKEN_NOT_FOUND", "No ingest token with ID %s exists.", id)
}

func alertNotFound(id string) *problem {
	return notFoundAs("ALERT_NOT_FOUND", "No alert rule %s exists.", id)
}

func notifierNotFound(id string) *problem {
	return notFoundAs("ALERT_NOTIFIER_NOT_FOUND", "No alert notifier %s exists.", id)
}

func notifierNameTaken(name string) *problem {
	return conflict("DUPLICATE_ALERT_NOTIFIER_NAME", "The project has another notifier named %s.", name)
}

func sourceNotFound(id string) *problem {
	return notFoundAs("SOURCE_NOT_FOUND", "No source with ID %s exists.", id)
}

func secretNotFound(id string) *problem {
	return notFoundAs("SERVICE_ACCOUNT_SECRET_NOT_FOUND", "No secret with ID %s exists.", id)
}

func accessNotFound(address string) *problem {
	return notFoundAs("API_KEY_WHITELIST_NOT_FOUND",
		"IP address %s not on the access list of this credential.", address)
}

func networkNotFound(entry, group string) *problem {
	return notFoundAs("ATLAS_NETWORK_PERMISSION_ENTRY_NOT_FOUND",
		"IP Address %s not on Atlas access list for group %s.", entry, group)
}

func logNotFound(id string) *problem {
	return notFoundAs("LOG_NOT_FOUND", "No log with ID %s exists.", id)
}

func tenantNotFound(name, project string) *problem {
	return notFoundAs("STREAM_TENANT_NOT_FOUND_FOR_NAME", "No stream workspace named %s exists in group %s.",
		name, project)
}

func resourceNotFound(path string) *problem {
	return notFoundAs("RESOURCE_NOT_FOUND", "Cannot find resource %s.", path)
}

func methodNotAllowed(method string) *problem {
	method = cut(method, maxName)
	return &problem{status: 405, code: "METHOD_NOT_ALLOWED", parameters: []any{method},
		detail: fmt.Sprintf("The method %s is not allowed for this resource.", method)}
}

func invalidVersion() *problem {
	return &problem{status: 406, code: "INVALID_VERSION_DATE", parameters: []any{},
		detail: "Invalid accept header or version date."}
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
		detail: fmt.Sprintf("Too many failed authentications from this address. Please retry after %d seconds.",
			seconds(wait))}
}

func tooManyTokens(wait time.Duration) *problem {
	return &problem{status: 429, code: "RATE_LIMITED_TOKEN_BUCKET", parameters: []any{}, retryAfter: wait,
		detail: fmt.Sprintf("Too many tokens were issued to this service account. Please retry after %d seconds.",
			seconds(wait))}
}

func unavailable(cause error) *problem {
	return &problem{status: 503, code: "SERVICE_UNAVAILABLE", parameters: []any{}, retryAfter: time.Second,
		cause:  cause,
		detail: "The service cannot do this at the moment. Please retry."}
}

func overloaded(cause error) *problem {
	p := unavailable(cause)
	p.detail = "Too much is waiting to be recorded. Please retry."
	return p
}

// elsewhere is the reply for an operation that only nodes with another role serve.
func elsewhere(role string) *problem {
	return &problem{status: 503, code: "SERVICE_UNAVAILABLE", parameters: []any{role}, retryAfter: time.Second,
		detail: fmt.Sprintf("This node does not have the role %s. Please send the request to a node that has it.", role)}
}

func unexpected() *problem {
	return &problem{status: 500, code: "UNEXPECTED_ERROR", parameters: []any{}, detail: "Unexpected error."}
}

// seconds rounds up, to 1 at least.
func seconds(d time.Duration) int { return max(1, int(math.Ceil(d.Seconds()))) }

// body is the JSON form of a problem. weir adds requestId, which Atlas does not have.
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

// problemOf converts any error into a reply. An error of an unknown kind means that weir cannot serve the request at
// the moment, for example because its bucket is unavailable: 503.
func (s *Server) problemOf(c *call, err error) *problem {
	var p *problem
	var wrong *auth.Unauthorized
	var many *auth.TooManyFailures
	var tokens *auth.TooManyTokens
	var full *account.Full
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &wrong):
		p = unauthorized()
		p.headers = http.Header{"Www-Authenticate": s.auth.Challenges(wrong)}
		return p
	case errors.As(err, &many):
		return tooManyFailures(many.RetryAfter)
	case errors.As(err, &tokens):
		return tooManyTokens(tokens.RetryAfter)
	case errors.As(err, new(*auth.NotOnAccessList)):
		return notOnAccessList(c.address.Addr().String())
	// deleted since it was found; not there yet
	case errors.Is(err, account.ErrNotFound), errors.Is(err, tlog.ErrBeyond):
		return resourceNotFound(c.r.URL.Path)
	case errors.As(err, &full):
		return invalid(full.Error() + ". Delete one first.")
	case errors.Is(err, record.ErrOverloaded):
		return overloaded(err)
	case errors.Is(err, tlog.ErrPruned):
		p = unavailable(err)
		p.detail = "Retention removed some of these events while they were being read. Please retry."
		return p
	case errors.Is(err, context.DeadlineExceeded):
		p = unavailable(err)
		p.detail = "The service took too long. Please retry."
		return p
	}
	return unavailable(err)
}

// wireForm is how the errors of an operation are encoded.
type wireForm struct {
	parameters []parameter // parameters of the query that all operations of this form accept
	flags      bool        // whether envelope and pretty change the reply
	headers    http.Header // of each reply
	body       func(c *call, p *problem) any

	// bytes returns an error that is not JSON and its media type. If bytes is nil, or the type is empty, body is used.
	bytes func(c *call, p *problem) (mediaType string, data []byte)
}

// atlasForm is the form of Atlas.
var atlasForm = &wireForm{parameters: []parameter{envelopeFlag, prettyFlag}, flags: true,
	body: func(c *call, p *problem) any {
		b := body{Detail: cut(p.detail, maxDetail), Error: p.status, ErrorCode: p.code,
			Parameters: boundedParameters(p.parameters),
			Reason:     http.StatusText(p.status), RequestID: c.id}
		if len(p.fields) > 0 {
			b.BadRequestDetail = &badRequestDetail{bounded(p.fields)}
		}
		return b
	}}

// boundedParameters cuts the texts among the parameters of an error.
func boundedParameters(all []any) []any {
	if all == nil {
		return nil
	}
	kept := make([]any, len(all))
	for i, v := range all {
		if text, ok := v.(string); ok {
			v = cut(text, maxName)
		}
		kept[i] = v
	}
	return kept
}

// fail replies with an error. Nothing may have been sent.
func (x *exchange) fail(err error) {
	p := x.server.problemOf(&x.call, err)
	x.cause = p.cause
	h := x.w.Header()
	for _, name := range []string{"Content-Disposition", "Content-Length", "Cache-Control"} {
		h.Del(name) // headers of a result that could not be sent
	}
	form := x.form()
	for _, headers := range []http.Header{form.headers, p.headers} {
		for name, values := range headers {
			h[name] = values
		}
	}
	if form.flags {
		h.Set("X-Error-Code", p.code)
	}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(seconds(p.retryAfter)))
	}
	if form.bytes != nil {
		if media, data := form.bytes(&x.call, p); media != "" {
			h.Set("Content-Type", media)
			x.w.WriteHeader(p.status)
			x.w.Write(data) // an error means that the client has gone
			return
		}
	}
	h.Set("Content-Type", "application/json")
	x.writeJSON(p.status, form.body(&x.call, p))
}

// form returns how errors of the operation are encoded.
func (x *exchange) form() *wireForm {
	if x.call.operation == nil || x.call.operation.form == nil {
		return atlasForm
	}
	return x.call.operation.form
}
