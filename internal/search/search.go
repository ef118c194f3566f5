// Package search answers questions about the events of logs: which they are, page by page in the order of their times,
// and how many, when and of what kind. It sees what a download sees at the same moment, sequenced or not, each event
// once. Its memory is bounded whatever the question is.
package search

import (
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

// ErrTooSlow is returned if the time limit passes before anything can be said. Whoever asks should ask for less: a
// shorter range, or fewer logs.
var ErrTooSlow = errors.New("the search takes too long")

// Question says which events are asked for.
type Question struct {
	Query      *query.Query // without times relative to now
	Logs       []string     // ids, each once
	Start, End int64        // half-open range of the events' times, milliseconds since the epoch
}

// Order is the order in which events are found.
type Order int

// The orders.
const (
	Newest Order = iota // the latest time first
	Oldest
)

// Position is the place of an event among those of all logs: by its time, its log, and its key, none of which ever
// changes.
type Position struct {
	Time int64 // milliseconds since the epoch
	Log  string
	Key  event.Key
}

// compare returns a negative number if a comes before b.
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
	Index int64  // in its log; tlog.Unsequenced if it waits to be sequenced
	Line  []byte // without '\n'
}

// Options of a Searcher. The zero value of each field means its default.
type Options struct {
	PageBytes  int                         // of lines in a page, which has at least one, 4 MiB
	TimeLimit  time.Duration               // of one page or summary, 20 seconds
	IndexBytes uint64                      // of memory for what is read of indexes, 32 MiB
	Damaged    func(key string, err error) // is told of an index that cannot be used; if nil, nobody is
	Workers    int                         // how many blocks of a question are read at a time, one for each processor up to 8
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
	return all, group.Wait()
}

// again calls do until it fails for another reason than that a log has moved on.
func again(ctx context.Context, do func() error) error {
	for {
		err := do()
		if !errors.Is(err, tlog.ErrMoved) || ctx.Err() != nil {
			return err
		}
	}
}
