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
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/tlog"
)

// Intent is the announcement of something that weir is about to do and must not do unseen. It is durable before the
// deed, so that even if the process dies in the midst of it the logs tell of it.
type Intent struct {
	recorder *Recorder
	key      string
	logs     []string
}

// intended is an intent as it lies in the bucket.
type intended struct {
	Logs []string `json:"logs"`
	Line string   `json:"line"` // the event for when the outcome stays unknown
}

const intents = "intents/"

// Intend announces a deed. unknown is the event that the logs get if the deed is never reported; it must have the time
// and the uid of the event that reports it, so that a log has both only if the report took longer than others wait for
// it (see Unreported).
func (r *Recorder) Intend(ctx context.Context, logs []string, unknown []byte) (*Intent, error) {
	data, err := json.Marshal(intended{logs, string(unknown)})
	if err != nil {
		return nil, fmt.Errorf("intent: %w", err)
	}
	key := fmt.Sprintf("%s%016x-%s", intents, time.Now().UnixNano(), rand.Text())
	if err := r.bucket.PutNew(ctx, key, data); err != nil {
		return nil, err // if it exists after all, the logs get an event of something that may not have happened
	}
	return &Intent{r, key, logs}, nil
}

// Done reports the deed with its event, durably.
func (i *Intent) Done(ctx context.Context, event []byte) error {
	if err := i.recorder.RecordOwn(ctx, i.logs, event); err != nil {
		return err
	}
	return i.Withdraw(ctx)
}

// Withdraw takes back the announcement of what was not done.
func (i *Intent) Withdraw(ctx context.Context) error { return i.recorder.bucket.Delete(ctx, i.key) }

// Unreported records the intents that are older than an age: whoever announced them has died, or could not report them.
// One that no node has sealed is left where it is, and the error (seal.ErrForged) names the first of them.
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

// unreported returns those of some batches of one event each whose log has no event with its time and uid: the deed was
// reported there, and its intent could not be deleted.
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

// has tells whether a log has an event with a time and an id, sequenced or not.
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

// RecordOwn records an event that weir itself made, and that is complete, in several logs.
func (r *Recorder) RecordOwn(ctx context.Context, logs []string, own []byte) error {
	batches, done, err := r.own(logs, own)
	defer done()
	if err == nil {
		_, err = r.Record(ctx, batches...)
	}
	return err
}

// own returns a batch for each log of an event that weir itself made. They may be used until done is called, which it
// must be even after an error.
func (r *Recorder) own(logs []string, own []byte) (batches []event.Batch, done func(), err error) {
	var all []*Intake
	done = func() {
		for _, in := range all {
			in.Close()
		}
	}
	for _, log := range logs {
		in := r.Intake(Source{Log: log, Origin: event.Origin{By: event.System, Received: time.Now()}}, Limits{})
		all = append(all, in)
		if err := in.Add(own); err != nil {
			return nil, done, fmt.Errorf("own event: %w", err)
		}
		if in.refused > 0 {
			return nil, done, fmt.Errorf("own event: %s", in.reasons[0].Text)
		}
		batches = append(batches, in.batches...)
	}
	return batches, done, nil
}
