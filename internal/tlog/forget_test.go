package tlog

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/bucket/cache"
	"github.com/weirlog/weir/internal/bucket/layout"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/proof"
)

// closing is a bucket whose Close does nothing.
type closing struct{ bucket.Bucket }

func (closing) Close() error { return nil }

// A cache before the bucket keeps no damaged data: once the object is restored, it is served again.
func TestCacheForgetsDamage(t *testing.T) {
	key, err := proof.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Keys: proof.NewKeys(key), Origin: "example.org", BlockBytes: 1000}
	memory := bucketest.NewMemory()
	fill(t, newStore(memory, o), 100, 100, 3)
	m, err := newStore(memory, o).manifest(t.Context(), testLog)
	if err != nil {
		t.Fatal(err)
	}
	seg := m.Segments[0]
	segment := seg.Key
	good, err := bucket.Read(t.Context(), memory, segment, bucket.Range{})
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{seg.Blocks / 2, seg.Blocks + seg.Index/2, seg.Blocks + seg.Index + seg.Parts/3} {
		bad := []byte(strings.Clone(string(good)))
		bad[at] ^= 1
		if err := memory.Put(context.Background(), segment, bad); err != nil {
			t.Fatal(err)
		}
		cache, err := cache.New(closing{memory}, cache.Options{Immutable: layout.Cached, Memory: 1 << 20,
			MaxAge: time.Hour,
			Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		s := newStore(cache, o)
		download := func() error {
			d, err := s.Download(t.Context(), testLog, Query{Start: math.MinInt64, End: math.MaxInt64})
			if err == nil {
				err = d.WriteTo(t.Context(), io.Discard)
			}
			if err == nil {
				_, err = s.Known(t.Context(), testLog, walEntries(100))
			}
			return err
		}
		if err := download(); !errors.Is(err, manifest.ErrNotAuthentic) {
			t.Errorf("bit flipped at %d of %d: %v", at, len(good), err)
		}
		if err := memory.Put(context.Background(), segment, good); err != nil {
			t.Fatal(err)
		}
		if err := download(); err != nil {
			t.Errorf("it is as it was, and got %v", err)
		}
		cache.Close()
	}
}

// walEntries returns the first n entries of the regular log.
func walEntries(n int) []event.Entry {
	entries := make([]event.Entry, n)
	for i := range entries {
		entries[i] = entry(i, 3).Entry
	}
	return entries
}
