package node

import (
	"container/list"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirlog/weir/internal/config"
)

// Each connection of a client takes a descriptor, and a second one while a part of the bucket is sent over it. So a
// node whose limit of connections follows the limit of open files takes half of those, less what it needs itself.
const (
	ownDescriptors   = 64   // for the bucket, the logs and --admin-listen
	leastConnections = 16   // however few files the process may have open
	mostConnections  = 8192 // unless --max-connections says otherwise; a connection costs memory too

	adminConnections = 16 // of --admin-listen: those that measure, balance and look
)

// connectionsFor returns the limit of connections of a process that may have a number of files open, 0 if that is not
// known.
func connectionsFor(c *config.Config, files uint64) (int, error) {
	possible := mostConnections
	if half := int(min(files/2, 1<<30)); files > 0 {
		possible = max(half-ownDescriptors, leastConnections)
	}
	switch {
	case c.MaxConnections == 0:
		return min(possible, mostConnections), nil
	case files > 0 && c.MaxConnections > possible:
		return 0, c.Invalid("max-connections",
			fmt.Sprintf("must be at most %d, because the process may have %d files open "+
				"(ulimit -n, LimitNOFILE=)", possible, files))
	}
	return c.MaxConnections, nil
}

// connections is a listener with a bounded number of connections. Past the bound, the one on which no request has been
// served for the longest time is closed for the sake of a new one. If requests are served on all, a new one is closed
// at once.
type connections struct {
	listener
	most int

	mu   sync.Mutex
	open map[*held]struct{}
	idle list.List // of those on which no request is served, the idlest in front

	closed *prometheus.CounterVec
}

// newConnections names the listener in its metrics: there are several in one registry.
func newConnections(l listener, most int, name string, r prometheus.Registerer) *connections {
	c := &connections{listener: l, most: most, open: map[*held]struct{}{},
		closed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_connections_closed_total",
			Help: "Connections closed because there were too many: idle ones, and new ones " +
				"that were refused because requests were served on all others."}, []string{"reason"})}
	for _, reason := range []string{closedIdle, closedRefused} {
		c.closed.WithLabelValues(reason)
	}
	named := prometheus.WrapRegistererWith(prometheus.Labels{"listener": name}, r)
	named.MustRegister(c.closed, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "weir_connections",
		Help: "Connections of clients that are open."}, func() float64 { return float64(c.count()) }))
	return c
}

func (c *connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// Why a connection is closed, in the metric.
const (
	closedIdle    = "idle"
	closedRefused = "refused"
)

// Accept implements net.Listener.
func (c *connections) Accept() (net.Conn, error) {
	for {
		accepted, err := c.listener.Accept()
		if err != nil {
			return nil, err
		}
		if h := c.admit(accepted.(*conn)); h != nil {
			return h, nil
		}
		c.closed.WithLabelValues(closedRefused).Inc()
		accepted.Close()
	}
}

// admit returns a new connection as one that is counted, and nil if there is no room for it.
func (c *connections) admit(accepted *conn) *held {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.open) >= c.most {
		idlest := c.idle.Front()
		if idlest == nil {
			return nil
		}
		h := idlest.Value.(*held)
		c.drop(h)
		c.closed.WithLabelValues(closedIdle).Inc()
		h.conn.Close() // It does not wait: the kernel goes on sending what is written.
	}
	h := &held{conn: accepted, by: c, quiet: true}
	c.open[h] = struct{}{}
	h.place = c.idle.PushBack(h)
	return h
}

// drop counts a connection no more. The lock is held.
func (c *connections) drop(h *held) {
	delete(c.open, h)
	h.gone = true
	c.sort(h)
}

// sort puts a connection among the idle ones, or takes it from them. One that is idle already keeps its place. The lock
// is held.
func (c *connections) sort(h *held) {
	idle := h.requests == 0 && (h.quiet || h.place != nil) && !h.gone
	switch {
	case idle && h.place == nil:
		h.place = c.idle.PushBack(h)
	case !idle && h.place != nil:
		c.idle.Remove(h.place)
		h.place = nil
	}
}

// bind lets a server tell on which connections it serves requests.
func (c *connections) bind(s *http.Server) {
	next := s.Handler
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := r.Context().Value(heldKey{}).(*held)
		if !h.begin() {
			// The connection was closed a moment ago, so nobody would learn what came of the request.
			panic(http.ErrAbortHandler)
		}
		defer h.end()
		next.ServeHTTP(w, r)
	})
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, heldKey{}, heldIn(c))
	}
	s.ConnState = func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateActive:
			heldIn(c).setQuiet(false)
		case http.StateIdle:
			heldIn(c).setQuiet(true)
		}
	}
}

type heldKey struct{}

// heldIn returns the connection below TLS, if there is any.
func heldIn(c net.Conn) *held {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	return c.(*held)
}

// held is a connection that is counted. It is idle while the server has sent all replies and no handler runs: between
// two requests, before the first, and while one is arriving whose header is not complete.
type held struct {
	*conn
	by *connections

	// Below by.mu.
	requests int           // handlers that run; HTTP/2 may have several
	quiet    bool          // The server waits for a request, of which nothing has arrived.
	place    *list.Element // among the idle ones, nil if it is not
	gone     bool          // It is closed, or about to be.
}

// begin tells that a request is about to be served. It returns false if the connection is closed.
func (h *held) begin() bool {
	h.by.mu.Lock()
	defer h.by.mu.Unlock()
	if h.gone {
		return false
	}
	h.requests++
	h.by.sort(h)
	return true
}

func (h *held) end() {
	h.by.mu.Lock()
	defer h.by.mu.Unlock()
	h.requests--
	h.by.sort(h)
}

func (h *held) setQuiet(quiet bool) {
	h.by.mu.Lock()
	defer h.by.mu.Unlock()
	h.quiet = quiet
	h.by.sort(h)
}

// Close implements net.Conn.
func (h *held) Close() error {
	h.by.mu.Lock()
	if !h.gone {
		h.by.drop(h)
	}
	h.by.mu.Unlock()
	return h.conn.Close()
}
