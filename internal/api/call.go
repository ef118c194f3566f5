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

// call is one request for one operation, as its handler sees it. When a handler runs, the caller is known and may do
// what the operation does, and path and query have the form that the table says.
type call struct {
	r         *http.Request
	id        string // of the request
	address   netip.AddrPort
	now       time.Time
	baseURL   string // under which clients reach this server
	operation *operation
	release   string              // of the reply's media type
	query     url.Values          // each parameter at most once
	caller    *account.Credential // nil if a public log is read by somebody who did not authenticate
	session   *auth.Session       // in which it calls; nil if by a token or a digest
	scope     scope

	question  *question // that an operation of events answers; nil as long as it is not known
	continues bool      // The question was made an event before.
	recorded  time.Time // when that was, or else now

	ends []func() // see atEnd
}

// atEnd has do called when the request is answered, or refused.
func (c *call) atEnd(do func()) { c.ends = append(c.ends, do) }

func (c *call) end() {
	for _, do := range c.ends {
		do()
	}
}

func (c *call) context() context.Context { return c.r.Context() }

// detached returns a context for what must come to its end even if the client does not wait for it.
func (c *call) detached() context.Context { return context.WithoutCancel(c.context()) }

// path returns what the path has in the place of a variable.
func (c *call) path(name string) string { return c.r.PathValue(name) }

// flag tells whether the query sets a boolean parameter.
func (c *call) flag(name string) bool { return c.query.Get(name) == "true" }

// actor returns what a credential does now, as events say it.
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
