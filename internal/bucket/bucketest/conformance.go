// Package bucketest has the conformance suite for every kind of bucket, a bucket in memory, and one that fails on
// command.
package bucketest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/weirlog/weir/internal/bucket"
)

// Run checks the contract of package bucket. open returns an empty bucket.
func Run(t *testing.T, open func(t *testing.T) bucket.Bucket) {
	for name, test := range map[string]func(*testing.T, bucket.Bucket){
		"read what was written":       readWritten,
		"ranges":                      ranges,
		"versions":                    versions,
		"missing objects":             missing,
		"put new never replaces":      putNewNeverReplaces,
		"one of many put news wins":   oneWins,
		"lists in the order of keys":  lists,
		"list while it changes":       listWhileChanging,
		"delete":                      deletes,
		"bad keys":                    badKeys,
		"a cancelled context":         cancelled,
		"readers keep what they open": openSurvivesDelete,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

func read(t *testing.T, b bucket.Bucket, key string, r bucket.Range) string {
	t.Helper()
	data, err := bucket.Read(t.Context(), b, key, r)
	must(t, err)
	return string(data)
}

func keys(t *testing.T, b bucket.Bucket, prefix, after string) []string {
	t.Helper()
	var got []string
	for info, err := range b.List(t.Context(), prefix, after) {
		must(t, err)
		got = append(got, info.Key)
	}
	return got
}

func readWritten(t *testing.T, b bucket.Bucket) {
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	for key, data := range map[string][]byte{"empty": {}, "a": []byte("one"), "deep/er/and/deeper.gz": large} {
		must(t, b.PutNew(t.Context(), key, data))
		o, err := b.Get(t.Context(), key, bucket.Range{})
		must(t, err)
		got, err := io.ReadAll(o)
		must(t, err)
		must(t, o.Close())
		if !bytes.Equal(got, data) || o.Size != int64(len(data)) {
			t.Errorf("%s: read %d bytes (size %d), want %d", key, len(got), o.Size, len(data))
		}
	}
	must(t, b.Put(t.Context(), "a", []byte("two")))
	must(t, b.Put(t.Context(), "new", []byte("three")))
	if got := read(t, b, "a", bucket.Range{}) + read(t, b, "new", bucket.Range{}); got != "twothree" {
		t.Errorf("after Put: %q", got)
	}
}

func ranges(t *testing.T, b bucket.Bucket) {
	must(t, b.PutNew(t.Context(), "k", []byte("0123456789")))
	for _, tt := range []struct {
		r    bucket.Range
		want string
	}{
		{bucket.Range{}, "0123456789"},
		{bucket.Range{Offset: 3}, "3456789"},
		{bucket.Range{Offset: 3, Length: 2}, "34"},
		{bucket.Range{Length: 1}, "0"},
		{bucket.Range{Offset: 8, Length: 100}, "89"},
		{bucket.Range{Offset: -3}, "789"},
		{bucket.Range{Offset: -3, Length: 1}, "7"},
		{bucket.Range{Offset: -100}, "0123456789"},
	} {
		if got := read(t, b, "k", tt.r); got != tt.want {
			t.Errorf("%+v: got %q, want %q", tt.r, got, tt.want)
		}
		var copied bytes.Buffer
		o, err := b.Get(t.Context(), "k", tt.r)
		must(t, err)
		_, err = io.Copy(&copied, o)
		must(t, err)
		must(t, o.Close())
		if copied.String() != tt.want || o.Size != 10 {
			t.Errorf("%+v: copied %q of %d, want %q of 10", tt.r, copied.String(), o.Size, tt.want)
		}
	}
}

// Different contents of a key have different versions, unless the bucket does not report versions.
func versions(t *testing.T, b bucket.Bucket) {
	seen := map[string]string{}
	for _, content := range []string{"one", "two", "one, longer"} {
		must(t, b.Put(t.Context(), "k", []byte(content)))
		for range 2 {
			o, err := b.Get(t.Context(), "k", bucket.Range{Offset: 1})
			must(t, err)
			must(t, o.Close())
			if before, ok := seen[o.Version]; ok && before != content && o.Version != "" {
				t.Errorf("%q and %q have the same version %q", before, content, o.Version)
			}
			seen[o.Version] = content
		}
	}
}

func missing(t *testing.T, b bucket.Bucket) {
	must(t, b.PutNew(t.Context(), "folder/object", nil))
	for _, key := range []string{"nothing", "folder", "folder/object/below", "folder/other"} {
		_, err := b.Get(t.Context(), key, bucket.Range{})
		wantErr(t, err, bucket.ErrNotExist)
	}
}

func putNewNeverReplaces(t *testing.T, b bucket.Bucket) {
	must(t, b.PutNew(t.Context(), "k", []byte("first")))
	wantErr(t, b.PutNew(t.Context(), "k", []byte("second")), bucket.ErrExist)
	wantErr(t, b.PutNew(t.Context(), "k", []byte("first")), bucket.ErrExist)
	if got := read(t, b, "k", bucket.Range{}); got != "first" {
		t.Errorf("got %q", got)
	}
}

func oneWins(t *testing.T, b bucket.Bucket) {
	for round := range 20 {
		key := fmt.Sprintf("race/%d", round)
		var wg sync.WaitGroup
		won := make([]bool, 8)
		for i := range won {
			wg.Go(func() {
				err := b.PutNew(context.Background(), key, fmt.Appendf(nil, "%d", i))
				won[i] = err == nil
				if err != nil && !errors.Is(err, bucket.ErrExist) {
					t.Errorf("%s: %v", key, err)
				}
			})
		}
		wg.Wait()
		winner := slices.Index(won, true)
		if winner < 0 || slices.Contains(won[winner+1:], true) {
			t.Fatalf("%s: winners %v, want exactly one", key, won)
		}
		if got := read(t, b, key, bucket.Range{}); got != fmt.Sprint(winner) {
			t.Errorf("%s holds %q, the winner was %d", key, got, winner)
		}
	}
}

func lists(t *testing.T, b bucket.Bucket) {
	all := []string{"a-b", "a.b", "a/1", "a/2/x", "a/2/y", "a/2.z", "a0", "b/1", "wal/0/1", "wal/00/1", "wal/1/1"}
	slices.Sort(all)
	for i := range all {
		must(t, b.PutNew(t.Context(), all[(i*7)%len(all)], []byte("xyz")))
	}
	for _, prefix := range []string{"", "a", "a/", "a/2", "a/2/", "a/2/x", "wal/0", "wal/0/", "none", "none/"} {
		for _, after := range append([]string{"", "a", "a/2", "a/2/", "a/9", "zzz"}, all...) {
			var want []string
			for _, key := range all {
				if len(key) >= len(prefix) && key[:len(prefix)] == prefix && key > after {
					want = append(want, key)
				}
			}
			if got := keys(t, b, prefix, after); !slices.Equal(got, want) {
				t.Errorf("list %q after %q: got %q, want %q", prefix, after, got, want)
			}
		}
	}
	for info, err := range b.List(t.Context(), "a/", "") {
		must(t, err)
		if size, err := info.Size(); err != nil || size != 3 {
			t.Errorf("%s: size %d, %v", info.Key, size, err)
		}
		break // a caller may stop early
	}
}

// A listing includes the objects that existed before it began and stay, whatever else changes meanwhile.
func listWhileChanging(t *testing.T, b bucket.Bucket) {
	var stay []string
	for i := range 50 {
		key := fmt.Sprintf("d/%03d-stays", i)
		stay = append(stay, key)
		must(t, b.PutNew(t.Context(), key, nil))
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			key := fmt.Sprintf("d/%03d-goes", i%50)
			if err := b.PutNew(context.Background(), key, nil); err != nil && !errors.Is(err, bucket.ErrExist) {
				t.Error(err)
			}
			if err := b.Delete(context.Background(), key); err != nil {
				t.Error(err)
			}
		}
	})
	for range 20 {
		got := keys(t, b, "d/", "")
		for _, key := range stay {
			if !slices.Contains(got, key) {
				t.Errorf("%s is missing", key)
			}
		}
		if !slices.IsSorted(got) {
			t.Errorf("not sorted: %q", got)
		}
	}
	close(done)
	wg.Wait()
}

func deletes(t *testing.T, b bucket.Bucket) {
	must(t, b.PutNew(t.Context(), "x/1", nil))
	must(t, b.PutNew(t.Context(), "x/2", nil))
	must(t, b.PutNew(t.Context(), "x/3", nil))
	must(t, b.Delete(t.Context(), "x/1", "x/none", "none/none", "x/2"))
	must(t, b.Delete(t.Context()))
	if got := keys(t, b, "", ""); !slices.Equal(got, []string{"x/3"}) {
		t.Errorf("left: %q", got)
	}
	must(t, b.PutNew(t.Context(), "x/1", []byte("again")))
	if got := read(t, b, "x/1", bucket.Range{}); got != "again" {
		t.Errorf("got %q", got)
	}
}

func badKeys(t *testing.T, b bucket.Bucket) {
	for _, key := range []string{"", "/", "a/", "/a", "a//b", "..", "a/../b", ".tmp/x", ".lock", "a b", "a\x00", "ä",
		string(make([]byte, 600))} {
		_, err := b.Get(t.Context(), key, bucket.Range{})
		for _, err := range []error{err, b.Put(t.Context(), key, nil), b.PutNew(t.Context(), key, nil),
			b.Delete(t.Context(), key)} {
			if err == nil || errors.Is(err, bucket.ErrExist) {
				t.Errorf("key %q: got error %v", key, err)
			}
		}
	}
	if got := keys(t, b, "", ""); len(got) > 0 {
		t.Errorf("made %q", got)
	}
}

func cancelled(t *testing.T, b bucket.Bucket) {
	must(t, b.PutNew(t.Context(), "k", nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.Get(ctx, "k", bucket.Range{})
	wantErr(t, err, context.Canceled)
	wantErr(t, b.PutNew(ctx, "other", nil), context.Canceled)
	wantErr(t, b.Delete(ctx, "k"), context.Canceled)
	for _, err = range b.List(ctx, "", "") {
	}
	wantErr(t, err, context.Canceled)
}

// A reader of an open object gets all of it or an error, even if the object is deleted meanwhile.
func openSurvivesDelete(t *testing.T, b bucket.Bucket) {
	data := bytes.Repeat([]byte("x"), 1<<20)
	must(t, b.PutNew(t.Context(), "k", data))
	o, err := b.Get(t.Context(), "k", bucket.Range{})
	must(t, err)
	defer o.Close()
	must(t, b.Delete(t.Context(), "k"))
	if got, err := io.ReadAll(o); err == nil && !bytes.Equal(got, data) {
		t.Errorf("read %d bytes without an error, want %d", len(got), len(data))
	}
}
