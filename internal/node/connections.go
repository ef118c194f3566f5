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

// Each client connection uses a file descriptor, and a second one while an object is sent over it. So by default the
// limit of connections is half of the limit of open files, without those that the node itself needs.
const (
	ownDescriptors   = 64   // for the bucket, the logs and --admin-listen
	leastConnections = 16   // even if the limit of open files is low
	mostConnections  = 8192 // unless --max-connections is set, since connections use memory too

	adminConnections = 16 // of --admin-listen: metrics, load balancers and operators
)

// connectionsFor returns the limit of connections, given the limit of open files, or 0 if that is unknown.
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

// connections is a listener with a bounded number of connections. If there are too many, the one that has been idle for
// the longest time is closed for a new one. If all are serving requests, the new one is closed at once.
type connections struct {
	listener
	most int

	mu   sync.Mutex
	open map[*held]struct{}
	idle list.List // connections that serve no request, the longest idle first

	closed *prometheus.CounterVec
}

// newConnections returns a listener. name distinguishes it in the metrics, since one registry has several.
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

// Reasons for closing a connection, in the metric.
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

// admit counts a new connection and returns it, or nil if there is no room.
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
		h.conn.Close() // does not wait: the kernel continues to send what was written
	}
	h := &held{conn: accepted, by: c, quiet: true}
	c.open[h] = struct{}{}
	h.place = c.idle.PushBack(h)
	return h
}

// drop removes a connection from the count. It is called with the lock held.
func (c *connections) drop(h *held) {
	delete(c.open, h)
	h.gone = true
	c.sort(h)
}

// sort adds a connection to the idle ones, or removes it. An idle one keeps its place. It is called with the lock held.
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

// bind makes a server report on which connections it serves requests.
func (c *connections) bind(s *http.Server) {
	next := s.Handler
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := r.Context().Value(heldKey{}).(*held)
		if !h.begin() {
			// The connection was just closed, so no client would get the reply.
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

// heldIn returns the connection below TLS, or nil.
func heldIn(c net.Conn) *held {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	return c.(*held)
}

// held is a counted connection. It is idle while the server has sent all replies and runs no handler: between two
// requests, before the first, and while the header of one arrives.
type held struct {
	*conn
	by *connections

	// Protected by by.mu.
	requests int           // running handlers; HTTP/2 may have several
	quiet    bool          // whether the server waits for a request of which nothing has arrived
	place    *list.Element // among the idle ones; nil if it is not idle
	gone     bool          // whether it is closed, or about to be
}

// begin reports that a request will be served. It returns false if the connection is closed.
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
