package setup

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weirlog/weir/internal/account"
	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/tlog"
)

// Start says where a delivery begins. The zero value means now: with the entries that are sequenced from then on.
type Start struct {
	beginning bool
	time      time.Time // with the first event of it, or a later one
	log       string    // In this log it begins at an entry, in others now.
	entry     int64
}

// ParseStart reads where a delivery begins: now, beginning, a time (RFC 3339), or an entry as the id of an event has it
// (<log>/<index>).
func ParseStart(text string) (Start, error) {
	switch text {
	case "", "now":
		return Start{}, nil
	case "beginning":
		return Start{beginning: true}, nil
	}
	if log, index, ok := strings.Cut(text, "/"); ok && account.ValidID(log) {
		entry, err := strconv.ParseInt(index, 10, 64)
		if err == nil && entry >= 0 {
			return Start{log: log, entry: entry}, nil
		}
	} else if at, err := time.Parse(time.RFC3339, text); err == nil {
		return Start{time: at}, nil
	}
	return Start{}, fmt.Errorf("want now, beginning, a time such as 2026-11-20T07:01:02Z, or an entry such as " +
		"6a793f48c0eb9e7a17712f00/17")
}

// OneLog returns the id of the log that the start names; empty if it is for all.
func (s Start) OneLog() string { return s.log }

// in returns the entry at which a delivery begins in a log.
func (s Start) in(ctx context.Context, logs *tlog.Logs, log string) (int64, error) {
	if s.beginning {
		return 0, nil
	}
	q := tlog.All
	if !s.time.IsZero() {
		q = tlog.Query{Start: s.time.UnixMilli(), End: math.MaxInt64}
	}
	r, err := logs.ReadSequenced(ctx, log, q)
	if err != nil {
		return 0, err
	}
	switch {
	case s.log == log:
		return min(s.entry, r.Next()), nil
	case s.time.IsZero():
		return r.Next(), nil
	}
	first := r.Next()
	for e, err := range r.Entries(ctx, r.First()) {
		if err != nil {
			return 0, err
		}
		first = e.Index
		break
	}
	return first, nil
}

// together is how many logs are looked at, at a time.
const together = 8

// begin keeps where a delivery begins, in each of its logs in which nothing is kept of it. A log that is made later has
// nothing kept, and is delivered from its first entry on.
func (s *Deliveries) begin(ctx context.Context, d *deliver.Delivery, start Start) error {
	subjects, err := s.Subjects(ctx, d)
	if err != nil {
		return err
	}
	known, err := deliver.StatesOf(ctx, s.Bucket, d.ID)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(together)
	for _, of := range subjects {
		if known[of.Log] {
			continue
		}
		g.Go(func() error {
			next, err := start.in(ctx, s.Logs, of.Log)
			if err != nil {
				return err
			}
			return deliver.ChangeState(ctx, s.Bucket, d.ID, of.Log, func(st *deliver.State) error {
				st.Next = max(st.Next, next)
				return nil
			})
		})
	}
	return g.Wait()
}

// Replay has a delivery go on elsewhere: in all of its logs, or in the one that the start names.
func (s *Deliveries) Replay(ctx context.Context, d *deliver.Delivery, start Start) error {
	return s.eachState(ctx, d, func(ctx context.Context, log string) error {
		if start.log != "" && start.log != log {
			return nil
		}
		next, err := start.in(ctx, s.Logs, log)
		if err != nil {
			return err
		}
		return deliver.ChangeState(ctx, s.Bucket, d.ID, log, func(st *deliver.State) error {
			st.Next, st.Until, st.Failure = next, 0, nil
			return nil
		})
	})
}

// SendParked has the parked events of a delivery sent once more.
func (s *Deliveries) SendParked(ctx context.Context, d *deliver.Delivery) error {
	return s.eachParked(ctx, d, func(st *deliver.State) {
		for i := range st.Parked {
			st.Parked[i].Again = true
		}
	})
}

// DiscardParked forgets the parked events of a delivery. Their logs keep them.
func (s *Deliveries) DiscardParked(ctx context.Context, d *deliver.Delivery) error {
	return s.eachParked(ctx, d, func(st *deliver.State) { st.Parked = nil })
}

func (s *Deliveries) eachParked(ctx context.Context, d *deliver.Delivery, change func(*deliver.State)) error {
	return s.eachState(ctx, d, func(ctx context.Context, log string) error {
		st, err := deliver.ReadState(ctx, s.Bucket, d.ID, log)
		if err != nil || len(st.Parked) == 0 {
			return err
		}
		return deliver.ChangeState(ctx, s.Bucket, d.ID, log, func(st *deliver.State) error {
			change(st)
			return nil
		})
	})
}

// eachState does something for each log of a delivery, and then has the nodes read its states again.
func (s *Deliveries) eachState(ctx context.Context, d *deliver.Delivery,
	do func(ctx context.Context, log string) error) error {
	subjects, err := s.Subjects(ctx, d)
	if err != nil {
		return err
	}
	g, within := errgroup.WithContext(ctx)
	g.SetLimit(together)
	for _, of := range subjects {
		g.Go(func() error { return do(within, of.Log) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	_, err = s.Update(ctx, d.Project, d.ID, func(*deliver.Delivery) error { return nil })
	return err
}
