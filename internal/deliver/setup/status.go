package setup

import (
	"context"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/tlog"
)

// Progress is how far a delivery has come in a log.
type Progress struct {
	deliver.Subject
	deliver.State

	Entries int64     // of the log, as far as they are sequenced
	First   int64     // the oldest that retention has left
	Oldest  time.Time // of the first event that was not delivered, by its own clock; zero if all were
}

// Lag returns how many entries wait to be delivered.
func (p *Progress) Lag() int64 { return max(p.Entries-max(p.Next, p.First), 0) }

// Progress returns how far a delivery has come: in each of its logs, and in those that are gone and of which it has
// missed events.
func (s *Deliveries) Progress(ctx context.Context, d *deliver.Delivery) ([]Progress, error) {
	subjects, err := s.Subjects(ctx, d)
	if err != nil {
		return nil, err
	}
	states, err := deliver.StatesOf(ctx, s.Bucket, d.ID)
	if err != nil {
		return nil, err
	}
	for _, of := range subjects {
		delete(states, of.Log)
	}
	for _, log := range slices.Sorted(maps.Keys(states)) {
		subjects = append(subjects, deliver.Subject{Log: log})
	}
	all := make([]Progress, len(subjects))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(together)
	for i, of := range subjects {
		g.Go(func() (err error) {
			all[i], err = s.progress(ctx, d, of)
			return err
		})
	}
	err = g.Wait()
	return slices.DeleteFunc(all, func(p Progress) bool { return p.Name == "" }), err
}

func (s *Deliveries) progress(ctx context.Context, d *deliver.Delivery, of deliver.Subject) (Progress, error) {
	p := Progress{Subject: of}
	var err error
	if p.State, err = deliver.ReadState(ctx, s.Bucket, d.ID, of.Log); err != nil {
		return p, err
	}
	if of.Name == "" { // It is not the delivery's any more.
		p.Name, p.Entries, p.First = p.Gone, p.Next, p.Next
		return p, nil
	}
	r, err := s.Logs.ReadSequenced(ctx, of.Log, tlog.All)
	if err != nil {
		return p, err
	}
	p.Entries, p.First = r.Next(), r.First()
	if p.Lag() == 0 {
		return p, nil
	}
	for e, err := range r.Entries(ctx, max(p.Next, p.First)) {
		if err != nil {
			return p, err
		}
		p.Oldest = time.UnixMilli(e.Time)
		break
	}
	return p, nil
}
