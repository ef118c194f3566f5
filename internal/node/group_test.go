package node

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/config"
	"github.com/weirlog/weir/internal/event/eventtest"
	"github.com/weirlog/weir/internal/tlog"
)

// group is nodes without an API on one bucket in memory.
type group struct {
	t      *testing.T
	bucket *bucketest.Memory
	config config.Config
	logs   []string
	acked  map[string][]string // uids, by log
	serial int
}

// peer is one of its nodes.
type peer struct {
	*node
	faulty *bucketest.Faulty
	dead   context.Context
	kill   context.CancelFunc // all that it asks of the bucket fails from now on
	stop   func()

	mu       sync.Mutex
	requests map[bucketest.Op]int
	others   int // puts that are no beats
}

// onBucket runs a test with a group, in time that passes only while everybody waits.
func onBucket(t *testing.T, test func(c *group)) {
	dir := t.TempDir()
	t.Setenv("WEIR_SECRET", "")
	t.Setenv("WEIR_SIGNING_KEY", "")
	synctest.Test(t, func(t *testing.T) {
		c := &group{t: t, bucket: bucketest.NewMemory(), config: config.Default(), acked: map[string][]string{}}
		c.config.Bucket, c.config.SecretFile, c.config.SigningKeyFile = "s3://memory", filepath.Join(dir, "key"),
			filepath.Join(dir, "signing-key")
		accounts, err := documents(t.Context(), c.bucket, &c.config)
		if err != nil {
			t.Fatal(err)
		}
		creds, err := fill(t.Context(), accounts, devSetup)
		if err == nil {
			err = initialise(t.Context(), c.bucket, &c.config, 8)
		}
		if err != nil {
			t.Fatal(err)
		}
		p, err := accounts.Project(t.Context(), creds.project)
		if err != nil {
			t.Fatal(err)
		}
		c.logs = []string{p.Workspaces[0].AuditLog, p.Workspaces[0].OperationalLog, p.ID}
		test(c)
	})
}

// kept is a bucket that stays when a node closes it.
type kept struct{ bucket.Bucket }

func (kept) Close() error { return nil }

func (c *group) start(roles config.Roles) *peer {
	c.t.Helper()
	p := &peer{requests: map[bucketest.Op]int{}}
	p.dead, p.kill = context.WithCancel(context.Background())
	p.faulty = &bucketest.Faulty{Bucket: c.bucket, Before: p.before}
	settings := c.config
	settings.Roles = roles
	var err error
	if p.node, err = openOn(c.t.Context(), kept{p.faulty}, settings, tuning{panics: true},
		slog.New(slog.DiscardHandler), prometheus.NewRegistry()); err != nil {
		c.t.Fatal(err)
	}
	p.stop = p.background(c.t.Context())
	return p
}

func (p *peer) before(_ context.Context, op bucketest.Op, key string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.requests[op]++; op != bucketest.List && op != bucketest.Get && !strings.HasPrefix(key, "leases/") {
		p.others++
	}
	return p.dead.Err()
}

func (c *group) end(all ...*peer) {
	for _, p := range all {
		p.stop()
		if err := p.close(); err != nil {
			c.t.Error(err)
		}
		p.kill()
	}
}

// record records an event on a node.
func (c *group) record(p *peer) {
	c.t.Helper()
	c.serial++
	log, uid, at := c.logs[c.serial%len(c.logs)], fmt.Sprintf("uid-%d", c.serial), time.Now().UnixMilli()
	b := eventtest.Batch(log, fmt.Sprintf(`{"time":%d,"metadata":{"uid":%q}}`, at, uid))
	if _, err := p.recorder.Record(c.t.Context(), b); err != nil {
		c.t.Fatal(err)
	}
	c.acked[log] = append(c.acked[log], uid)
}

// check downloads a log from a node: every event that was acknowledged is there, once. It returns how many are
// sequenced.
func (c *group) check(p *peer, log string) (sequenced int64) {
	c.t.Helper()
	d, err := p.logs.Download(c.t.Context(), log, tlog.Query{End: 1 << 60})
	var file bytes.Buffer
	if err == nil {
		err = d.WriteTo(c.t.Context(), &file)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	z, err := gzip.NewReader(&file)
	if err != nil {
		c.t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, uid := range c.acked[log] {
		if n := strings.Count(string(data), fmt.Sprintf("%q", uid)); n != 1 {
			c.t.Errorf("%s is there %d times, of %d events", uid, n, len(c.acked[log]))
		}
	}
	return d.Head().Size
}

// checkAll checks all logs on a node, and that all their events are sequenced if a minute has passed since the last.
func (c *group) checkAll(p *peer, sequenced bool) {
	c.t.Helper()
	for _, log := range c.logs {
		if got := c.check(p, log); sequenced && got < int64(len(c.acked[log])) {
			c.t.Errorf("%d events are sequenced, of %d", got, len(c.acked[log]))
		}
	}
}

func (c *group) checkSpread(all ...*peer) {
	c.t.Helper()
	for shard := range 8 {
		holders := 0
		for _, p := range all {
			if p.holds(shard) {
				holders++
			}
		}
		if holders != 1 {
			c.t.Errorf("shard %d has %d holders", shard, holders)
		}
	}
}

// An event that one node has acknowledged is in a download that starts later on any other node, sequenced or not, while
// nodes come and go.
func TestReadYourWritesAcrossNodes(t *testing.T) {
	onBucket(t, func(c *group) {
		rnd := rand.New(rand.NewPCG(1, 2))
		nodes := []*peer{c.start(config.AllRoles), c.start(config.AllRoles), c.start(config.AllRoles)}
		before, after := 0, 0
		for i := range 200 {
			c.record(nodes[rnd.IntN(3)])
			log := c.logs[c.serial%len(c.logs)]
			time.Sleep([]time.Duration{0, 0, time.Second, 20 * time.Second}[rnd.IntN(4)])
			if i%20 == 19 { // the last one may be due or not; after a minute it is in its log
				time.Sleep(time.Minute)
			}
			if got := c.check(nodes[rnd.IntN(3)], log); got < int64(len(c.acked[log])) {
				before++
			} else {
				after++
			}
			switch i {
			case 50:
				c.end(nodes[0])
				nodes[0] = c.start(config.AllRoles)
			case 100:
				nodes[1].kill()
				c.end(nodes[1])
				nodes[1] = c.start(config.Roles{Ingest: true, Read: true})
			}
		}
		if before < 20 || after < 20 {
			t.Errorf("%d downloads before the event was sequenced, %d after: both should be put to the test",
				before, after)
		}
		time.Sleep(time.Minute)
		c.checkAll(nodes[1], true)
		c.checkSpread(nodes[0], nodes[2])
		if nodes[1].holds(0) {
			t.Error("a node without the role holds background work")
		}
		c.end(nodes...)
	})
}

// A node that dies without a word is replaced within seconds; one that stops is replaced with the next beat.
func TestTakeover(t *testing.T) {
	onBucket(t, func(c *group) {
		a, b := c.start(config.AllRoles), c.start(config.AllRoles)
		c.record(a)
		time.Sleep(10 * time.Second)
		c.checkSpread(a, b)
		if len(a.member.Status().Held) == 0 && len(b.member.Status().Held) == 0 {
			t.Error("nobody holds anything")
		}
		b.kill()
		b.stop()
		time.Sleep(15 * time.Second)
		if s := a.member.Status(); len(s.Held) != 8 || s.Members != 1 {
			t.Errorf("15 seconds after the other died: %+v", s)
		}
		third := c.start(config.AllRoles)
		time.Sleep(15 * time.Second) // until it knows that what the dead one left does not move
		c.checkSpread(a, third)
		c.end(third)
		time.Sleep(4 * time.Second)
		if s := a.member.Status(); len(s.Held) != 8 {
			t.Errorf("4 seconds after the other left: %+v", s)
		}
		time.Sleep(time.Minute)
		c.checkAll(a, true)
		c.end(a)
		b.close()
	})
}

// An idle group of three nodes costs next to nothing: each node beats once a minute (put, list, delete) and lists the
// write-ahead log twice, and looks at the sources, deliveries and alerts that others may have changed. One looks each
// minute for announcements that nobody reported, and once an hour each makes a pass of retention. Nothing is written
// but beats.
func TestIdleCost(t *testing.T) {
	onBucket(t, func(c *group) {
		nodes := []*peer{c.start(config.AllRoles), c.start(config.AllRoles), c.start(config.AllRoles)}
		c.record(nodes[0])
		time.Sleep(30 * time.Minute)
		for _, p := range nodes {
			p.mu.Lock()
			p.requests, p.others = map[bucketest.Op]int{}, 0
			p.mu.Unlock()
		}
		time.Sleep(time.Hour)
		sum := 0
		for i, p := range nodes {
			p.mu.Lock()
			for _, n := range p.requests {
				sum += n
			}
			if p.others > 0 || p.requests[bucketest.PutNew] > 61 || p.requests[bucketest.Put] > 0 {
				t.Errorf("node %d: %v, of which %d write something else than beats", i, p.requests, p.others)
			}
			p.mu.Unlock()
		}
		t.Logf("%d requests an hour", sum)
		if sum > 1600 { // 0.15 a second and node
			t.Errorf("%d requests in an hour", sum)
		}
		c.record(nodes[1])
		time.Sleep(time.Minute)
		c.checkAll(nodes[2], true)
		c.end(nodes...)
	})
}
