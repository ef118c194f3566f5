// Package record takes events in: it leaves out those that the log has already, makes the rest durable, and says so
// only then. What it holds in memory is bounded; past the bound it refuses.
package record

import (
	"context"
	"fmt"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/wal"
)

// Result says what became of the events of one request. Recorded + Duplicates + Refused is their number.
type Result struct {
	Recorded   int // now durable
	Conflicts  int // of these the log has other events with the same time and uid, as far as this node can tell
	Duplicates int // of these the log had the event already, as far as this node can tell
	Refused    int
	Unread     int      // of those recorded or known: what a mapping could not read, kept as it is
	Reasons    []Remark // why the first ones were refused

	FirstRefused int      // number of the first one, counted from 1; 0 if there is none
	Warnings     []Remark // of events that were recorded
}

// Options of a Recorder. The zero value of each field means its default.
type Options struct {
	MemoryBytes  int64 // of what is arriving, in all, 256 MiB; one sender may have half of it
	WaitingBytes int64 // of WAL objects that wait to be sequenced, 256 MiB
	Waiting      func() int64
	Remembered   int // events of the last minutes that are kept in mind, 400,000
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

// New returns a Recorder that writes to the shards' writers, and keeps its intents in b, which
// seals them (package seal): who can write the bucket cannot make a node record an event.
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

// Ready tells whether this node takes events, whoever sends them.
func (r *Recorder) Ready() error {
	if waiting := r.options.Waiting(); waiting > r.options.WaitingBytes {
		return fmt.Errorf("%d bytes wait to be sequenced: %w", waiting, ErrOverloaded)
	}
	return nil
}

// Record makes the events of the batches durable and returns once they are. After an error some may be durable; the
// same events may be recorded again, since each is in its log once whatever happens.
func (r *Recorder) Record(ctx context.Context, batches ...event.Batch) (Result, error) {
	return r.record(ctx, batches, event.Batch.Without)
}

// record does what Record does, with a way to leave out what is known.
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
			r.recent.add(b) // durable only now, so only now may a retry be told that it is recorded
		}
	}
	return result, nil
}

// known returns what is durable of the events of a batch, or was seen by once.
func (r *Recorder) known(ctx context.Context, b event.Batch, once *event.Once) ([]event.Standing, error) {
	known, err := r.store.Known(ctx, b.Log, b.Entries)
	if err != nil {
		return nil, err
	}
	r.recent.note(b.Log, b.Entries, known)
	once.Mark(b.Entries, known)
	return known, nil
}
