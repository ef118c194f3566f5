package doc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/weirlog/weir/internal/bucket/bucketest"
)

type named struct{ Name string }

// listed returns the names of all documents, and the number of errors.
func listed(t *testing.T, c *Cache[named]) (names []string, failed int) {
	for d, err := range c.All(t.Context()) {
		if err != nil {
			failed++
			continue
		}
		names = append(names, d.Name)
	}
	return names, failed
}

func rename(t *testing.T, c *Cache[named], id, name string) {
	t.Helper()
	if _, err := c.UpdateOrCreate(t.Context(), id, func(d *named) error { d.Name = name; return nil }); err != nil {
		t.Fatal(err)
	}
}

// Documents that are remembered cost only the listing, and a change by another node is seen at once.
func TestAllReadsOnlyWhatChanged(t *testing.T) {
	reads, lists := 0, 0
	b := &bucketest.Faulty{Bucket: bucketest.NewAnyKeys()}
	b.Before = func(_ context.Context, op bucketest.Op, _ string) error {
		switch op {
		case bucketest.Get:
			reads++
		case bucketest.List:
			lists++
		}
		return nil
	}
	here, there := NewCache[named](b, "things/", 100), NewCache[named](b, "things/", 100)
	var want []string
	for i := range 20 {
		rename(t, there, fmt.Sprintf("%02d", i), fmt.Sprint("name ", i))
		want = append(want, fmt.Sprint("name ", i))
	}
	expect := func(mostReads int) {
		t.Helper()
		reads, lists = 0, 0
		names, failed := listed(t, here)
		if !slices.Equal(names, want) || failed != 0 || reads > mostReads || lists > 1+mostReads {
			t.Errorf("%d errors, %d reads, %d listings: %q", failed, reads, lists, names)
		}
	}
	expect(20)
	expect(0)
	rename(t, there, "07", "new")
	want[7] = "new"
	expect(1)
	expect(0)
	rename(t, here, "08", "own")
	want[8] = "own"
	expect(0)
}

func TestAllContinuesAfterADamagedDocument(t *testing.T) {
	b := bucketest.NewAnyKeys()
	c := NewCache[named](b, "things/", 100)
	for _, id := range []string{"a", "b", "c"} {
		rename(t, c, id, id)
	}
	if err := b.Put(t.Context(), "things/b/0000000003.json", []byte("no document")); err != nil {
		t.Fatal(err)
	}
	if err := b.Put(t.Context(), "things/stray", nil); err != nil {
		t.Fatal(err)
	}
	if names, failed := listed(t, c); !slices.Equal(names, []string{"a", "c"}) || failed != 1 {
		t.Errorf("%d errors, %q", failed, names)
	}
	gone, end := context.WithCancel(t.Context())
	end()
	for _, err := range NewCache[named](b, "things/", 100).All(gone) {
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}
