// Package api implements the HTTP API: Atlas's paths, versioned media types and error bodies, as atlas-sdk and curl
// expect them, and weir's own operations. It does not know how logs are stored.
//
// All operations are in one table (table.go). One function (serve.go) authenticates, negotiates, checks, authorizes,
// limits and records attempts to read. The handlers, grouped by resource, return results or errors.
package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/alert"
	"github.com/weirlog/weir/internal/auth"
	"github.com/weirlog/weir/internal/config"
	"github.com/weirlog/weir/internal/connect"
	"github.com/weirlog/weir/internal/deliver/setup"
	"github.com/weirlog/weir/internal/limit"
	"github.com/weirlog/weir/internal/live"
	"github.com/weirlog/weir/internal/record"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/search"
	"github.com/weirlog/weir/internal/source"
	"github.com/weirlog/weir/internal/tlog"
)

// Options configures a Server. The zero value of each limit means that there is no limit.
type Options struct {
	MaxEventBytes    int   // maximum size of one event
	MaxRequestBytes  int64 // maximum size of a request's events, after decompression
	MaxRequestEvents int   // maximum number of events in one request
	DownloadRate     int   // downloads per minute for each credential
	// base URL of the API for clients, used in links; if empty, links are made from the request
	PublicURL      string
	BodyTimeout    time.Duration  // time within which the body of a request must arrive
	TrustedProxies []netip.Prefix // proxies whose X-Forwarded-For and X-Request-Id are trusted
	Roles          config.Roles   // roles of the node; if zero, it has all
	Alerts         *alert.Store   // the alert rules of projects
	Box            seal.Box       // encrypts the secrets that projects give to the nodes
	Sources        *source.Directory

	Logger       *slog.Logger          // if nil, slog.Default()
	Registry     prometheus.Registerer // if nil, there are no metrics
	Deliveries   *setup.Deliveries
	Now          func() time.Time // if nil, time.Now
	NewRequestID func() string    // if nil, ids are random
}

// tag returns a tag of a content, which can only be computed with the nodes' secret.
func (s *Server) tag(purpose string, content []byte) []byte { return s.auth.Tag(purpose, content) }

// maxFirst is the number of remembered events without a time of their own, for senders that retry: about 10 MB.
const maxFirst = 100_000

// Server answers requests under /api.
type Server struct {
	options  Options
	accounts *account.Directory
	auth     *auth.Authenticator
	logs     *tlog.Logs
	recorder *record.Recorder
	search   *search.Searcher

	deliveries *setup.Deliveries

	limits   *limit.Limiter[string] // of requests, by credential
	searches *limit.Shares[string]  // of concurrent searches; see shares
	waiters  *limit.Shares[string]  // of requests that wait for entries
	feed     *live.Feed
	tails    *limit.Shares[string]
	beat     time.Duration   // see tails
	stopping context.Context // ends when requests must not wait any more
	stop     context.CancelFunc
	metrics  *metrics
	repeats  repeats
	first    *connect.First // when events without a time of their own were first received
	table    []operation
	mux      *http.ServeMux
	named    *http.ServeMux // of paths that contain the name of a project

	background sync.WaitGroup // work after a reply was sent
	failing    chan struct{}  // has one element for each failed authentication that is being recorded
	refusals   refusals
}

// New returns a Server.
func New(accounts *account.Directory, authenticator *auth.Authenticator, logs *tlog.Logs, recorder *record.Recorder,
	o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewRequestID == nil {
		o.NewRequestID = newRequestID
	}
	if o.Roles == (config.Roles{}) {
		o.Roles = config.AllRoles
	}
	s := &Server{options: o, accounts: accounts, auth: authenticator, logs: logs, recorder: recorder,
		search: search.New(logs, search.Options{Damaged: damagedIndex(o.Logger, logs)}), searches: newSearchShares(),
		waiters: shares(maxWaiters, maxWaitersOfOne, 0),
		tails:   shares(maxTails, maxTailsOfOne, 0), beat: usualBeat,
		limits: limit.New[string](o.DownloadRate), metrics: newMetrics(o.Registry),
		failing: make(chan struct{}, maxFailing), first: connect.NewFirst(maxFirst), deliveries: o.Deliveries}
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.refusals.record = recorder.RecordOwn
	s.refusals.failed = func(logs []string, err error) {
		s.options.Logger.Error("cannot record repeated refusals in the logs", "logs", logs, "err", err)
	}
	s.feed = live.New(logs, live.Options{Failed: failedLook(o.Logger)})
	s.table = s.operations()
	s.route()
	return s
}

// damagedIndex returns a function that logs that an index cannot be used, at most once a minute per index, and has
// it rebuilt.
func damagedIndex(l *slog.Logger, logs *tlog.Logs) func(string, error) {
	told := limit.New[string](1)
	return func(key string, err error) {
		logs.Damaged(key)
		if ok, _, _ := told.Take(key, time.Now()); ok {
			l.Warn("cannot use an index; searches read the lines until it is made again", "key", key, "err", err)
		}
	}
}

// failedLook returns a function that logs that a log cannot be read, at most once a minute per log.
func failedLook(l *slog.Logger) func(string, error) {
	told := limit.New[string](1)
	return func(log string, err error) {
		if ok, _, _ := told.Take(log, time.Now()); ok {
			l.Error("cannot read a log for open tails; they get no new events of it for now", "log", log, "err", err)
		}
	}
}

func newRequestID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Prefix is the prefix of the paths of all operations.
const Prefix = "/api/"

// ServeHTTP answers a request for a path under Prefix.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.CleanPaths(s.muxOf(r.URL.Path)).ServeHTTP(w, r)
}

// NotFound returns a handler that answers 404 in the form of the API.
func (s *Server) NotFound() http.Handler { return s.handle(notFound) }

// CleanPaths returns a handler that calls next, except for paths that are not clean ("//", "/../"): these get a 404. A
// mux would answer them with a redirect in HTML.
func (s *Server) CleanPaths(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isClean(r.URL.EscapedPath()) {
			next.ServeHTTP(w, r)
		} else {
			s.NotFound().ServeHTTP(w, r)
		}
	})
}

// Stop ends the waiting of all requests: they are answered at once.
func (s *Server) Stop() { s.stop() }

// Wait returns when the work after replies has ended. No request may be in progress.
func (s *Server) Wait() {
	s.feed.Wait()
	s.background.Wait()
	s.refusals.flush()
}
