package api

import (
	"log/slog"
	"math/bits"
	"net/netip"
	"sync"
	"time"
)

// logRequest logs a request. Texts from the client are cut and made visible. Repeated failures are sampled.
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

// Bounds of log lines about failed requests, by caller and status.
const (
	maxAlike  = 20     // lines in a row within a period; after these, the 32nd, the 64th and so on
	maxKinds  = 10_000 // of failures that are counted separately
	logPeriod = time.Minute
)

// repeats counts similar failed requests within a period, so that they do not fill the log.
type repeats struct {
	mu    sync.Mutex
	began time.Time
	seen  map[failure]int
}

// failure is a class of similar failed requests.
type failure struct {
	status  int
	caller  string       // if nobody authenticated, callers are distinguished by address
	address netip.Prefix // for IPv6, a network of 64 bits
}

// sample tells whether a request is logged, and how many similar requests were omitted before it.
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
	p, _ := a.Prefix(length) // the zero value if there is no address
	return p
}
