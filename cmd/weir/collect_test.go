package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/weirlog/weir/client"
)

var collectFor = flag.Duration("collect.for", 10*time.Second,
	"how long TestWeirCollectsFromWeir kills, at least; longer until something was collected meanwhile; with "+
		"-short at most 2s")

// collecting is a weir that collects from another, both in processes that are killed. A source of the one does, and
// weir collect --once.
type collecting struct {
	t           *testing.T
	there, here *server
	wire        *wire // between them
	state       string
	sent        int // batches that were acknowledged
}

// TestWeirCollectsFromWeir kills a weir that is collected from, one that collects, and weir collect --once, again and
// again, and cuts connections between them. In the end each line of the one is in the other once, and nothing else.
func TestWeirCollectsFromWeir(t *testing.T) {
	c := &collecting{t: t, there: newFixed(t), here: newFixed(t), state: filepath.Join(t.TempDir(), "state")}
	c.there.start(t)
	c.here.start(t)
	defer c.stop()
	c.wire = newWire(t, strings.TrimPrefix(c.there.config.URL, "http://"))
	id := c.addSource()
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	config, project := c.there.config, c.there.project // which are read again at each start, and stay
	work.Go(func() { c.produce(ctx, config, project) })
	kills := c.chaos(id)
	cancel()
	work.Wait()
	before := c.lines(c.there, "demo")
	c.finish(id)
	for _, workspace := range []string{"source-demo", "once-demo"} {
		c.compare(workspace, before)
	}
	if c.sent == 0 || kills["collected weir killed"]+kills["collecting weir killed"] == 0 {
		t.Error("nothing was recorded or killed: this has shown nothing")
	}
	t.Logf("%v; %d batches were recorded, %d lines were there, %d connections cut", kills, c.sent, len(before),
		c.wire.cuts.Load())
}

// newFixed returns a server that has the same address each time.
func newFixed(t *testing.T) *server {
	return &server{dir: t.TempDir(), arguments: []string{"--listen", freeAddress(t)}}
}

func (c *collecting) stop() {
	c.here.kill(c.t)
	c.there.kill(c.t)
}

func (c *collecting) client(s *server) *client.Client {
	cl, err := client.New(s.config)
	if err != nil {
		c.t.Fatal(err)
	}
	return cl
}

// call asks the API of the weir that collects.
func (c *collecting) call(method, path string, body any) json.RawMessage {
	c.t.Helper()
	var got json.RawMessage
	err := client.Retry(c.t.Context(), client.RetryOptions{Most: 20 * time.Second}, func() (err error) {
		got, err = c.client(c.here).Call(c.t.Context(), method, "/api/weir/v1/groups/"+c.here.project+path, nil, body)
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return got
}

func (c *collecting) addSource() (id string) {
	var made struct{ ID string }
	got := c.call(http.MethodPost, "/sources", map[string]any{"name": "there", "type": "ATLAS", "atlas": map[string]any{
		"baseUrl": "http://" + c.wire.address, "publicKey": c.there.config.PublicKey,
		"privateKey": c.there.config.PrivateKey, "workspaceNames": []string{"demo"},
		"workspaceNaming": "source-{workspace}"}})
	if err := json.Unmarshal(got, &made); err != nil || made.ID == "" {
		c.t.Fatalf("%s: %v", got, err)
	}
	return made.ID
}

// produce records batches where it is collected from, some of late events.
func (c *collecting) produce(ctx context.Context, config client.Config, project string) {
	for n := 0; ctx.Err() == nil; n++ {
		var lines strings.Builder
		for i := range 1 + n*7%40 {
			at := time.Now().Add(-time.Duration(rand.IntN(600)) * time.Second)
			fmt.Fprintf(&lines, `{"time":%d,"message":"sent %d of %d"}`+"\n", at.UnixMilli(), i, n)
		}
		for ctx.Err() == nil {
			cl, err := client.New(config)
			if err == nil {
				_, err = cl.Record(ctx, project, "demo", []byte(lines.String()), false)
			}
			if err == nil {
				c.sent++
				break
			}
			pause(ctx, 20*time.Millisecond)
		}
	}
}

// chaos kills one after another, until they have collected something meanwhile.
func (c *collecting) chaos(id string) map[string]int {
	done := map[string]int{}
	between := func(most int) { pause(c.t.Context(), time.Duration(20+rand.IntN(most))*time.Millisecond) }
	begun := time.Now()
	shown := func() bool { return len(done) == 3 && c.collected(id) }
	lasts := *collectFor
	if testing.Short() {
		lasts = min(lasts, 2*time.Second)
	}
	for time.Since(begun) < lasts || time.Since(begun) < 10*lasts && !shown() {
		once := c.once()
		if err := once.Start(); err != nil {
			c.t.Fatal(err)
		}
		c.wire.cutting.Store(rand.IntN(3) == 0)
		between(600)
		switch rand.IntN(3) {
		case 0:
			done["collecting weir killed"]++
			c.here.kill(c.t)
			c.here.start(c.t)
		case 1:
			done["collected weir killed"]++
			c.there.kill(c.t)
			between(300)
			c.there.start(c.t)
		}
		between(600)
		once.Process.Kill()
		if err := once.Wait(); err != nil {
			done["weir collect killed or failed"]++
		}
	}
	c.wire.cutting.Store(false)
	return done
}

// collected tells whether the source has collected something.
func (c *collecting) collected(id string) bool {
	var s struct{ Recorded int }
	got := c.call(http.MethodGet, "/sources/"+id+"/status", nil)
	if err := json.Unmarshal(got, &s); err != nil {
		c.t.Fatal(err)
	}
	return s.Recorded > 0
}

// once returns the command that collects from the command line.
func (c *collecting) once() *exec.Cmd {
	cmd := exec.Command(os.Args[0], "collect", "--once", "--url", "http://"+c.wire.address, "--public-key",
		c.there.config.PublicKey, "--from-workspace", "demo", "--naming", "once-{workspace}", "--state", c.state)
	cmd.Env = append(os.Environ(), "WEIR_TEST_BE_WEIR=1", "WEIR_SOURCE_SECRET="+c.there.config.PrivateKey,
		"WEIR_URL="+c.here.config.URL, "MONGODB_ATLAS_PROJECT_ID="+c.here.project,
		"MONGODB_ATLAS_PUBLIC_API_KEY="+c.here.config.PublicKey,
		"MONGODB_ATLAS_PRIVATE_API_KEY="+c.here.config.PrivateKey)
	return cmd
}

// finish has both collect all that there is, with everything whole. A round takes lines in the order of the log, so it
// has all when it has the last one.
func (c *collecting) finish(id string) {
	c.t.Helper()
	last := fmt.Appendf(nil, `{"time":%d,"metadata":{"uid":"the last"}}`, time.Now().UnixMilli())
	if _, err := c.client(c.there).Record(c.t.Context(), c.there.project, "demo", last, false); err != nil {
		c.t.Fatal(err)
	}
	if out, err := c.once().CombinedOutput(); err != nil {
		c.t.Fatalf("weir collect: %v\n%s", err, out)
	}
	c.call(http.MethodPatch, "/sources/"+id, map[string]any{"intervalSeconds": 90}) // It is due at once.
	for deadline := time.Now().Add(time.Minute); ; pause(c.t.Context(), 200*time.Millisecond) {
		if c.lines(c.here, "source-demo")["the last"] != nil {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("the source was not collected from: %s", c.call(http.MethodGet, "/sources/"+id+"/status", nil))
		}
	}
}

// lines returns the events of a workspace by their uids.
func (c *collecting) lines(s *server, workspace string) map[string]map[string]any {
	c.t.Helper()
	found := map[string]map[string]any{}
	eachDownloaded(c.t, c.client(s), client.Source{Project: s.project, Workspace: workspace}, func(line []byte) {
		var e map[string]any
		if err := json.Unmarshal(line, &e); err != nil {
			c.t.Fatal(err)
		}
		uid := part(e, "metadata")["uid"].(string)
		if found[uid] != nil {
			c.t.Errorf("%s has %s twice: %s", workspace, uid, line)
		}
		found[uid] = e
	})
	return found
}

// eachDownloaded calls do with each line of a download of the last 30 days, which is valid until do returns.
func eachDownloaded(t *testing.T, from *client.Client, of client.Source, do func(line []byte)) {
	t.Helper()
	d, err := from.Download(t.Context(), of, client.Query{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	z, err := gzip.NewReader(d)
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewScanner(z)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		do(in.Bytes())
	}
	if err := errors.Join(in.Err(), z.Close()); err != nil {
		t.Fatal(err)
	}
}

// part returns a member that is an object.
func part(e map[string]any, name string) map[string]any {
	of, _ := e[name].(map[string]any)
	return of
}

// compare compares what was collected with what is there, line by line. before is what was there when the last round
// began; collecting makes events there.
func (c *collecting) compare(workspace string, before map[string]map[string]any) {
	c.t.Helper()
	after, got := c.lines(c.there, "demo"), c.lines(c.here, workspace)
	missing, one := 0, ""
	for uid := range before {
		if got[uid] == nil {
			missing, one = missing+1, uid
		}
	}
	if missing > 0 {
		c.t.Errorf("%d of %d lines are missing in %s, such as %s", missing, len(before), workspace, one)
	}
	for uid, e := range got {
		weir := part(part(e, "unmapped"), "weir")
		if _, collected := weir["claimed"]; !collected {
			continue // an event of the workspace itself
		}
		if after[uid] == nil {
			c.t.Errorf("%s has %v, which was never there", workspace, e)
			continue
		}
		if was := part(part(after[uid], "unmapped"), "weir"); !reflect.DeepEqual(weir["claimed"], any(was)) {
			c.t.Errorf("%s is said to be %v, and was %v", uid, weir["claimed"], was)
		}
		if is, was := withoutWeir(e), withoutWeir(after[uid]); !reflect.DeepEqual(is, was) {
			c.t.Errorf("%s: %v, and was %v", workspace, is, was)
		}
	}
}

// withoutWeir returns an event without what weir says of it.
func withoutWeir(e map[string]any) map[string]any {
	e = maps.Clone(e)
	unmapped := maps.Clone(part(e, "unmapped"))
	delete(unmapped, "weir")
	e["unmapped"] = unmapped
	return e
}
