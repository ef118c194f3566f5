// Package collector collects from the sources of all projects, in the background.
package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/collect"
	"github.com/weirlog/weir/internal/collect/atlas"
	"github.com/weirlog/weir/internal/collect/kafka"
	"github.com/weirlog/weir/internal/doc"
	"github.com/weirlog/weir/internal/egress"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/failures"
	"github.com/weirlog/weir/internal/limit"
	"github.com/weirlog/weir/internal/record"
	"github.com/weirlog/weir/internal/retry"
	"github.com/weirlog/weir/internal/source"
)

// Options of a Runner.
type Options struct {
	Sources       *source.Directory
	Accounts      *account.Directory
	Recorder      *record.Recorder
	Egress        *egress.Policy
	MaxEventBytes int // size of a line (default 1 MiB)
	UserAgent     string
	Logger        *slog.Logger
	Registry      prometheus.Registerer

	// Holds tells whether this node collects what has a key. If two nodes do, both record the same.
	Holds func(key string) bool
}

// Runner collects from the sources of all projects, each at its own times.
type Runner struct {
	Options
	rounds *prometheus.CounterVec
	events *prometheus.CounterVec

	running map[string]*running   // by id of the source
	paces   map[string]*pace      // by credential
	large   chan struct{}         // see collect.Round
	memory  *limit.Shares[string] // see atlas.Options
	room    chan struct{}         // has an element if a round has ended and others wait
	waiting atomic.Bool           // Sources are due for which there was no room.
	work    sync.WaitGroup
	told    failures.Once // what fails, by id of the source; "" is for all

	perMinute int // requests of a credential
}

// running is a source that this node collects from. While a round runs, the round alone has state, due and retries,
// and nobody changes source.
type running struct {
	source  source.Source
	due     time.Time
	cancel  context.CancelFunc // nil if no round runs
	done    chan struct{}
	state   *source.Progress
	seen    bool // in this pass
	retries *retry.Pauses
}

// pace is the Pace that the sources of one credential share.
type pace struct {
	*atlas.Pace
	used bool // in this pass
}

const (
	lookEvery = time.Minute // at the sources, whose changes on this node are seen at once

	// Rounds at a time. Sources of one project that hang leave room for those of others.
	maxRounds          = 64
	maxRoundsOfProject = 16
)

// NewRunner returns a Runner.
func NewRunner(o Options) *Runner {
	r := &Runner{Options: o, running: map[string]*running{}, paces: map[string]*pace{}, perMinute: atlas.PerMinute,
		large: make(chan struct{}, 1), memory: atlas.Memory(), room: make(chan struct{}, 1),
		rounds: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_source_rounds_total",
			Help: "Times that a source was collected from, by result."}, []string{"result"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_source_events_total",
			Help: "Events that were collected, by what became of them."}, []string{"result"})}
	o.Registry.MustRegister(r.rounds, r.events)
	return r
}

// Run collects until ctx ends.
func (r *Runner) Run(ctx context.Context) error {
	defer r.work.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		if err := r.pass(ctx); ctx.Err() == nil && r.told.Tell("", err) {
			r.Logger.Error("cannot read the sources of projects", "err", err)
		}
		timer := time.NewTimer(lookEvery)
		select {
		case <-timer.C:
		case <-r.Sources.Changed():
		case <-r.room:
		case <-ctx.Done():
			return nil
		}
		timer.Stop()
	}
}

// pass starts the rounds that are due, and ends those of sources that are not this node's any more.
func (r *Runner) pass(ctx context.Context) error {
	var errs []error
	for _, of := range r.running {
		of.seen = false
		of.settle()
	}
	for s, err := range r.Sources.All(ctx) {
		if err == nil && !s.Paused && r.Holds(s.Credential()) {
			_, err = r.Accounts.Project(ctx, s.Project)
			if err == nil {
				r.see(s)
			}
		}
		if err != nil && !errors.Is(err, account.ErrNotFound) { // A deleted project collects nothing.
			errs = append(errs, err)
		}
	}
	active, ofProject := 0, map[string]int{}
	for id, of := range r.running {
		switch {
		case !of.seen && len(errs) == 0:
			of.stop()
			delete(r.running, id)
			r.told.Forget(id)
		case of.cancel != nil:
			active++
			ofProject[of.source.Project]++
		}
	}
	waiting := false
	for _, of := range r.running {
		p := of.source.Project
		if !of.seen || of.cancel != nil || time.Now().Before(of.due) {
			continue
		}
		if active >= maxRounds || ofProject[p] >= maxRoundsOfProject {
			waiting = true
			continue
		}
		active++
		ofProject[p]++
		r.start(ctx, of)
	}
	r.waiting.Store(waiting)
	r.forgetPaces()
	return errors.Join(errs...)
}

// see notes that a source is to be collected from by this node.
func (r *Runner) see(s source.Source) {
	of := r.running[s.ID]
	if of == nil {
		of = &running{source: s, retries: again.Pauses()}
		r.running[s.ID] = of
	}
	if !of.source.Changed.Equal(s.Changed) {
		of.stop() // What it did was for the settings that were.
		of.source, of.due = s, time.Time{}
	}
	of.seen = true
}

// again is when a source is asked again that could not be reached. It is not later than it would be anyway.
var again = retry.Policy{First: 30 * time.Second, Longest: 15 * time.Minute}

// settle notes that a round has ended.
func (of *running) settle() {
	if of.cancel == nil {
		return
	}
	select {
	case <-of.done:
		of.cancel()
		of.cancel = nil
	default:
	}
}

// stop ends a round and waits for that.
func (of *running) stop() {
	if of.cancel != nil {
		of.cancel()
		<-of.done
		of.cancel = nil
	}
}

// start begins a round.
func (r *Runner) start(ctx context.Context, of *running) {
	ctx, of.cancel = context.WithCancel(ctx)
	of.done = make(chan struct{})
	began, p := time.Now(), r.paceOf(&of.source)
	r.work.Go(func() {
		defer r.ended()
		defer close(of.done)
		err := r.round(ctx, of, p)
		every := of.source.Every
		switch {
		case ctx.Err() != nil:
		case err == nil:
			of.retries.Reset()
			r.rounds.WithLabelValues("success").Inc()
			r.told.Tell(of.source.ID, nil)
		case errors.Is(err, doc.ErrConflict):
			r.rounds.WithLabelValues("conflict").Inc() // Another node collects, too.
		default:
			every = min(every, of.retries.Next(err))
			r.rounds.WithLabelValues("failure").Inc()
			if r.told.Tell(of.source.ID, err) {
				r.Logger.Warn("cannot collect from a source", "source", of.source.ID, "project", of.source.Project,
					"err", short(err))
			}
		}
		of.due = began.Add(every)
	})
}

// ended has the runner look at once if a source waits for the room that a round leaves.
func (r *Runner) ended() {
	if r.waiting.Load() {
		select {
		case r.room <- struct{}{}:
		default:
		}
	}
}

// short bounds what a source can have written into the log.
func short(err error) string {
	const most = 512
	text := err.Error()
	return fmt.Sprintf("%.*q", most, text)
}

// paceOf returns the Pace that is shared by the sources with the same credential.
func (r *Runner) paceOf(s *source.Source) *atlas.Pace {
	key := s.Credential()
	if r.paces[key] == nil {
		r.paces[key] = &pace{Pace: atlas.NewPace(r.perMinute)}
	}
	return r.paces[key].Pace
}

// forgetPaces forgets those of credentials that no source has.
func (r *Runner) forgetPaces() {
	for _, p := range r.paces {
		p.used = false
	}
	for _, of := range r.running {
		if p := r.paces[of.source.Credential()]; p != nil {
			p.used = true
		}
	}
	for key, p := range r.paces {
		if !p.used {
			delete(r.paces, key)
		}
	}
}

// round collects from a source once.
func (r *Runner) round(ctx context.Context, of *running, p *atlas.Pace) error {
	s := &of.source
	from, hang, err := r.open(s, p)
	if err != nil {
		return r.note(ctx, of, err)
	}
	defer hang()
	project, err := r.Accounts.Project(ctx, s.Project)
	if err != nil {
		return err
	}
	state, err := r.Sources.Load(ctx, s.ID, of.state)
	if err != nil {
		return err
	}
	if of.state = state; state.Lost != nil {
		r.Logger.Error("the state of a source is not valid; the source is collected from the beginning again", "source",
			s.ID, "err", state.Lost)
		state.Lost = nil
	}
	before := state.State.Counts
	to := &targets{r.Accounts, r.Recorder, s, s.Naming(), &state.State}
	round := collect.Round{Source: from, Sink: &sink{r.Recorder, s, project.Org, r.maxEvent()},
		State: &state.State, By: s.By(), Most: r.maxEvent(), Target: to.of, Save: state.Save, Large: r.large}
	err = round.Run(ctx)
	after := state.State.Counts
	r.events.WithLabelValues("recorded").Add(float64(after.Recorded - before.Recorded))
	r.events.WithLabelValues("repeated").Add(float64(after.Repeated - before.Repeated))
	r.events.WithLabelValues("unread").Add(float64(after.Unread - before.Unread))
	r.events.WithLabelValues("refused").Add(float64(after.Refused - before.Refused))
	return err
}

// note writes into the state of a source why it cannot be asked at all.
func (r *Runner) note(ctx context.Context, of *running, why error) error {
	state, err := r.Sources.Load(ctx, of.source.ID, of.state)
	if err != nil {
		return errors.Join(why, err)
	}
	of.state = state
	state.State.Fail(why)
	return errors.Join(why, state.Save(ctx))
}

func (r *Runner) maxEvent() int {
	if r.MaxEventBytes > 0 {
		return r.MaxEventBytes
	}
	return 1 << 20
}

// open returns a source, and a function that closes its connections.
func (r *Runner) open(s *source.Source, p *atlas.Pace) (from collect.Source, hang func(), err error) {
	secret := ""
	if hidden := *s.Secret(); hidden != "" {
		if secret, err = r.Sources.Show(s, hidden); err != nil {
			return nil, nil, fmt.Errorf("its secret: %w", err)
		}
	}
	if s.Kafka != nil {
		settings := *s.Kafka
		settings.Password = secret
		k, err := kafka.New(settings, r.Egress, r.maxEvent())
		if err != nil {
			return nil, nil, err
		}
		return k, k.Close, nil
	}
	return r.openAtlas(s, secret, p)
}

func (r *Runner) openAtlas(s *source.Source, secret string, p *atlas.Pace) (collect.Source, func(), error) {
	h, err := r.Egress.Client(egress.Options{CA: []byte(s.Atlas.CA)})
	if err != nil {
		return nil, nil, err
	}
	if t, ok := h.Transport.(*http.Transport); ok {
		t.ResponseHeaderTimeout = atlas.AnswersWithin
	}
	from, err := s.Atlas.Open(secret, h.Transport, r.UserAgent,
		atlas.Options{Pace: p, Memory: r.memory, Holder: s.Project})
	if err != nil {
		return nil, nil, err
	}
	return from, h.CloseIdleConnections, nil
}

// sink records what was collected from a source.
type sink struct {
	recorder *record.Recorder
	source   *source.Source
	org      string
	most     int
}

// Open implements collect.Sink. The size of the lines has been checked: the limit leaves room for the event that keeps
// a line as it is.
func (s *sink) Open(t collect.Target) collect.Batch {
	return s.recorder.Intake(record.Source{Log: t.Log, Operational: t.Operational, Partial: true, Org: s.org,
		Origin: event.Origin{By: s.source.By(), Workspace: t.Workspace, Project: s.source.Project, Received: time.Now()}},
		record.Limits{EventBytes: collect.MapFactor*s.most + collect.MapMemory})
}

// Reserve implements collect.Sink.
func (s *sink) Reserve() collect.Hold {
	return s.recorder.Reserve(s.source.By(), s.source.Project, s.org)
}
