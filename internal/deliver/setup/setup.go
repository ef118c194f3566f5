// Package setup keeps the deliveries of projects, and says what they mean: of which logs they are, where they begin,
// and how far they have come.
package setup

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/layout"
	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/deliver/places"
	"github.com/weirlog/weir/internal/doc"
	"github.com/weirlog/weir/internal/egress"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/record"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/tlog"
)

// Deliveries are those of all projects. It may be used concurrently, and by many processes.
type Deliveries struct {
	Parts
	sets *doc.Cache[deliver.Set]
}

// Parts are the parts of a node that Deliveries use.
type Parts struct {
	Bucket   bucket.Bucket // that seals documents (package seal)
	Accounts *account.Directory
	Logs     *tlog.Logs
	Recorder *record.Recorder
	Box      seal.Box
	Egress   *egress.Policy
}

// maxCached is how many projects' deliveries are kept in memory.
const maxCached = 1000

// New returns the deliveries in a bucket.
func New(p Parts) *Deliveries {
	return &Deliveries{Parts: p, sets: doc.NewCache[deliver.Set](p.Bucket, layout.Deliveries.Prefix(), maxCached)}
}

var _ deliver.Source = (*Deliveries)(nil)

// Of returns the deliveries of a project, in the order in which they were made.
func (s *Deliveries) Of(ctx context.Context, project string) ([]deliver.Delivery, error) {
	set, err := s.sets.GetOrEmpty(ctx, project)
	if err != nil {
		return nil, err
	}
	all := slices.Clone(set.Deliveries)
	for i := range all {
		all[i].Project = project
	}
	return all, nil
}

// Get returns a delivery of a project; doc.ErrNotFound (wrapped) if there is none.
func (s *Deliveries) Get(ctx context.Context, project, id string) (*deliver.Delivery, error) {
	all, err := s.Of(ctx, project)
	if err != nil {
		return nil, err
	}
	return find(all, id)
}

func find(all []deliver.Delivery, id string) (*deliver.Delivery, error) {
	i := slices.IndexFunc(all, func(d deliver.Delivery) bool { return d.ID == id })
	if i < 0 {
		return nil, fmt.Errorf("delivery %s: %w", id, doc.ErrNotFound)
	}
	return &all[i], nil
}

// Create adds a delivery to its project, once its beginning in each log is kept. If the project has as many as it may,
// it returns an *account.Full (wrapped).
func (s *Deliveries) Create(ctx context.Context, d deliver.Delivery, start Start) error {
	if err := s.begin(ctx, &d, start); err != nil {
		return err
	}
	d.Generation = 1
	_, err := s.sets.UpdateOrCreate(ctx, d.Project, func(set *deliver.Set) error {
		if len(set.Deliveries) >= deliver.MaxDeliveries {
			return &account.Full{Of: "A project", What: "log integrations", Most: deliver.MaxDeliveries}
		}
		set.Project = d.Project
		set.Deliveries = append(slices.Clone(set.Deliveries), d)
		return nil
	})
	if errors.As(err, new(*account.Full)) {
		return errors.Join(err, deliver.DropStates(ctx, s.Bucket, d.ID))
	}
	return err
}

// Update changes a delivery, and has the nodes read its states again. An error of change leaves it as it is.
func (s *Deliveries) Update(ctx context.Context, project, id string,
	change func(*deliver.Delivery) error) (*deliver.Delivery, error) {
	var changed deliver.Delivery
	_, err := s.sets.UpdateOrCreate(ctx, project, func(set *deliver.Set) error {
		set.Deliveries = slices.Clone(set.Deliveries)
		d, err := find(set.Deliveries, id)
		if err == nil {
			d.Project = project
			err = change(d)
		}
		if err != nil {
			return err
		}
		d.Generation++
		changed = *d
		return nil
	})
	return &changed, err
}

// Change is Update that may name more logs: where the delivery begins in those is kept first.
func (s *Deliveries) Change(ctx context.Context, d deliver.Delivery, start Start) (*deliver.Delivery, error) {
	if err := s.begin(ctx, &d, start); err != nil {
		return nil, err
	}
	return s.Update(ctx, d.Project, d.ID, func(have *deliver.Delivery) error {
		generation, paused := have.Generation, have.Paused
		*have = d
		have.Generation, have.Paused = generation, paused
		return nil
	})
}

// Delete deletes a delivery, and its states.
func (s *Deliveries) Delete(ctx context.Context, project, id string) error {
	_, err := s.sets.UpdateOrCreate(ctx, project, func(set *deliver.Set) error {
		if _, err := find(set.Deliveries, id); err != nil {
			return err
		}
		set.Deliveries = slices.DeleteFunc(slices.Clone(set.Deliveries),
			func(d deliver.Delivery) bool { return d.ID == id })
		return nil
	})
	if err != nil {
		return err
	}
	return deliver.DropStates(ctx, s.Bucket, id)
}

// Projects yields the ids of the projects that have deliveries.
func (s *Deliveries) Projects(ctx context.Context) iter.Seq2[string, error] {
	return s.sets.Names(ctx, func(set *deliver.Set) string {
		if len(set.Deliveries) == 0 {
			return ""
		}
		return set.Project
	})
}

// Drop removes all deliveries of a project, and their states.
func (s *Deliveries) Drop(ctx context.Context, project string) error {
	all, err := s.Of(ctx, project)
	if err != nil {
		return err
	}
	for _, d := range all {
		if err := deliver.DropStates(ctx, s.Bucket, d.ID); err != nil {
			return err
		}
	}
	_, err = s.sets.Update(ctx, project, func(set *deliver.Set) error { set.Deliveries = nil; return nil })
	return err
}

// All implements deliver.Source.
func (s *Deliveries) All(ctx context.Context) iter.Seq2[*deliver.Set, error] { return s.sets.All(ctx) }

// Changed implements deliver.Source.
func (s *Deliveries) Changed() <-chan struct{} { return s.sets.Changed() }

// Types of logs, as a delivery names them.
const (
	StreamsAudit       = "STREAMS_AUDIT"
	StreamsOperational = "STREAMS_OPERATIONAL"
	Events             = "EVENTS"
)

// LogTypes returns all types of logs.
func LogTypes() []string { return []string{StreamsAudit, StreamsOperational, Events} }

// Subjects implements deliver.Source. A log of a workspace that was deleted is delivered to its end. A project that was
// deleted has none.
func (s *Deliveries) Subjects(ctx context.Context, d *deliver.Delivery) ([]deliver.Subject, error) {
	p, err := s.Accounts.Project(ctx, d.Project)
	if errors.Is(err, account.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return subjectsOf(p, d), nil
}

func subjectsOf(p *account.Project, d *deliver.Delivery) []deliver.Subject {
	var all []deliver.Subject
	add := func(kind, log, name string) {
		if log != "" && slices.Contains(d.LogTypes, kind) {
			all = append(all, deliver.Subject{Log: log, Name: name})
		}
	}
	workspace := func(w *account.Workspace) {
		if len(d.Workspaces) == 0 || slices.Contains(d.Workspaces, w.Name) {
			add(StreamsAudit, w.AuditLog, w.Name+"/audit")
			add(StreamsOperational, w.OperationalLog, w.Name+"/operational")
		}
	}
	for i := range p.Workspaces {
		workspace(&p.Workspaces[i])
	}
	for i := range p.Gone {
		workspace(&p.Gone[i].Workspace)
	}
	add(Events, p.ID, p.Name)
	return all
}

// Open implements deliver.Source.
func (s *Deliveries) Open(d *deliver.Delivery) (deliver.Sink, error) {
	settings, err := places.Show(s.Box, d)
	if err != nil {
		return nil, err
	}
	return places.Open(d.Type, settings, s.Egress)
}

// Missed implements deliver.Source.
func (s *Deliveries) Missed(ctx context.Context, d *deliver.Delivery, of deliver.Subject, first, end int64) error {
	line := event.Missed(event.Miss{Time: time.Now(), Project: d.Project, Delivery: d.ID, Type: d.Type, Log: of.Log,
		LogName: of.Name, First: first, Entries: end - first})
	return s.Recorder.RecordOwn(ctx, []string{d.Project}, line)
}

// LogGone implements retention.Reader. The events that a delivery has not sent of a log are missed, also if it is
// paused or fails: nobody looks at the log again.
func (s *Deliveries) LogGone(ctx context.Context, project, log string, end int64) error {
	all, err := s.Of(ctx, project)
	if err != nil {
		return err
	}
	for i := range all {
		subjects, err := s.Subjects(ctx, &all[i])
		if err != nil {
			return err
		}
		for _, of := range subjects {
			if of.Log == log {
				err = s.gone(ctx, &all[i], of, end)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// gone notes that a delivery gets no more of a log, once what it has missed is recorded. Its parked events are gone
// too.
func (s *Deliveries) gone(ctx context.Context, d *deliver.Delivery, of deliver.Subject, end int64) error {
	st, err := deliver.ReadState(ctx, s.Bucket, d.ID, of.Log)
	if err != nil || st.Next >= end {
		return err
	}
	if err := s.Missed(ctx, d, of, st.Next, end); err != nil {
		return err
	}
	return deliver.ChangeState(ctx, s.Bucket, d.ID, of.Log, func(st *deliver.State) error {
		st.Missed += max(end-st.Next, 0)
		st.Next, st.Until, st.Parked, st.Refused, st.Failure, st.Gone = max(st.Next, end), 0, nil, 0, nil, of.Name
		return nil
	})
}

// tryWithin bounds how long a test of a place takes.
const tryWithin = 10 * time.Second

// Try sends one event that says that it is a test, and returns why it was not accepted. If the place has taken it, its
// acknowledgement may come later than a test lasts.
func (s *Deliveries) Try(ctx context.Context, d *deliver.Delivery, settings deliver.Settings, now time.Time) error {
	sink, err := places.Open(d.Type, settings, s.Egress)
	if err != nil {
		return err
	}
	defer sink.Close() // The sink also drops the events that it holds.
	ctx, cancel := context.WithTimeoutCause(ctx, tryWithin, fmt.Errorf("it did not answer within %v", tryWithin))
	defer cancel()
	line := event.DeliveryTried(event.Act{Time: now, Project: d.Project, CallerID: "weir", CallerKind: "System"}, d.Type)
	// No log has this id, so that no event is taken for a repetition of this one.
	refused, err := sink.Send(ctx, []deliver.Event{{Log: account.NewID(now), Name: "test", Time: now.UnixMilli(),
		Line: line}})
	if a, ok := sink.(deliver.Acknowledger); ok && err == nil {
		if err = a.Acknowledged(ctx); ctx.Err() != nil {
			err = nil
		}
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	case len(refused) > 0:
		return errors.New(refused[0].Reason)
	}
	return nil
}
