package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
)

const shards = 16

// cluster is a number of members on one bucket in memory.
type cluster struct {
	t      *testing.T
	bucket *bucketest.Memory
	work   sync.WaitGroup
}

// process is a running member.
type process struct {
	*Member
	faulty *bucketest.Faulty

	requests atomic.Int64
	kill     context.CancelFunc // ends it without Leave
}

func newCluster(t *testing.T) *cluster { return &cluster{t: t, bucket: bucketest.NewMemory()} }

func (c *cluster) start() *process {
	p := &process{}
	p.faulty = &bucketest.Faulty{Bucket: c.bucket, Before: func(context.Context, bucketest.Op, string) error {
		p.requests.Add(1)
		return nil
	}}
	p.Member = Join(p.faulty, "background", Options{Works: shards, Logger: slog.New(slog.DiscardHandler)})
	ctx, kill := context.WithCancel(c.t.Context())
	p.kill = kill
	c.work.Go(func() { p.Run(ctx) })
	return p
}

// settle waits for several fast beats of all members.
func (c *cluster) settle(all ...*process) {
	for range 3 {
		for _, p := range all {
			p.Active()
		}
		time.Sleep(3 * time.Second)
	}
	synctest.Wait()
}

// checkSpread checks that each shard is held by exactly one of the members.
func (c *cluster) checkSpread(all ...*process) {
	c.t.Helper()
	for shard := range shards {
		holders := 0
		for _, p := range all {
			if p.Holds(shard) {
				holders++
			}
		}
		if holders != 1 {
			c.t.Errorf("shard %d has %d holders", shard, holders)
		}
	}
}

func (c *cluster) beats() []string {
	var keys []string
	for info, err := range c.bucket.List(c.t.Context(), "leases/", "") {
		if err != nil {
			c.t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func run(t *testing.T, test func(c *cluster)) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		test(c)
		t.Cleanup(c.work.Wait)
	})
}

// Each shard has one holder. If a member comes or goes, only the shards that it takes or leaves move.
func TestEachShardHasOneHolder(t *testing.T) {
	run(t, func(c *cluster) {
		a := c.start()
		synctest.Wait()
		if s := a.Status(); len(s.Held) != shards || s.Epoch != 1 || !s.InTouch {
			t.Errorf("alone: %+v", s)
		}
		b := c.start()
		c.settle(a, b)
		c.checkSpread(a, b)
		before := b.Status().Held
		third := c.start()
		c.settle(a, b, third)
		c.checkSpread(a, b, third)
		for _, shard := range b.Status().Held {
			if !slices.Contains(before, shard) {
				t.Errorf("shard %d moved between members that stayed", shard)
			}
		}
		if s := third.Status(); s.Members != 3 {
			t.Errorf("%+v", s)
		}
		a.kill()
		b.kill()
		third.kill()
	})
}

// A member that dies without Leave is replaced within 15 seconds, but not too early. Its beats are deleted later.
func TestDeadMemberIsReplaced(t *testing.T) {
	run(t, func(c *cluster) {
		a, b := c.start(), c.start()
		c.settle(a, b)
		changed := a.Changed()
		died := time.Now()
		b.kill()
		<-changed
		if took := time.Since(died); took < 6*time.Second || took > 15*time.Second {
			t.Errorf("taken over after %v", took)
		}
		if s := a.Status(); len(s.Held) != shards || s.Members != 1 {
			t.Errorf("%+v", s)
		}
		if len(c.beats()) != 2 {
			t.Errorf("%v: want the beats of both", c.beats())
		}
		time.Sleep(12 * time.Minute)
		if left := c.beats(); len(left) != 1 || !strings.Contains(left[0], a.id) {
			t.Errorf("%v: want the beat of the one that lives", left)
		}
		a.kill()
	})
}

// A member that leaves is replaced with the next beat of the others.
func TestMemberThatLeavesIsReplacedAtOnce(t *testing.T) {
	run(t, func(c *cluster) {
		a, b := c.start(), c.start()
		c.settle(a, b)
		changed := a.Changed()
		b.kill()
		synctest.Wait()
		left := time.Now()
		if err := b.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		if held := b.Status().Held; len(held) != 0 {
			t.Errorf("it still holds %v", held)
		}
		<-changed
		if took := time.Since(left); took > 3*time.Second || len(a.Status().Held) != shards {
			t.Errorf("taken over after %v: %+v", took, a.Status())
		}
		if len(c.beats()) != 1 {
			t.Errorf("%v", c.beats())
		}
		a.kill()
	})
}

// A member that cannot reach the bucket gives up its shards before others take them, and gets them back afterwards.
func TestMemberWithoutBucketGivesUpItsShards(t *testing.T) {
	run(t, func(c *cluster) {
		a, b := c.start(), c.start()
		c.settle(a, b)
		before := b.Status().Held
		var mu sync.Mutex
		gone := true
		b.faulty.Before = func(context.Context, bucketest.Op, string) error {
			mu.Lock()
			defer mu.Unlock()
			if gone {
				return errors.New("injected")
			}
			return nil
		}
		for range 30 {
			for shard := range shards {
				if a.Holds(shard) && b.Holds(shard) {
					t.Errorf("shard %d is held twice", shard)
				}
			}
			a.Active()
			b.Active()
			time.Sleep(time.Second)
		}
		if s := b.Status(); len(s.Held) != 0 || s.InTouch || s.Beaten < 20*time.Second || b.Rank(0) == 0 {
			t.Errorf("%+v", s)
		}
		if len(a.Status().Held) != shards {
			t.Errorf("%+v", a.Status())
		}
		changed := b.Changed()
		mu.Lock()
		gone = false
		mu.Unlock()
		<-changed
		c.settle(a, b)
		c.checkSpread(a, b)
		if after := b.Status().Held; !slices.Equal(before, after) {
			t.Errorf("held %v, holds %v", before, after)
		}
		a.kill()
		b.kill()
	})
}

// A beat whose reply was lost counts. Keys are not used again, and only the last of a member's own beats stays.
func TestBeatWithLostReplyCounts(t *testing.T) {
	ctx := t.Context()
	c := newCluster(t)
	names := map[string]int{}
	f := &bucketest.Faulty{Bucket: c.bucket, Before: func(_ context.Context, op bucketest.Op, key string) error {
		if op == bucketest.PutNew {
			names[key]++
		}
		return nil
	}}
	m := Join(f, "background", Options{Works: shards, Logger: slog.New(slog.DiscardHandler)})
	fail := func(op bucketest.Op) func(context.Context, bucketest.Op, string) error {
		return func(_ context.Context, got bucketest.Op, _ string) error {
			if got == op {
				return errors.New("injected")
			}
			return nil
		}
	}
	f.After = fail(bucketest.PutNew)
	if err := m.Beat(ctx); err != nil || !m.Holds(0) {
		t.Errorf("%v; %+v", err, m.Status())
	}
	f.After = fail(bucketest.Delete)
	for range 3 {
		if err := m.Beat(ctx); err != nil {
			t.Error(err)
		}
	}
	c.bucket.AllowAnyKeys()
	if err := c.bucket.PutNew(ctx, "leases/background/README", nil); err != nil {
		t.Fatal(err)
	}
	f.After = nil
	if err := m.Beat(ctx); err != nil || len(c.beats()) != 2 {
		t.Errorf("%v, %v", err, c.beats())
	}
	for name, n := range names {
		if n != 1 {
			t.Errorf("%s was put %d times", name, n)
		}
	}
}

// Members of an idle cluster beat once a minute and still see each other as alive. A member that gets work beats fast
// at once.
func TestIdleMembersBeatSlowly(t *testing.T) {
	run(t, func(c *cluster) {
		a, b := c.start(), c.start()
		c.settle(a, b)
		epoch := a.Status().Epoch
		time.Sleep(10 * time.Minute)
		before := a.requests.Load()
		time.Sleep(time.Hour)
		if requests := a.requests.Load() - before; requests < 3*59 || requests > 3*61 {
			t.Errorf("%d requests an hour, want 3 a minute", requests)
		}
		if a.Status().Epoch != epoch || b.Status().Members != 2 {
			t.Errorf("%+v, %+v: slow beats must not look like death", a.Status(), b.Status())
		}
		c.checkSpread(a, b)
		a.Active()
		synctest.Wait()
		if !slices.ContainsFunc(c.beats(), func(key string) bool {
			return strings.Contains(key, a.id) &&
				strings.HasSuffix(key, "-3")
		}) {
			t.Errorf("%v", c.beats())
		}
		a.kill()
		b.kill()
	})
}

// A member that slept while the clock of the machine went on wakes without any shard. After one more beat it is back.
func TestMemberThatSleptHoldsNothing(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	m := Join(bucketest.NewMemory(), "background", Options{Works: shards, Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return now }})
	if m.Holds(0) {
		t.Error("holds before its first beat")
	}
	for i := range 3 {
		if err := m.Beat(t.Context()); err != nil || !m.Holds(0) {
			t.Errorf("beat %d: %v", i, err)
		}
		now = now.Add(time.Hour)
		if m.Holds(0) {
			t.Error("it holds what others have taken over")
		}
	}
}

func TestBeatKey(t *testing.T) {
	for _, test := range []struct {
		key      string
		id       string
		number   int64
		promised time.Duration
		ok       bool
	}{
		{beatKey("background", "0af3", 12, 2500*time.Millisecond), "0af3", 12, 3 * time.Second, true},
		{"leases/background/0af3/000000000012-60", "0af3", 12, time.Minute, true},
		{"leases/other/0af3/000000000012-60", "", 0, 0, false},
		{"leases/background/0af3", "0af3", 0, 0, false},
		{"leases/background/0af3/12", "0af3", 12, 0, false},
		{"leases/background//12-3", "", 12, 3 * time.Second, false},
		{"leases/background/0af3/12-99999999999", "0af3", 12, 65535 * time.Second, false},
	} {
		id, number, promised, ok := parseBeat("background", test.key)
		if id != test.id || number != test.number || promised != test.promised && ok || ok != test.ok {
			t.Errorf("%s: %s", test.key, fmt.Sprint(id, number, promised, ok))
		}
	}
	if err := bucket.CheckKey(beatKey("background", "0af3", 1, time.Second)); err != nil {
		t.Error(err)
	}
}
