package sequence

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/event/eventtest"
	"github.com/weirlog/weir/internal/seal"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/wal"
)

// A download succeeds while another node finishes the last plan of its log, sequences other logs, and cleans that plan
// away. The manifest of the log never moves. In each run the other node does all of that before another request of
// the download. The reader has read the index of the WAL object before, so it does not notice that the object is gone.
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
		if _, err := reader.store.Info(t.Context(), log); err != nil { // which reads the WAL object
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
			if _, err := wal.NewReader(b, seal.NewKey(make([]byte, 32)), 1<<20).ReadPlan(t.Context(), 0, 1); !errors.Is(err, bucket.ErrNotExist) {
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
