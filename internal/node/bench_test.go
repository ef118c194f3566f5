package node

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/api"
	"github.com/weirlog/weir/internal/bench/corpus"
	"github.com/weirlog/weir/internal/config"
)

// bench is a node that listens on loopback, with its bucket on disk, and a client's request to it.
type bench struct {
	*node
	url   string
	creds credentials
	token string
}

func startBench(b *testing.B, c config.Config, tuned tuning) *bench {
	b.Helper()
	dir := b.TempDir()
	c.Bucket, c.EnvFile, c.Dev, c.DownloadRate = filepath.Join(dir, "bucket"), filepath.Join(dir, "env"), true, 0
	n, err := open(b.Context(), c, tuned, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	if err := n.prepareDev(b.Context(), n.url(l), io.Discard); err != nil {
		b.Fatal(err)
	}
	server := n.server(api.New(n.accounts, n.auth, n.logs, n.recorder, api.Options{
		MaxEventBytes: int(c.MaxEventBytes), MaxRequestBytes: c.MaxRequestBytes, MaxRequestEvents: c.MaxRequestEvents,
		Logger: n.log}))
	ctx, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { server.Serve(listener{l.(*net.TCPListener), c.IdleTimeout}) })
	work.Go(func() { n.sequencers.Run(ctx) })
	b.Cleanup(func() {
		server.Close()
		stop()
		work.Wait()
		if err := n.close(); err != nil {
			b.Error(err)
		}
	})
	creds, err := readFile(c.EnvFile)
	if err != nil {
		b.Fatal(err)
	}
	token, _, err := n.auth.Issue(ctx, creds.clientID, creds.clientSecret, l.Addr().(*net.TCPAddr).AddrPort().Addr())
	if err != nil {
		b.Fatal(err)
	}
	return &bench{n, n.url(l), creds, token}
}

func (b *bench) post(body []byte) error {
	req, err := http.NewRequest("POST", fmt.Sprintf("%s/api/atlas/v2/groups/%s/streams/demo/auditLogs", b.url,
		b.creds.project), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Authorization", "Bearer "+b.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != 200 {
		err = fmt.Errorf("%d %s", resp.StatusCode, text)
	}
	return err
}

// BenchmarkNode records and downloads. An operation is to record 8 times 5,000 events with 8
// clients and to sequence them, with the index of searches or without, or a download of 30 days.
func BenchmarkNode(b *testing.B) {
	c := config.Default()
	b.Run("record", func(b *testing.B) { startBench(b, c, tuning{}).record(b) })
	b.Run("record-without-index", func(b *testing.B) {
		startBench(b, c, tuning{leastIndexed: math.MaxInt64}).record(b)
	})
	b.Run("download", func(b *testing.B) {
		w := startBench(b, c, tuning{})
		w.fill(b)
		fetch := w.downloader(b, client.Query{})
		if _, err := fetch(); err != nil { // blocks are compared with their digests once
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := fetch(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// record is one operation after the other.
func (w *bench) record(b *testing.B) {
	bodies := corpus.Corpus{Events: 8 * 5000, Days: 1, Until: time.Now(), Seed: 1}
	var body [8]*corpus.Body
	for i := range body {
		body[i] = bodies.NewBody(5000)
	}
	n := uint64(0)
	before := cpuTime(b)
	for b.Loop() {
		var work sync.WaitGroup
		for i := range body {
			n++
			body[i].Renew(n, time.Now())
			work.Go(func() {
				if err := w.post(body[i].Lines); err != nil {
					b.Error(err)
				}
			})
		}
		work.Wait()
	}
	w.sequenceAll(b)
	b.ReportMetric(float64(cpuTime(b)-before)/float64(n*5000)/1000, "cpu-us/event")
}

// cpuTime returns the time that this process has spent computing, in nanoseconds.
func cpuTime(b *testing.B) int64 {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

// fill records 50,000 events of 30 days and has them sequenced.
func (b *bench) fill(t *testing.B) {
	t.Helper()
	all := corpus.Corpus{Events: 50_000, Days: 30, Until: time.Now(), Seed: 1}
	for body := all.NewBody(5000); body.Count() > 0; body = all.NewBody(5000) {
		if err := b.post(body.Lines); err != nil {
			t.Fatal(err)
		}
	}
	b.sequenceAll(t)
}

func (b *bench) sequenceAll(t *testing.B) {
	t.Helper()
	for more := true; more; {
		var err error
		if more, err = b.sequencers.Shard(0).Round(context.Background(), true); err != nil {
			t.Fatal(err)
		}
	}
}

// downloader returns what downloads the events of a query and tells how many bytes they were.
func (b *bench) downloader(t *testing.B, q client.Query) func() (int64, error) {
	t.Helper()
	c, err := client.New(client.Config{URL: b.url, ClientID: b.creds.clientID, ClientSecret: b.creds.clientSecret})
	if err != nil {
		t.Fatal(err)
	}
	return func() (int64, error) {
		d, err := c.Download(context.Background(), client.Source{Project: b.creds.project, Workspace: "demo"}, q)
		if err != nil {
			return 0, err
		}
		defer d.Close()
		return io.Copy(io.Discard, d)
	}
}
