package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/alert"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/config"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/event/eventtest"
	"github.com/weirlog/weir/internal/lease"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/record"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/segment"
	"github.com/weirlog/weir/internal/sequence"
	"github.com/weirlog/weir/internal/simulation"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/tlog/tlogtest"
	"github.com/weirlog/weir/internal/wal"
)

// cluster is a few nodes on one bucket, with clients, as the simulation plays them. Sizes are tiny, so that a short
// history meets every case.
type cluster struct {
	world  *simulation.World
	config config.Config
	tuning tuning
	logs   []*simulatedLog
	work   sync.WaitGroup
	ending chan struct{} // closed when the nodes are to end

	clients atomic.Int32 // that have not ended

	// The checks of the bucket at a moment, between two steps, use these.
	observer *tlog.Logs
	reader   *wal.Reader
	parsed   map[string]any  // what objects say, by key and version
	checked  map[string]bool // manifests whose checkpoint is right

	alerting string // project that has a rule of alerts
	places   []*place
	sealed   *seal.Bucket

	mu      sync.Mutex
	rung    map[string]int  // how often the phone was told of an alert, or of its end
	told    map[string]bool // what the phone has accepted
	nodes   []*node         // those that run now; nil in the place of one that is down
	serial  int
	healthy bool // Nothing is made to fail any more.
}

// simulatedLog is a log, and the facts about it that are known from outside.
type simulatedLog struct {
	id      string
	shard   int
	limited bool // its project keeps events for 30 days

	sent  map[string]simulatedEvent // by line
	acked map[string]bool
	lines []string // every entry that it ever had, by index
	tree  proof.Tree
	roots []proof.Hash // of its first n entries
	gone  int64        // so many of its first entries retention has removed

	followed int64 // so many of its first entries the follower was given, or was told that they are gone
}

type simulatedEvent struct {
	time      int64
	processor string
	batch     event.Batch // of this event alone
}

const (
	simulatedShards = 2
	keptDays        = account.MinRetentionDays
)

// limit is the time before which events may be gone from a log that is limited.
func limit(now time.Time) int64 { return now.AddDate(0, 0, -keptDays).UnixMilli() }

func newCluster(t *testing.T, w *simulation.World, nodes int) *cluster {
	eventtest.PassTime()
	c := &cluster{world: w, config: config.Default(), nodes: make([]*node, nodes), ending: make(chan struct{}),
		rung: map[string]int{}, told: map[string]bool{}}
	c.config.Bucket = "s3://simulated/bucket"
	c.config.SigningKeyFile, c.config.SecretFile = filepath.Join(t.TempDir(), "signing-key"),
		filepath.Join(t.TempDir(), "key")
	c.config.SequenceDelay, c.config.RetentionInterval = 4*time.Second, 15*time.Second
	c.tuning.panics, c.tuning.leastIndexed = true, 1
	c.tuning.logs = tlog.Options{BlockBytes: 300, SegmentBytes: 64 << 10, MergeWidth: 2, HistorySegments: 2,
		KeepManifests: 2, Grace: 10 * time.Second, Beside: []segment.Kind{countedLines{}}}
	c.tuning.leases = lease.Options{Fast: 4 * time.Second, Slow: 12 * time.Second, SlowAfter: 20 * time.Second,
		DeleteAfter: 20 * time.Second}
	c.tuning.alerts = alert.Options{Every: alertEvery, LookEvery: alertEvery, Notifier: phone{c}, Parallel: 1,
		Pauses: phonePauses}
	c.tuning.deliveries = c.delivering()
	c.tuning.sequencing = sequence.Options{MaxObjects: 3, BatchBytes: 2000, KeepPlans: 1, Parallel: 1}
	if err := c.fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Check = c.check
	c.reader, c.parsed, c.checked = wal.NewReader(w.Bucket, seal.Key{}, 1<<20), map[string]any{}, map[string]bool{}
	c.observer = tlog.NewLogs(w.Bucket, c.reader, c.observing(t))
	return c
}

// observing returns the options of a store that believes what the nodes sign.
func (c *cluster) observing(t *testing.T) tlog.Options {
	found, err := newSecrets(t.Context(), &c.config, bucketest.NewMemory())
	if err != nil {
		t.Fatal(err)
	}
	c.sealed = seal.NewBucket(c.world.Bucket, found.seals())
	o := c.tuning.logs
	o.Shards, o.Keys, o.Origin = simulatedShards, found.keys, "example.org"
	return o
}

// fill makes two projects, of which one keeps its events for 30 days only.
func (c *cluster) fill(ctx context.Context) error {
	now := time.Now()
	accounts, err := documents(ctx, c.world.Bucket, &c.config)
	if err != nil {
		return err
	}
	org := account.Organization{ID: account.NewID(now), Name: "o", Log: account.NewID(now), Created: now}
	errs := []error{accounts.CreateOrganization(ctx, org)}
	for i, days := range []int{0, keptDays} {
		p := account.Project{ID: account.NewID(now), Org: org.ID, Name: fmt.Sprint("p", i), Created: now,
			Retention: account.Retention{Days: days}}
		for j := range 3 {
			w, err := account.NewWorkspace(fmt.Sprint("w", j), now)
			errs = append(errs, err)
			p.Workspaces = append(p.Workspaces, w)
			c.logs = append(c.logs, &simulatedLog{id: w.AuditLog, shard: wal.ShardOf(w.AuditLog, simulatedShards),
				limited: days > 0,
				sent:    map[string]simulatedEvent{}, acked: map[string]bool{}})
		}
		errs = append(errs, accounts.CreateProject(ctx, p), c.makeRules(ctx, &p))
		c.makePlace(&p, c.logs[len(c.logs)-len(p.Workspaces):])
	}
	return errors.Join(append(errs, initialise(ctx, c.world.Bucket, &c.config, simulatedShards))...)
}

// run keeps the i-th node running, each time as a new process, until the cluster ends.
func (c *cluster) run(i int) {
	rnd := c.world.Rand(fmt.Sprint("node", i))
	for life := 1; ; life++ {
		p := c.world.Process(fmt.Sprintf("node%d.%d", i, life))
		c.live(i, p)
		select {
		case <-c.ending:
			return
		case <-time.After(time.Duration(rnd.Int64N(int64(15 * time.Second)))):
		}
	}
}

// live is one life of a node.
func (c *cluster) live(i int, p *simulation.Process) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n, err := openOn(ctx, p, c.config, c.tuning, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		if !simulation.Expected(err) {
			c.world.Wrong(fmt.Errorf("start: %w", err))
		}
		p.Kill()
		return
	}
	c.put(i, n)
	stop := n.background(ctx)
	var follower sync.WaitGroup
	follower.Go(func() { c.follower(i, n).Run(ctx) })
	select {
	case <-p.Died():
	case <-c.ending:
	}
	p.Kill()
	c.put(i, nil)
	cancel()
	follower.Wait()
	stop()
	n.close()
}

func (c *cluster) put(i int, n *node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[i] = n
}

// node returns a node that runs, chosen at random; nil if the choice fell on one that does not.
func (c *cluster) node(rnd *rand.Rand) *node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[rnd.IntN(len(c.nodes))]
}

func (n *node) process() *simulation.Process { return n.bucket.(*simulation.Process) }

func (n *node) dead() bool { return n.process().Dead() }

// client does one thing after the other on nodes chosen at random.
func (c *cluster) client(name string, times int, do func(context.Context, *rand.Rand, *node)) {
	rnd := c.world.Rand(name)
	c.clients.Add(1)
	c.work.Go(func() {
		for range times {
			time.Sleep(1 + time.Duration(rnd.Int64N(int64(2*time.Second))))
			if n := c.node(rnd); n != nil {
				patience := time.Hour
				if rnd.IntN(8) == 0 {
					patience = time.Duration(1 + rnd.Int64N(int64(5*time.Second)))
				}
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				do(ctx, rnd, n)
				cancel()
			}
		}
		c.clients.Add(-1)
	})
}

// event makes the event with a number, always the same, or repeats one that was sent.
func (c *cluster) event(rnd *rand.Rand, log *simulatedLog) (line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	serial := c.serial
	c.serial++
	at := time.Now().Add(-time.Duration(rnd.Int64N(int64(time.Minute)))).UnixMilli()
	if log.limited { // most of these are past their time soon
		at = limit(time.Now()) + rnd.Int64N(240_000) - 60_000
		if rnd.IntN(3) == 0 { // these are due, so that segments are cut for them
			at -= (24 * time.Hour).Milliseconds()
		}
	}
	uid, processor := fmt.Sprintf("uid-%d", serial), []string{"", "a", "b"}[rnd.IntN(3)]
	line = fmt.Sprintf(`{"time":%d,"metadata":{"uid":%q}}`, at, uid)
	if processor != "" {
		line = fmt.Sprintf(`{"time":%d,"metadata":{"uid":%q},"entity":{"type":"Stream Processor","name":%q}}`, at,
			uid, processor)
	}
	log.sent[line] = simulatedEvent{at, processor, eventtest.Batch(log.id, line)}
	return line
}

// write records a few events, some of which are a producer's retries.
func (c *cluster) write(recent *[]string) func(context.Context, *rand.Rand, *node) {
	return func(ctx context.Context, rnd *rand.Rand, n *node) {
		log := c.logs[rnd.IntN(len(c.logs))]
		b := event.Batch{Log: log.id}
		var lines []string
		for range 1 + rnd.IntN(4) {
			line := c.event(rnd, log)
			if old := *recent; len(old) > 0 && rnd.IntN(3) == 0 {
				line = old[rnd.IntN(len(old))]
			}
			c.mu.Lock()
			e, ok := log.sent[line]
			c.mu.Unlock()
			if !ok {
				continue // of another log
			}
			lines = append(lines, line)
			b.Add(e.batch.Lines, e.batch.Entries[0])
		}
		*recent = append(*recent, lines...)
		_, err := n.recorder.Record(ctx, b)
		switch {
		case err == nil && !n.dead():
			c.mu.Lock()
			defer c.mu.Unlock()
			for _, line := range lines {
				log.acked[line] = true
			}
		case err != nil && !expected(ctx, n.process(), err):
			c.world.Wrong(fmt.Errorf("record: %w", err))
		}
	}
}

// expected tells whether an error is one that a caller must expect of a world like this.
func expected(ctx context.Context, p *simulation.Process, err error) bool {
	return simulation.Expected(err) || ctx.Err() != nil || p.Dead() || errors.Is(err, record.ErrOverloaded)
}

// read downloads a log and checks what came: each acknowledged event once, nothing else.
func (c *cluster) read(ctx context.Context, rnd *rand.Rand, n *node) {
	q := tlog.Query{Start: math.MinInt64, End: math.MaxInt64}
	if rnd.IntN(2) == 0 {
		q.Start = time.Now().Add(-time.Duration(rnd.Int64N(int64(3 * time.Minute)))).UnixMilli()
		q.End = q.Start + rnd.Int64N(120_000)
	}
	if rnd.IntN(3) == 0 {
		q.Processor = []string{"a", "b", "none"}[rnd.IntN(3)]
	}
	if rnd.IntN(3) == 0 {
		c.ask(ctx, rnd, n, q)
		return
	}
	log := c.logs[rnd.IntN(len(c.logs))]
	if err := c.download(ctx, n.logs, log, q); err != nil && !expected(ctx, n.process(), err) &&
		!(log.limited && errors.Is(err, tlog.ErrPruned)) {
		c.world.Wrong(fmt.Errorf("download: %w", err))
	}
}

func (c *cluster) download(ctx context.Context, store *tlog.Logs, log *simulatedLog, q tlog.Query) error {
	must := c.acknowledged(log)
	d, err := store.Download(ctx, log.id, q)
	if err != nil {
		return err
	}
	var file bytes.Buffer
	if err := d.WriteTo(ctx, &file); err != nil {
		return err
	}
	if d.Size() >= 0 && d.Size() != int64(file.Len()) {
		return fmt.Errorf("%d bytes, announced were %d", file.Len(), d.Size())
	}
	lines, err := tlogtest.Lines(file.Bytes())
	if err != nil {
		return fmt.Errorf("it ended without an error, but: %w", err)
	}
	for i, line := range lines {
		lines[i] = strings.TrimSuffix(line, "\n")
	}
	return c.compare(log, lines, must, q)
}

// acknowledged returns the events of a log that are acknowledged now.
func (c *cluster) acknowledged(log *simulatedLog) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(log.acked))
}

// compare checks the lines of a log that a caller got for q: only events that q selects, each once, and all that were
// acknowledged before.
func (c *cluster) compare(log *simulatedLog, lines, must []string, q tlog.Query) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	selected := func(e simulatedEvent) bool {
		return e.time >= q.Start && e.time < q.End && (q.Processor == "" || q.Processor == e.processor)
	}
	seen := map[string]bool{}
	for _, line := range lines {
		switch e, ok := log.sent[line]; {
		case !ok:
			return fmt.Errorf("an event that was never sent to this log: %s", line)
		case seen[line]:
			return fmt.Errorf("twice: %s", line)
		case !selected(e):
			return fmt.Errorf("not selected by %+v: %s", q, line)
		}
		seen[line] = true
	}
	for _, line := range must {
		if !seen[line] && selected(log.sent[line]) && !log.mayBeGone(line) {
			return fmt.Errorf("acknowledged and missing: %s", line)
		}
	}
	return nil
}

func (l *simulatedLog) mayBeGone(line string) bool {
	return l.limited && l.sent[line].time < limit(time.Now())
}

// TestSimulation plays random histories of three nodes with all that they do, and checks I1 to I4, I6 and I9 at every
// step; that a log has nothing of another is a part of I5.
func TestSimulation(t *testing.T) {
	simulation.Run(t, func(t *testing.T, w *simulation.World) {
		c := newCluster(t, w, 3)
		w.Faults = w.Vary(simulation.Faults{Before: 50, After: 40, Late: 60, Twice: 40, Slow: 40, Cut: 60, Death: 300,
			Pause: 200, Storm: 500},
			"plans/", "wal/", "logs/", "leases/", "cursors/", "alertstate/", "deliverystate/",
			"none")
		for i := range c.nodes {
			c.work.Go(func() { c.run(i) })
		}
		for i := range 3 {
			c.client(fmt.Sprint("writer", i), 40, c.write(new([]string)))
			c.client(fmt.Sprint("reader", i), 20, c.read)
		}
		c.client("listener", 4, c.listen)
		c.client("thief", 20, c.steal())
		c.client("owner", 4, c.own)
		err := w.Play(func() bool { return c.clients.Load() == 0 })
		if err == nil {
			err = c.settle()
		}
		close(c.ending)
		if err != nil {
			t.Error(err)
		}
		c.work.Wait()
	})
}

// settle ends all faults, and checks that a healthy cluster brings everything in order by itself.
func (c *cluster) settle() error {
	c.world.Heal()
	c.mu.Lock()
	c.healthy = true
	c.endPauses()
	c.mu.Unlock()
	if err := c.world.PlayFor(3 * time.Minute); err != nil {
		return err
	}
	if err := errors.Join(c.settled(), c.allFollowed(), c.allTold(), c.allDelivered()); err != nil {
		return err
	}
	for i, n := range c.nodes {
		if n == nil {
			return fmt.Errorf("node %d does not run", i)
		}
		for _, log := range c.logs {
			done := false
			c.work.Go(func() {
				if err := c.download(context.Background(), n.logs, log, tlog.Query{Start: math.MinInt64,
					End: math.MaxInt64}); err != nil {
					c.world.Wrong(fmt.Errorf("download in the end: %w", err))
				}
				c.ask(context.Background(), rand.New(rand.NewPCG(uint64(i), 1)), n, tlog.All)
				done = true
			})
			if err := c.world.Play(func() bool { return done }); err != nil {
				return err
			}
		}
	}
	return nil
}
