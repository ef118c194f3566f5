package sequence

import (
	"context"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/event/eventtest"
	"github.com/weirlog/weir/internal/tlog"
)

// If a node misreads an object of the write-ahead log again and again, it applies a plan without the object. Another
// node that applies the plan and can read the object must not take the plan for done, since the object is the only
// copy.
func TestPlanAppliedWithoutAnObjectDeletesNothing(t *testing.T) {
	const log = "aaaaaaaaaaaaaaaaaaaaaaaa"
	b := bucketest.NewMemory()
	var keys []string
	for serial := range 3 {
		n := startNode(b)
		line, _ := makeEvent(serial, epoch+int64(serial), "")
		if err := n.writer.Append(t.Context(), eventtest.Batch(log, line)); err != nil {
			t.Fatal(err)
		}
		n.writer.Close()
	}
	for info := range b.List(t.Context(), "wal/", "") {
		keys = append(keys, info.Key)
	}
	misreads := startNode(b)
	defer misreads.writer.Close()
	misreads.faulty.Content = func(key string, data []byte) []byte {
		if key == keys[1] && len(data) > 0 {
			data[0] ^= 1 // the first byte of the lines, or of the entries; the index ends differently
		}
		return data
	}
	misreads.faulty.Before = func(_ context.Context, op bucketest.Op, key string) error {
		if op == bucketest.Delete && strings.HasPrefix(key, "wal/") {
			return errInjected // the node dies before it deletes
		}
		return nil
	}
	misreads.sequencer.Round(t.Context(), true)
	if d, err := misreads.store.Download(t.Context(), log, tlog.All); err != nil || d.Head().Size != 2 {
		t.Fatalf("%d events are sequenced, want those 2 that were read: %v", d.Head().Size, err)
	}
	other := startNode(b)
	defer other.writer.Close()
	for range 3 {
		if _, err := other.sequencer.Round(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	}
	d, err := other.store.Download(t.Context(), log, tlog.All)
	if err != nil || d.Head().Size != 3 {
		t.Errorf("%d events are sequenced, want 3; %v", d.Head().Size, err)
	}
	for info := range b.List(t.Context(), "wal/", "") {
		t.Errorf("%s still waits", info.Key)
	}
}
