package sequence

import (
	"context"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/event/eventtest"
	"github.com/weirlog/weir/internal/tlog"
)

// A "not found" that is not true, as a proxy before the store may reply, loses nothing: what waits is not deleted for
// it.
func TestFalseNotFound(t *testing.T) {
	const log = "aaaaaaaaaaaaaaaaaaaaaaaa"
	b := bucketest.NewMemory()
	for serial := range 3 {
		n := startNode(b)
		line, _ := makeEvent(serial, epoch+int64(serial), "")
		if err := n.writer.Append(t.Context(), eventtest.Batch(log, line)); err != nil {
			t.Fatal(err)
		}
		n.writer.Close()
	}
	n := startNode(b) // which has nothing in memory
	defer n.writer.Close()
	planned := false
	n.faulty.Before = func(_ context.Context, op bucketest.Op, key string) error {
		planned = planned || op == bucketest.PutNew && strings.HasPrefix(key, "plans/")
		if planned && op == bucketest.Get && strings.HasPrefix(key, "wal/") {
			return bucket.ErrNotExist
		}
		return nil
	}
	if _, err := n.sequencer.Round(t.Context(), true); err == nil ||
		!strings.Contains(err.Error(), "cannot be found but is listed") {
		t.Errorf("got %v", err)
	}
	n.faulty.Before = nil
	n = startNode(b)
	defer n.writer.Close()
	for range 2 {
		if _, err := n.sequencer.Round(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	}
	d, err := n.store.Download(t.Context(), log, tlog.Query{Start: epoch, End: epoch + 10})
	if err != nil || d.Head().Size != 3 {
		t.Errorf("%d events are sequenced, want 3; %v", d.Head().Size, err)
	}
}

// A plan that is lost takes no event with it: neither the newest one, whose number is then used again, nor all of them.
func TestLostPlansLoseNoEvents(t *testing.T) {
	for name, keep := range map[string]int{"the newest": 2, "all": 0} {
		t.Run(name, func(t *testing.T) {
			const log = "aaaaaaaaaaaaaaaaaaaaaaaa"
			b := bucketest.NewMemory()
			record := func(serial int) {
				n := startNode(b)
				defer n.writer.Close()
				line, _ := makeEvent(serial, epoch+int64(serial), "")
				if err := n.writer.Append(t.Context(), eventtest.Batch(log, line)); err != nil {
					t.Fatal(err)
				}
			}
			sequence := func() *node {
				n := startNode(b)
				t.Cleanup(n.writer.Close)
				if _, err := n.sequencer.Round(t.Context(), true); err != nil {
					t.Fatal(err)
				}
				return n
			}
			for serial := range 3 {
				record(serial)
				sequence()
			}
			record(3) // waits while the plans are lost
			var plans []string
			for info := range b.List(t.Context(), "plans/", "") {
				plans = append(plans, info.Key)
			}
			if err := b.Delete(t.Context(), plans[keep:]...); err != nil {
				t.Fatal(err)
			}
			n := sequence()
			for info := range b.List(t.Context(), "wal/", "") {
				t.Errorf("%s still waits", info.Key)
			}
			d, err := n.store.Download(t.Context(), log, tlog.Query{Start: epoch, End: epoch + 10})
			if err != nil || d.Head().Size != 4 {
				t.Errorf("%d events are sequenced, want 4; %v", d.Head().Size, err)
			}
		})
	}
}
