package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirlog/weir/internal/collector"
	"github.com/weirlog/weir/internal/config"
	"github.com/weirlog/weir/internal/lease"
	"github.com/weirlog/weir/internal/retention"
	"github.com/weirlog/weir/internal/sequence"
	"github.com/weirlog/weir/internal/wal"
)

// join makes the node a member of those that share the background work, if it has that role and others may use its
// bucket too. It returns the options for sequencing.
func (n *node) join(shards int) sequence.Options {
	o := n.tuning.sequencing
	o.MaxDelay, o.Logger, o.Committed = n.config.SequenceDelay, n.log, n.committed
	switch {
	case !n.config.Roles.Background:
		o.Leases = sequence.Spectator{}
	case n.config.OnS3():
		leases := n.tuning.leases
		leases.Works, leases.Logger, leases.Version = shards, n.log, n.tuning.version
		n.member = lease.Join(n.bucket, "background", leases)
		o.Leases, o.Active = n.member, n.member.Active
	}
	n.measureLeases(shards)
	return o
}

// holds tells whether this node does the background work of a shard.
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
	gauge("weir_lease_epoch", "How often this node has seen the background work spread again.",
		func() float64 { return float64(n.member.Status().Epoch) })
	gauge("weir_lease_beat_age_seconds", "Since this node's last good beat began; -1 before the first.",
		func() float64 {
			if s := n.member.Status(); s.Beaten >= 0 {
				return s.Beaten.Seconds()
			}
			return -1
		})
}

// leaveWithin bounds how long a stopping node tries to leave.
const leaveWithin = 5 * time.Second

// inBackground tells whether nodes with these roles do background work.
func inBackground(r config.Roles) bool { return r.Background }

const (
	unreported      = 2 * time.Minute // age of an announced change that its node has not reported
	unreportedEvery = time.Minute     // how often a node looks for such changes
	sweepEvery      = time.Hour       // how often a node looks for expired revocations of tokens
)

// tasks returns the background work of this node, one task in each row.
func (n *node) tasks(r *runner) []task {
	all := []task{
		{name: "sequencing", run: endless(n.sequencers.Run)}, // each node counts waiting events, also of other shards
		afterwards(n.joined(), r.periodic(task{name: "retention", role: inBackground}, 0,
			n.config.RetentionInterval, n.retain)),
		afterwards(n.joined(), r.periodic(task{name: "indexes", role: inBackground}, n.config.RetentionInterval/3,
			n.config.RetentionInterval, n.completeLogs)), // not at the same time as retention
		r.periodic(task{name: "unreported changes", role: inBackground}, unreportedEvery, unreportedEvery,
			n.alone(func(ctx context.Context) error { return n.recorder.Unreported(ctx, unreported) })),
		r.periodic(task{name: "old revocations", role: inBackground}, sweepEvery, sweepEvery, n.alone(n.auth.Sweep)),
	}
	all = append(all, afterwards(n.joined(), task{name: "deliveries", role: inBackground,
		run: endless(n.deliverer.Run)}))
	if n.config.Roles.Background {
		e := newExpiry(n.accounts, n.log, n.registry)
		all = append(all, afterwards(n.joined(), r.periodic(task{name: "expiring secrets", role: inBackground}, 0,
			expiryEvery,
			func(ctx context.Context) error { return e.look(ctx, n.holds(0)) })))
	}
	all = append(all, afterwards(n.joined(), task{name: "alerts", role: inBackground, run: endless(n.alerts.Run)}))
	if n.config.Roles.Background {
		all = append(all, afterwards(n.joined(), task{name: "sources", role: inBackground, run: n.collector().Run}))
	}
	for _, a := range n.askers {
		all = append(all, task{name: "witness " + a.Name(), role: inBackground, run: endless(a.Run)})
	}
	if n.member != nil {
		all = append(all, task{name: "membership", role: inBackground, run: endless(n.member.Run)})
	}
	return all
}

// collector creates the collector for the sources of projects.
func (n *node) collector() *collector.Runner {
	return collector.NewRunner(collector.Options{Sources: n.sources, Accounts: n.accounts, Recorder: n.recorder,
		Egress: n.egress, MaxEventBytes: int(n.config.MaxEventBytes), UserAgent: "weir/" + n.tuning.version, Logger: n.log,
		Registry: n.registry, Holds: func(key string) bool { return n.holds(wal.ShardOf(key, len(n.writers))) }})
}

// endless makes a task of a function that runs until its context ends.
func endless(run func(context.Context)) func(context.Context) error {
	return func(ctx context.Context) error {
		run(ctx)
		return nil
	}
}

// background starts the work that no request waits for. It continues after ctx ends, until stop is called. stop waits
// for the work to end, and hands it over to other nodes.
func (n *node) background(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := newRunner(n.log, n.registry, n.tuning.panics)
	r.start(ctx, n.config.Roles, n.tasks(r))
	return func() {
		cancel()
		r.wait()
		n.leave(context.WithoutCancel(ctx))
	}
}

// joined returns a channel that is closed when the node may hold work.
func (n *node) joined() <-chan struct{} {
	if n.member != nil {
		return n.member.Changed()
	}
	c := make(chan struct{})
	close(c)
	return c
}

// leave tells the other nodes that this one does no more background work.
func (n *node) leave(ctx context.Context) {
	if n.member == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, leaveWithin)
	defer cancel()
	if err := n.member.Leave(ctx); err != nil {
		n.log.Warn("cannot tell other nodes that this one stops; they take over its background work later", "err", err)
	}
}

// retain removes events that must no longer be kept. Each node handles the logs of its shards. If a log moves to
// another node between two passes, that node handles it in its next pass.
func (n *node) retain(ctx context.Context) error {
	job := retention.Job{Accounts: n.accounts, Logs: n.logs, Recorder: n.recorder, Logger: n.log,
		Mine:   func(log string) bool { return n.holds(wal.ShardOf(log, len(n.writers))) },
		Setups: []retention.Setup{n.sources, n.deliveries, n.rules}, Readers: []retention.Reader{n.deliveries}}
	return job.Run(ctx)
}

// completeLogs creates missing objects beside the segments of this node's logs: the bucket may be older than indexes,
// or an object was lost.
func (n *node) completeLogs(ctx context.Context) error {
	var errs []error
	complete := func(log string) {
		if !n.holds(wal.ShardOf(log, len(n.writers))) {
			return
		}
		for more := true; more && ctx.Err() == nil; {
			var err error
			if more, err = n.logs.Complete(ctx, log); err != nil {
				errs = append(errs, fmt.Errorf("complete log %s: %w", log, err))
				return
			}
		}
	}
	for log, err := range n.accounts.AllLogs(ctx) {
		if err == nil {
			complete(log)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// alone returns a function that does work only on the node that holds the first shard.
func (n *node) alone(work func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if !n.holds(0) {
			return nil
		}
		return work(ctx)
	}
}
