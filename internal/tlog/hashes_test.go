package tlog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	modtlog "golang.org/x/mod/sumdb/tlog"

	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/segment"
	"github.com/weirlog/weir/internal/tlog/tlogtest"
)

// checkTree checks all statements of a log about its tree against the reference: root, checkpoint, tiles, bundles,
// proofs.
func checkTree(t *testing.T, s *Logs, r *reference, size int64, v note.Verifier) {
	t.Helper()
	h, err := s.Head(t.Context(), testLog)
	if err != nil {
		t.Fatal(err)
	}
	c, err := proof.OpenCheckpoint([]byte(h.Checkpoint), v)
	if err != nil || h.Size != size || h.Root != r.Root(t, size) || c.N != size || c.Hash != h.Root ||
		c.Origin != s.Origin(testLog) {
		t.Fatalf("head %+v, checkpoint %+v, %v; want size %d, root %v", h, c, err, size, r.Root(t, size))
	}
	for level := range 3 {
		nodes := size >> (8 * level)
		for n := int64(0); n*256 < nodes; n++ {
			tile := modtlog.Tile{H: 8, L: level, N: n, W: int(min(256, nodes-n*256))}
			got, err := s.Tile(t.Context(), testLog, tile)
			want, wantErr := modtlog.ReadTileData(tile, r)
			if err != nil || wantErr != nil || !bytes.Equal(got, want) {
				t.Fatalf("tile %+v: %v, %v, equal %t", tile, err, wantErr, bytes.Equal(got, want))
			}
			if level > 0 {
				continue
			}
			tile.L = -1
			bundle, err := s.Tile(t.Context(), testLog, tile)
			if err != nil {
				t.Fatal(err)
			}
			for i := range tile.W {
				var e []byte
				if e, bundle, err = torchwood.ReadTileEntry(bundle); err != nil {
					t.Fatal(err)
				}
				if want := proof.Digest(entry(int(n)*256+i, 3).Line); !bytes.Equal(e, want[:]) {
					t.Fatalf("bundle %d: entry %d", n, i)
				}
			}
		}
	}
	for range 30 {
		index := rand.Int64N(size)
		p, _, digest, err := s.ProveEntry(t.Context(), testLog, index)
		if err != nil {
			t.Fatal(err)
		}
		if err := modtlog.CheckRecord(p, size, h.Root, index, proof.Leaf(digest)); err != nil {
			t.Errorf("entry %d of %d: %v", index, size, err)
		}
		from := 1 + rand.Int64N(size)
		tp, err := s.ProveSince(t.Context(), testLog, from, size)
		if err != nil {
			t.Fatal(err)
		}
		if err := modtlog.CheckTree(tp, size, h.Root, from, r.Root(t, from)); err != nil {
			t.Errorf("from %d to %d: %v", from, size, err)
		}
	}
	for _, tile := range []modtlog.Tile{{H: 8, L: 0, N: size / 256, W: int(size%256) + 1}, {H: 8, L: 1, N: size >> 16,
		W: int(size>>8%256) + 1}, {H: 8, L: -1, N: 1 << 40, W: 1}, {H: 8, L: 7, N: 0, W: 1}} {
		if _, err := s.Tile(t.Context(), testLog, tile); !errors.Is(err, ErrBeyond) {
			t.Errorf("tile %+v: %v", tile, err)
		}
	}
}

// The tree of a log is that of its lines, however the log grows, is merged and pruned.
func TestTreeIsThatOfTheLines(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	const n = 5000
	r := newReference(t, n+1000)
	for _, batch := range []int{1, 7, 256, 300, 1700} {
		o, v := signing(t, small)
		b := bucketest.NewMemory()
		total := n
		if batch == 1 {
			total = 600
		}
		s := newStore(b, o)
		fill(t, s, total, batch, 3)
		checkTree(t, newStore(b, o), r, int64(total), v)
		for before := int64(total) * 300; ; {
			p, err := s.Prune(t.Context(), testLog, before)
			if err != nil {
				t.Fatal(err)
			}
			if p.Entries == 0 {
				break
			}
		}
		if err := s.Sweep(t.Context(), testLog); err != nil {
			t.Fatal(err)
		}
		checkTree(t, newStore(b, o), r, int64(total), v)
		tlogtest.FillFrom(t, s, total, 999)
		checkTree(t, newStore(b, o), r, int64(total)+999, v)
	}
}

// A large log has tiles of level 2.
func TestTallTree(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	const n = 66_000
	r := newReference(t, n)
	o, v := signing(t, Options{})
	b := bucketest.NewMemory()
	fill(t, newStore(b, o), n, 10_000, 3)
	checkTree(t, newStore(b, o), r, n, v)
	var stored int64
	s := newStore(b, o)
	m, err := s.manifest(t.Context(), testLog)
	if err != nil {
		t.Fatal(err)
	}
	for _, seg := range m.Segments {
		x, err := s.objects.Index(t.Context(), seg)
		if err != nil {
			t.Fatal(err)
		}
		groups, _ := x.Part(segment.Groups)
		stored += groups.Length
	}
	if perEvent := float64(stored) / n; perEvent > 0.2 {
		t.Errorf("the tree takes %.2f bytes an event", perEvent)
	}
}

// A new key signs from a recorded size on. The old key stays listed.
func TestNewKeySignsFromARecordedSizeOn(t *testing.T) {
	o, v := signing(t, small)
	b := bucketest.NewMemory()
	fill(t, newStore(b, o), 500, 100, 3)
	r := newReference(t, 600)
	checkTree(t, newStore(b, o), r, 500, v)
	o2, v2 := signing(t, small)
	if err := newStore(b, o2).Append(t.Context(), 99, "x", batchOf(entry(500, 3))); !errors.Is(err,
		manifest.ErrNotAuthentic) {
		t.Errorf("a log is believed whose key is not known: %v", err)
	}
	o2.Keys.Trusted = append(o2.Keys.Trusted, o.Keys.Trusted...)
	s := newStore(b, o2)
	tlogtest.FillFrom(t, s, 500, 100)
	checkTree(t, s, r, 600, v2)
	h, err := s.Head(t.Context(), testLog)
	if err != nil || len(h.Keys) != 2 || h.Keys[0].From != 100 || h.Keys[0].To != 600 || h.Keys[1].From != 600 ||
		h.Keys[1].To != 0 ||
		!bytes.Equal(h.Keys[0].Public, o.Keys.Trusted[0]) {
		t.Errorf("%s, %v", fmt.Sprint(h.Keys), err)
	}
}
