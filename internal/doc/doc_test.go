package doc_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/doc"
)

type counter struct{ N int }

func TestReadWrite(t *testing.T) {
	ctx, b := t.Context(), bucketest.NewAnyKeys()
	var c counter
	if _, err := doc.Read(ctx, b, "c/x", &c); !errors.Is(err, bucket.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	for n := range 12 {
		if err := doc.Write(ctx, b, "c/x", int64(n), counter{n}); err != nil {
			t.Fatal(err)
		}
	}
	if version, err := doc.Read(ctx, b, "c/x", &c); err != nil || version != 12 || c.N != 11 {
		t.Errorf("version %d, %+v, %v", version, c, err)
	}
	if err := doc.Write(ctx, b, "c/x", 11, counter{99}); !errors.Is(err, doc.ErrConflict) {
		t.Errorf("an old version was written again: %v", err)
	}
	if err := b.Put(ctx, "c/x/nonsense.json", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := doc.Read(ctx, b, "c/x", &c); err == nil || !strings.Contains(err.Error(), "c/x/nonsense.json") {
		t.Errorf("a stranger among the versions: %v", err)
	}
}

// No concurrent change is lost, whatever the bucket answers.
func TestUpdateLosesNothing(t *testing.T) {
	memory := bucketest.NewAnyKeys()
	if err := doc.Write(t.Context(), memory, "c/x", 0, counter{}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	calls, done := 0, 0
	f := &bucketest.Faulty{Bucket: memory, After: func(_ context.Context, op bucketest.Op, _ string) error {
		mu.Lock()
		defer mu.Unlock()
		if calls++; op == bucketest.PutNew && calls%3 == 0 {
			return errors.New("the reply was lost")
		}
		return nil
	}}
	for range 8 {
		wg.Go(func() {
			for range 10 {
				_, _, err := doc.Update(context.Background(), f, "c/x", 0, func(c *counter) error { c.N++; return nil })
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				done++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	var c counter
	if version, err := doc.Read(t.Context(), memory, "c/x", &c); err != nil || c.N != done || version != int64(done)+1 {
		t.Errorf("%d changes, the document says %d in version %d, %v", done, c.N, version, err)
	}
}

// A write whose outcome is unknown has failed if another writer's change is stored.
func TestUnknownOutcomeIsConflictIfAnotherChangeIsStored(t *testing.T) {
	memory, faults := bucketest.NewAnyKeys(), 1
	if err := doc.Write(t.Context(), memory, "c/x", 0, counter{}); err != nil {
		t.Fatal(err)
	}
	f := &bucketest.Faulty{Bucket: memory, Before: func(ctx context.Context, op bucketest.Op, _ string) error {
		if op != bucketest.PutNew || faults == 0 {
			return nil
		}
		faults--
		if err := doc.Write(ctx, memory, "c/x", 1, counter{10}); err != nil {
			t.Error(err)
		}
		return errors.New("no reply")
	}}
	c, version, err := doc.Update(t.Context(), f, "c/x", 0, func(c *counter) error { c.N++; return nil })
	if err != nil || c.N != 11 || version != 3 {
		t.Errorf("version %d, %+v, %v; want 11 in version 3", version, c, err)
	}
}
