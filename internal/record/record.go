// Package record takes events in: it leaves out events that the log has, makes the others durable, and returns only
// then. Its memory is bounded; it refuses events that would exceed the bound.
package record

import (
	"context"
	"fmt"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/wal"
)

// Result counts the events of one request. Recorded + Duplicates + Refused is their number.
type Result struct {
	Recorded   int // durable now
	Conflicts  int // recorded, although the log has another event with the time and uid, as far as this node knows
	Duplicates int // events that the log already had, as far as this node knows
	Refused    int
	Unread     int      // events, recorded or duplicate, that a mapping could not read and that are kept unchanged
	Reasons    []Remark // why events were refused, the first ones

	FirstRefused int      // number of the first refused event, counted from 1; 0 if there is none
	Warnings     []Remark // remarks on recorded events
}

// Options of a Recorder. A zero field means its default.
type Options struct {
	MemoryBytes  int64        // memory for arriving events (default 256 MiB); one sender may use half of it
	WaitingBytes int64        // maximum size of the WAL objects that wait to be sequenced (default 256 MiB)
	Waiting      func() int64 // returns the present size of these objects; if nil, it counts as 0
	Remembered   int          // number of recent events that are remembered (default 400,000)
}

// Recorder records events. It may be used concurrently.
type Recorder struct {
	bucket  bucket.Bucket
	store   *tlog.Logs
	writers []*wal.Writer // by shard
	options Options
	memory  memory
	recent  recent
	salts   salts
}

// New returns a Recorder that writes to the writers of the shards. It keeps its intents in b. The intents are sealed
// (package seal), so write access to the bucket is not enough to make a node record an event.
func New(b bucket.Bucket, store *tlog.Logs, writers []*wal.Writer, o Options) *Recorder {
	if o.MemoryBytes == 0 {
		o.MemoryBytes = 256 << 20
	}
	if o.WaitingBytes == 0 {
		o.WaitingBytes = 256 << 20
	}
	if o.Waiting == nil {
		o.Waiting = func() int64 { return 0 }
	}
	if o.Remembered == 0 {
		o.Remembered = 400_000
	}
	return &Recorder{bucket: b, store: store, writers: writers, options: o, recent: recent{limit: o.Remembered / 2},
		memory: memory{limit: o.MemoryBytes, share: o.MemoryBytes / 2}, salts: newSalts()}
}

// Ready returns nil if this node takes events of any sender, and otherwise the reason.
func (r *Recorder) Ready() error {
	if waiting := r.options.Waiting(); waiting > r.options.WaitingBytes {
		return fmt.Errorf("%d bytes wait to be sequenced: %w", waiting, ErrOverloaded)
	}
	return nil
}

// Record makes the events of the batches durable, and returns when they are. After an error some may be durable. The
// caller may record the same events again, since each is in its log once.
func (r *Recorder) Record(ctx context.Context, batches ...event.Batch) (Result, error) {
	return r.record(ctx, batches, event.Batch.Without)
}

// record is Record with a way to leave out known events.
func (r *Recorder) record(ctx context.Context, batches []event.Batch,
	without func(b event.Batch, known []event.Standing) event.Batch) (Result, error) {
	if err := r.Ready(); err != nil {
		return Result{}, err
	}
	var result Result
	once := map[string]*event.Once{} // by log
	byShard := make([][]event.Batch, len(r.writers))
	for _, b := range batches {
		if once[b.Log] == nil {
			once[b.Log] = new(event.Once)
		}
		known, err := r.known(ctx, b, once[b.Log])
		if err != nil {
			return Result{}, err
		}
		fresh := without(b, known)
		result.Recorded += len(fresh.Entries)
		for _, standing := range known {
			if standing == event.Conflicting {
				result.Conflicts++
			}
		}
		result.Duplicates += len(b.Entries) - len(fresh.Entries)
		shard := wal.ShardOf(b.Log, len(r.writers))
		byShard[shard] = append(byShard[shard], fresh)
	}
	for shard, batches := range byShard {
		if len(batches) == 0 {
			continue
		}
		if err := r.writers[shard].Append(ctx, batches...); err != nil {
			return Result{}, err
		}
		for _, b := range batches {
			r.recent.add(b) // Only now the event is durable, so only now may a retry be told that it is recorded.
		}
	}
	return result, nil
}

// known returns the standing of each event of a batch: known if it is durable or once has seen it.
func (r *Recorder) known(ctx context.Context, b event.Batch, once *event.Once) ([]event.Standing, error) {
	known, err := r.store.Known(ctx, b.Log, b.Entries)
	if err != nil {
		return nil, err
	}
	r.recent.note(b.Log, b.Entries, known)
	once.Mark(b.Entries, known)
	return known, nil
}
