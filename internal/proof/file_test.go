package proof

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// log is a naive log: its leaves.
type log []Hash

func newLog(n int) (l log) {
	for i := range n {
		l = append(l, Leaf(Digest(fmt.Append(nil, "line ", i))))
	}
	return l
}

func (l log) root() Hash {
	var tree Tree
	for _, leaf := range l {
		tree.Append(leaf)
	}
	return tree.Root()
}

const testOrigin = "example.org/log"

func (l log) checkpoint(t fataler, k *Keys) string {
	c, err := k.SignCheckpoint(testOrigin, int64(len(l)), l.root())
	if err != nil {
		t.Fatalf("%v", err)
	}
	return c
}

type fataler interface{ Fatalf(string, ...any) }

// prove makes the proof of a file that holds those of the first sequenced entries of l for which held is true, and
// returns the leaves of the file.
func (l log) prove(t fataler, k *Keys, sequenced int, held func(i int) bool) (*File, []Hash) {
	f := &File{Log: testOrigin, Claims: Claims{Source: "/api/x", Start: -5, End: 1 << 41, Sequenced: int64(sequenced)},
		Checkpoint: l.checkpoint(t, k)}
	var lines []Hash
	gap := func(from, to int) {
		for first, count := range Cover(int64(from), int64(to)) {
			f.Parts = append(f.Parts, Part{Run: Run{first, count}, Hash: Subtree(l[first : first+count]), Hashed: true})
		}
	}
	from := 0
	for i := range sequenced {
		if held(i) {
			gap(from, i)
			f.Parts = append(f.Parts, Part{Run: Run{int64(i), 1}, Held: true, Line: int64(len(lines))})
			lines = append(lines, l[i])
			from = i + 1
		}
	}
	gap(from, sequenced)
	gap(sequenced, len(l))
	return f, lines
}

func keys(t fataler) *Keys {
	k, err := GenerateKey()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return NewKeys(k)
}

// Any subset of any log can be proven. Any later change of the file is found, and its place is told.
func TestAnySubsetOfALogIsProven(t *testing.T) {
	k := keys(t)
	rapid.Check(t, func(rt *rapid.T) {
		l := newLog(rapid.IntRange(1, 700).Draw(rt, "entries"))
		sequenced := rapid.IntRange(0, len(l)).Draw(rt, "sequenced")
		density := rapid.IntRange(0, 10).Draw(rt, "density")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		f, lines := l.prove(rt, k, sequenced, func(int) bool { return r.IntN(10) < density })
		if rapid.Bool().Draw(rt, "mark") {
			f.mark(rt, k, lines)
		}
		f = again(rt, f)
		s, err := f.Verify(k, lines)
		if err != nil || s.Held != int64(len(lines)) || len(s.Pending) > 0 || s.Size != int64(len(l)) {
			rt.Fatalf("%+v, %v", s, err)
		}
		if len(lines) == 0 {
			return
		}
		i := rapid.IntRange(0, len(lines)-1).Draw(rt, "line")
		bad := slices.Clone(lines)
		switch rapid.SampledFrom([]string{"change", "swap", "remove", "add"}).Draw(rt, "damage") {
		case "change":
			bad[i][3]++
		case "swap":
			j := rapid.IntRange(0, len(lines)-1).Draw(rt, "with")
			bad[i], bad[j] = bad[j], bad[i]
			if i == j {
				return
			}
		case "remove":
			bad = slices.Delete(bad, i, i+1)
		case "add":
			bad = slices.Insert(bad, i, Hash{})
		}
		var d *Differs
		s, err = f.Verify(k, bad)
		if !errors.As(err, &d) {
			rt.Fatalf("a changed file verifies: %+v, %v", s, err)
		}
	})
}

func again(t fataler, f *File) *File {
	text, err := f.Encode()
	if err != nil {
		t.Fatalf("%v", err)
	}
	parsed, err := ReadFile(bytes.NewReader(text))
	if err != nil || !reflect.DeepEqual(parsed, f) {
		t.Fatalf("%s\nreads as %+v, not %+v, %v", text, parsed, f, err)
	}
	return parsed
}

// mark gives f the parts that a Checker marks.
func (f *File) mark(t fataler, k *Keys, lines []Hash) {
	c, err := f.Check(k, true)
	if err != nil {
		t.Fatalf("%v", err)
	}
	for _, line := range lines {
		err = errors.Join(err, c.Line(line))
	}
	if _, endErr := c.End(); err != nil || endErr != nil {
		t.Fatalf("%v, %v", err, endErr)
	}
	f.Parts = c.Marked()
}

func settle(t fataler, f *File, lines []Hash, pending []Run, entries []Hash, checkpoint string) {
	line := map[Hash]int64{}
	for _, r := range pending {
		for i := r.First; i < r.End(); i++ {
			line[lines[i]] = i
		}
	}
	s := f.Settle(line)
	for _, leaf := range entries {
		if err := s.Entry(leaf); err != nil {
			t.Fatalf("%v", err)
		}
	}
	s.End(checkpoint)
}

// A marked proof tells which line was changed.
func TestFileTellsWhere(t *testing.T) {
	k := keys(t)
	for _, tt := range []struct{ lines, line, count int }{{300, 0, 1}, {300, 123, 1}, {300, 299, 1}, {5000, 4000, 16}} {
		f, lines := newLog(tt.lines+50).prove(t, k, tt.lines+50, func(i int) bool { return i >= 50 })
		f.mark(t, k, lines)
		lines[tt.line][0]++
		var d *Differs
		if _, err := f.Verify(k, lines); !errors.As(err, &d) || d.Lines.First > int64(tt.line) ||
			d.Lines.End() <= int64(tt.line) || d.Lines.Count > int64(tt.count) {
			t.Errorf("line %d of %d: %v", tt.line, tt.lines, err)
		}
	}
}

// Lines that were not sequenced yet are named, and proven after the next round, in whatever order they were sequenced.
func TestPendingLinesAreProvenAfterTheyAreSequenced(t *testing.T) {
	k := keys(t)
	rapid.Check(t, func(rt *rapid.T) {
		l := newLog(rapid.IntRange(2, 600).Draw(rt, "entries"))
		sequenced := rapid.IntRange(1, len(l)).Draw(rt, "sequenced")
		f, lines := l[:sequenced].prove(rt, k, sequenced, func(i int) bool { return i%3 > 0 })
		tail := slices.Clone(l[sequenced:])
		rand.Shuffle(len(tail), func(i, j int) { tail[i], tail[j] = tail[j], tail[i] })
		tail = tail[:len(tail)/2+len(tail)%2]
		lines = append(lines, tail...)
		s, err := f.Verify(k, lines)
		if err != nil || count(s.Pending) != len(tail) {
			rt.Fatalf("%+v, %v", s, err)
		}
		settle(rt, f, lines, s.Pending, l[sequenced:], l.checkpoint(rt, k))
		f = again(rt, f)
		s, err = f.Verify(k, lines)
		if err != nil || len(s.Pending) > 0 || s.Held != int64(len(lines)) || s.Size != int64(len(l)) {
			rt.Fatalf("%+v, %v", s, err)
		}
	})
}

// If lines were removed from a file, or added, a marked proof tells where.
func TestFileTellsWhereLinesAreMissing(t *testing.T) {
	k := keys(t)
	f, lines := newLog(100).prove(t, k, 100, func(i int) bool { return i >= 50 })
	f.mark(t, k, lines)
	for name, bad := range map[string][]Hash{
		"removed": slices.Delete(slices.Clone(lines), 7, 8),
		"added":   slices.Insert(slices.Clone(lines), 7, Hash{}),
	} {
		var d *Differs
		if _, err := f.Verify(k, bad); !errors.As(err, &d) || d.Lines != (Run{7, 1}) || d.Entries != (Run{57, 1}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var d *Differs
	if _, err := f.Verify(k, lines[:len(lines)-1]); !errors.As(err, &d) ||
		!strings.Contains(d.Why, "line 50 should be entry 99") {
		t.Errorf("%v", err)
	}
}

func count(runs []Run) (n int) {
	for _, r := range runs {
		n += int(r.Count)
	}
	return n
}

// A proof that was tampered with never verifies.
func TestTamperedProofNeverVerifies(t *testing.T) {
	k := keys(t)
	l := newLog(100)
	held := func(i int) bool { return i%10 < 5 }
	good, lines := l.prove(t, k, 100, held)
	for name, damage := range map[string]func(*File){
		"other key": func(f *File) { f.Checkpoint = l.checkpoint(t, keys(t)) },
		"other log": func(f *File) { f.Log = "example.org/other" },
		"older":     func(f *File) { f.Checkpoint = l[:90].checkpoint(t, k) },
		"hash": func(f *File) {
			f.Parts[slices.IndexFunc(f.Parts,
				func(p Part) bool { return !p.Held })].Hash[0]++
		},
		"part removed":    func(f *File) { f.Parts = f.Parts[1:] },
		"last removed":    func(f *File) { f.Parts = f.Parts[:len(f.Parts)-1] },
		"parts swapped":   func(f *File) { f.Parts[0], f.Parts[1] = f.Parts[1], f.Parts[0] },
		"a line twice":    func(f *File) { f.Parts[1].Line = 0 },
		"lines beyond":    func(f *File) { f.Parts[1].Line = 1 << 40 },
		"no checkpoint":   func(f *File) { f.Checkpoint = "" },
		"checkpoint cut":  func(f *File) { f.Checkpoint = f.Checkpoint[:len(f.Checkpoint)-10] },
		"odd subtree":     func(f *File) { f.Parts[0].Count, f.Parts[0].Hashed = 3, true },
		"no parts at all": func(f *File) { f.Parts = nil },
	} {
		f, _ := l.prove(t, k, 100, held)
		damage(f)
		var d *Differs
		if s, err := f.Verify(k, lines); !errors.As(err, &d) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	if _, err := good.Verify(k, lines); err != nil {
		t.Error(err)
	}
}

func TestCover(t *testing.T) {
	l := newLog(130)
	for from := range 70 {
		for to := from; to <= len(l); to++ {
			var tree Tree
			for i := range from {
				tree.Append(l[i])
			}
			for first, count := range Cover(int64(from), int64(to)) {
				if err := tree.AppendSubtree(count, Subtree(l[first:first+count])); err != nil {
					t.Fatal(err)
				}
			}
			if tree.Root() != l[:to].root() {
				t.Fatalf("%d to %d", from, to)
			}
		}
	}
}

// FuzzFile checks that no bytes make the parser or the check panic, and that a parsed File encodes to the same text.
func FuzzFile(f *testing.F) {
	k := keys(f)
	p, lines := newLog(40).prove(f, k, 35, func(i int) bool { return i%4 == 0 })
	p.Claims.Removed, p.Claims.Processor, p.Claims.Pending = Run{0, 3}, "a \"b\"", 5
	p.Claims.Query = "who:\"anna\""
	text, err := p.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(strings.Replace(string(text), "entries", "hash", 1)))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ReadFile(bytes.NewReader(text))
		if err != nil {
			return
		}
		again(t, p)
		if _, err := p.Verify(k, lines); err == nil {
			p.mark(t, k, lines)
		}
	})
}
