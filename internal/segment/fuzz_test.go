package segment

import (
	"testing"

	"github.com/weirlog/weir/internal/gzipmember"
	"github.com/weirlog/weir/internal/proof"
)

func fuzzed(f *testing.F) made {
	var tree proof.Tree
	b := New(&tree, 1000)
	for n := range int64(600) {
		b.add(n)
	}
	return finish(f, b)
}

// No trailer makes the reader panic, or accept lengths that the segment cannot have.
func FuzzTrailer(f *testing.F) {
	m := fuzzed(f)
	f.Add(m.Trailer(), m.Size())
	f.Add(gzipmember.AppendAside(nil, trailer.aside(), make([]byte, 8*trailerFields)), int64(100))
	f.Fuzz(func(t *testing.T, tail []byte, size int64) {
		s, err := DecodeTrailer(tail, size)
		if err == nil && (s.First < 0 || s.Blocks < 0 || s.Index < 0 || s.Parts < 0 || s.Size() != size) {
			t.Errorf("%+v in a segment of %d bytes", s, size)
		}
	})
}

// No index makes the reader panic, or return blocks or parts outside the segment.
func FuzzIndex(f *testing.F) {
	m := fuzzed(f)
	payload, err := gzipmember.Aside(m.bytes(m.IndexSpan()), index.aside())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(payload, m.Blocks, m.Index, m.Parts)
	f.Fuzz(func(t *testing.T, payload []byte, blocks, index, parts int64) {
		s := Info{Blocks: blocks, Index: index, Parts: parts}
		x, err := DecodeIndex(s, gzipmember.AppendAside(nil, ID("WB").aside(), payload))
		if err != nil {
			return
		}
		for _, b := range x.Blocks {
			if b.Offset < 0 || b.Length < 0 || b.Span.End() > blocks {
				t.Errorf("block at %d with %d bytes in %d bytes of blocks", b.Offset, b.Length, blocks)
			}
			for _, p := range b.Processors {
				if p >= len(x.Processors) {
					t.Errorf("processor %d of %d", p, len(x.Processors))
				}
			}
		}
		for _, p := range x.Parts {
			if p.Offset < blocks+index || p.Length < 0 || p.End() > blocks+index+parts {
				t.Errorf("part at %d with %d bytes in %+v", p.Offset, p.Length, s)
			}
		}
	})
}

// No part makes the reader panic, or return fewer filters than blocks or fewer hashes than groups.
func FuzzParts(f *testing.F) {
	m := fuzzed(f)
	x := m.index(f)
	for _, p := range x.Parts {
		f.Add(m.bytes(p.Span))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, p := range x.Parts {
			content, err := p.Content(data)
			if err != nil {
				content = data
			}
			if filters, err := DecodeFilters(content, x.Blocks); err == nil {
				for i := range filters {
					filters[i].Has(testEntry(int64(i)).Key)
				}
			}
			if groups, err := DecodeGroups(content, m.Info); err == nil &&
				len(groups) != int(m.End()/proof.Group)*len(proof.Hash{}) {
				t.Errorf("%d bytes of groups", len(groups))
			}
		}
	})
}

// No block makes the reader panic, or return lines with another checksum than the index has.
func FuzzBlock(f *testing.F) {
	m := fuzzed(f)
	b := m.index(f).Blocks[1]
	f.Add(m.bytes(b.Span))
	good, err := b.Decode(nil, m.bytes(b.Span))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if lines, err := b.Decode(nil, data); err == nil && string(lines) != string(good) {
			t.Errorf("%q", lines)
		}
		if entries, err := b.Entries(data); err == nil && len(entries.Entries) != b.Count {
			t.Errorf("%d entries of %d", len(entries.Entries), b.Count)
		}
	})
}
