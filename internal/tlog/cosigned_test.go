package tlog

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"

	"github.com/weirlog/weir/internal/bucket"
	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/manifest"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/tlog/tlogtest"
)

// A checkpoint is shown with its cosignatures that are valid and by a configured witness. Damaged ones, and those of
// another size, are left out.
func TestCosignatures(t *testing.T) {
	o, v := signing(t, small)
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	witness, err := torchwood.NewCosignatureSigner("witness.example/w", private)
	if err != nil {
		t.Fatal(err)
	}
	o.Witnesses = []note.Verifier{witness.Verifier()}
	b := bucketest.NewMemory()
	s := newStore(b, o)
	cosign := func() {
		h, err := s.Head(t.Context(), testLog)
		if err != nil {
			t.Fatal(err)
		}
		text, _, _ := strings.Cut(h.Checkpoint, "\n\n")
		signed, err := note.Sign(&note.Note{Text: text + "\n"}, witness)
		if err != nil {
			t.Fatal(err)
		}
		_, line, _ := strings.Cut(string(signed), "\n\n")
		for range 2 { // as two nodes may do
			if err := s.KeepCosignature(t.Context(), testLog, h.Size, line); err != nil {
				t.Fatal(err)
			}
		}
	}
	shown := func(s *Logs) int {
		h, err := s.Head(t.Context(), testLog)
		if err != nil {
			t.Fatal(err)
		}
		n, err := note.Open([]byte(h.Signed()), note.VerifierList(v, witness.Verifier()))
		if err != nil {
			t.Fatal(err)
		}
		if h.CosignedBy(witness.Verifier()) != (len(n.Sigs) == 2) {
			t.Errorf("%+v", h)
		}
		return len(n.Sigs)
	}
	fill(t, s, 100, 100, 3)
	cosign()
	if n := shown(s); n != 2 {
		t.Errorf("%d signatures", n)
	}
	var file bytes.Buffer
	if err := s.ProveFile(t.Context(), testLog, "/x", Query{Start: 0, End: 1}, 100, &file); err != nil {
		t.Fatal(err)
	}
	p, err := proof.ReadFile(&file)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := note.Open([]byte(p.Checkpoint), note.VerifierList(v, witness.Verifier())); err != nil ||
		len(n.Sigs) != 2 {
		t.Errorf("the proof of a file has other signatures: %+v, %v", n, err)
	}
	tlogtest.FillFrom(t, s, 100, 50)
	if n := shown(s); n != 1 {
		t.Errorf("%d signatures on a checkpoint that nobody has cosigned", n)
	}
	cosign()
	unaware := o
	unaware.Witnesses = nil
	if a, b := shown(s), shown(newStore(b, unaware)); a != 2 || b != 1 {
		t.Errorf("%d signatures, %d from a node that knows no witness", a, b)
	}
	var keys []string
	for info, err := range b.List(t.Context(), manifest.CosignaturePrefix(testLog), "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
		line, err := bucket.Read(t.Context(), b, info.Key, bucket.Range{})
		if err != nil {
			t.Fatal(err)
		}
		bad := []byte(strings.Replace(string(line), "A", "B", 2))
		if err := b.Put(t.Context(), info.Key, bad); err != nil {
			t.Fatal(err)
		}
	}
	if len(keys) != 2 {
		t.Errorf("cosignatures kept: %q", keys)
	}
	if n := shown(s); n != 1 {
		t.Errorf("%d signatures, one of them damaged", n)
	}
}
