package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/audit"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/verify"
)

var kills = flag.Int("kills", 200, "how often TestCrash kills the process; with -short at most 4 times")

// server is weir in a process of its own, on a folder that outlives it.
type server struct {
	dir       string
	admin     string   // address of its metrics; if empty, any
	arguments []string // beside those that every test needs
	process   *exec.Cmd
	config    client.Config
	project   string
}

// start starts the server and waits until it has written its environment file anew.
func (s *server) start(t *testing.T) {
	t.Helper()
	env := filepath.Join(s.dir, "dev.env")
	before, _ := os.Stat(env)
	s.process = exec.Command(os.Args[0], append([]string{"serve", "--dev", "--bucket", filepath.Join(s.dir, "bucket"),
		"--env-file", env,
		"--listen", "127.0.0.1:0", "--admin-listen", cmp.Or(s.admin, "127.0.0.1:0"), "--sequence-delay", "50ms",
		"--log-level", "error",
		"--download-rate", "0"}, s.arguments...)...)
	s.process.Env = append(os.Environ(), "WEIR_TEST_BE_WEIR=1")
	s.process.Stderr = os.Stderr
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		if after, err := os.Stat(env); err == nil && (before == nil || !os.SameFile(before, after)) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the server did not start")
		}
	}
	s.readEnv(t, env)
}

func (s *server) readEnv(t *testing.T, name string) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for line := range strings.Lines(string(data)) {
		k, v, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "export ")), "=")
		values[k] = strings.Trim(v, "'")
	}
	s.config = client.Config{URL: values["WEIR_URL"], PublicKey: values["MONGODB_ATLAS_PUBLIC_API_KEY"],
		PrivateKey: values["MONGODB_ATLAS_PRIVATE_API_KEY"]}
	s.project = values["MONGODB_ATLAS_PROJECT_ID"]
}

func (s *server) kill(t *testing.T) {
	t.Helper()
	if err := s.process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.process.Wait()
}

// history is what producers have sent, and what was acknowledged.
type history struct {
	mu    sync.Mutex
	sent  map[string]bool // by uid
	acked map[string]bool
}

func (h *history) note(m map[string]bool, uids []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, uid := range uids {
		m[uid] = true
	}
}

func (h *history) copyOf(m map[string]bool) map[string]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := make(map[string]bool, len(m))
	for k := range m {
		c[k] = true
	}
	return c
}

// TestCrash kills the process again and again while others record and download. I1: each acknowledged event is there
// afterwards; I2: once; I3: each checkpoint that anybody saw is one of the log as it is in the end; I4: a download that
// ends cleanly was complete; and nothing is there that was never sent.
func TestCrash(t *testing.T) {
	s := &server{dir: t.TempDir()}
	h := &history{sent: map[string]bool{}, acked: map[string]bool{}}
	watched := &watcher{checkpoints: map[string]bool{}}
	downloads := 0
	rounds := *kills
	if testing.Short() {
		rounds = min(rounds, 4)
	}
	// On a busy machine a process may do nothing before it is killed: then there are more rounds, and longer ones.
	shown := func() bool { return len(h.acked) > 0 && downloads > 0 && len(watched.checkpoints) > 0 }
	round := 0
	for ; round < rounds || !shown() && round < 10*rounds; round++ {
		s.start(t)
		ctx, stop := context.WithCancel(t.Context())
		var work sync.WaitGroup
		for producer := range 3 {
			work.Go(func() { produce(ctx, s, h, fmt.Sprintf("r%d-p%d", round, producer)) })
		}
		clean := 0
		work.Go(func() { clean = consume(ctx, t, s, h) })
		work.Go(func() { watched.follow(ctx, s) })
		time.Sleep(time.Duration((20+rand.IntN(120))*(1+round/rounds)) * time.Millisecond)
		s.kill(t)
		stop()
		work.Wait()
		downloads += clean
	}
	s.start(t)
	got, err := fetch(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	check(t, h, h.acked, got)
	s.kill(t)
	watched.check(t, filepath.Join(s.dir, "bucket"))
	t.Logf("%d kills, %d events sent, %d acknowledged, %d clean downloads and %d checkpoints meanwhile",
		round, len(h.sent), len(h.acked), downloads, len(watched.checkpoints))
	if !shown() {
		t.Error("nothing was recorded, downloaded or signed: this has shown nothing")
	}
}

// watcher keeps every checkpoint that it sees.
type watcher struct {
	log         string
	checkpoints map[string]bool
}

// follow fetches checkpoints until the server is gone.
func (w *watcher) follow(ctx context.Context, s *server) {
	c, err := client.New(s.config)
	if err != nil {
		return
	}
	source := client.Source{Project: s.project}
	for ctx.Err() == nil {
		if w.log == "" {
			logs, err := c.List(ctx, "/api/weir/v1/groups/"+s.project+"/logs", nil)
			if err != nil {
				return
			}
			for _, l := range logs {
				var log struct{ LogID, Kind string }
				if json.Unmarshal(l, &log) == nil && log.Kind == "audit" {
					w.log = log.LogID
				}
			}
		}
		signed, err := c.Fetch(ctx, source.LogPath(w.log)+"/checkpoint", nil)
		if err != nil {
			return
		}
		w.checkpoints[string(signed)] = true
	}
}

// check checks every checkpoint against the log as its bucket has it.
func (w *watcher) check(t *testing.T, bucket string) {
	t.Helper()
	keys, err := proof.LoadKeys(bucket + ".signing-key")
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := verify.OpenFolder(bucket)
	if err != nil {
		t.Fatal(err)
	}
	w.checkIn(t, &audit.Auditor{Bucket: b, Keys: keys})
}

// checkIn checks every checkpoint against the log that an auditor reads.
func (w *watcher) checkIn(t *testing.T, auditor *audit.Auditor) {
	t.Helper()
	roots := map[int64]proof.Hash{}
	var sizes []int64
	for signed := range w.checkpoints {
		c, err := auditor.Keys.OpenCheckpoint(proof.Origin(signed), signed)
		if err != nil {
			t.Fatal(err)
		}
		if root, ok := roots[c.N]; ok && root != c.Hash {
			t.Errorf("two trees of %d entries were signed", c.N)
		}
		roots[c.N] = c.Hash
		sizes = append(sizes, c.N)
	}
	a, err := auditor.Log(t.Context(), w.log, sizes...)
	if err != nil || len(a.Findings) > 0 || len(sizes) == 0 {
		t.Fatalf("%d checkpoints, audit %+v, %v", len(sizes), a, err)
	}
	for size, root := range roots {
		if got, ok := a.RootAt(size); !ok || got != root {
			t.Errorf("a tree of %d entries was signed that is not the log's", size)
		}
	}
}

// produce records batches until the server is gone; now and then it sends one twice, as who got no answer would.
func produce(ctx context.Context, s *server, h *history, name string) {
	c, err := client.New(s.config)
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
		h.note(h.sent, uids)
		for range 1 + n%3/2 {
			if _, err := c.Record(ctx, s.project, "demo", []byte(lines.String()), false); err != nil {
				return
			}
			h.note(h.acked, uids)
		}
	}
}

// consume downloads until the server is gone, and checks each download that ended cleanly.
func consume(ctx context.Context, t *testing.T, s *server, h *history) (clean int) {
	for ctx.Err() == nil {
		must := h.copyOf(h.acked)
		got, err := fetch(ctx, s)
		if err != nil {
			return clean
		}
		check(t, h, must, got)
		clean++
	}
	return clean
}

// fetch returns how often each uid is in a download.
func fetch(ctx context.Context, s *server) (map[string]int, error) {
	c, err := client.New(s.config)
	if err != nil {
		return nil, err
	}
	d, err := c.Download(ctx, client.Source{Project: s.project, Workspace: "demo"}, client.Query{})
	if err != nil {
		return nil, err
	}
	defer d.Close()
	z, err := gzip.NewReader(d)
	if err != nil {
		return nil, err
	}
	got := map[string]int{}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		_, rest, ok := strings.Cut(lines.Text(), `"metadata":{"uid":"`)
		uid, _, _ := strings.Cut(rest, `"`)
		if ok {
			got[uid]++
		}
	}
	return got, errors.Join(lines.Err(), z.Close())
}

func check(t *testing.T, h *history, must map[string]bool, got map[string]int) {
	t.Helper()
	sent := h.copyOf(h.sent)
	for uid, times := range got {
		if times != 1 {
			t.Errorf("%s is there %d times", uid, times)
		}
		if !sent[uid] {
			t.Errorf("%s was never sent", uid)
		}
	}
	for uid := range must {
		if got[uid] == 0 {
			t.Errorf("%s was acknowledged and is missing", uid)
		}
	}
}
