// Package api is the HTTP surface: Atlas's paths, versioned media types and error bodies, as atlas-sdk and curl expect
// them, and weir's own siblings. It knows nothing of how logs are stored.
//
// All that is served stands in one table (table.go). One place (serve.go) authenticates, negotiates, checks,
// authorizes, limits and records attempts to read; the handlers, grouped by resource, return results or plain errors.
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

// Options of a Server. The zero value of each limit means that there is none.
type Options struct {
	MaxEventBytes    int   // of one event
	MaxRequestBytes  int64 // of a request's events, after decompression
	MaxRequestEvents int   // in one request
	DownloadRate     int   // attempts to download a minute for each credential
	// under which clients reach the API, for links. If empty, links are as the request came.
	PublicURL      string
	BodyTimeout    time.Duration  // within which a request's body must have arrived
	TrustedProxies []netip.Prefix // whose X-Forwarded-For and X-Request-Id are believed
	Roles          config.Roles   // of the node. If zero, it has all.
	Alerts         *alert.Store   // the rules of projects
	Box            seal.Box       // hides what projects entrust to the nodes
	Sources        *source.Directory

	Logger       *slog.Logger          // If nil, the default logger.
	Registry     prometheus.Registerer // If nil, metrics are kept nowhere.
	Deliveries   *setup.Deliveries
	Now          func() time.Time // If nil, time.Now.
	NewRequestID func() string    // If nil, random ids.
}

// tag returns what only a node with the nodes' secret can make of a content.
func (s *Server) tag(purpose string, content []byte) []byte { return s.auth.Tag(purpose, content) }

// maxFirst is how many events without a time of their own are remembered, for senders that try again: some 10 MB.
const maxFirst = 100_000

// Server answers requests below /api.
type Server struct {
	options  Options
	accounts *account.Directory
	auth     *auth.Authenticator
	logs     *tlog.Logs
	recorder *record.Recorder
	search   *search.Searcher

	deliveries *setup.Deliveries

	limits   *limit.Limiter[string] // of requests, by credential
	searches *limit.Shares[string]  // of what is searched at a time, by credential
	waiters  *limit.Shares[string]  // of requests that wait for entries, by credential
	feed     *live.Feed
	tails    *limit.Shares[string] // by credential
	beat     time.Duration         // see tails
	stopping context.Context       // ends when requests are not to wait for anything any more
	stop     context.CancelFunc
	metrics  *metrics
	repeats  repeats
	first    *connect.First // when what has no time of its own was received
	table    []operation
	mux      *http.ServeMux
	named    *http.ServeMux // of paths that name a project by its name

	background sync.WaitGroup // what goes on after a reply was sent
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
		waiters: limit.NewShares[string](maxWaiters, maxWaitersOfOne, 0),
		tails:   limit.NewShares[string](maxTails, maxTailsOfOne, 0), beat: usualBeat,
		limits: limit.New[string](o.DownloadRate), metrics: newMetrics(o.Registry),
		failing: make(chan struct{}, maxFailing), first: connect.NewFirst(maxFirst), deliveries: o.Deliveries}
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.refusals.record = recorder.RecordOwn
	s.refusals.failed = func(logs []string, err error) {
		s.options.Logger.Error("repeated refusals not recorded", "logs", logs, "err", err)
	}
	s.feed = live.New(logs, live.Options{Failed: failedLook(o.Logger)})
	s.table = s.operations()
	s.route()
	return s
}

// damagedIndex returns what logs, at most once a minute for each, that an index cannot be used, and has it made anew.
func damagedIndex(l *slog.Logger, logs *tlog.Logs) func(string, error) {
	told := limit.New[string](1)
	return func(key string, err error) {
		logs.Damaged(key)
		if ok, _, _ := told.Take(key, time.Now()); ok {
			l.Warn("an index cannot be used; searches read the lines until it is made anew", "key", key, "err", err)
		}
	}
}

// failedLook returns what logs, at most once a minute for each, that a log cannot be looked at.
func failedLook(l *slog.Logger) func(string, error) {
	told := limit.New[string](1)
	return func(log string, err error) {
		if ok, _, _ := told.Take(log, time.Now()); ok {
			l.Error("who tails a log is told nothing of it at the moment", "log", log, "err", err)
		}
	}
}

func newRequestID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Prefix is what the paths of all that is served begin with.
const Prefix = "/api/"

// ServeHTTP answers a request for something below Prefix.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.CleanPaths(s.muxOf(r.URL.Path)).ServeHTTP(w, r)
}

// NotFound returns a handler that answers that there is nothing, as the API says it.
func (s *Server) NotFound() http.Handler { return s.handle(notFound) }

// CleanPaths returns a handler that passes requests on to next, unless their paths are not clean ("//", "/../"): those
// name nothing. A mux would redirect them, in HTML.
func (s *Server) CleanPaths(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isClean(r.URL.EscapedPath()) {
			next.ServeHTTP(w, r)
		} else {
			s.NotFound().ServeHTTP(w, r)
		}
	})
}

// Stop ends what requests wait for: they are answered at once.
func (s *Server) Stop() { s.stop() }

// Wait returns when what goes on after replies were sent has come to its end. No request may be on its way.
func (s *Server) Wait() {
	s.feed.Wait()
	s.background.Wait()
	s.refusals.flush()
}
