package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/weirlog/weir/internal/bucket/folder"
	"github.com/weirlog/weir/internal/event/eventtest"
	"github.com/weirlog/weir/internal/node/nodetest"
	"github.com/weirlog/weir/internal/proof"
	"github.com/weirlog/weir/internal/sequence"
	"github.com/weirlog/weir/internal/tlog"
	"github.com/weirlog/weir/internal/wal"
)

const logID = "6a793f48c0eb9e7a17712f00"

// place is a bucket in a folder, with some work of a node.
type place struct {
	t         *testing.T
	root      string
	keys      *proof.Keys
	bucket    *folder.Bucket
	store     *tlog.Logs
	writer    *wal.Writer
	sequencer *sequence.Sequencer
	events    int
}

func newPlace(t *testing.T) *place {
	k, err := proof.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	p := &place{t: t, root: filepath.Join(t.TempDir(), "bucket"), keys: proof.NewKeys(k)}
	p.open()
	return p
}

func (p *place) open() {
	b, err := folder.Open(p.root)
	if err != nil {
		p.t.Fatal(err)
	}
	p.bucket = b
	n := nodetest.New(p.t, b, nodetest.Options{Logs: tlog.Options{Keys: p.keys, Origin: "example.org",
		BlockBytes: 2 << 10, HistorySegments: 2, MergeWidth: 8}})
	p.store, p.sequencer, p.writer = n.Logs, n.Sequencers[0], n.Writers[0]
}

func (p *place) close() {
	p.writer.Close()
	if err := p.bucket.Close(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) record(n int) {
	var lines []string
	for range n {
		p.events++
		lines = append(lines, fmt.Sprintf(`{"time":%d,"metadata":{"uid":"%d"}}`, p.events, p.events))
	}
	if err := p.writer.Append(p.t.Context(), eventtest.Batch(logID, lines...)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) sequence() {
	if _, err := p.sequencer.Round(p.t.Context(), true); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) checkpoint() string {
	h, err := p.store.Head(p.t.Context(), logID)
	if err != nil {
		p.t.Fatal(err)
	}
	name := filepath.Join(p.t.TempDir(), "checkpoint")
	if err := os.WriteFile(name, []byte(h.Checkpoint), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return name
}

func (p *place) verify(since string) []*Report {
	p.t.Helper()
	b, _, err := OpenFolder(p.root)
	if err != nil {
		p.t.Fatal(err)
	}
	var c []Checkpoint
	if since != "" {
		if c, err = LoadCheckpoints([]string{since}, p.keys); err != nil {
			p.t.Fatal(err)
		}
	}
	reports, err := Check{Keys: p.keys, Since: c}.Bucket(p.t.Context(), b, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return reports
}

// files returns the names of the files that are objects of a kind.
func (p *place) files(kind string) (names []string) {
	err := filepath.WalkDir(p.root, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(path, kind) && !strings.Contains(path, "/.") {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return names
}

// Any damage to a waiting event is found, in the object that contains it.
func TestDamageToWaitingEventsIsFound(t *testing.T) {
	p := newPlace(t)
	p.record(300)
	p.sequence()
	p.record(50)
	p.close()
	if reports := p.verify(""); Worst(reports) != Verified || len(reports) != 2 || reports[0].Unsequenced != 50 ||
		reports[1].Unsequenced != 50 {
		t.Fatalf("%+v", reports[0])
	}
	for _, kind := range []string{"/wal/", "/plans/"} {
		names := p.files(kind)
		if len(names) == 0 {
			t.Fatalf("no object of %s", kind)
		}
		name := names[0]
		good, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		write := func(data []byte) {
			if err := os.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for what, bad := range map[string][]byte{"cut": good[:len(good)/2], "empty": nil, "first bit": flip(good, 0),
			"in the middle": flip(good, len(good)/3), "last": flip(good, len(good)-3)} {
			write(bad)
			reports := p.verify("")
			found := slices.ContainsFunc(reports, func(r *Report) bool {
				return slices.ContainsFunc(r.Problems,
					func(p Problem) bool { return strings.HasSuffix(name, p.Object) })
			})
			if !found {
				t.Errorf("%s, %s: %+v", kind, what, reports[len(reports)-1])
			}
		}
		write(good)
	}
}

func flip(data []byte, at int) []byte {
	bad := slices.Clone(data)
	bad[at] ^= 0x10
	return bad
}

// A whole bucket that is put back to an earlier state verifies by itself, but not against a checkpoint kept elsewhere.
// The same is true for a log that got other entries since.
func TestRollbackIsFoundByAKeptCheckpoint(t *testing.T) {
	p := newPlace(t)
	p.record(300)
	p.sequence()
	old := filepath.Join(t.TempDir(), "old")
	if err := os.CopyFS(old, os.DirFS(p.root)); err != nil {
		t.Fatal(err)
	}
	early := p.checkpoint()
	p.record(200)
	p.sequence()
	late := p.checkpoint()
	for _, since := range []string{"", early, late} {
		if reports := p.verify(since); Worst(reports) != Verified {
			t.Fatalf("%+v", reports[0])
		}
	}
	p.close()
	if err := os.RemoveAll(p.root); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(p.root, os.DirFS(old)); err != nil {
		t.Fatal(err)
	}
	for since, want := range map[string]Verdict{"": Verified, early: Verified, late: Differs} {
		if reports := p.verify(since); Worst(reports) != want {
			t.Errorf("put back, since %q: %+v, want %s", since, reports[0], want)
		}
	}
	p.events += 1000 // other events than before
	p.open()
	p.record(200)
	p.sequence()
	p.close()
	for since, want := range map[string]Verdict{"": Verified, early: Verified, late: Differs} {
		if reports := p.verify(since); Worst(reports) != want {
			t.Errorf("forked, since %q: %+v, want %s", since, reports[0], want)
		}
	}
}

// pack makes a gzip file of lines, with a member for each so many lines.
func pack(t testing.TB, lines []string, each int) []byte {
	var file bytes.Buffer
	z, err := gzip.NewWriterLevel(&file, 5)
	if err != nil {
		t.Fatal(err)
	}
	for chunk := range slices.Chunk(lines, each) {
		z.Reset(&file) // a writer of its own for each member would cost more than the test
		_, err := z.Write([]byte(strings.Join(chunk, "")))
		if err := errors.Join(err, z.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return file.Bytes()
}

// leavesOf returns the leaf hashes of the lines of a gzip file.
func leavesOf(ctx context.Context, file io.Reader) (leaves []proof.Hash, err error) {
	_, err = eachLeaf(ctx, file, func(leaf proof.Hash) error { leaves = append(leaves, leaf); return nil })
	return leaves, err
}

// The leaves of a file are those of its lines, however it is packed and however long the lines are.
func TestLeavesAreThoseOfTheLines(t *testing.T) {
	var lines []string
	var want []proof.Hash
	for i := range 4000 {
		line := fmt.Sprintf("%x", rand.Uint64())
		if i%500 == 0 {
			line = strings.Repeat(line, pieceBytes/len(line)-1+i/500)
		}
		lines = append(lines, line+"\n")
		want = append(want, proof.Leaf(proof.Digest([]byte(line))))
	}
	for _, each := range []int{1, 100, 2500, 4000} {
		file := pack(t, lines, each)
		got, err := leavesOf(t.Context(), bytes.NewReader(file))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%d lines a member: %d leaves of %d, %v", each, len(got), len(want), err)
		}
		// Each cut is within a member: what ends between two members is a whole file.
		for _, bad := range [][]byte{nil, file[:1], file[:12], file[:len(file)-12], file[:len(file)-1],
			append(bytes.Clone(file), 'x'), flip(file, len(file)-6)} {
			if _, err := leavesOf(t.Context(), bytes.NewReader(bad)); !errors.Is(err, ErrNotGzip) {
				t.Errorf("a damaged file: %v", err)
			}
		}
	}
	text := strings.Join(lines, "")
	odd := append(pack(t, []string{text[:len(text)/2]}, 1),
		pack(t, []string{strings.TrimSuffix(text[len(text)/2:], "\n")}, 1)...)
	if got, err := leavesOf(t.Context(), bytes.NewReader(odd)); err != nil || !slices.Equal(got, want) {
		t.Errorf("members that end within a line, and no end of the last: %d leaves, %v", len(got), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := leavesOf(ctx, bytes.NewReader(pack(t, lines, 100))); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	stop := errors.New("stop")
	if _, err := eachLeaf(t.Context(), bytes.NewReader(pack(t, lines, 100)),
		func(proof.Hash) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}

func TestLoadKeys(t *testing.T) {
	k, err := proof.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keys")
	if err := proof.CreateKeys(file, "# comment\n"+k.String()+"\n"); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{file, k.PublicText()} {
		if keys, err := LoadKeys(text); err != nil || len(keys.Trusted) != 1 || !keys.Trusted[0].Equal(k.Public()) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, texts := range [][]string{nil, {"nothing"}, {"a+b+c"}} {
		if _, err := LoadKeys(texts...); err == nil {
			t.Errorf("%q are keys", texts)
		}
	}
}

// BenchmarkLeaves reads a file as downloads make it.
func BenchmarkLeaves(b *testing.B) {
	var lines []string
	for i := range 100_000 {
		lines = append(lines, fmt.Sprintf(`{"time":%d,"metadata":{"uid":"%x"},"filler":%q}`+"\n", i, rand.Uint64(),
			strings.Repeat("abc ", 150)))
	}
	file := pack(b, lines, 700)
	b.SetBytes(int64(len(strings.Join(lines, ""))))
	for b.Loop() {
		if _, err := leavesOf(b.Context(), bytes.NewReader(file)); err != nil {
			b.Fatal(err)
		}
	}
}
