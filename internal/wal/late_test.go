package wal

import (
	"context"
	"errors"
	"testing"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/seal"
)

// late returns a bucket on which the first n calls of PutNew fail without a reply. The calls take effect when the test
// calls the returned functions, long after the writer has given up.
func late(b bucket.Bucket, n int) (bucket.Bucket, *[]func() error) {
	effects := new([]func() error)
	return &holding{b, n, effects}, effects
}

type holding struct {
	bucket.Bucket
	n       int
	effects *[]func() error
}

func (h *holding) PutNew(ctx context.Context, key string, data []byte) error {
	if h.n--; h.n < 0 {
		return h.Bucket.PutNew(ctx, key, data)
	}
	*h.effects = append(*h.effects, func() error { return h.Bucket.PutNew(context.Background(), key, data) })
	return errors.New("no reply")
}

// A WAL object that appears after its write was given up only repeats known events, under a name that no other object
// has.
func TestLateObjectRepeatsKnownEvents(t *testing.T) {
	f, effects := late(bucketest.NewMemory(), 1)
	r := NewReader(f, seal.NewKey(make([]byte, 32)), 1<<20)
	w := NewWriter(f, r, 0, func(int64) {})
	defer w.Close()
	if err := w.Append(t.Context(), batch("log", "a")); err != nil {
		t.Fatal(err)
	}
	if err := (*effects)[0](); err != nil {
		t.Fatalf("its name was taken: %v", err)
	}
	objects, err := r.List(t.Context(), 0)
	if err != nil || len(objects) != 2 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	for _, o := range objects {
		sections, err := r.Sections(t.Context(), o.Key)
		if err != nil || len(sections) != 1 {
			t.Fatalf("%s: %d sections, %v", o.Key, len(sections), err)
		}
		entries, err := r.Entries(t.Context(), o.Key, sections[0])
		if err != nil || len(entries) != 1 || entries[0].Key != batch("log", "a").Entries[0].Key {
			t.Errorf("%s: %v, %v", o.Key, entries, err)
		}
	}
}

// A plan whose write was given up never takes its number, because a second try has it, or it prevents the second try.
func TestLatePlanTakesNoNumberTwice(t *testing.T) {
	ctx := t.Context()
	for name, appearsFirst := range map[string]bool{"appears before the second try": true, "appears after it": false} {
		t.Run(name, func(t *testing.T) {
			f, effects := late(bucketest.NewMemory(), 1)
			first, second := NewPlan(1, []string{"x"}), NewPlan(1, []string{"x", "y"})
			if err := plansOf(f).CreatePlan(ctx, 0, first); err == nil || errors.Is(err, bucket.ErrExist) {
				t.Fatalf("a plan that nobody can see was made: %v", err)
			}
			want := second
			if appearsFirst {
				want = first
				if err := (*effects)[0](); err != nil {
					t.Fatal(err)
				}
			}
			if err := plansOf(f).CreatePlan(ctx, 0, second); errors.Is(err, bucket.ErrExist) != appearsFirst {
				t.Errorf("second try: %v", err)
			}
			if !appearsFirst {
				if err := (*effects)[0](); !errors.Is(err, bucket.ErrExist) {
					t.Errorf("the late plan: %v", err)
				}
			}
			if p, err := plansOf(f).ReadPlan(ctx, 0, 1); err != nil || p.Nonce != want.Nonce {
				t.Errorf("%+v, %v", p, err)
			}
		})
	}
}
