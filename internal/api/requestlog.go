package api

import (
	"log/slog"
	"time"
)

// logRequest writes a line about a request. What a client chose is cut and made visible.
func (s *Server) logRequest(x *exchange, took time.Duration, aborted bool) {
	level := slog.LevelInfo
	if x.w.status >= 500 || aborted {
		level = slog.LevelWarn
	}
	caller := ""
	if x.call.caller != nil {
		caller = x.call.caller.ID
	}
	s.options.Logger.Log(x.call.context(), level, "request", "method", visible(x.r.Method, maxLogged), "path", visible(x.r.URL.Path, maxLogged),
		"status", x.w.status, "bytes", x.w.bytes, "seconds", took.Seconds(), "aborted", aborted, "caller", visible(caller, maxLogged),
		"address", x.call.address.Addr(), "request", x.call.id)
}
