package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// onS3 is the cost of a search for one id on S3. Of several tries, each number of requests is the least, since the
// node's other requests do not count; the time is the median.
type onS3 struct {
	Delay    float64 `json:"delayMilliseconds"` // added to each request
	Cold     asked   `json:"cold"`              // of a node that has just started
	Again    asked   `json:"again"`             // the same at once: the node sees its own event for the first time
	Warm     asked   `json:"warm"`              // and from then on
	Other    asked   `json:"other"`             // another id, then
	Repeated int     `json:"repeated"`
}

// asked are requests to the store. The event that says who searched is written beside them.
type asked struct {
	Gets    int64   `json:"gets"`
	Lists   int64   `json:"lists"`
	Puts    int64   `json:"puts"`
	Bytes   int64   `json:"bytesRead"`
	Took    float64 `json:"milliseconds"`
	tooks   []float64
	started bool
}

// least keeps the least of each.
func (a *asked) least(b asked) {
	if !a.started {
		a.Gets, a.Lists, a.Puts, a.Bytes, a.started = b.Gets, b.Lists, b.Puts, b.Bytes, true
	}
	a.Gets, a.Lists, a.Puts, a.Bytes = min(a.Gets, b.Gets), min(a.Lists, b.Lists), min(a.Puts, b.Puts),
		min(a.Bytes, b.Bytes)
	a.tooks = append(a.tooks, b.Took)
	a.Took = median(a.tooks)
}

const s3Delay = 20 * time.Millisecond

// wire stands between weir and the store: it counts requests, and adds a delay to each.
type wire struct {
	delay                    atomic.Int64
	gets, lists, puts, bytes atomic.Int64
	proxy                    *httputil.ReverseProxy
}

func newWire(target *url.URL) *wire {
	w := &wire{proxy: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // which is signed
	}, Transport: &http.Transport{MaxIdleConnsPerHost: 128, DisableCompression: true}}}
	w.proxy.ModifyResponse = func(r *http.Response) error {
		if r.Request.Method == http.MethodGet {
			r.Body = &countedBody{r.Body, &w.bytes}
		}
		return nil
	}
	return w
}

func (w *wire) ServeHTTP(to http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method != http.MethodGet:
		w.puts.Add(1)
	case r.URL.Query().Has("list-type"):
		w.lists.Add(1)
	default:
		w.gets.Add(1)
	}
	time.Sleep(time.Duration(w.delay.Load()))
	w.proxy.ServeHTTP(to, r)
}

func (w *wire) counts() asked {
	return asked{Gets: w.gets.Load(), Lists: w.lists.Load(), Puts: w.puts.Load(), Bytes: w.bytes.Load()}
}

type countedBody struct {
	io.ReadCloser
	bytes *atomic.Int64
}

func (c *countedBody) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}

// remote measures one id over all days on S3: VersityGW, with a delay.
func (m *searching) remote(ctx context.Context) error {
	program, err := exec.LookPath(m.tools.versitygw)
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: there is no %s: S3 is left out\n", m.tools.versitygw)
		return nil
	}
	// Each search would also read the events that wait, such as those that say who searched.
	if err := m.with(ctx, m.bucket, func(s *server, _ *client) error { return s.quiet(ctx) }); err != nil {
		return err
	}
	gateway, address, err := startGateway(ctx, program, m.dir)
	if err != nil {
		return err
	}
	w := newWire(&url.URL{Scheme: "http", Host: address})
	front := httptest.NewServer(w)
	defer front.Close()
	copied := exec.CommandContext(ctx, m.binary, "bucket", "copy", m.bucket, "s3://weir/search", "--to-s3-endpoint",
		front.URL)
	if out, err := copied.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("copy the bucket: %w: %s", err, out), gateway.stop())
	}
	r := &onS3{Delay: milliseconds(s3Delay), Repeated: m.tries}
	for range m.tries {
		w.delay.Store(0)
		if err := m.remoteOnce(ctx, w, front.URL, r); err != nil {
			return errors.Join(err, gateway.stop())
		}
	}
	m.report.S3 = r
	return gateway.stop()
}

// remoteOnce starts a node without background work, and asks.
func (m *searching) remoteOnce(ctx context.Context, w *wire, endpoint string, r *onS3) error {
	s, err := serve(ctx, m.binary, m.bucket, "--bucket", "s3://weir/search", "--s3-endpoint", endpoint, "--role", "read",
		"--signing-key-file", m.bucket+".signing-key", "--key-file", m.bucket+".key")
	if err != nil {
		return err
	}
	c, err := newClient(ctx, s.url, m.creds)
	if err != nil {
		return errors.Join(err, s.stop())
	}
	all := questions(m.uid)
	other := all[0]
	other.query = strings.Repeat("0", 8) + m.uid[8:]
	w.delay.Store(int64(s3Delay))
	for _, t := range []struct {
		question question
		into     *asked
	}{{all[0], &r.Cold}, {all[0], &r.Again}, {all[0], &r.Warm}, {other, &r.Other}} {
		before := w.counts()
		_, took, err := m.ask(ctx, c, t.question)
		if err != nil {
			return errors.Join(err, s.stop())
		}
		after := w.counts()
		t.into.least(asked{Gets: after.Gets - before.Gets, Lists: after.Lists - before.Lists,
			Puts: after.Puts - before.Puts, Bytes: after.Bytes - before.Bytes, Took: milliseconds(took)})
	}
	return s.stop()
}

// startGateway starts VersityGW on a folder in dir that has the S3 bucket weir.
func startGateway(ctx context.Context, program, dir string) (*process, string, error) {
	const id, secret = "bench", "bench-secret"
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": id, "AWS_SECRET_ACCESS_KEY": secret} {
		if err := os.Setenv(name, value); err != nil { // for weir
			return nil, "", err
		}
	}
	folder := filepath.Join(dir, "s3")
	if err := os.MkdirAll(filepath.Join(folder, "weir"), 0o755); err != nil {
		return nil, "", err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, "", err
	}
	cmd := exec.CommandContext(ctx, program, "--port", address, "posix", folder)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+id, "ROOT_SECRET_KEY="+secret)
	if err := cmd.Start(); err != nil {
		return nil, "", fmt.Errorf("start VersityGW: %w", err)
	}
	p := &process{cmd}
	for begin := time.Now(); time.Since(begin) < 30*time.Second; time.Sleep(10 * time.Millisecond) {
		if resp, err := http.Get("http://" + address); err == nil {
			resp.Body.Close()
			return p, address, nil
		}
	}
	return nil, "", errors.Join(errors.New("VersityGW does not answer"), p.stop())
}
