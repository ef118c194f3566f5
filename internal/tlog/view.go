package tlog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/wal"
)

const (
	minInt64 = math.MinInt64
	maxInt64 = math.MaxInt64
)

// Query selects events of a log.
type Query struct {
	Start, End int64  // half-open range of event times, milliseconds since the epoch
	Processor  string // only events of this stream processor; empty: all
}

func (q Query) selects(e event.Entry) bool {
	return e.Time >= q.Start && e.Time < q.End && (q.Processor == "" || slices.Contains(e.Processors, q.Processor))
}

// view is what a log consisted of at one moment: its manifest, and the sections of the write-ahead log with events
// that are acknowledged, perhaps, but not in the manifest.
type view struct {
	manifest *Manifest
	tail     []wal.Place // oldest first
}

// view takes a consistent view of a log, without locks (design: reading). It reads the manifest's version, lists the
// write-ahead log, and starts over if the version has moved. Why that is right: a WAL object of a plan later than the
// manifest's is not in the manifest; one of an earlier plan was deleted before the later plan was made, hence before
// the manifest was read, hence is not in the listing; and those of the manifest's own plan are left out by name,
// provided that the plan still has the manifest's nonce (one that was cleaned away names none that still exist, and
// another plan under its number means nothing).
func (s *Logs) view(ctx context.Context, log string) (*view, error) {
	for ctx.Err() == nil {
		m, err := s.manifest(ctx, log)
		if err != nil {
			return nil, err
		}
		objects, err := s.wal.List(ctx, s.shard(log))
		if err != nil {
			return nil, err
		}
		if version, err := s.highest(ctx, log, m.Version); err != nil {
			return nil, err
		} else if version != m.Version {
			continue
		}
		tail, err := s.tail(ctx, m, objects)
		if errors.Is(err, bucket.ErrNotExist) {
			continue // sequenced and deleted meanwhile: the view is old
		}
		if err != nil {
			return nil, err
		}
		return &view{m, tail}, nil
	}
	return nil, fmt.Errorf("view of log %s: %w", log, context.Cause(ctx))
}

// tail returns the sections for the manifest's log in those objects that the manifest's plan does not name.
func (s *Logs) tail(ctx context.Context, m *Manifest, objects []bucket.Info) ([]wal.Place, error) {
	if len(objects) == 0 {
		return nil, nil
	}
	planned, err := s.planned(ctx, m)
	if err != nil {
		return nil, err
	}
	var tail []wal.Place
	for _, o := range objects {
		if planned[o.Key] {
			continue
		}
		sections, err := s.wal.Sections(ctx, o.Key)
		if err != nil {
			return nil, err
		}
		for _, section := range sections {
			if section.Log == m.Log {
				tail = append(tail, wal.Place{Object: o.Key, Section: section})
			}
		}
	}
	return tail, nil
}

// planned returns the objects of the plan that the manifest names, if that plan is still there.
func (s *Logs) planned(ctx context.Context, m *Manifest) (map[string]bool, error) {
	if m.LastPlan == 0 {
		return nil, nil
	}
	objects, ok := s.plans.GetIfPresent(m.Nonce)
	if !ok {
		p, err := wal.ReadPlan(ctx, s.bucket, s.shard(m.Log), m.LastPlan)
		if err != nil && !errors.Is(err, bucket.ErrNotExist) {
			return nil, err
		}
		if err == nil && p.Nonce == m.Nonce {
			objects = p.Objects
		}
		s.plans.Set(m.Nonce, objects)
	}
	planned := make(map[string]bool, len(objects))
	for _, key := range objects {
		planned[key] = true
	}
	return planned, nil
}
