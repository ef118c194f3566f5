package sequence

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/event/eventtest"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/wal"
)

// A download succeeds while another node finishes the last plan of its log, sequences other logs, and deletes that
// plan. The manifest of the log does not change. In each run, the other node does all of that before a different
// request of the download. The reader has cached the index of the WAL object, so it does not notice that the object is
// gone.
func TestDownloadWhileItsPlanIsCleanedAway(t *testing.T) {
	const log, otherLog = "aaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbb"
	for request, more := 1, true; more; request++ {
		b := bucketest.NewMemory()
		reader, other := startNode(b), startNode(b)
		record := func(log string, serial int) string {
			line, _ := makeEvent(serial, epoch+int64(serial), "")
			if err := other.writer.Append(t.Context(), eventtest.Batch(log, line)); err != nil {
				t.Fatal(err)
			}
			return line
		}
		round := func() {
			if _, err := other.sequencer.Round(t.Context(), true); err != nil {
				t.Fatal(err)
			}
		}

		line := record(log, 0)
		if _, err := reader.store.Info(t.Context(), log, 0); err != nil { // reads the WAL object
			t.Fatal(err)
		}
		other.faulty.Before = func(_ context.Context, op bucketest.Op, _ string) error {
			if op == bucketest.Delete {
				return errInjected
			}
			return nil
		}
		// The log gets the events of the plan. Its WAL object stays.
		if _, err := other.sequencer.Round(t.Context(), true); !errors.Is(err, errInjected) {
			t.Fatalf("request %d: the round ended with %v", request, err)
		}
		other.faulty.Before = nil

		requests := 0
		reader.faulty.Before = func(context.Context, bucketest.Op, string) error {
			if requests++; requests != request {
				return nil
			}
			for serial := range 6 {
				record(otherLog, 1+serial)
				round()
			}
			if _, err := wal.NewReader(b, seal.NewKey(make([]byte, 32)),
				1<<20).ReadPlan(t.Context(), 0, 1); !errors.Is(err, bucket.ErrNotExist) {
				t.Errorf("request %d: the plan was not cleaned away: %v", request, err)
			}
			return nil
		}
		var file bytes.Buffer
		d, err := reader.store.Download(t.Context(), log, tlog.Query{Start: math.MinInt64, End: math.MaxInt64})
		if err == nil {
			err = d.WriteTo(t.Context(), &file)
		}
		if err != nil {
			t.Errorf("overtaken before request %d: %v", request, err)
		} else if got := gunzip(t, file.Bytes()); !slices.Equal(got, []string{line}) {
			t.Errorf("overtaken before request %d: got\n%s\nwant\n%s", request, strings.Join(got, "\n"), line)
		}
		more = requests >= request
		reader.writer.Close()
		other.writer.Close()
	}
}

// A download succeeds if the plan of its log was lost, and the WAL object that the plan names is deleted before any of
// the download's requests. The log has the event, and its manifest does not change.
func TestDownloadAfterItsPlanWasLost(t *testing.T) {
	const log = "aaaaaaaaaaaaaaaaaaaaaaaa"
	for request, more := 1, true; more; request++ {
		b := bucketest.NewMemory()
		line := sequencedWithoutPlan(t, b, log)
		requests := 0
		reader := startNode(b)
		reader.faulty.Before = func(ctx context.Context, _ bucketest.Op, _ string) error {
			if requests++; requests != request {
				return nil
			}
			return b.Delete(ctx, keysOf(t, b, "wal/")...)
		}
		var file bytes.Buffer
		d, err := reader.store.Download(t.Context(), log, tlog.Query{Start: math.MinInt64, End: math.MaxInt64})
		if err == nil {
			err = d.WriteTo(t.Context(), &file)
		}
		if err != nil {
			t.Errorf("deleted before request %d: %v", request, err)
		} else if got := gunzip(t, file.Bytes()); !slices.Equal(got, []string{line}) {
			t.Errorf("deleted before request %d: got\n%s\nwant\n%s", request, strings.Join(got, "\n"), line)
		}
		more = requests >= request
		reader.writer.Close()
	}
}

// A download fails if a waiting object is listed and cannot be found. It does not retry for ever.
func TestDownloadOfWhatIsListedAndCannotBeFound(t *testing.T) {
	const log, otherLog = "aaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbb"
	for _, known := range []bool{false, true} { // whether the reader has cached the sections of the object
		for _, of := range []string{log, otherLog} { // a log whose plan was lost, and a log that has no manifest yet
			b := bucketest.NewMemory()
			sequencedWithoutPlan(t, b, log)
			writer, reader := startNode(b), startNode(b)
			line, _ := makeEvent(1, epoch, "")
			if err := writer.writer.Append(t.Context(), eventtest.Batch(of, line)); err != nil {
				t.Fatal(err)
			}
			writer.writer.Close()
			if known {
				if _, err := reader.store.Info(t.Context(), of, 0); err != nil {
					t.Fatal(err)
				}
			}
			reader.faulty.Before = func(_ context.Context, op bucketest.Op, key string) error {
				if op == bucketest.Get && strings.HasPrefix(key, "wal/") {
					return bucket.ErrNotExist
				}
				return nil
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			_, err := reader.store.Download(ctx, of, tlog.Query{Start: math.MinInt64, End: math.MaxInt64})
			if err == nil || !strings.Contains(err.Error(), "lost") {
				t.Errorf("log %s, known %t: got %v", of, known, err)
			}
			cancel()
			reader.writer.Close()
		}
	}
}

// sequencedWithoutPlan sequences an event of a log, and returns its line. The plan is then lost, and the WAL object
// still exists.
func sequencedWithoutPlan(t *testing.T, b *bucketest.Memory, log string) (line string) {
	t.Helper()
	n := startNode(b)
	defer n.writer.Close()
	line, _ = makeEvent(0, epoch, "")
	if err := n.writer.Append(t.Context(), eventtest.Batch(log, line)); err != nil {
		t.Fatal(err)
	}
	n.faulty.Before = func(_ context.Context, op bucketest.Op, _ string) error {
		if op == bucketest.Delete {
			return errInjected
		}
		return nil
	}
	if _, err := n.sequencer.Round(t.Context(), true); !errors.Is(err, errInjected) {
		t.Fatalf("the round ended with %v", err)
	}
	if err := b.Delete(t.Context(), keysOf(t, b, "plans/")...); err != nil {
		t.Fatal(err)
	}
	return line
}

func keysOf(t *testing.T, b bucket.Bucket, prefix string) (keys []string) {
	t.Helper()
	for info, err := range b.List(t.Context(), prefix, "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}
