package node

import (
	"context"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirlog/weir/internal/bucket/location"
	"github.com/weirlog/weir/internal/lease"
	"github.com/weirlog/weir/internal/retention"
	"github.com/weirlog/weir/internal/sequence"
	"github.com/weirlog/weir/internal/wal"
)

// join makes the node one of those that share the background work, if it has that role and a bucket that others may use too.
// It returns how to sequence.
func (n *node) join(shards int) sequence.Options {
	o := n.config.sequencing
	o.MaxDelay, o.Logger, o.Committed = n.config.SequenceDelay, n.log, n.committed
	switch {
	case !n.config.Roles.Background:
		o.Leases = sequence.Spectator{}
	case location.IsS3(n.config.Bucket):
		leases := n.config.leases
		leases.Works, leases.Logger, leases.Version = shards, n.log, version()
		n.member = lease.Join(n.bucket, "background", leases)
		o.Leases, o.Active = n.member, n.member.Active
	}
	n.measureLeases(shards)
	return o
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return ""
}

// holds tells whether the background work of a shard is this node's.
func (n *node) holds(shard int) bool {
	return n.config.Roles.Background && (n.member == nil || n.member.Holds(shard))
}

func (n *node) measureLeases(shards int) {
	gauge := func(name, help string, value func() float64) {
		n.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("weir_lease_shards_held", "Shards whose background work this node does.", func() float64 {
		held := 0
		for shard := range shards {
			if n.holds(shard) {
				held++
			}
		}
		return float64(held)
	})
	if n.member == nil {
		return
	}
	gauge("weir_lease_members", "Nodes that do background work and live, as this one sees it.",
		func() float64 { return float64(n.member.Status().Members) })
	gauge("weir_lease_epoch", "How often this node has seen the background work spread anew.",
		func() float64 { return float64(n.member.Status().Epoch) })
	gauge("weir_lease_beat_age_seconds", "Since this node's last good beat began; -1 before the first.", func() float64 {
		if s := n.member.Status(); s.Beaten >= 0 {
			return s.Beaten.Seconds()
		}
		return -1
	})
}

// leaveWithin bounds how long a node that stops tries to say so.
const leaveWithin = 5 * time.Second

// background starts the work that no request waits for. It goes on after ctx ends, until stop is called, which hands it over to
// other nodes.
func (n *node) background(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var work sync.WaitGroup
	work.Go(func() { n.sequencers.Run(ctx) })
	if n.config.Roles.Background {
		joined := n.joined()
		work.Go(func() { n.retain(ctx, joined) })
		work.Go(func() { n.asFirst(ctx, unreportedEvery, "report of changes that were announced", n.report) })
		work.Go(func() { n.asFirst(ctx, sweepEvery, "removal of old revocations", n.auth.Sweep) })
		e := newExpiry(n.accounts, n.log, n.registry)
		work.Go(func() { e.run(ctx, joined, func() bool { return n.holds(0) }) })
		for _, a := range n.askers {
			work.Go(func() { a.Run(ctx) })
		}
	}
	if n.member != nil {
		work.Go(func() { n.member.Run(ctx) })
	}
	return func() {
		cancel()
		work.Wait()
		n.leave(context.WithoutCancel(ctx))
	}
}

// joined returns a channel that is closed once the node may hold something.
func (n *node) joined() <-chan struct{} {
	if n.member != nil {
		return n.member.Changed()
	}
	c := make(chan struct{})
	close(c)
	return c
}

func (n *node) leave(ctx context.Context) {
	if n.member == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, leaveWithin)
	defer cancel()
	if err := n.member.Leave(ctx); err != nil {
		n.log.Warn("others will take over later than they could", "err", err)
	}
}

// retain removes what is no longer to be kept, now and then, until ctx ends. Of several nodes each looks after the logs of its
// shards; what moves to another between two passes is due again with the next.
func (n *node) retain(ctx context.Context, joined <-chan struct{}) {
	select {
	case <-joined:
	case <-ctx.Done():
		return
	}
	job := retention.Job{Accounts: n.accounts, Logs: n.logs, Recorder: n.recorder, Logger: n.log,
		Mine: func(log string) bool { return n.holds(wal.ShardOf(log, len(n.writers))) }}
	every := time.NewTicker(max(n.config.RetentionInterval, time.Second))
	defer every.Stop()
	for {
		if err := job.Run(ctx); err != nil && ctx.Err() == nil {
			n.log.Error("retention", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

// How old an announcement of a change must be to count as one that its node could not report, and how often a node looks
// for such.
const (
	unreported      = 2 * time.Minute
	unreportedEvery = time.Minute
)

// sweepEvery is how often revocations of tokens that have expired are looked for.
const sweepEvery = time.Hour

// asFirst does something now and then, until ctx ends, while this node holds the first shard.
func (n *node) asFirst(ctx context.Context, pause time.Duration, what string, do func(context.Context) error) {
	every := time.NewTicker(pause)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		if !n.holds(0) {
			continue
		}
		if err := do(ctx); err != nil && ctx.Err() == nil {
			n.log.Error(what, "err", err)
		}
	}
}

// report reports what nodes that died were about to do.
func (n *node) report(ctx context.Context) error { return n.recorder.Unreported(ctx, unreported) }
