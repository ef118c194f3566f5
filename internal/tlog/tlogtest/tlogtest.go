// Package tlogtest makes a regular log, for tests of packages that read logs.
package tlogtest

import (
	modtlog "golang.org/x/mod/sumdb/tlog"

	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/event/eventtest"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/segment"
)

// Appender is the part of *tlog.Logs that is used here.
type Appender interface {
	Append(ctx context.Context, plan int64, nonce string, b event.Batch) error
	Merge(ctx context.Context, log string) (more bool, err error)
}

// Log is the id of the log.
const Log = "6a793f48c0eb9e7a17712f00"

// Entry is an entry with its line, without '\n'.
type Entry struct {
	event.Entry
	Line []byte
}

// Split returns the arguments for a segment.Builder's Add.
func (e Entry) Split() ([]byte, event.Entry) { return append(slices.Clip(e.Line), '\n'), e.Entry }

// Batch returns a batch of entries.
func Batch(entries ...Entry) event.Batch {
	b := event.Batch{Log: Log}
	for _, e := range entries {
		b.Add(e.Split())
	}
	return b
}

// Regular returns entry n of a regular log: one event each second, for the processors in turn.
func Regular(n int, processors int) Entry {
	line := fmt.Appendf(nil, `{"time":%d,"metadata":{"uid":"%d"},"entity":{"name":"p%d","type":"Stream Processor"},`+
		`"filler":"%x"}`,
		n*1000, n, n%processors, rand.New(rand.NewPCG(uint64(n), 0)).Uint64())
	return Entry{eventtest.Batch(Log, string(line)).Entries[0], line}
}

// Fill appends n entries to a log, in batches of the given size, and merges after each.
func Fill(t testing.TB, s Appender, n, batch, processors int) {
	t.Helper()
	for first, b := 0, int64(1); first < n; first, b = first+batch, b+1 {
		var entries []Entry
		for i := first; i < min(first+batch, n); i++ {
			entries = append(entries, Regular(i, processors))
		}
		if err := s.Append(context.Background(), b, "nonce", Batch(entries...)); err != nil {
			t.Fatal(err)
		}
		for more := true; more; {
			var err error
			if more, err = s.Merge(context.Background(), Log); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// FillFrom appends count entries of the regular log behind its first n.
func FillFrom(t testing.TB, s Appender, n, count int) {
	t.Helper()
	var entries []Entry
	for i := n; i < n+count; i++ {
		entries = append(entries, Regular(i, 3))
	}
	if err := s.Append(context.Background(), 1<<40, "nonce", Batch(entries...)); err != nil {
		t.Fatal(err)
	}
}

// Lines returns the lines of a download. It fails unless the file is a single gzip member, which every reader reads
// whole.
func Lines(file []byte) ([]string, error) {
	src := bytes.NewReader(file) // an io.ByteReader, so no more than a member is read
	z, err := gzip.NewReader(src)
	if err != nil {
		return nil, fmt.Errorf("no gzip: %w", err)
	}
	z.Multistream(false)
	data, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("no whole gzip: %w", err)
	}
	if src.Len() > 0 {
		return nil, fmt.Errorf("%d bytes stand behind the first gzip member", src.Len())
	}
	return slices.Collect(strings.Lines(string(data))), nil
}

// Reference is the tree of the regular log, as golang.org/x/mod/sumdb/tlog computes it.
type Reference []modtlog.Hash

// NewReference returns the tree of the first n entries.
func NewReference(t testing.TB, n int) *Reference {
	r := &Reference{}
	for i := range n {
		digest := proof.Digest(Regular(i, 3).Line)
		hashes, err := modtlog.StoredHashes(int64(i), digest[:], r)
		if err != nil {
			t.Fatal(err)
		}
		*r = append(*r, hashes...)
	}
	return r
}

// ReadHashes implements tlog.HashReader.
func (r *Reference) ReadHashes(indexes []int64) ([]modtlog.Hash, error) {
	hashes := make([]modtlog.Hash, len(indexes))
	for i, index := range indexes {
		hashes[i] = (*r)[index]
	}
	return hashes, nil
}

// Root returns the root of the tree of the first n entries.
func (r *Reference) Root(t testing.TB, n int64) modtlog.Hash {
	root, err := modtlog.TreeHash(n, r)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// Origin is the origin of the bucket.
const Origin = "example.org"

// NewKeys returns new keys that sign the log's checkpoints, and a verifier for them.
func NewKeys(t testing.TB) (*proof.Keys, note.Verifier) {
	t.Helper()
	key, err := proof.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := proof.VerifierKey(Origin+"/"+Log, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(text)
	if err != nil {
		t.Fatal(err)
	}
	return proof.NewKeys(key), v
}

// LineCounts is a kind of object beside segments: the number of lines of each block. Counted counts the blocks whose
// lines were counted, as opposed to copied from a merged segment.
type LineCounts struct{ Counted *int }

func (LineCounts) ID() segment.ID { return "lines" }

func (LineCounts) Note(c segment.Content) any { return uint64(bytes.Count(c.Lines, []byte("\n"))) }

func (k LineCounts) Build(blocks []segment.Made) ([]byte, error) { return k.Merge(nil, blocks) }

func (k LineCounts) Merge(_ []*segment.Source, blocks []segment.Made) ([]byte, error) {
	var data []byte
	for _, b := range blocks {
		n, ok := b.Note.(uint64)
		if !ok {
			n = binary.BigEndian.Uint64(b.Source.Parts[k.ID()][8*b.Number:])
		} else if k.Counted != nil {
			*k.Counted++
		}
		data = binary.BigEndian.AppendUint64(data, n)
	}
	return data, nil
}
