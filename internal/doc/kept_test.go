package doc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/weirlog/weir/internal/bucket/bucketest"
)

type count struct{ N int }

func TestKeptDocumentContinuesWhereItWas(t *testing.T) {
	b := bucketest.NewMemory()
	for n := range 20 {
		k := NewKept[count](b, "cursors/test/x")
		if err := k.Load(t.Context()); err != nil || k.Value.N != n {
			t.Fatalf("loaded %d, %v; want %d", k.Value.N, err, n)
		}
		k.Value.N++
		if err := k.Keep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	versions := 0
	for range b.List(t.Context(), "cursors/test/x/", "") {
		versions++
	}
	if versions > 2*keptVersions {
		t.Errorf("%d versions are kept", versions)
	}
}

func TestKeptDocumentOfAnotherWriterIsNotOverwritten(t *testing.T) {
	b := bucketest.NewMemory()
	one, other := NewKept[count](b, "cursors/test/x"), NewKept[count](b, "cursors/test/x")
	for _, k := range []*Kept[count]{one, other} {
		if err := k.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	one.Value.N = 1
	if err := one.Keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	other.Value.N = 2
	if err := other.Keep(t.Context()); !errors.Is(err, ErrConflict) {
		t.Errorf("%v, want a conflict", err)
	}
	if err := other.Load(t.Context()); err != nil || other.Value.N != 1 {
		t.Errorf("loaded %d, %v", other.Value.N, err)
	}
}

func TestKeptDocumentThatIsDamagedBeginsAgain(t *testing.T) {
	b := bucketest.NewMemory()
	k := NewKept[count](b, "cursors/test/x")
	k.Value.N = 7
	if err := k.Keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Put(t.Context(), key("cursors/test/x", 1), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if err := k.Load(t.Context()); !errors.Is(err, ErrDoesNotCount) || k.Value.N != 0 {
		t.Fatalf("loaded %d, %v", k.Value.N, err)
	}
	k.Value.N = 1
	if err := k.Keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := k.Load(t.Context()); err != nil || k.Value.N != 1 {
		t.Errorf("loaded %d, %v", k.Value.N, err)
	}
}

// A change takes effect although others change the document at the same time, and although its version was created and
// deleted before.
func TestChangeOfAKeptDocumentTakesEffect(t *testing.T) {
	memory := bucketest.NewMemory()
	writer := NewKept[count](memory, "cursors/test/x")
	moved := 0
	faulty := &bucketest.Faulty{Bucket: memory, Before: func(_ context.Context, op bucketest.Op, key string) error {
		if op != bucketest.PutNew || moved == 3 || !strings.HasPrefix(key, "cursors/test/x/") {
			return nil
		}
		moved++
		for range 3 * keptVersions {
			writer.Value.N++
			if err := writer.Keep(t.Context()); err != nil {
				return fmt.Errorf("the other writer: %w", err)
			}
		}
		return nil
	}}
	changed := NewKept[count](faulty, "cursors/test/x")
	if err := changed.Change(t.Context(), func(c *count) error { c.N += 1000; return nil }); err != nil {
		t.Fatal(err)
	}
	read := NewKept[count](memory, "cursors/test/x")
	if err := read.Load(t.Context()); err != nil || read.Value.N != 1000+3*3*keptVersions {
		t.Errorf("%d, %v", read.Value.N, err)
	}
}

// A writer that slept while others went on creates a version again that they have deleted. It learns that this one does
// not count.
func TestKeptDocumentOfASleeperDoesNotCount(t *testing.T) {
	b := bucketest.NewMemory()
	sleeper, other := NewKept[count](b, "cursors/test/x"), NewKept[count](b, "cursors/test/x")
	for _, k := range []*Kept[count]{sleeper, other} {
		if err := k.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 * keptVersions {
		other.Value.N++
		if err := other.Keep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	sleeper.Value.N = -1
	if err := sleeper.Keep(t.Context()); !errors.Is(err, ErrConflict) {
		t.Errorf("got %v", err)
	}
	if err := sleeper.Load(t.Context()); err != nil || sleeper.Value != other.Value {
		t.Errorf("%+v, %v", sleeper.Value, err)
	}
}
