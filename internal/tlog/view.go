package tlog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/wal"
)

const (
	minInt64 = math.MinInt64
	maxInt64 = math.MaxInt64
)

// Query selects events of a log.
type Query struct {
	Start, End int64  // range [Start, End) of event times, milliseconds since the epoch
	Processor  string // if not empty, only events of this stream processor are selected
}

// All is the query that selects every event.
var All = Query{Start: minInt64, End: maxInt64}

func (q Query) selects(e event.Entry) bool {
	return e.Time >= q.Start && e.Time < q.End && (q.Processor == "" || slices.Contains(e.Processors, q.Processor))
}

// view describes a log at one moment: its manifest, and the sections of the write-ahead log with events that may have
// been acknowledged and are not in the manifest.
type view struct {
	*manifest.Objects
	logs     *Logs
	manifest *manifest.Manifest
	tail     []wal.Place // oldest first
	whole    bool        // the view has a tail; otherwise it is for sequenced entries only
	planless bool        // the plan that the manifest names cannot be read; the tail may hold objects of it
}

// errOvertaken says that a view is old although no object is missing: there is a newer manifest.
var errOvertaken = errors.New("the log has a newer manifest")

// use calls do with v. While do fails because its view is old, use calls it again with a newer one. This is the only
// place that distinguishes an old view from a lost object.
func (v *view) use(ctx context.Context, do func(*view) error) error {
	for {
		err := do(v)
		if err == nil {
			return nil
		}
		if err := v.outdated(ctx, err); err != nil {
			return err
		}
		if v, err = v.again(ctx); err != nil {
			return err
		}
	}
}

// outdated returns nil if err is caused by the age of v. There are three cases: an object is gone because there is a
// newer manifest; an object is gone because its plan, which v could not read, was finished; or a part of the
// write-ahead log does not verify, which a newer view leaves out. Otherwise outdated returns err, or the error that
// prevented the check.
func (v *view) outdated(ctx context.Context, err error) error {
	if errors.Is(err, errOvertaken) {
		return nil
	}
	if errors.Is(err, seal.ErrForged) {
		return nil // the next view leaves out that part of the write-ahead log
	}
	if !errors.Is(err, bucket.ErrNotExist) {
		return err
	}
	version, versionErr := manifest.Highest(ctx, v.logs.bucket, v.manifest.Log, v.manifest.Version)
	if versionErr != nil {
		return versionErr
	}
	if version != v.manifest.Version {
		return nil
	}
	if v.planless {
		if gone, listErr := v.logs.wal.AnyGone(ctx, v.logs.options.shard(v.manifest.Log),
			v.waitingObjects()); listErr != nil ||
			gone {
			return listErr
		}
	}
	return fmt.Errorf("lost: %w", err)
}

// waitingObjects returns the keys of the objects in the tail.
func (v *view) waitingObjects() []string {
	var keys []string
	for _, t := range v.tail {
		keys = append(keys, t.Object)
	}
	return keys
}

// again takes a newer view of the same kind.
func (v *view) again(ctx context.Context) (*view, error) {
	if v.whole {
		return v.logs.view(ctx, v.manifest.Log)
	}
	return v.logs.sequenced(ctx, v.manifest.Log)
}

// sequenced returns a view of the sequenced entries of a log.
func (s *Logs) sequenced(ctx context.Context, log string) (*view, error) {
	m, err := s.manifest(ctx, log)
	if err != nil {
		return nil, err
	}
	return s.viewOf(m), nil
}

// viewOf returns a view of the sequenced entries that a manifest describes.
func (s *Logs) viewOf(m *manifest.Manifest) *view {
	return &view{Objects: s.objects, logs: s, manifest: m}
}

// view takes a consistent view of a log, without locks. It reads the manifest, then the plan that the manifest names,
// then lists the write-ahead log. It starts over if the manifest's version has changed. This order makes the view
// correct:
//
//   - The manifest does not hold the events of a WAL object that a later plan names.
//   - The objects of an earlier plan were deleted before the manifest's plan was made. The listing does not show them.
//   - The view leaves out the objects of the manifest's plan by their names.
//   - If that plan is gone, or another plan has its number, then it was cleaned away, and its objects were deleted
//     before that. The plan is read before the listing, so the listing does not show them. A plan that is read after
//     the listing could be cleaned away between the two, and nothing would tell that its objects are old.
//   - If that plan was lost instead, the listing may show its objects. The filters of the log tell that it has their
//     events. The objects may be deleted at any time, and the manifest does not move then. See outdated.
//
// A cached manifest need not be looked up first: if it is the highest in the end, it was so all the time.
func (s *Logs) view(ctx context.Context, log string) (*view, error) {
	m, known := s.manifests.GetIfPresent(log)
	for ctx.Err() == nil {
		var err error
		if !known {
			if m, err = s.manifest(ctx, log); err != nil {
				return nil, err
			}
		}
		known = false
		objects, planned, err := s.waiting(ctx, m)
		if err != nil {
			return nil, err
		}
		if version, err := manifest.Highest(ctx, s.bucket, log, m.Version); err != nil {
			return nil, err
		} else if version != m.Version {
			continue
		}
		v := s.viewOf(m)
		v.whole, v.planless = true, m.LastPlan > 0 && len(planned) == 0
		if v.tail, err = s.tail(ctx, log, objects, planned); err == nil {
			return v, nil
		}
		if err := s.overtaken(ctx, log, objects, err); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("view of log %s: %w", log, context.Cause(ctx))
}

// overtaken returns nil if err says that an object cannot be found, and a listed object was sequenced and deleted
// meanwhile. Otherwise it returns an error.
func (s *Logs) overtaken(ctx context.Context, log string, listed []bucket.Info, err error) error {
	if !errors.Is(err, bucket.ErrNotExist) {
		return err
	}
	var keys []string
	for _, o := range listed {
		keys = append(keys, o.Key)
	}
	if gone, listErr := s.wal.AnyGone(ctx, s.options.shard(log), keys); listErr != nil || gone {
		return listErr
	}
	return fmt.Errorf("lost, although it is listed: %w", err)
}

// waiting returns the objects in the write-ahead log of the log's shard, and the keys that the manifest's plan names.
// The listing that it returns was made after the plan was read. If the write-ahead log is empty, the plan is not read.
func (s *Logs) waiting(ctx context.Context, m *manifest.Manifest) (objects []bucket.Info, planned []string, err error) {
	planned, known := s.plans.GetIfPresent(m.Nonce)
	for {
		objects, err = s.wal.List(ctx, s.options.shard(m.Log))
		if err != nil || known || len(objects) == 0 || m.LastPlan == 0 {
			return objects, planned, err
		}
		if planned, err = s.readPlanned(ctx, m); err != nil {
			return nil, nil, err
		}
		known = true
	}
}

// tail returns the sections for a log in the objects that are not planned.
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
		if errors.Is(err, seal.ErrForged) {
			continue // no node has written it, or it is damaged; the reader has reported it
		}
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

// readPlanned returns the keys of the objects of the plan that the manifest names; a plan has at least one. It returns
// none if the plan was deleted, lost or damaged. Then the filters tell which events of the remaining objects the log
// has.
func (s *Logs) readPlanned(ctx context.Context, m *manifest.Manifest) (objects []string, err error) {
	p, err := s.wal.ReadPlan(ctx, s.options.shard(m.Log), m.LastPlan)
	if err != nil && !errors.Is(err, bucket.ErrNotExist) && !errors.Is(err, seal.ErrForged) {
		return nil, err
	}
	if err == nil && p.Nonce == m.Nonce {
		objects = p.Objects
	}
	s.plans.Set(m.Nonce, objects)
	return objects, nil
}
