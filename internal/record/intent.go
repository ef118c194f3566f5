package record

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/layout"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/tlog"
)

// Intent announces an act of weir that the logs must report. It is durable before the act, so the logs report the act
// even if the process dies during it.
type Intent struct {
	recorder *Recorder
	key      string
	logs     []string
}

// intended is an intent as it is stored in the bucket.
type intended struct {
	Logs []string `json:"logs"`
	Line string   `json:"line"` // event for an act with an unknown outcome
}

var intents = layout.Intent.Prefix()

// Intend announces an act. The logs get the event unknown if the act is never reported. It must have the time and the
// uid of the event that reports the act. So a log has both events only if the report comes later than Unreported waits.
func (r *Recorder) Intend(ctx context.Context, logs []string, unknown []byte) (*Intent, error) {
	data, err := json.Marshal(intended{logs, string(unknown)})
	if err != nil {
		return nil, fmt.Errorf("intent: %w", err)
	}
	key := fmt.Sprintf("%s%016x-%s", intents, time.Now().UnixNano(), rand.Text())
	if err := r.bucket.PutNew(ctx, key, data); err != nil {
		return nil, err // if the intent exists nevertheless, the logs report an act that may not have happened
	}
	return &Intent{r, key, logs}, nil
}

// Done records the event that reports the act.
func (i *Intent) Done(ctx context.Context, event []byte) error {
	if err := i.recorder.RecordOwn(ctx, i.logs, event); err != nil {
		return err
	}
	return i.Withdraw(ctx)
}

// Withdraw deletes the intent of an act that did not happen.
func (i *Intent) Withdraw(ctx context.Context) error { return i.recorder.bucket.Delete(ctx, i.key) }

// Unreported records the events of intents that are older than age: the process that announced them has died, or could
// not report them. It leaves an intent that no node has sealed in place; the error wraps seal.ErrForged and names the
// first one.
func (r *Recorder) Unreported(ctx context.Context, age time.Duration) error {
	oldest := time.Now().Add(-age).UnixNano()
	var forged error
	for info, err := range r.bucket.List(ctx, intents, "") {
		if err != nil {
			return err
		}
		made, _, _ := strings.Cut(strings.TrimPrefix(info.Key, intents), "-")
		if at, err := strconv.ParseInt(made, 16, 64); err == nil && at > oldest {
			break // they are sorted by time
		}
		err := r.reportUnknown(ctx, info.Key)
		if err != nil && !errors.Is(err, seal.ErrForged) {
			return err
		}
		if forged == nil {
			forged = err
		}
	}
	return forged
}

func (r *Recorder) reportUnknown(ctx context.Context, key string) error {
	data, err := bucket.Read(ctx, r.bucket, key, bucket.Range{})
	if errors.Is(err, bucket.ErrNotExist) {
		return nil // reported meanwhile
	}
	if err != nil {
		return err
	}
	var i intended
	if err := json.Unmarshal(data, &i); err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	batches, done, err := r.own(i.Logs, []byte(i.Line))
	defer done()
	if err == nil {
		batches, err = r.unreported(ctx, batches)
	}
	if err == nil {
		_, err = r.Record(ctx, batches...)
	}
	if err != nil {
		return fmt.Errorf("report %s: %w", key, err)
	}
	return r.bucket.Delete(ctx, key)
}

// unreported returns the batches, of one event each, whose log has no event with the same time and uid. The other logs
// have the report of the act; only its intent could not be deleted.
func (r *Recorder) unreported(ctx context.Context, batches []event.Batch) (rest []event.Batch, err error) {
	for _, b := range batches {
		e := b.Entries[0]
		has, err := r.has(ctx, b.Log, e.Time, e.Key.ID())
		if err != nil {
			return nil, err
		}
		if !has {
			rest = append(rest, b)
		}
	}
	return rest, nil
}

// has tells whether a log has an event with a time and an id. The event may wait to be sequenced.
func (r *Recorder) has(ctx context.Context, log string, time int64, id event.ID) (bool, error) {
	reader, err := r.store.Read(ctx, log, tlog.Query{Start: time, End: time + 1})
	if err != nil {
		return false, err
	}
	for _, entries := range []iter.Seq2[tlog.Indexed, error]{reader.Entries(ctx, reader.First()), reader.Waiting(ctx)} {
		for e, err := range entries {
			if err != nil || e.Key.ID() == id {
				return err == nil, err
			}
		}
	}
	return false, nil
}

// RecordOwn records complete events of weir itself in several logs.
func (r *Recorder) RecordOwn(ctx context.Context, logs []string, own ...[]byte) error {
	batches, done, err := r.own(logs, own...)
	defer done()
	if err == nil {
		_, err = r.Record(ctx, batches...)
	}
	return err
}

// own returns batches for each log, with events of weir itself. The batches are valid until done is called. The
// caller calls done even after an error.
func (r *Recorder) own(logs []string, own ...[]byte) (batches []event.Batch, done func(), err error) {
	var all []*Intake
	done = func() {
		for _, in := range all {
			in.Close()
		}
	}
	for _, log := range logs {
		in := r.Intake(Source{Log: log, Origin: event.Origin{By: event.System, Received: time.Now()}}, Limits{})
		all = append(all, in)
		for _, one := range own {
			if err := in.Add(one); err != nil {
				return nil, done, fmt.Errorf("event of weir itself: %w", err)
			}
		}
		if in.refused > 0 {
			return nil, done, fmt.Errorf("event of weir itself: %s", in.reasons[0].Text)
		}
		batches = append(batches, in.batches...)
	}
	return batches, done, nil
}
