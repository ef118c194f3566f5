package wal

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/gzipmember"
	"github.com/weirlog/weir/internal/seal"
)

func batch(log string, uids ...string) event.Batch {
	b := event.Batch{Log: log}
	for i, uid := range uids {
		e := event.Entry{Time: int64(1000 + i), Key: event.KeyOf(int64(i), []byte(uid))}
		if i%2 == 1 {
			e.Processors = []string{"p" + uid}
		}
		b.Add([]byte(uid+"\n"), e)
	}
	return b
}

// Appended sections are read back, by the process that wrote them and by another. zcat shows the lines.
func TestAppendAndRead(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := bucketest.NewMemory()
		w := NewWriter(b, NewReader(b, seal.NewKey(make([]byte, 32)), 1<<20), 3, func(int64) {})
		var batches []event.Batch
		var all string
		for i := range rapid.IntRange(1, 5).Draw(rt, "batches") {
			uids := rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,900}`), 1, 30).Draw(rt, "uids")
			batches = append(batches, batch(fmt.Sprintf("log%d", i%2), uids...))
			all += string(batches[i].Lines)
		}
		if err := w.Append(context.Background(), append(batches, event.Batch{Log: "empty"})...); err != nil {
			rt.Fatal(err)
		}
		w.Close()
		r := NewReader(b, seal.NewKey(make([]byte, 32)), 1<<20)
		objects, err := r.List(context.Background(), 3)
		if err != nil || len(objects) != 1 {
			rt.Fatalf("%d objects, %v", len(objects), err)
		}
		if written, err := Written(objects[0].Key); err != nil || time.Since(written) > time.Hour {
			rt.Errorf("%s: %v, %v", objects[0].Key, written, err)
		}
		sections, err := r.Sections(context.Background(), objects[0].Key)
		if err != nil || len(sections) != len(batches) {
			rt.Fatalf("%d sections, %v", len(sections), err)
		}
		for i, s := range sections {
			entries, err := r.Entries(context.Background(), objects[0].Key, s)
			if diff := cmp.Diff(batches[i].Entries, entries); err != nil || diff != "" {
				rt.Fatalf("section %d: %v\n%s", i, err, diff)
			}
			data, err := r.Member(context.Background(), objects[0].Key, s)
			if got := gunzip(rt, data); err != nil || got != string(batches[i].Lines) {
				rt.Fatalf("section %d: %q, %v", i, got, err)
			}
		}
		object, err := bucket.Read(context.Background(), b, objects[0].Key, bucket.Range{})
		if got := gunzip(rt, object); err != nil || got != all {
			rt.Fatalf("zcat shows %q, %v", got, err)
		}
	})
}

func gunzip(t interface{ Fatal(...any) }, data []byte) string {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Requests that come while an object is being written share the next one.
func TestGroupCommit(t *testing.T) {
	release := make(chan struct{})
	f := &bucketest.Faulty{Bucket: bucketest.NewMemory(), Before: func(_ context.Context, op bucketest.Op,
		_ string) error {
		if op == bucketest.PutNew {
			<-release
		}
		return nil
	}}
	w := NewWriter(f, NewReader(f, seal.NewKey(make([]byte, 32)), 1<<20), 0, func(int64) {})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if err := w.Append(context.Background(), batch("log", fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		})
	}
	close(release)
	wg.Wait()
	w.Close()
	if err := w.Append(t.Context(), batch("log", "late")); !errors.Is(err, ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
}

// An acknowledged batch exists, however a write failed before, and no name is used twice.
func TestUnknownOutcomes(t *testing.T) {
	fault := errors.New("injected")
	for name, tt := range map[string]struct {
		before, after int // number of writes that fail before and after they take effect
		acknowledged  bool
		objects       int
	}{
		"reply lost":          {0, 1, true, 1},
		"write lost":          {1, 0, true, 1},
		"lost again":          {2, 0, true, 1},
		"lost too often":      {3, 0, false, 0},
		"every reply is lost": {0, 9, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			names := map[string]int{}
			f := &bucketest.Faulty{Bucket: bucketest.NewMemory()}
			f.Before = func(_ context.Context, op bucketest.Op, key string) error {
				if op != bucketest.PutNew {
					return nil
				}
				if names[key]++; names[key] > 1 {
					t.Errorf("%s was used twice", key)
				}
				if tt.before--; tt.before >= 0 {
					return fault
				}
				return nil
			}
			f.After = func(_ context.Context, op bucketest.Op, _ string) error {
				if tt.after--; op == bucketest.PutNew && tt.after >= 0 {
					return fault
				}
				return nil
			}
			r := NewReader(f, seal.NewKey(make([]byte, 32)), 1<<20)
			w := NewWriter(f, r, 0, func(int64) {})
			defer w.Close()
			err := w.Append(t.Context(), batch("log", "a"))
			objects, listErr := r.List(t.Context(), 0)
			if (err == nil) != tt.acknowledged || err != nil && !errors.Is(err, fault) || listErr != nil ||
				len(objects) != tt.objects {
				t.Errorf("%v, %d objects, %v", err, len(objects), listErr)
			}
		})
	}
}

func TestPlanNumbersAreTakenOnce(t *testing.T) {
	ctx, b := t.Context(), bucketest.NewMemory()
	if batch, older, err := plansOf(b).HighestPlan(ctx, 0); batch != 0 || len(older) > 0 || err != nil {
		t.Errorf("no plans: %d, %q, %v", batch, older, err)
	}
	for n := range 12 {
		if err := plansOf(b).CreatePlan(ctx, 0, NewPlan(int64(n+1), []string{"x"})); err != nil {
			t.Fatal(err)
		}
	}
	if err := plansOf(b).CreatePlan(ctx, 0, NewPlan(12, nil)); !errors.Is(err, bucket.ErrExist) {
		t.Errorf("the same number again: %v", err)
	}
	if batch, older, err := plansOf(b).HighestPlan(ctx, 0); batch != 12 || len(older) != 11 || err != nil {
		t.Errorf("%d, %q, %v", batch, older, err)
	}
	if p, err := plansOf(b).ReadPlan(ctx, 0, 7); err != nil || p.Number != 7 || len(p.Nonce) < 20 {
		t.Errorf("%+v, %v", p, err)
	}
	lost := &bucketest.Faulty{Bucket: b, After: func(context.Context, bucketest.Op,
		string) error {
		return errors.New("the reply was lost")
	}}
	if err := plansOf(lost).CreatePlan(ctx, 0, NewPlan(13, nil)); err != nil {
		t.Errorf("it is there, only the reply was lost: %v", err)
	}
}

// No bytes make the reader panic, or return more than they hold.
func FuzzObject(f *testing.F) {
	b := batch("log", "a", "b", "c")
	section, data := encode(b)
	index := encodeIndex([]Section{section})
	f.Add(slices.Concat(data, index, encodeTrailer("wal/00/x.gz", index, seal.NewKey(make([]byte, 32)))))
	f.Add([]byte("nonsense"))
	f.Fuzz(func(t *testing.T, object []byte) {
		b := bucketest.NewMemory()
		if err := b.Put(t.Context(), "wal/00/0-x.gz", object); err != nil {
			t.Fatal(err)
		}
		r := NewReader(b, seal.Key{}, 1<<20)
		sections, err := r.Sections(t.Context(), "wal/00/x.gz")
		if err != nil {
			return
		}
		for _, s := range sections {
			if entries, err := r.Entries(t.Context(), "wal/00/x.gz", s); err == nil && len(entries) != s.Count {
				t.Errorf("%d entries where %d are announced", len(entries), s.Count)
			}
			if data, err := r.Member(t.Context(), "wal/00/x.gz", s); err == nil && int64(len(data)) != s.Length {
				t.Errorf("%d bytes where %d are announced", len(data), s.Length)
			}
		}
	})
}

func FuzzEntries(f *testing.F) {
	data, _ := encodeEntries(batch("log", "a", "b").Entries)
	f.Add(data, 2)
	f.Add([]byte(strings.Repeat("\x01", 100)), 3)
	f.Fuzz(func(t *testing.T, data []byte, count int) {
		if count < 0 || count > 1000 {
			return
		}
		aside := memberAside(data)
		if entries, err := decodeEntries(aside, count); err == nil && len(entries) != count {
			t.Errorf("%d entries, want %d", len(entries), count)
		}
	})
}

func memberAside(data []byte) []byte { return gzipmember.AppendAside(nil, idEntries, data) }

func plansOf(b bucket.Bucket) *Reader { return NewReader(b, seal.NewKey(make([]byte, 32)), 1<<20) }
