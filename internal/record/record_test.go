package record

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/wal"
)

func start(t *testing.T, o Options) (*Recorder, *bucketest.Faulty) {
	f := &bucketest.Faulty{Bucket: bucketest.NewMemory()}
	reader := wal.NewReader(f, seal.NewKey(make([]byte, 32)), 1<<20)
	store := tlog.NewLogs(f, reader, tlog.Options{})
	writer := wal.NewWriter(f, reader, 0, func(int64) {})
	t.Cleanup(writer.Close)
	return New(f, store, []*wal.Writer{writer}, o), f
}

func batch(log string, ids ...int) event.Batch {
	b := event.Batch{Log: log}
	for _, id := range ids {
		b.Add(fmt.Appendf(nil, `{"time":%d,"metadata":{"uid":"u"}}`+"\n", id), event.Entry{Time: int64(id),
			Key: event.KeyOf(int64(id), []byte("u"))})
	}
	return b
}

func TestDuplicates(t *testing.T) {
	r, _ := start(t, Options{})
	for _, tt := range []struct {
		batch event.Batch
		want  Result
	}{
		{batch("a", 1, 2, 3), Result{Recorded: 3}},
		{batch("a", 1, 2, 3), Result{Duplicates: 3}},
		{batch("a", 3, 4, 4), Result{Recorded: 1, Duplicates: 2}},
		{batch("b", 1), Result{Recorded: 1}}, // another log's events are others
		{batch("a"), Result{}},
	} {
		if got, err := r.Record(t.Context(), tt.batch); err != nil || got.Recorded != tt.want.Recorded ||
			got.Duplicates != tt.want.Duplicates {
			t.Errorf("%+v, %v, want %+v", got, err, tt.want)
		}
	}
}

// An event is remembered as recorded only once it is durable.
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
	if n := len(r.younger) + len(r.older); n > 20 {
		t.Errorf("%d are remembered", n)
	}
	known := make([]bool, 2)
	r.note("a", batch("a", 999, 5).Entries, known)
	if !known[0] || known[1] {
		t.Errorf("known: %v", known)
	}
}
