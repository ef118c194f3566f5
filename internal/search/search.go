// Package search answers questions about the events of logs: it finds them page by page in the order of their times,
// and counts them by time and by values. At any moment it sees the same events as a download, sequenced or not, each
// once. Its memory is bounded for every question.
package search

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/maypok86/otter/v2"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/index"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/query"
	"github.com/weirlog/weir/internal/tlog"
)

// ErrTooSlow is returned if the time limit passes before anything is known. The caller should ask for less: a shorter
// range, or fewer logs.
var ErrTooSlow = errors.New("the search takes too long")

// Question says which events to find.
type Question struct {
	Query      *query.Query // must not have times relative to now
	Logs       []string     // ids, without duplicates
	Start, End int64        // half-open range of event times, milliseconds since the epoch

	// If Begun is not nil, it is called at the moment after which newly recorded events are not found. If a log has
	// moved on meanwhile, it is called again, and then events recorded before this call may be found.
	Begun func()
}

// Order is the order of events.
type Order int

// The orders.
const (
	Newest Order = iota // the latest time first
	Oldest
)

// Position is the place of an event among those of all logs, by time, log and key. It never changes.
type Position struct {
	Time int64 // milliseconds since the epoch
	Log  string
	Key  event.Key
}

// compare returns a negative number if a is before b.
func (o Order) compare(a, b Position) int {
	return cmp.Or(o.times(a.Time, b.Time), strings.Compare(a.Log, b.Log), a.Key.Compare(b.Key))
}

func (o Order) times(a, b int64) int {
	if o == Newest {
		return cmp.Compare(b, a)
	}
	return cmp.Compare(a, b)
}

// Hit is an event that was found.
type Hit struct {
	Position
	Index int64  // in its log, or tlog.Unsequenced if it waits to be sequenced
	Line  []byte // without '\n'
}

// Options configures a Searcher. The zero value of each field means its default.
type Options struct {
	PageBytes  int                         // bytes of lines in a page, which has at least one line (default 4 MiB)
	TimeLimit  time.Duration               // for one page or summary (default 20 seconds)
	IndexBytes uint64                      // memory for parts of indexes (default 32 MiB)
	Damaged    func(key string, err error) // if not nil, it is called for an index that cannot be used
	Workers    int                         // blocks of a question read at a time (default: one per CPU, up to 8)
}

// Searcher answers questions. It may be used concurrently.
type Searcher struct {
	logs    *tlog.Logs
	options Options
	indexes *otter.Cache[string, *index.Index] // by key
	pieces  *otter.Cache[pieceID, []byte]      // of indexes
}

// New returns a Searcher of logs.
func New(logs *tlog.Logs, o Options) *Searcher {
	o.PageBytes = cmp.Or(o.PageBytes, 4<<20)
	o.TimeLimit = cmp.Or(o.TimeLimit, 20*time.Second)
	o.Workers = cmp.Or(o.Workers, min(runtime.GOMAXPROCS(0), 8))
	o.IndexBytes = cmp.Or(o.IndexBytes, 32<<20)
	if o.Damaged == nil {
		o.Damaged = func(string, error) {}
	}
	return &Searcher{logs: logs, options: o,
		indexes: manifest.NewCache(o.IndexBytes/4, func(_ string, x *index.Index) int { return x.Size() }),
		pieces:  manifest.NewCache(o.IndexBytes/4*3, func(_ pieceID, data []byte) int { return 128 + len(data) })}
}

// snapshots takes a snapshot of each log.
func (s *Searcher) snapshots(ctx context.Context, q Question) ([]*tlog.Snapshot, error) {
	all := make([]*tlog.Snapshot, len(q.Logs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i, log := range q.Logs {
		group.Go(func() (err error) {
			all[i], err = s.logs.Snapshot(ctx, log, q.Start, q.End)
			return err
		})
	}
	err := group.Wait()
	if err == nil && q.Begun != nil {
		q.Begun()
	}
	return all, err
}

// within runs do within the time limit of a question, and again whenever it fails because a log has moved on. If the
// time limit passes, it returns ErrTooSlow.
func (s *Searcher) within(ctx context.Context, do func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, s.options.TimeLimit)
	defer cancel()
	err := again(limited, func() error { return do(limited) })
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil && limited.Err() != nil:
		return ErrTooSlow
	}
	return err
}

// visitor receives the events that a question is about.
type visitor interface {
	// waiting is called for each matching event that waits to be sequenced, with its line without '\n', which is valid
	// during the call. After the last one of a log, end is called.
	waiting(ctx context.Context, line []byte, e event.Entry) error
	end(ctx context.Context) error

	// segment is called for each segment that may contain matching events, with the answer of its index, or nil. It may
	// be called concurrently.
	segment(ctx context.Context, log string, seg *tlog.Segment, p *plan) error
}

// visit calls v for everything that a question is about.
func (s *Searcher) visit(ctx context.Context, q *Question, m *query.Matcher, v visitor) error {
	snapshots, err := s.snapshots(ctx, *q)
	if err != nil {
		return err
	}
	return s.visitAll(ctx, snapshots, q, m, v)
}

// visitAll is visit for given snapshots of the logs.
func (s *Searcher) visitAll(ctx context.Context, snapshots []*tlog.Snapshot, q *Question, m *query.Matcher,
	v visitor) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.options.Workers)
	for i, snapshot := range snapshots {
		if err := s.visitLog(ctx, group, q, q.Logs[i], snapshot, m, v); err != nil {
			return errors.Join(err, group.Wait())
		}
	}
	return group.Wait()
}

// visitLog visits one log. It may start work in the group and return before that ends.
func (s *Searcher) visitLog(ctx context.Context, group *errgroup.Group, q *Question, log string, of *tlog.Snapshot,
	m *query.Matcher, v visitor) error {
	err := of.Waiting(ctx, func(line []byte, e event.Entry) error {
		if line = bytes.TrimSuffix(line, []byte{'\n'}); m.Match(line) {
			return v.waiting(ctx, line, e)
		}
		return ctx.Err()
	})
	if err == nil {
		err = v.end(ctx)
	}
	if err != nil {
		return err
	}
	for seg, err := range of.Segments(ctx) {
		if err != nil {
			return err
		}
		group.Go(func() error {
			p, err := s.plan(ctx, q, seg)
			if err == nil && (p == nil || p.any()) {
				err = v.segment(ctx, log, seg, p)
			}
			return err
		})
	}
	return nil
}

// again repeats do as long as it fails because a log has moved on.
func again(ctx context.Context, do func() error) error {
	for {
		err := do()
		if !errors.Is(err, tlog.ErrMoved) || ctx.Err() != nil {
			return err
		}
	}
}
