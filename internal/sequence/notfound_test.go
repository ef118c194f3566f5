package sequence

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/event/eventtest"
	"github.com/weirlog/weir/internal/tlog"
)

// A wrong "not found", as a proxy before the storage may reply, loses nothing: nothing that waits is deleted because of
// it.
func TestWrongNotFoundLosesNothing(t *testing.T) {
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
	n := startNode(b) // its memory is empty
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

// A lost plan loses no event, whether only the newest plan is lost, whose number is then used again, or all plans.
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

// A plan that is damaged while a round finds that its number was used before ends no round with an error, and loses
// nothing: the next round makes another one.
func TestPlanThatIsDamagedMeanwhileIsMadeAgain(t *testing.T) {
	const log = "aaaaaaaaaaaaaaaaaaaaaaaa"
	b := bucketest.NewMemory()
	record := func(n *node, serial int) {
		line, _ := makeEvent(serial, epoch+int64(serial), "")
		if err := n.writer.Append(t.Context(), eventtest.Batch(log, line)); err != nil {
			t.Fatal(err)
		}
	}
	round := func(n *node) {
		t.Helper()
		if _, err := n.sequencer.Round(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	}
	first := startNode(b)
	defer first.writer.Close()
	last := ""
	for serial := range 3 {
		record(first, serial)
		round(first)
	}
	for info := range b.List(t.Context(), "plans/", "") {
		last = info.Key
	}
	if err := b.Delete(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	n := startNode(b)
	defer n.writer.Close()
	record(n, 3)
	damaged := false
	n.faulty.Before = func(ctx context.Context, op bucketest.Op, key string) error {
		if op != bucketest.Get || key != last || damaged {
			return nil
		}
		damaged = true
		return b.Put(ctx, key, []byte("no plan"))
	}
	round(n)
	if n.faulty.Before = nil; !damaged {
		t.Fatal("the plan was not read: this has shown nothing")
	}
	round(n)
	d, err := n.store.Download(t.Context(), log, tlog.Query{Start: epoch, End: epoch + 10})
	if err != nil || d.Head().Size != 4 {
		t.Errorf("%d events are sequenced, want 4; %v", d.Head().Size, err)
	}
}

// If the plan of a WAL object is lost, the object may hold an event that was sequenced and then removed by retention. A
// download that includes the object, and finds it gone, reports the removal.
func TestRemovedEventInTheWriteAheadLog(t *testing.T) {
	const log = "aaaaaaaaaaaaaaaaaaaaaaaa"
	b := bucketest.NewMemory()
	n := startNode(b)
	t.Cleanup(n.writer.Close)
	old, _ := makeEvent(0, epoch, "")
	young, _ := makeEvent(1, epoch+2_000_000, "")
	if err := n.writer.Append(t.Context(), eventtest.Batch(log, old, young)); err != nil {
		t.Fatal(err)
	}
	n.faulty.Before = func(_ context.Context, op bucketest.Op, key string) error {
		if op == bucketest.Delete && strings.HasPrefix(key, "wal/") {
			return errors.New("not now")
		}
		return nil
	}
	_, _ = n.sequencer.Round(t.Context(), true) // the round cannot delete what it has sequenced
	if _, err := n.store.Prune(t.Context(), log, epoch+1_000_000); err != nil {
		t.Fatal(err)
	}
	remove := func(prefix string) {
		var keys []string
		for info := range b.List(t.Context(), prefix, "") {
			keys = append(keys, info.Key)
		}
		if err := b.Delete(t.Context(), keys...); err != nil || len(keys) == 0 {
			t.Fatalf("%d of %s: %v", len(keys), prefix, err)
		}
	}
	remove("plans/")
	reader := startNode(b)
	t.Cleanup(reader.writer.Close)
	d, err := reader.store.Download(t.Context(), log, tlog.Query{Start: epoch, End: epoch + 3_000_000})
	if err != nil {
		t.Fatal(err)
	}
	remove("wal/")
	if err := d.WriteTo(t.Context(), io.Discard); !errors.Is(err, tlog.ErrPruned) {
		t.Errorf("got %v, want %v", err, tlog.ErrPruned)
	}
}
