package segment

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/event"
	"github.com/weirlog/weir/internal/proof"
)

// testLine is an entry with its line, without '\n'.
type testLine struct {
	event.Entry
	Line []byte
}

// add appends entry n of the regular log.
func (b *Builder) add(n int64) {
	e := testEntry(n)
	b.Add(append(e.Line, '\n'), e.Entry)
}

// testEntry returns entry n of a regular log.
func testEntry(n int64) testLine {
	at, processor := n*1000, fmt.Sprintf("p%d", n%3)
	uid := fmt.Appendf(nil, "%d", n)
	line := fmt.Appendf(nil, `{"time":%d,"metadata":{"uid":"%s"},"entity":{"name":%q,"type":"Stream Processor"}}`, at,
		uid,
		processor)
	b, err := event.Read("", append(line, '\n'), 1)
	if err != nil {
		panic(err)
	}
	return testLine{Entry: b.Entries[0], Line: line}
}

// lineCounts is a kind of object beside segments: the number of lines of each block.
type lineCounts struct{}

func (lineCounts) ID() ID { return "lines" }

func (lineCounts) Note(c Content) any { return uint64(bytes.Count(c.Lines, []byte("\n"))) }

func (k lineCounts) Build(blocks []Made) ([]byte, error) { return k.Merge(nil, blocks) }

func (k lineCounts) Merge(_ []*Source, blocks []Made) ([]byte, error) {
	var data []byte
	for _, b := range blocks {
		n, ok := b.Note.(uint64)
		if !ok {
			part := b.Source.Parts[k.ID()]
			n = binary.BigEndian.Uint64(part[8*b.Number:])
		}
		data = binary.BigEndian.AppendUint64(data, n)
	}
	return data, nil
}

// never is a kind of object that no segment gets.
type never struct{ lineCounts }

func (never) ID() ID { return "never" }

func (never) Build([]Made) ([]byte, error) { return nil, nil }

func (never) Merge([]*Source, []Made) ([]byte, error) { return nil, nil }

// made is a finished segment with its description.
type made struct {
	Info
	data   []byte
	beside []Object
}

func finish(t rapid.TB, b *Builder) made {
	t.Helper()
	data, info, beside, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return made{info, data, beside}
}

func (m *made) bytes(s Span) []byte { return m.data[s.Offset:s.End()] }

func (m *made) index(t rapid.TB) *Index {
	t.Helper()
	if got := proof.Digest(m.bytes(m.IndexSpan())); got != m.Sum {
		t.Fatalf("the index has the digest %v, not %v", got, m.Sum)
	}
	x, err := DecodeIndex(m.Info, m.bytes(m.IndexSpan()))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// source returns the segment as a source of a merge, with or without the objects beside it.
func (m *made) source(t rapid.TB, beside bool) *Source {
	t.Helper()
	s := &Source{Info: m.Info, Index: m.index(t), Parts: map[ID][]byte{}}
	for _, p := range s.Index.Parts {
		data := m.bytes(p.Span)
		if proof.Digest(data) != p.Sum {
			t.Fatalf("part %s has another digest", p.ID)
		}
		content, err := p.Content(data)
		if err != nil {
			t.Fatal(err)
		}
		s.Parts[p.ID] = content
	}
	for _, o := range m.beside {
		if beside {
			s.Parts[o.ID] = o.Data
		}
	}
	return s
}

// check checks the description of a segment of the regular log against its entries.
func (m *made) check(t rapid.TB) {
	t.Helper()
	x := m.index(t)
	tail, err := DecodeTrailer(m.data[len(m.data)-int(TrailerSize):], int64(len(m.data)))
	if err != nil {
		t.Fatal(err)
	}
	if described, _, err := Describe(tail, m.bytes(tail.IndexSpan())); err != nil || described != m.Info ||
		m.Size() != int64(len(m.data)) {
		t.Fatalf("it says of itself %+v, %v; it is %+v", described, err, m.Info)
	}
	n := m.First
	for line := range strings.Lines(m.lines(t)) {
		if want := string(testEntry(n).Line) + "\n"; line != want {
			t.Fatalf("zcat gives %q as entry %d, not %q", line, n, want)
		}
		n++
	}
	source := m.source(t, true)
	filters, err := DecodeFilters(source.Parts[Filters], x.Blocks)
	if err != nil {
		t.Fatal(err)
	}
	n = m.First
	for i, b := range x.Blocks {
		entries, err := b.Entries(m.bytes(b.Span))
		if err != nil || b.First != n {
			t.Fatalf("block %d begins with entry %d, not %d: %v", i, b.First, n, err)
		}
		for _, e := range entries.Entries {
			if e.Key != testEntry(n).Key || !filters[i].Has(e.Key) || !b.MayConcern(x.Number(e.Processors[0])) ||
				e.Time < b.MinTime || e.Time > b.MaxTime {
				t.Fatalf("entry %d is not as its block says", n)
			}
			n++
		}
		for _, o := range m.beside {
			if got := binary.BigEndian.Uint64(o.Data[8*i:]); got != uint64(b.Count) {
				t.Fatalf("block %d has %d lines, not %d", i, b.Count, got)
			}
		}
	}
	if n != m.End() {
		t.Fatalf("it ends before entry %d, not %d", n, m.End())
	}
	m.checkGroups(t, source.Parts[Groups])
}

// lines returns the lines as a strict reader of gzip sees them. The first member, of Info.Blocks bytes, holds all
// lines. The others hold only an extra field of at most 16 KiB.
func (m *made) lines(t rapid.TB) string {
	t.Helper()
	src := bytes.NewReader(m.data) // an io.ByteReader, so no more than a member is read
	var z gzip.Reader
	var lines []byte
	for src.Len() > 0 {
		at := m.Size() - int64(src.Len())
		if err := z.Reset(src); err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		z.Multistream(false)
		data, err := io.ReadAll(&z)
		if err != nil || len(data) > 0 && at > 0 || len(z.Extra) > 16<<10 {
			t.Fatalf("the member at byte %d has an extra field of %d bytes and holds %d bytes, %v", at, len(z.Extra),
				len(data), err)
		}
		if at == 0 {
			lines = data
			if end := m.Size() - int64(src.Len()); end != m.Blocks || int64(len(lines)) != m.Raw {
				t.Fatalf("the first member ends at byte %d, not %d, and holds %d bytes, not %d", end, m.Blocks,
					len(lines), m.Raw)
			}
		}
	}
	return string(lines)
}

func (m *made) checkGroups(t rapid.TB, part []byte) {
	t.Helper()
	groups, err := DecodeGroups(part, m.Info)
	if err != nil {
		t.Fatal(err)
	}
	var tree proof.Tree
	var want []byte
	for n := range m.End() {
		if group, complete := tree.Append(proof.Leaf(proof.Digest(testEntry(n).Line))); complete && n >= m.First {
			want = append(want, group[:]...)
		}
	}
	if !bytes.Equal(groups, want) {
		t.Fatalf("the hashes of groups of entries %d to %d are wrong", m.First, m.End()-1)
	}
}

// However entries are divided into segments and these are merged, every part of the result equals the part of a segment
// made of its entries.
func TestMergingKeepsWhatPartsSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blockBytes := rapid.IntRange(200, 4000).Draw(t, "blockBytes")
		var tree proof.Tree
		for range rapid.IntRange(0, 600).Draw(t, "before") {
			tree.Append(proof.Leaf(proof.Digest(testEntry(tree.Size).Line)))
		}
		var segments []made
		for range rapid.IntRange(1, 6).Draw(t, "segments") {
			b := New(&tree, blockBytes, never{}, lineCounts{})
			first := tree.Size
			for n := range int64(rapid.IntRange(1, 400).Draw(t, "entries")) {
				b.add(first + n)
			}
			m := finish(t, b)
			m.check(t)
			segments = append(segments, m)
		}
		for len(segments) > 1 {
			from := rapid.IntRange(0, len(segments)-2).Draw(t, "from")
			to := rapid.IntRange(from+2, len(segments)).Draw(t, "to")
			b := NewMerge(segments[from].First, blockBytes, lineCounts{}, never{})
			for _, m := range segments[from:to] {
				source := m.source(t, rapid.Bool().Draw(t, "indexed"))
				if err := b.Merge(source, func(b *Block) ([]byte, error) { return m.bytes(b.Span), nil }); err != nil {
					t.Fatal(err)
				}
			}
			merged := finish(t, b)
			merged.check(t)
			segments = slices.Replace(segments, from, to, merged)
		}
	})
}

// Strict readers of gzip accept a segment whose index and parts are longer than an extra field may be.
func TestLargeSegmentSuitsStrictReaders(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	var tree proof.Tree
	b := New(&tree, 400)
	for n := range int64(12_000) {
		b.add(n)
	}
	m := finish(t, b)
	if x := m.index(t); m.Index < 40_000 || x.Parts[0].Length < 30_000 {
		t.Fatalf("the index has %d bytes, the filters have %d", m.Index, x.Parts[0].Length)
	}
	m.check(t)
}

// A segment is merged only with the segment that follows it.
func TestMergeRefusesAGap(t *testing.T) {
	var tree proof.Tree
	var segments []made
	for range 3 {
		b := New(&tree, 1000)
		for n := range int64(10) {
			b.add(tree.Size + n)
		}
		segments = append(segments, finish(t, b))
	}
	b := NewMerge(0, 1000)
	var errs []error
	for _, m := range []made{segments[0], segments[2]} {
		errs = append(errs, b.Merge(m.source(t, false), func(b *Block) ([]byte, error) { return m.bytes(b.Span), nil }))
	}
	if errs[0] != nil || errs[1] == nil {
		t.Errorf("got %v", errs)
	}
}

func TestFilterKnowsItsKeysAndFewOthers(t *testing.T) {
	var keys []event.Key
	for i := range 700 {
		keys = append(keys, event.KeyOf(int64(i), nil))
	}
	f := newFilter(keys)
	for _, k := range keys {
		if !f.Has(k) {
			t.Fatalf("%x is not in its filter", k)
		}
	}
	wrong := 0
	for i := range 100_000 {
		if f.Has(event.KeyOf(int64(i), []byte("x"))) {
			wrong++
		}
	}
	if wrong > 30 {
		t.Errorf("%d of 100,000 strangers seem to be there", wrong)
	}
}
