package api

import (
	"log/slog"
	"math/bits"
	"net/netip"
	"sync"
	"time"
)

// logRequest writes a line about a request. What a client chose is cut and made visible; repeated failures are sampled.
func (s *Server) logRequest(x *exchange, took time.Duration, aborted bool) {
	write, omitted := s.repeats.sample(x)
	if !write {
		return
	}
	level, caller := slog.LevelInfo, ""
	if x.w.status >= 500 || aborted {
		level = slog.LevelWarn
	}
	if x.call.caller != nil {
		caller = x.call.caller.ID
	}
	attributes := []any{"method", visible(x.r.Method, maxLogged), "path", visible(x.r.URL.Path, maxLogged),
		"status", x.w.status, "bytes", x.w.bytes, "seconds", took.Seconds(), "aborted", aborted,
		"caller", visible(caller, maxLogged), "address", x.call.address.Addr(), "request", x.call.id}
	if x.cause != nil && x.call.context().Err() == nil {
		level = slog.LevelError
		attributes = append(attributes, "err", visible(x.cause.Error(), maxDetail))
	}
	if omitted > 0 {
		attributes = append(attributes, "omitted", omitted)
	}
	s.options.Logger.Log(x.call.context(), level, "request", attributes...)
}

// Bounds on lines about requests that fail, by caller and status.
const (
	maxAlike  = 20     // lines in a row within a period; from then on the 32nd, the 64th and so on
	maxKinds  = 10_000 // of failures that are told apart
	logPeriod = time.Minute
)

// repeats counts requests that fail alike within a period, so that they fill no log.
type repeats struct {
	mu    sync.Mutex
	began time.Time
	seen  map[failure]int
}

// failure is a kind of requests that fail alike.
type failure struct {
	status  int
	caller  string       // If nobody authenticated, the address tells callers apart.
	address netip.Prefix // in IPv6 a network of 64 bits
}

// sample tells whether a line about a request is written, and how many about requests like it were omitted before it.
func (l *repeats) sample(x *exchange) (write bool, omitted int) {
	if x.w.status < 400 && x.w.status != 0 {
		return true, 0
	}
	f := failure{status: x.w.status}
	if x.call.caller != nil {
		f.caller = x.call.caller.ID
	} else {
		f.address = sourceNetwork(x.call.address.Addr())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if x.call.now.Sub(l.began).Abs() >= logPeriod {
		l.began, l.seen = x.call.now, map[failure]int{}
	}
	if _, known := l.seen[f]; !known && len(l.seen) >= maxKinds {
		f = failure{status: f.status}
	}
	l.seen[f]++
	n := l.seen[f]
	switch {
	case n <= maxAlike:
		return true, 0
	case bits.OnesCount(uint(n)) == 1:
		return true, n - max(n/2, maxAlike) - 1
	}
	return false, 0
}

func sourceNetwork(a netip.Addr) netip.Prefix {
	length := 32
	if a.Is6() {
		length = 64
	}
	p, _ := a.Prefix(length) // The zero value if there is no address.
	return p
}
