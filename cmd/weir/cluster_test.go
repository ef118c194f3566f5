package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/audit"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/bucket/s3"
	"github.com/weirlog/weir/internal/proof"
)

var clusterFor = flag.Duration("cluster.for", time.Minute,
	"how long TestCluster lets things break, with each S3 server")

// TestCluster breaks everything that a cluster is made of, while producers and readers go on: nodes are killed and
// stopped, the S3 server is killed, connections to it are cut in the middle of replies. WEIR_S3_SERVERS names the
// servers, which must be installed, as nginx must; .ci/run does both. Where it is not set the test is left out.
func TestCluster(t *testing.T) {
	servers := os.Getenv("WEIR_S3_SERVERS")
	if servers == "" {
		t.Log("WEIR_S3_SERVERS is not set: no cluster is started")
		return
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "weirtest")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "weirtestsecret")
	for program := range strings.SplitSeq(servers, ",") {
		t.Run(program, func(t *testing.T) { newCluster(t, program).test(t) })
	}
}

// cluster is three nodes between a load balancer and an S3 server.
type cluster struct {
	dir      string
	store    *bucketest.Started
	wire     *wire
	nodes    []*clusterNode
	front    server // how clients reach it, as if it were one server
	history  *history
	watched  *watcher
	failures atomic.Int64 // requests that failed
}

// clusterNode is a node in a process of its own.
type clusterNode struct {
	listen, admin string
	process       *exec.Cmd
	ended         chan struct{} // closed when the process has ended
}

func (n *clusterNode) kill() {
	n.process.Process.Kill()
	<-n.ended
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func newCluster(t *testing.T, program string) *cluster {
	c := &cluster{dir: t.TempDir(), store: bucketest.StartS3(t, program), history: &history{sent: map[string]bool{},
		acked: map[string]bool{}},
		watched: &watcher{checkpoints: map[string]bool{}}}
	c.wire = newWire(t, strings.TrimPrefix(c.store.Endpoint, "http://"))
	env := filepath.Join(c.dir, "env")
	c.weir(t, "init", "--workspace", "demo", "--env-file", env)
	c.front.readEnv(t, env)
	for range 3 {
		c.nodes = append(c.nodes, &clusterNode{listen: freeAddress(t), admin: freeAddress(t)})
	}
	for i := range c.nodes {
		c.start(t, i)
	}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			n.kill()
		}
		for i := range c.nodes {
			if log, _ := os.ReadFile(filepath.Join(c.dir, fmt.Sprintf("node%d.log", i))); t.Failed() {
				t.Logf("node %d: %s", i, log[max(0, len(log)-4000):])
			}
		}
	})
	c.balance(t)
	return c
}

// flags are those that all of weir's commands need to find the bucket.
func (c *cluster) flags() []string {
	return []string{"--bucket", "s3://weir/cluster", "--s3-endpoint", "http://" + c.wire.address, "--shards", "4",
		"--signing-key-file", filepath.Join(c.dir, "signing-key"), "--key-file", filepath.Join(c.dir, "key")}
}

func (c *cluster) command(arguments ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], append(arguments, c.flags()...)...)
	cmd.Env = append(os.Environ(), "WEIR_TEST_BE_WEIR=1")
	return cmd
}

func (c *cluster) weir(t *testing.T, arguments ...string) {
	t.Helper()
	if out, err := c.command(arguments...).CombinedOutput(); err != nil {
		t.Fatalf("weir %s: %v\n%s", arguments[0], err, out)
	}
}

func (c *cluster) start(t *testing.T, i int) {
	t.Helper()
	n := c.nodes[i]
	n.process = c.command("serve", "--listen", n.listen, "--admin-listen", n.admin, "--sequence-delay", "2s",
		"--log-level", "info",
		"--download-rate", "0", "--log-format", "text")
	log, err := os.OpenFile(filepath.Join(c.dir, fmt.Sprintf("node%d.log", i)),
		os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	n.process.Stderr = log
	if err := n.process.Start(); err != nil {
		t.Fatal(err)
	}
	process, ended := n.process, make(chan struct{})
	n.ended = ended
	go func() {
		process.Wait()
		close(ended)
	}()
}

// restart does what a supervisor does: it starts a node again that has ended by itself. That may happen only while a
// node starts: it cannot reach the bucket, or a connection out of this machine has its port.
func (c *cluster) restart(t *testing.T, i int) (again bool) {
	t.Helper()
	select {
	case <-c.nodes[i].ended:
	default:
		return false
	}
	log, err := os.ReadFile(filepath.Join(c.dir, fmt.Sprintf("node%d.log", i)))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "weir: open s3://weir/cluster: ") &&
		!strings.Contains(last, "address already in use") {
		t.Errorf("node %d ended by itself: %.2000s", i, last)
	}
	c.start(t, i)
	return true
}

// balance starts nginx with the configuration of deploy, for these addresses.
func (c *cluster) balance(t *testing.T) {
	t.Helper()
	data, err := os.ReadFile("../../deploy/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	listen, text := freeAddress(t), string(data)
	for i, n := range c.nodes {
		text = strings.Replace(text, fmt.Sprintf("server node%d:8080", i+1), "server "+n.listen, 1)
	}
	text = strings.Replace(text, "listen 8080;", "listen "+listen+";", 1)
	text = regexp.MustCompile(`(?m)^http \{`).ReplaceAllString(text,
		"pid nginx.pid;\nhttp {\n\tclient_body_temp_path body;\n\tproxy_temp_path proxy;\n"+
			"\tfastcgi_temp_path fastcgi;\n\tuwsgi_temp_path uwsgi;\n\tscgi_temp_path scgi;\n")
	name := filepath.Join(c.dir, "nginx.conf")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	nginx := exec.Command("nginx", "-p", c.dir, "-e", filepath.Join(c.dir, "nginx.log"), "-c", name,
		"-g", "daemon off; master_process off;")
	nginx.Stderr = os.Stderr
	if err := nginx.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		nginx.Process.Kill()
		nginx.Wait()
	})
	c.front.config.URL = "http://" + listen
}

func (c *cluster) test(t *testing.T) {
	for i := range c.nodes {
		c.ready(t, i)
	}
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	for i := range 4 {
		work.Go(func() { c.produce(ctx, fmt.Sprintf("p%d", i)) })
	}
	var downloads atomic.Int64
	for range 2 {
		work.Go(func() { c.consume(ctx, t, &downloads) })
	}
	work.Go(func() {
		for ctx.Err() == nil {
			c.watched.follow(ctx, &c.front) // returns when it could not fetch one
			pause(ctx, 100*time.Millisecond)
		}
	})
	broken := c.chaos(t)
	pause(ctx, 5*time.Second)
	stop()
	work.Wait()
	c.checkAll(t)
	t.Logf("%v; %d events sent, %d acknowledged, %d requests failed, %d clean downloads and %d checkpoints meanwhile; "+
		"%d connections cut",
		broken, len(c.history.sent), len(c.history.acked), c.failures.Load(), downloads.Load(),
		len(c.watched.checkpoints), c.wire.cuts.Load())
	if len(c.history.acked) == 0 || downloads.Load() == 0 || len(c.watched.checkpoints) < 2 {
		t.Error("nothing was recorded, downloaded or sequenced: this has shown nothing")
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// chaos breaks one thing after the other, and leaves all whole.
func (c *cluster) chaos(t *testing.T) map[string]int {
	done := map[string]int{}
	between := func(low, high int) { pause(t.Context(), time.Duration(low+rand.IntN(high-low))*time.Millisecond) }
	for end := time.Now().Add(*clusterFor); time.Now().Before(end); between(200, 1500) {
		for i := range c.nodes {
			if c.restart(t, i) {
				done["nodes started again, for they could not start"]++
			}
		}
		i := rand.IntN(len(c.nodes))
		switch n := c.nodes[i]; rand.IntN(10) {
		case 0, 1, 2, 3:
			done["nodes killed"]++
			n.kill()
			between(10, 3000)
			c.start(t, i)
		case 4, 5:
			done["nodes stopped for a while"]++
			n.process.Process.Signal(syscall.SIGSTOP)
			between(100, 15_000)
			n.process.Process.Signal(syscall.SIGCONT)
		case 6:
			done["S3 server killed"]++
			c.store.Kill()
			between(10, 3000)
			c.store.Start(t)
		default:
			done["times of cut connections"]++
			c.wire.cutting.Store(true)
			between(500, 4000)
			c.wire.cutting.Store(false)
		}
	}
	return done
}

// ready waits until a node says that it is ready.
func (c *cluster) ready(t *testing.T, i int) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; pause(t.Context(), 50*time.Millisecond) {
		c.restart(t, i)
		r, err := http.Get("http://" + c.nodes[i].admin + "/readyz")
		if err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("node %d is not ready: %v, %v", i, r, err)
		}
	}
}

// produce records batches, and goes on with the same ones after a failure, as a producer does that wants them in.
func (c *cluster) produce(ctx context.Context, name string) {
	w, err := client.New(c.front.config)
	if err != nil {
		return
	}
	for n := 0; ctx.Err() == nil; n++ {
		var lines strings.Builder
		var uids []string
		for i := range 1 + n*7%40 {
			uid := fmt.Sprintf("%s-%d-%d", name, n, i)
			uids = append(uids, uid)
			fmt.Fprintf(&lines, `{"time":%d,"metadata":{"uid":%q}}`+"\n", time.Now().UnixMilli()-1000, uid)
		}
		c.history.note(c.history.sent, uids)
		for range 1 + rand.IntN(4) {
			limited, cancel := context.WithTimeout(ctx, 10*time.Second)
			_, err := w.Record(limited, c.front.project, "demo", []byte(lines.String()), false)
			cancel()
			if err == nil {
				c.history.note(c.history.acked, uids)
				break
			}
			c.failures.Add(1)
			pause(ctx, 200*time.Millisecond)
		}
	}
}

// consume downloads, and checks each download that ended cleanly.
func (c *cluster) consume(ctx context.Context, t *testing.T, clean *atomic.Int64) {
	for ctx.Err() == nil {
		must := c.history.copyOf(c.history.acked)
		limited, cancel := context.WithTimeout(ctx, 30*time.Second)
		got, err := fetch(limited, &c.front)
		cancel()
		if err != nil {
			c.failures.Add(1)
			pause(ctx, 200*time.Millisecond)
			continue
		}
		check(t, c.history, must, got)
		clean.Add(1)
		pause(ctx, 100*time.Millisecond)
	}
}

// checkAll checks, with everything whole again, that each node gives each acknowledged event once, and that every
// checkpoint that anybody saw is one of the log as it is in the end.
func (c *cluster) checkAll(t *testing.T) {
	for i, n := range c.nodes {
		c.ready(t, i)
		direct := c.front
		direct.config.URL = "http://" + n.listen
		got, err := fetch(t.Context(), &direct)
		if err != nil {
			t.Fatalf("node %d: %v", i, err)
		}
		check(t, c.history, c.history.acked, got)
	}
	keys, err := proof.LoadKeys(filepath.Join(c.dir, "signing-key"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := s3.OpenReadOnly("s3://weir/cluster", s3.Options{Endpoint: c.store.Endpoint})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	c.watched.checkIn(t, &audit.Auditor{Bucket: b, Keys: keys})
}

// wire is what the nodes reach the S3 server through: it can cut connections in the middle of what goes over them.
type wire struct {
	address string
	cutting atomic.Bool
	cuts    atomic.Int64
}

func newWire(t *testing.T, to string) *wire {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{address: l.Addr().String()}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() { w.carry(from, to) })
		}
	})
	t.Cleanup(func() { l.Close() })
	return w
}

func (w *wire) carry(from net.Conn, address string) {
	defer from.Close()
	to, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer to.Close()
	go func() {
		w.copy(to, from, 1<<62) // requests
		to.(*net.TCPConn).CloseWrite()
	}()
	w.copy(from, to, 4) // one reply in so many is cut, when it is time for that
}

var errCut = errors.New("cut")

// copy copies, and while connections are cut, once in so many pieces passes on a part of one and ends.
func (w *wire) copy(dst io.Writer, src io.Reader, once int) error {
	piece := make([]byte, 16<<10)
	for {
		n, err := src.Read(piece)
		if w.cutting.Load() && rand.IntN(once) == 0 {
			w.cuts.Add(1)
			dst.Write(piece[:rand.IntN(n+1)])
			return errCut
		}
		if _, writeErr := dst.Write(piece[:n]); writeErr != nil || err != nil {
			return errors.Join(writeErr, err)
		}
	}
}
