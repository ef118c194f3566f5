package record

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/sequence"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/wal"
)

func start(t *testing.T, o Options) (*Recorder, *bucketest.Faulty) {
	f := &bucketest.Faulty{Bucket: bucketest.NewMemory()}
	r, _ := startOn(t, f, tlog.Options{}, o)
	return r, f
}

// startOn returns a Recorder on a bucket, and the sequencer of its events.
func startOn(t *testing.T, f *bucketest.Faulty, logs tlog.Options, o Options) (*Recorder, *sequence.Sequencer) {
	reader := wal.NewReader(f, seal.NewKey(make([]byte, 32)), 1<<20)
	store := tlog.NewLogs(f, reader, logs)
	writer := wal.NewWriter(f, reader, 0, func(int64) {})
	t.Cleanup(writer.Close)
	return New(f, store, []*wal.Writer{writer}, o), sequence.New(f, reader, store, 0,
		sequence.Options{Logger: slog.New(slog.DiscardHandler)})
}

func batch(log string, ids ...int) event.Batch {
	b := event.Batch{Log: log}
	for _, id := range ids {
		b.Add(fmt.Appendf(nil, `{"time":%d,"metadata":{"uid":"u"}}`+"\n", id), event.Entry{Time: int64(id),
			Key: event.KeyOf(int64(id), []byte("u"))})
	}
	return b
}

func TestRetriesAreCountedAsDuplicates(t *testing.T) {
	r, _ := start(t, Options{})
	for _, tt := range []struct {
		batch event.Batch
		want  Result
	}{
		{batch("a", 1, 2, 3), Result{Recorded: 3}},
		{batch("a", 1, 2, 3), Result{Duplicates: 3}},
		{batch("a", 3, 4, 4), Result{Recorded: 1, Duplicates: 2}},
		{batch("b", 1), Result{Recorded: 1}}, // the events of another log are other events
		{batch("a"), Result{}},
	} {
		if got, err := r.Record(t.Context(), tt.batch); err != nil || got.Recorded != tt.want.Recorded ||
			got.Duplicates != tt.want.Duplicates {
			t.Errorf("%+v, %v, want %+v", got, err, tt.want)
		}
	}
}

// An event is remembered as recorded only after it is durable.
func TestFailedIsNotRemembered(t *testing.T) {
	r, f := start(t, Options{})
	f.Before = func(_ context.Context, op bucketest.Op, _ string) error {
		if op == bucketest.PutNew {
			return errors.New("the disk is full")
		}
		return nil
	}
	if _, err := r.Record(t.Context(), batch("a", 1)); err == nil {
		t.Fatal("nothing was written, and yet it is acknowledged")
	}
	f.Before = nil
	if got, err := r.Record(t.Context(), batch("a", 1)); err != nil || got.Recorded != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWhatWaitsIsBounded(t *testing.T) {
	waiting := int64(0)
	r, _ := start(t, Options{WaitingBytes: 1000, Waiting: func() int64 { return waiting }})
	if err := r.Ready(); err != nil {
		t.Error(err)
	}
	waiting = 1001
	if _, err := r.Record(t.Context(), batch("a", 1)); !errors.Is(err, ErrOverloaded) {
		t.Errorf("beyond what may wait: %v", err)
	}
	if err := r.Ready(); !errors.Is(err, ErrOverloaded) {
		t.Errorf("ready: %v", err)
	}
}

func TestMemoryOfRecentEventsIsBounded(t *testing.T) {
	r := recent{limit: 10}
	for id := range 1000 {
		r.add(batch("a", id))
	}
	if n := r.younger.size + r.older.size; n > 20 {
		t.Errorf("%d are remembered", n)
	}
	known := make([]event.Standing, 2)
	r.note("a", batch("a", 999, 5).Entries, known)
	if known[0] != event.Known || known[1] != event.New {
		t.Errorf("known: %v", known)
	}
}

// An event that has the time and uid of another but different content does not replace it. A retry of either adds
// nothing, before and after they are sequenced, even at a node that has seen neither.
func TestConflictsAreRecorded(t *testing.T) {
	key, err := proof.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	f := &bucketest.Faulty{Bucket: bucketest.NewMemory()}
	logs := tlog.Options{Keys: proof.NewKeys(key), Origin: "example.org"}
	r, sequencer := startOn(t, f, logs, Options{})
	at := received.Add(-time.Hour).UnixMilli()
	line := func(content string) []byte {
		return fmt.Appendf(nil, `{"time":%d,"content":%q,"metadata":{"uid":"guessed"}}`, at, content)
	}
	send := func(r *Recorder, contents ...string) Result {
		t.Helper()
		in := r.Intake(source("a"), Limits{})
		defer in.Close()
		for _, c := range contents {
			if err := in.Add(line(c)); err != nil {
				t.Fatal(err)
			}
		}
		got, err := in.Record(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	check := func(what string, got Result, recorded, conflicts, duplicates int) {
		t.Helper()
		if got.Recorded != recorded || got.Conflicts != conflicts || got.Duplicates != duplicates {
			t.Errorf("%s: %+v, want %d recorded, %d conflicts, %d duplicates", what, got, recorded,
				conflicts, duplicates)
		}
	}
	check("forged", send(r, "forged"), 1, 0, 0)
	check("real", send(r, "real"), 1, 1, 0)
	check("both again", send(r, "real", "forged"), 0, 0, 2)
	check("a third, twice in one request", send(r, "third", "third"), 1, 1, 1)
	check("two new ones of one uid", send(r, "fourth", "fifth"), 2, 2, 0)
	if _, err := sequencer.Round(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if n := count(t, r, "a"); n != 5 {
		t.Errorf("%d events, want 5", n)
	}
	fresh, _ := startOn(t, f, logs, Options{})
	check("at another node", send(fresh, "real", "forged", "third", "fourth", "fifth"), 0, 0, 5)
	check("a sixth at another node", send(fresh, "sixth"), 1, 1, 0)
}
