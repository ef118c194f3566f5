package wal

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/seal"
)

// written returns an object with sections of three logs, and its key.
func written(t *testing.T, k seal.Key) (key string, data []byte) {
	t.Helper()
	b := bucketest.NewMemory()
	w := NewWriter(b, NewReader(b, k, 1<<20), 0, func(int64) {})
	defer w.Close()
	if err := w.Append(t.Context(), batch("log1", "a", "b"), batch("log2", "c"), batch("log3", "d")); err != nil {
		t.Fatal(err)
	}
	for info, err := range b.List(t.Context(), "wal/", "") {
		if err != nil {
			t.Fatal(err)
		}
		key = info.Key
	}
	data, err := bucket.Read(t.Context(), b, key, bucket.Range{})
	if err != nil {
		t.Fatal(err)
	}
	return key, data
}

// readAll returns the lines of all sections that verify, by log.
func readAll(t *testing.T, r *Reader, key string) map[string]string {
	t.Helper()
	lines := map[string]string{}
	sections, err := r.Sections(t.Context(), key)
	for _, s := range sections {
		var b event.Batch
		if b, err = r.Batch(t.Context(), s.Log, Place{key, s}); err != nil {
			break
		}
		lines[s.Log] = string(b.Lines)
	}
	if err != nil && !errors.Is(err, seal.ErrForged) {
		t.Fatal(err)
	}
	return lines
}

// This test changes each byte of an object, truncates it, moves it, and signs it with another secret. Only what was
// written is read. Each change is reported, and the object counts as forged, so that nobody deletes it.
func TestForgedObjectsAreNeverUsed(t *testing.T) {
	k := seal.NewKey(make([]byte, 32))
	key, data := written(t, k)
	want := map[string]string{}
	check := func(what, key string, data []byte) {
		t.Helper()
		b := bucketest.NewMemory()
		if err := b.Put(t.Context(), key, data); err != nil {
			t.Fatal(err)
		}
		r, reported := NewReader(b, k, 1<<20), 0
		r.OnForged(func(string, error) { reported++ })
		first := readAll(t, r, key)
		again := readAll(t, r, key) // without the sections that do not verify
		for log, lines := range again {
			if lines != want[log] {
				t.Errorf("%s: log %s has %q, want %q", what, log, lines, want[log])
			}
		}
		if len(again) < 2 && len(again) > 0 {
			t.Errorf("%s: one section was changed, and only %d are left", what, len(again))
		}
		if reported < 1 || !r.Forged(key) {
			t.Errorf("%s: reported %d times; forged: %t; read at first %v", what, reported, r.Forged(key), first)
		}
	}
	b := bucketest.NewMemory()
	if err := b.Put(t.Context(), key, data); err != nil {
		t.Fatal(err)
	}
	if want = readAll(t, NewReader(b, k, 1<<20), key); len(want) != 3 {
		t.Fatalf("read %v", want)
	}
	for i := range data {
		flipped := bytes.Clone(data)
		flipped[i] ^= 0x20
		check(fmt.Sprintf("byte %d of %d", i, len(data)), key, flipped)
	}
	for n := range data {
		check(fmt.Sprintf("the first %d bytes", n), key, data[:n])
	}
	check("something behind it", key, append(bytes.Clone(data), 0))
	check("something before it", key, append([]byte{0}, data...))
	sibling := []byte(key)
	last := len(key) - len("0.gz") // the digit changes whatever it is
	if sibling[last]++; key[last] == '9' || key[last] == 'f' {
		sibling[last] = '0'
	}
	check("under another key", string(sibling), data)
	otherKey, other := written(t, seal.NewKey(slices.Repeat([]byte{1}, 32)))
	check("with another secret", otherKey, other)
}

// A process without the secret must not acknowledge events, since no node would believe its objects.
func TestWriterNeedsTheSecret(t *testing.T) {
	b := bucketest.NewMemory()
	w := NewWriter(b, NewReader(b, seal.Key{}, 1<<20), 0, func(int64) {})
	defer w.Close()
	if err := w.Append(t.Context(), batch("log", "a")); !errors.Is(err, seal.ErrNoSecret) {
		t.Errorf("got %v", err)
	}
}
