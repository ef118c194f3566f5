package tlog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/seal"
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

// view takes a consistent view of a log, without locks. It reads the manifest, then the plan that the manifest names, then
// lists the write-ahead log, and starts over if the manifest's version has moved. This order makes the view right:
//
//   - The manifest does not hold the events of a WAL object that a later plan names.
//   - The objects of an earlier plan were deleted before the manifest's plan was made. The listing does not show them.
//   - The view leaves out the objects of the manifest's plan by their names.
//   - If that plan is gone, or another plan has its number, then it was cleaned away, and its objects were deleted
//     before that. The plan is read before the listing, so the listing does not show them. A plan that is read after
//     the listing could be cleaned away between the two, and nothing would tell that its objects are old.
func (s *Logs) view(ctx context.Context, log string) (*view, error) {
	for ctx.Err() == nil {
		m, err := s.manifest(ctx, log)
		if err != nil {
			return nil, err
		}
		objects, planned, err := s.waiting(ctx, m)
		if err != nil {
			return nil, err
		}
		if version, err := s.highest(ctx, log, m.Version); err != nil {
			return nil, err
		} else if version != m.Version {
			continue
		}
		tail, err := s.tail(ctx, log, objects, planned)
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

// waiting returns the objects of the write-ahead log of the manifest's shard, and the names of those that the manifest's
// plan names. The listing that counts comes after the plan was read. A log with nothing in the write-ahead log needs no plan.
func (s *Logs) waiting(ctx context.Context, m *Manifest) (objects []bucket.Info, planned []string, err error) {
	planned, known := s.plans.GetIfPresent(m.Nonce)
	for {
		objects, err = s.wal.List(ctx, s.shard(m.Log))
		if err != nil || known || len(objects) == 0 || m.LastPlan == 0 {
			return objects, planned, err
		}
		if planned, err = s.readPlanned(ctx, m); err != nil {
			return nil, nil, err
		}
		known = true
	}
}

// tail returns the sections for a log in those objects that are not planned.
func (s *Logs) tail(ctx context.Context, log string, objects []bucket.Info, planned []string) ([]wal.Place, error) {
	if len(objects) == 0 {
		return nil, nil
	}
	skip := make(map[string]bool, len(planned))
	for _, key := range planned {
		skip[key] = true
	}
	var tail []wal.Place
	for _, o := range objects {
		if skip[o.Key] {
			continue
		}
		sections, err := s.wal.Sections(ctx, o.Key)
		if err != nil {
			return nil, err
		}
		for _, section := range sections {
			if section.Log == log {
				tail = append(tail, wal.Place{Object: o.Key, Section: section})
			}
		}
	}
	return tail, nil
}

// readPlanned returns the objects of the plan that the manifest names. They are none if the plan was cleaned away, lost or
// damaged: what the log has of the objects that are still there is then found by its filters.
func (s *Logs) readPlanned(ctx context.Context, m *Manifest) (objects []string, err error) {
	p, err := s.wal.ReadPlan(ctx, s.shard(m.Log), m.LastPlan)
	if err != nil && !errors.Is(err, bucket.ErrNotExist) && !errors.Is(err, seal.ErrForged) {
		return nil, err
	}
	if err == nil && p.Nonce == m.Nonce {
		objects = p.Objects
	}
	s.plans.Set(m.Nonce, objects)
	return objects, nil
}
