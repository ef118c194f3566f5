package api

import (
	"github.com/weirlog/weir/internal/account"
)

// operation is one row of the table of all that the API serves.
type operation struct {
	id     string // as the OpenAPI document has it
	method string
	path   string         // A ':' in its last part begins a verb.
	media  versioned      // of the reply
	needs  account.Action // on the organization or the project that the path names
	status int            // of the reply, if it succeeds
	query  []parameter    // that it knows beside envelope and pretty
	run    handler
	traits
}

// anyRole is the action of operations that need no role: their reply depends on what the caller may see.
const anyRole account.Action = -1

// traits are what most operations have in common.
type traits struct {
	audit   audit     // whether the operation is an audited read, and why
	node    nodeRole  // of the nodes that serve it
	body    bodyKind  // of the request
	caller  callerBy  // how the caller is known
	form    *wireForm // of errors
	limit   string    // name of the endpoint that the rate limit counts; empty if there is no limit
	with    string    // name of the query parameter that selects this row among those with its method and path
	session bool      // It is done in a session of any age, although it is no GET.
	kept    bool      // The path may name a deleted project: its logs are kept for a while.
}

// audit says whether an operation reads a log's content, so that each attempt is an event, and why.
type audit struct {
	event string // operation in the event; empty if the operation is not audited
	why   string
}

func audited(event, why string) audit { return audit{event, why} }
func unaudited(why string) audit      { return audit{"", why} }

func (a audit) needed() bool { return a.event != "" }

// nodeRole is the role that a node must have to serve an operation.
type nodeRole int

const (
	anyNode nodeRole = iota
	ingestNode
	readNode
)

// bodyKind is what an operation reads of the request's body.
type bodyKind int

const (
	noBody bodyKind = iota
	jsonBody
	eventsBody
	formBody
)

// callerBy is how the caller of an operation is known.
type callerBy int

const (
	byCredential   callerBy = iota // a token or a digest
	orPublic                       // a token or a digest; of a public log, nobody
	orIngestToken                  // a token, a digest or an ingest token
	byClientSecret                 // in the body, or by HTTP Basic (RFC 6749, 2.3.1)
)

// resultKind is what an operation answers with.
type resultKind int

const (
	noResult resultKind = iota
	jsonResult
	fileResult   // a download with a name
	streamResult // text whose size is not known when it begins
	textResult   // text or bytes that are small
)

// handler runs an operation. It sends nothing: it returns what is to be sent.
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
