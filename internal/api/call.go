package api

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/auth"
	"github.com/weirlog/weir/internal/event"
)

// call is one request for one operation. When a handler runs, the caller is known and may do what the operation does,
// and path and query have the form that the table requires.
type call struct {
	r         *http.Request
	id        string // of the request
	address   netip.AddrPort
	now       time.Time
	baseURL   string // base URL of this server for clients
	operation *operation
	release   string              // of the reply's media type
	query     url.Values          // each parameter at most once
	caller    *account.Credential // nil if a public log is read without authentication
	session   *auth.Session       // session of the request; nil if it has a token or a digest
	scope     scope

	question  *question // question that an operation on events answers; nil until it is known
	continues bool      // the question was recorded before
	counted   bool      // see continuation
	recorded  time.Time // when it was recorded, or now

	ends []func() // see atEnd
}

// atEnd registers a function that is called when the request has been answered or refused.
func (c *call) atEnd(do func()) { c.ends = append(c.ends, do) }

func (c *call) end() {
	for _, do := range c.ends {
		do()
	}
}

func (c *call) context() context.Context { return c.r.Context() }

// detached returns a context for work that must be completed even if the client does not wait for it.
func (c *call) detached() context.Context { return context.WithoutCancel(c.context()) }

// path returns the value of a variable in the path.
func (c *call) path(name string) string { return c.r.PathValue(name) }

// flag tells whether a boolean parameter of the query is set.
func (c *call) flag(name string) bool { return c.query.Get(name) == "true" }

// actor returns a credential as the actor in events.
func (c *call) actor(by *account.Credential) event.Act {
	a := event.Act{Time: c.now, RequestID: c.id, CallerID: by.ID, CallerName: by.Name, CallerKind: "Service Account",
		Address: c.address}
	switch by.Kind {
	case account.APIKey:
		a.CallerName, a.CallerKind = by.Description, "API Key"
	case account.IngestToken:
		a.CallerKind = "Ingest Token"
	case account.Person:
		a.CallerKind, a.Person = "User", event.Person(by.Identity)
	}
	return a
}
