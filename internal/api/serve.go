package api

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/auth"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/query"
)

// serve answers a request for an operation. All operations have the same steps:
//
//  1. whether this node serves the operation,
//  2. the form of the identifiers in the path, before any look-up by them,
//  3. authentication, and the rate limit,
//  4. the version, the query, the things in the path and the caller's role on them,
//  5. the operation itself,
//  6. if it reads a log's content, a record of the attempt, refused or not, before anything is sent.
func (s *Server) serve(c *call, h http.Header) (result, error) {
	op := c.operation
	if err := s.checkNode(op); err != nil {
		return nil, err
	}
	malformed := c.checkPath()
	if op.caller == orPublic && malformed == nil {
		published, err := s.isPublished(c)
		if err != nil {
			return nil, err
		}
		if published {
			h.Set("Access-Control-Allow-Origin", "*")
			return firstOf(c.checkQuery()).then(op, c)
		}
	}
	if op.caller == byClientSecret {
		return firstOf(c.checkQuery()).then(op, c)
	}
	if err := s.authenticate(c); err != nil {
		return nil, err
	}
	if c.session != nil && c.session.Renewed != "" {
		h.Set(sessionHeader, c.session.Renewed)
	}
	refused := firstOf(s.takeToken(h, c), c.negotiate(), c.checkSession(), malformed, c.checkQuery())
	if op.audit.needed() {
		return s.serveAudited(c, refused, malformed != nil)
	}
	if refused.err == nil {
		refused.err = s.loadScope(c)
	}
	return refused.then(op, c)
}

// refusal is the first reason to refuse a request.
type refusal struct{ err error }

func firstOf(reasons ...error) refusal {
	for _, err := range reasons {
		if err != nil {
			return refusal{err}
		}
	}
	return refusal{}
}

// then runs the operation unless it is refused.
func (r refusal) then(op *operation, c *call) (result, error) {
	if r.err != nil {
		return nil, r.err
	}
	return op.run.run(c)
}

func (s *Server) checkNode(op *operation) error {
	switch {
	case op.node == ingestNode && !s.options.Roles.Ingest:
		return elsewhere("ingest")
	case op.node == readNode && !s.options.Roles.Read:
		return elsewhere("read")
	}
	return nil
}

// isPublished tells whether the proofs of the log in the path are public.
func (s *Server) isPublished(c *call) (bool, error) {
	p, err := s.accounts.Publication(c.context(), c.path("logId"))
	return err == nil && p.Public && (p.Owner == c.path("groupId") || p.Owner == c.path("orgId")), err
}

// authenticate finds the caller.
func (s *Server) authenticate(c *call) error {
	authenticate := s.auth.Authenticate
	if c.operation != nil && c.operation.caller == orIngestToken {
		authenticate = s.auth.AuthenticateSender
	}
	p, err := authenticate(c.r, c.address.Addr())
	if err != nil {
		s.signInFailed(c, err)
		return err
	}
	c.caller, c.session = p.Credential, p.Session
	return nil
}

// checkSession refuses operations that are not allowed in a session: recording events, and changes if the session began
// too long ago.
func (c *call) checkSession() error {
	switch op := c.operation; {
	case c.session == nil, op.method == get, op.session:
		return nil
	case op.body == eventsBody:
		return sessionRecordsNothing()
	case !c.session.Changes:
		return sessionTooOld()
	}
	return nil
}

// still returns an error if the caller may not continue a long request. It looks up the credential, the things in the
// path and the role again.
func (s *Server) still(c *call) error {
	p, err := s.auth.Still(c.r, &auth.Principal{Credential: c.caller, Address: c.address.Addr()})
	if err != nil {
		return err
	}
	c.caller, c.scope = p.Credential, scope{}
	return s.loadScope(c)
}

// negotiate chooses the version of the reply.
func (c *call) negotiate() error {
	release, ok := c.operation.media.release(c.r.Header.Values("Accept"))
	if !ok {
		return invalidVersion()
	}
	c.release = release
	return nil
}

// serveAudited answers an attempt to read a log's content.
func (s *Server) serveAudited(c *call, refused refusal, malformed bool) (result, error) {
	if !malformed { // also where the attempt is refused already: it is recorded in the log that it is an attempt at
		err := s.loadScope(c)
		if err != nil && s.problemOf(c, err).status >= http.StatusInternalServerError {
			return nil, err
		}
		refused = firstOf(refused.err, err)
	}
	res, err := refused.then(c.operation, c)
	if err == nil && c.continues {
		return res, nil // the question was recorded before
	}
	if failed := s.auditWhilePreparing(c, res, err); failed != nil {
		return nil, failed
	}
	return res, err
}

// preparer is a result that takes time to compute.
type preparer interface {
	// prepare computes the result. It calls begun at the moment after which newly recorded events are not in the
	// result, or returns without calling it.
	prepare(ctx context.Context, begun func())
}

// auditWhilePreparing computes a result while the attempt is being recorded. The result does not contain the attempt.
func (s *Server) auditWhilePreparing(c *call, res result, refused error) error {
	p, ok := res.(preparer)
	if !ok || refused != nil {
		return s.auditRead(c, refused)
	}
	var prepared sync.WaitGroup
	var panicked any
	began := make(chan struct{})
	begun := sync.OnceFunc(func() { close(began) })
	prepared.Go(func() {
		defer begun()
		defer func() { panicked = recover() }()
		p.prepare(c.context(), begun)
	})
	<-began
	err := s.auditRead(c, refused)
	prepared.Wait()
	if panicked != nil {
		panic(panicked) // the panics of requests are handled there
	}
	return err
}

// auditRead records an attempt to read a log, durably, in the log for such attempts. If the log does not exist, or the
// caller may not know of it, the attempt is recorded in the log of the caller's own organization. That is the same in
// both cases, so it takes the same time.
func (s *Server) auditRead(c *call, refused error) error {
	a := event.Access{Act: c.actor(c.caller), Operation: c.operation.audit.event, Log: cut(c.path("logId"), maxName),
		Processor: cut(c.query.Get("spName"), maxName)}
	a.Project, a.Workspace = cut(c.path("groupId"), maxName), cut(c.path("tenantName"), maxName)
	if w := c.scope.log.workspace; w != nil {
		a.Workspace = w.Name
	}
	a.Query = cut(c.query.Get(queryText.name), query.MaxBytes)
	if q := c.question; q != nil {
		a.Start, a.End = q.Start/1000, (q.End-1)/1000
	} else if q, err := rangeOf(c.query, c.now); err == nil && c.checkQuery() == nil {
		a.Start, a.End = q.Start/1000, q.End/1000-1
	}
	if refused != nil {
		p := s.problemOf(c, refused)
		a.Status, a.ErrorCode = p.status, p.code
	}
	logs, err := s.logsOfAttempt(c)
	if err != nil {
		return err
	}
	ctx := context.WithoutCancel(c.context()) // an attempt counts even if the client does not wait for the answer
	if a.Status == 0 || a.Status >= http.StatusInternalServerError {
		return s.recorder.RecordOwn(ctx, logs, event.Accessed(a))
	}
	kind := repeat{caller: a.CallerID, operation: a.Operation, code: a.ErrorCode, address: c.address.Addr()}
	return s.refusals.refused(ctx, kind, c.now, logs, func(r event.Repeats) []byte {
		repeated := a
		repeated.Repeat(r)
		return event.Accessed(repeated)
	})
}

// logsOfAttempt returns the logs that record an attempt.
func (s *Server) logsOfAttempt(c *call) ([]string, error) {
	var logs []string
	switch {
	case c.scope.workspace != nil:
		logs = append(logs, c.scope.workspace.AuditLog)
	case c.scope.log.workspace != nil:
		logs = append(logs, c.scope.log.workspace.AuditLog)
	case c.scope.log.id != "":
		logs = append(logs, c.scope.log.id)
	case c.question != nil:
		logs = c.question.witnesses()
	}
	if len(logs) > 0 && (c.scope.org != nil || c.visible()) {
		return logs, nil
	}
	org, err := s.accounts.Organization(c.context(), c.caller.Org)
	if errors.Is(err, account.ErrNotFound) {
		return nil, unavailable(err) // It is not what the path names.
	}
	if err != nil {
		return nil, err
	}
	return append(logs, org.Log), nil
}
