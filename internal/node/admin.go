package node

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/weirlog/weir/internal/bucket"
)

// adminServer serves the operators of the node: /healthz succeeds while the process works; /readyz succeeds while the
// node takes requests and can read and write its bucket; /metrics; and profiles if they are enabled.
func (n *node) adminServer() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		if err := n.ready(ctx); err != nil {
			http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "ready\n")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(n.registry, promhttp.HandlerOpts{}))
	if n.config.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return n.server(mux)
}

// ready returns an error if the node cannot do its work: it cannot read or write its bucket, it takes no events from
// anybody, or, without an API, it takes no part in the background work.
func (n *node) ready(ctx context.Context) error {
	if _, err := n.accounts.Settings(ctx); err != nil {
		return err
	}
	if p, ok := n.bucket.(bucket.Prober); ok {
		if err := p.Writable(ctx); err != nil {
			return err
		}
	}
	if !n.config.Roles.API() {
		if n.member != nil && !n.member.Status().InTouch {
			return errors.New("this node cannot write its beats to the bucket")
		}
		return nil
	}
	return n.recorder.Ready()
}
