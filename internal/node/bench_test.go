package node

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/api"
)

var benchEvents = flag.Int("events", 50_000, "events in the log that the download benchmarks read")

// bench is a node that listens on loopback, with its bucket on disk, and a client's request to it.
type bench struct {
	*node
	url   string
	creds credentials
	token string
}

func startBench(b *testing.B) *bench { return startBenchWith(b, DefaultConfig()) }

func startBenchWith(b *testing.B, c Config) *bench {
	b.Helper()
	dir := b.TempDir()
	c.Bucket, c.EnvFile, c.Dev, c.DownloadRate = filepath.Join(dir, "bucket"), filepath.Join(dir, "env"), true, 0
	n, err := open(b.Context(), c, slog.New(slog.DiscardHandler))
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
		MaxEventBytes: c.MaxEventBytes, MaxRequestBytes: c.MaxRequestBytes, MaxRequestEvents: c.MaxRequestEvents, Logger: n.log}))
	ctx, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { server.Serve(listener{l.(*net.TCPListener), c.IdleTimeout}) })
	for _, s := range n.sequencers {
		work.Go(func() { s.Run(ctx) })
	}
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

// corpus returns n events of about 700 bytes, spread over the 30 days before until, of 60 stream processors.
func corpus(n int, until time.Time) [][]byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	step := int64(30*24*time.Hour/time.Millisecond) / int64(n)
	start := until.UnixMilli() - 30*24*3600*1000
	lines := make([][]byte, n)
	for i := range lines {
		p := rnd.IntN(60)
		lines[i] = fmt.Appendf(nil, `{"activity_id":%d,"category_uid":3,"class_uid":3004,"type_uid":%d,"time":%d,"severity_id":1,"status_id":1,"status":"Success","metadata":{"version":"1.8.0","product":{"name":"Atlas Stream Processing","vendor_name":"MongoDB"},"uid":"0193b0c2-%04x-7000-%04x-%012x","log_name":"prod-orders","tenant_uid":"6a793f48c0eb9e7a17712c9a","correlation_uid":"20ec4769-984d-445c-aea7-%012x"},"actor":{"user":{"type_id":1,"name":"admin.user-%d","groups":[{"name":"admin.atlasAdmin"}]}},"src_endpoint":{"ip":"203.0.113.%d","port":%d},"dst_endpoint":{"ip":"10.20.0.7","port":27017},"unmapped":{"atype":"startStreamProcessor"},"entity":{"name":"processor-%02d","type":"Stream Processor","type_id":99,"uid":"6a7941c22c88faeba59c58%02x"}}`+"\n",
			1+rnd.IntN(4), 300401, start+int64(i)*step, rnd.IntN(1<<16), rnd.IntN(1<<16), i, rnd.IntN(1000), rnd.IntN(40), rnd.IntN(250), 1024+rnd.IntN(60000), p, p)
	}
	return lines
}

func (b *bench) post(body []byte) error {
	req, err := http.NewRequest("POST", fmt.Sprintf("%s/api/atlas/v2/groups/%s/streams/demo/auditLogs", b.url, b.creds.project), bytes.NewReader(body))
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

// BenchmarkRecord records durably, over HTTP. An operation is a request.
func BenchmarkRecord(b *testing.B) {
	for _, clients := range []int{1, 8} {
		for _, size := range []int{1, 100, 5000} {
			b.Run(fmt.Sprintf("clients=%d/events=%d", clients, size), func(b *testing.B) {
				w := startBench(b)
				lines := corpus(size, time.Now())
				var next, bytesSent atomic.Int64
				b.ReportAllocs()
				b.ResetTimer()
				var work sync.WaitGroup
				for range clients {
					work.Go(func() {
						for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
							body := renamed(lines, n)
							bytesSent.Add(int64(len(body)))
							if err := w.post(body); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				work.Wait()
				b.SetBytes(bytesSent.Load() / int64(b.N))
				b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}

// BenchmarkProof records and downloads with trees and without them. An operation is to record 8 times 5,000 events with 8
// clients and to sequence them, or a download of 30 days.
func BenchmarkProof(b *testing.B) {
	for _, without := range []bool{true, false} {
		c := DefaultConfig()
		c.withoutTree = without
		name := map[bool]string{true: "without tree", false: "with tree"}[without]
		b.Run("record/"+name, func(b *testing.B) {
			w := startBenchWith(b, c)
			lines := corpus(5000, time.Now())
			n := int64(0)
			before := cpuTime(b)
			for b.Loop() {
				var work sync.WaitGroup
				for range 8 {
					n++
					body := renamed(lines, n)
					work.Go(func() {
						if err := w.post(body); err != nil {
							b.Error(err)
						}
					})
				}
				work.Wait()
			}
			w.sequenceAll(b)
			b.ReportMetric(float64(cpuTime(b)-before)/float64(n*5000)/1000, "cpu-us/event")
		})
		b.Run("download/"+name, func(b *testing.B) {
			w := startBenchWith(b, c)
			w.fill(b, corpus(*benchEvents, time.Now()))
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

// fill records lines and has them sequenced.
func (b *bench) fill(t *testing.B, lines [][]byte) {
	t.Helper()
	for first := 0; first < len(lines); first += 5000 {
		if err := b.post(bytes.Join(lines[first:min(first+5000, len(lines))], nil)); err != nil {
			t.Fatal(err)
		}
	}
	b.sequenceAll(t)
}

func (b *bench) sequenceAll(t *testing.B) {
	t.Helper()
	for more := true; more; {
		var err error
		if more, err = b.sequencers[0].Round(context.Background(), true); err != nil {
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

// renamed returns the lines with other uids, so that they are other events.
func renamed(lines [][]byte, n int64) []byte {
	uid := fmt.Appendf(nil, `"uid":"%08x-`, n)
	var body []byte
	for _, line := range lines {
		at := bytes.Index(line, []byte(`"uid":"0193b0c2-`))
		body = append(append(append(body, line[:at]...), uid...), line[at+len(`"uid":"0193b0c2-`):]...)
	}
	return body
}

// BenchmarkDownload downloads from a sequenced log, over HTTP, and the same bytes from http.FileServer.
func BenchmarkDownload(b *testing.B) {
	w := startBench(b)
	until := time.Now()
	lines := corpus(*benchEvents, until)
	w.fill(b, lines)
	c, err := client.New(client.Config{URL: w.url, ClientID: w.creds.clientID, ClientSecret: w.creds.clientSecret})
	if err != nil {
		b.Fatal(err)
	}
	day, hour := until.Unix()-15*24*3600, until.Unix()-15*24*3600+3600
	for name, q := range map[string]client.Query{
		"30 days": {}, "1 hour": {Start: &day, End: &hour}, "1 processor": {Processor: "processor-07"},
	} {
		dir := b.TempDir()
		fetch := w.downloader(b, q)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				n, err := fetch()
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(n)
			}
		})
		b.Run(name+" from http.FileServer", func(b *testing.B) {
			d, err := c.Download(b.Context(), client.Source{Project: w.creds.project, Workspace: "demo"}, q)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := client.Save(filepath.Join(dir, "audit.gz"), d, func(w io.Writer) io.Writer { return w }); err != nil {
				b.Fatal(err)
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			server := &http.Server{Handler: http.FileServer(http.Dir(dir))}
			go server.Serve(l)
			defer server.Close()
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				resp, err := http.Get("http://" + l.Addr().String() + "/audit.gz")
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(n)
			}
		})
	}
	b.Run("bytes on disk", func(b *testing.B) {
		for b.Loop() {
		}
		b.ReportMetric(float64(diskBytes(b, w.config.Bucket, "segments"))/float64(len(lines)), "B/event")
	})
}

func diskBytes(b *testing.B, dir, part string) (n int64) {
	b.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(path, part) {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return n
}
