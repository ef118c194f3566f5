package api

import (
	"github.com/weirlog/weir/internal/account"
)

// operation is one row of the table of all operations.
type operation struct {
	id     string // as in the OpenAPI document
	method string
	path   string         // a ':' in its last part begins a verb
	media  versioned      // of the reply
	needs  account.Action // on the organization or the project in the path
	status int            // of a successful reply
	query  []parameter    // parameters besides envelope and pretty
	run    handler
	traits
}

// anyRole is the action of operations that need no role. Their reply depends on what the caller may see.
const anyRole account.Action = -1

// traits are the properties that many operations share.
type traits struct {
	audit   audit     // whether the operation is an audited read, and why
	node    nodeRole  // role of the nodes that serve it
	body    bodyKind  // body of the request
	caller  callerBy  // how the caller authenticates
	form    *wireForm // form of errors
	limit   string    // name of the endpoint for the rate limit; empty if there is no limit
	with    string    // query parameter that selects this row among those with the same method and path
	session bool      // it is allowed in a session of any age, although it is not a GET
	kept    bool      // the path may name a deleted project, since its logs are kept for a while
}

// audit says whether an operation reads a log's content, so that each attempt is recorded, and why.
type audit struct {
	event string // operation in the event; empty if the operation is not audited
	why   string
}

func audited(event, why string) audit { return audit{event, why} }
func unaudited(why string) audit      { return audit{"", why} }

func (a audit) needed() bool { return a.event != "" }

// Names of operations in events.
const (
	summaryOperation = "summarizeEvents"
	fieldsOperation  = "listEventFields"
)

// counts tells whether the operation tells of events without sending them.
func (op *operation) counts() bool {
	return op.audit.event == summaryOperation || op.audit.event == fieldsOperation
}

// nodeRole is the role that a node must have to serve an operation.
type nodeRole int

const (
	anyNode nodeRole = iota
	ingestNode
	readNode
)

// bodyKind is the kind of body of a request.
type bodyKind int

const (
	noBody bodyKind = iota
	jsonBody
	eventsBody
	formBody
)

// callerBy is how the caller of an operation authenticates.
type callerBy int

const (
	byCredential   callerBy = iota // a token or a digest
	orPublic                       // a token or a digest; for a public log, nothing
	orIngestToken                  // a token, a digest or an ingest token
	byClientSecret                 // a client secret, in the body or by HTTP Basic (RFC 6749, 2.3.1)
)

// resultKind is the kind of an operation's result.
type resultKind int

const (
	noResult resultKind = iota
	jsonResult
	fileResult   // a download with a name
	streamResult // text whose size is unknown when it begins
	textResult   // text or bytes that are small
)

// handler runs an operation. It sends nothing, and returns the result to send.
type handler struct {
	kind resultKind
	run  func(*call) (result, error)
}

func asJSON(run func(*call) (any, error)) handler {
	return handler{jsonResult, func(c *call) (result, error) {
		v, err := run(c)
		if err != nil {
			return nil, err
		}
		return value{v}, nil
	}}
}

func asFile(run func(*call) (*file, error)) handler {
	return handler{fileResult, func(c *call) (result, error) { return nilIfFailed(run(c)) }}
}

func asStream(run func(*call) (*stream, error)) handler {
	return handler{streamResult, func(c *call) (result, error) { return nilIfFailed(run(c)) }}
}

func asText(run func(*call) (*text, error)) handler {
	return handler{textResult, func(c *call) (result, error) { return nilIfFailed(run(c)) }}
}

// asNothing is for an operation whose reply has no body.
func asNothing(run func(*call) error) handler {
	return handler{noResult, func(c *call) (result, error) { return nothing{}, run(c) }}
}

func nilIfFailed(r result, err error) (result, error) {
	if err != nil {
		return nil, err
	}
	return r, nil
}
