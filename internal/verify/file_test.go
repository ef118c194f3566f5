package verify

import (
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"

	"github.com/weirlog/weir/internal/proof"
)

const fileOrigin = "example.org/" + logID

// file is a downloaded file with its proof.
type file struct {
	name, proof string
	lines       []string
	parts       *proof.File
	keys        *proof.Keys
	witness     *torchwood.CosignatureSigner
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// newFile makes a log of 60 entries, two keys that sign it, a witness, and a file with the entries 10 to 49. The proof
// has hashes of some of these.
func newFile(t *testing.T) *file {
	old, key := must[proof.Key](t)(proof.GenerateKey()), must[proof.Key](t)(proof.GenerateKey())
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	f := &file{name: filepath.Join(t.TempDir(), "a.gz"), keys: proof.NewKeys(key)}
	f.proof = f.name + ".proof"
	f.witness = must[*torchwood.CosignatureSigner](t)(torchwood.NewCosignatureSigner("witness.example", private))
	var tree proof.Tree
	var leaves []proof.Hash
	for i := range 60 {
		line := fmt.Sprintf(`{"time":%d}`, i)
		leaves = append(leaves, proof.Leaf(proof.Digest([]byte(line))))
		tree.Append(leaves[i])
		if i >= 10 && i < 50 {
			f.lines = append(f.lines, line)
		}
	}
	p := &proof.File{Log: fileOrigin, Claims: proof.Claims{Source: "/api/weir/v1/groups/a/logs/b", Start: 0,
		End: 100_000, Processor: "p \"q\"",
		Removed: proof.Run{First: 3, Count: 4}, Sequenced: 60, Pending: 5}}
	hashes := func(from, to int64) {
		for first, count := range proof.Cover(from, to) {
			p.Parts = append(p.Parts, proof.Part{Run: proof.Run{First: first, Count: count},
				Hash: proof.Subtree(leaves[first : first+count]), Hashed: true})
		}
	}
	hashes(0, 10)
	p.Parts = append(p.Parts, proof.Part{Run: proof.Run{First: 10, Count: 22}, Held: true},
		proof.Part{Run: proof.Run{First: 32, Count: 16}, Line: 22, Hash: proof.Subtree(leaves[32:48]), Held: true,
			Hashed: true},
		proof.Part{Run: proof.Run{First: 48, Count: 2}, Line: 38, Held: true})
	hashes(50, 60)
	signed := must[string](t)(proof.NewKeys(key, old).SignCheckpoint(fileOrigin, 60, tree.Root()))
	p.Checkpoint = f.cosign(t, signed)
	f.parts = p
	f.writeLines(t, f.lines...)
	f.writeProof(t, must[[]byte](t)(p.Encode()))
	return f
}

func (f *file) cosign(t *testing.T, signed string) string {
	n := must[*note.Note](t)(f.keysOf(t).open(signed))
	return string(must[[]byte](t)(note.Sign(n, f.witness)))
}

type opener struct{ list note.Verifiers }

func (o opener) open(signed string) (*note.Note, error) { return note.Open([]byte(signed), o.list) }

func (f *file) keysOf(t *testing.T) opener {
	text := must[string](t)(proof.VerifierKey(fileOrigin, f.keys.Trusted[0]))
	return opener{note.VerifierList(must[note.Verifier](t)(note.NewVerifier(text)))}
}

func (f *file) writeLines(t *testing.T, lines ...string) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for _, line := range lines {
		fmt.Fprintln(z, line)
	}
	z.Close()
	f.write(t, f.name, b.Bytes())
}

func (f *file) writeProof(t *testing.T, text []byte) { f.write(t, f.proof, text) }

func (f *file) write(t *testing.T, name string, data []byte) {
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (f *file) check(t *testing.T, c Check) *Report {
	c.Keys = f.keys
	return must[*Report](t)(c.File(t.Context(), f.name, f.proof))
}

// If any single character of a proof is changed, added or removed, or if any line is removed, repeated or exchanged
// with the next one, the file does not verify, or only the claims in the report change. With -short, this tests every
// fourth character.
func TestEveryEditOfAProofFailsOrIsAClaim(t *testing.T) {
	f := newFile(t)
	text := must[[]byte](t)(os.ReadFile(f.proof))
	good := f.check(t, Check{})
	if good.Verdict != Verified || good.Entries != 40 || *good.First != 10 || *good.Last != 49 ||
		len(good.Claims.Signatures) != 2 {
		t.Fatalf("%+v", good)
	}
	edits := map[string][]byte{}
	for i, c := range text {
		if testing.Short() && i%4 != 0 {
			continue
		}
		other := c + 1
		if other == '\n' || c == '\n' {
			other = 'x'
		}
		edits[fmt.Sprintf("byte %d changed", i)] = slices.Concat(text[:i], []byte{other}, text[i+1:])
		edits[fmt.Sprintf("byte %d removed", i)] = slices.Concat(text[:i], text[i+1:])
		edits[fmt.Sprintf("byte %d doubled", i)] = slices.Concat(text[:i+1], text[i:])
	}
	lines := slices.Collect(bytes.Lines(text))
	for i := range lines {
		edits[fmt.Sprintf("line %d removed", i+1)] = bytes.Join(slices.Concat(lines[:i], lines[i+1:]), nil)
		edits[fmt.Sprintf("line %d doubled", i+1)] = bytes.Join(slices.Concat(lines[:i+1], lines[i:]), nil)
		if i > 0 && !bytes.Equal(lines[i-1], lines[i]) {
			edits[fmt.Sprintf("line %d exchanged", i+1)] = bytes.Join(slices.Concat(lines[:i-1],
				[][]byte{lines[i], lines[i-1]}, lines[i+1:]), nil)
		}
	}
	claims := 0
	for name, edited := range edits {
		f.writeProof(t, edited)
		r := f.check(t, Check{})
		if r.Verdict != Verified {
			continue
		}
		claims++
		r.Claims = good.Claims
		if !reflect.DeepEqual(r, good) {
			t.Errorf("%s passes unseen:\n%s", name, edited)
		}
	}
	if claims == 0 {
		t.Error("no edit is a claim")
	}
}

// A proof of another log, of other lines, or signed by another key does not verify, and the message names the keys.
func TestTheMessageNamesTheKeys(t *testing.T) {
	f := newFile(t)
	signer := f.keys
	f.keys = proof.NewKeys(must[proof.Key](t)(proof.GenerateKey()))
	r := f.check(t, Check{})
	if r.Verdict != Differs || len(r.Problems) != 1 {
		t.Fatalf("%+v", r)
	}
	for _, keys := range []*proof.Keys{signer, f.keys} {
		text := must[string](t)(proof.VerifierKey(fileOrigin, keys.Trusted[0]))
		if id := strings.Join(strings.SplitN(text, "+", 3)[:2], "+"); !strings.Contains(r.Problems[0].What, id) {
			t.Errorf("%q does not name %s", r.Problems[0].What, id)
		}
	}
}

// Witnesses that have cosigned are reported. Too few cosignatures have a verdict of their own. A forged cosignature is
// a problem.
func TestWitnessesAreNamedAndRequired(t *testing.T) {
	f := newFile(t)
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other := must[*torchwood.CosignatureSigner](t)(torchwood.NewCosignatureSigner("other.example", private))
	both := []note.Verifier{f.witness.Verifier(), other.Verifier()}
	for _, tt := range []struct {
		witnesses []note.Verifier
		quorum    int
		want      Verdict
		named     int
	}{{both[:1], 1, Verified, 1}, {both, 1, Verified, 1}, {both, 2, Unknown, 1}, {both[1:], 1, Unknown, 0},
		{both[1:], 0, Verified, 0}} {
		if r := f.check(t, Check{Witnesses: tt.witnesses, Quorum: tt.quorum}); r.Verdict != tt.want ||
			len(r.Witnesses) != tt.named {
			t.Errorf("%+v: %+v", tt, r)
		}
	}
	text := must[[]byte](t)(os.ReadFile(f.proof))
	end := bytes.TrimSpace(text)
	last := len(end) - 10
	f.writeProof(t, slices.Concat(end[:last], []byte{end[last] ^ 1}, end[last+1:], []byte("\n")))
	if r := f.check(t, Check{Witnesses: both[:1], Quorum: 1}); r.Verdict != Differs {
		t.Errorf("forged: %+v", r)
	}
}

// Common accidents with files are explained by their cause.
func TestAccidentsAreExplained(t *testing.T) {
	f := newFile(t)
	packed := must[[]byte](t)(os.ReadFile(f.name))
	text := strings.Join(f.lines, "\n") + "\n"
	zip := func(text string) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		io.WriteString(z, text)
		z.Close()
		return b.Bytes()
	}
	utf16 := "\xff\xfe"
	for _, c := range []byte(text) {
		utf16 += string([]byte{c, 0})
	}
	for name, tt := range map[string]struct {
		file []byte
		want Verdict
		says string
	}{
		"unpacked":   {[]byte(text), Differs, "compress it again"},
		"UTF-16":     {zip(utf16), Differs, "UTF-16LE"},
		"marked":     {zip("\xef\xbb\xbf" + text), Verified, "byte-order mark"},
		"merged":     {slices.Concat(packed, packed), Differs, "several downloads"},
		"cut":        {packed[:len(packed)-20], Differs, "not a whole gzip file"},
		"empty":      {nil, Differs, "not a whole gzip file"},
		"short":      {zip(strings.Join(f.lines[:30], "\n") + "\n"), Differs, "the file has 30 lines, too few"},
		"far longer": {slices.Concat(packed, zip(strings.Repeat("\n", mostAdded+10))), Differs, "several downloads"},
	} {
		f.write(t, f.name, tt.file)
		r := f.check(t, Check{})
		said := fmt.Sprint(r.Problems, r.Notes)
		if r.Verdict != tt.want || !strings.Contains(said, tt.says) {
			t.Errorf("%s: %s, %s", name, r.Verdict, said)
		}
	}
}

// A check takes little memory, whatever a small file unpacks to.
func TestBombsTakeLittleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	f := newFile(t)
	const size, most = 256 << 20, 128 << 20 // bytes
	for name, line := range map[string]string{"one line": strings.Repeat("x", 1<<16),
		"empty lines": strings.Repeat("\n", 1<<16),
		"lines":       strings.Repeat(strings.Repeat("y", 999)+"\n", 65)} {
		var member, b bytes.Buffer
		z := must[*gzip.Writer](t)(gzip.NewWriterLevel(&member, 9))
		const members = 16
		for n := 0; n < size/members; n += len(line) {
			io.WriteString(z, line)
		}
		z.Close()
		for range members {
			b.Write(member.Bytes())
		}
		if b.Len() > 1<<20 {
			t.Fatalf("%s: %d bytes", name, b.Len())
		}
		f.write(t, f.name, b.Bytes())
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := f.check(t, Check{})
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > most || r.Verdict != Differs {
			t.Errorf("%s: a file of %d bytes took %d MiB, %+v", name, b.Len(), grown>>20, r.Problems)
		}
	}
}
