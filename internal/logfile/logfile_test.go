package logfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"pgregory.net/rapid"
)

// writer is a program that writes lines to a file, and what rotates it.
type writer struct {
	t       interface{ Fatal(...any) }
	name    string
	written []string
	file    *os.File
	clock   time.Time
}

func (w *writer) must(err error) {
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *writer) open() {
	var err error
	w.file, err = os.OpenFile(w.name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	w.must(err)
}

// touch gives the file a time of change of its own, since a test writes faster than clocks tell.
func (w *writer) touch() {
	w.clock = w.clock.Add(time.Second)
	w.must(os.Chtimes(w.name, w.clock, w.clock))
}

func (w *writer) write(n int) {
	for range n {
		line := fmt.Sprintf(`{"n":%d,"pad":%q}`, len(w.written), strings.Repeat("x", len(w.written)*37%300))
		w.written = append(w.written, line)
		_, err := w.file.WriteString(line + "\n")
		w.must(err)
	}
	w.touch()
}

// shift moves the rotated files on by one number.
func (w *writer) shift() {
	for i := 8; i > 0; i-- {
		for _, end := range []string{"", ".gz"} {
			old := fmt.Sprintf("%s.%d%s", w.name, i, end)
			if _, err := os.Stat(old); err == nil {
				w.must(os.Rename(old, fmt.Sprintf("%s.%d%s", w.name, i+1, end)))
			}
		}
	}
}

func (w *writer) rename() {
	w.shift()
	w.must(os.Rename(w.name, w.name+".1"))
	w.file.Close()
	w.open()
	w.touch()
}

func (w *writer) copyTruncate() {
	w.shift()
	data, err := os.ReadFile(w.name)
	w.must(err)
	w.must(os.WriteFile(w.name+".1", data, 0o600))
	w.must(os.Chtimes(w.name+".1", w.clock, w.clock))
	w.must(os.Truncate(w.name, 0))
	w.touch()
}

func (w *writer) compress() {
	for i := 1; i < 9; i++ {
		name := fmt.Sprintf("%s.%d", w.name, i)
		data, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		info, err := os.Stat(name)
		w.must(err)
		f, err := os.Create(name + ".gz")
		w.must(err)
		z := gzip.NewWriter(f)
		_, err = z.Write(data)
		w.must(errors.Join(err, z.Close(), f.Close(), os.Remove(name)))
		w.must(os.Chtimes(name+".gz", info.ModTime(), info.ModTime()))
	}
}

// reader follows the file, dies, and begins again from its state.
type reader struct {
	w    *writer
	at   Position
	file *File
	got  map[string]bool
}

func (r *reader) start() {
	r.file = New(r.w.name, r.at)
	r.file.Settle = 0
}

// read takes what there is, up to so many batches.
func (r *reader) read(batches, lines int) {
	for range batches {
		b, err := r.file.Next(lines, 1<<20)
		r.w.must(err)
		if len(b.Offsets) == 0 {
			return
		}
		for _, line := range strings.Split(strings.TrimSuffix(string(b.Lines), "\n"), "\n") {
			r.got[line] = true
		}
		r.at = b.Next
	}
}

// Whatever happens to the file, and whenever the reader dies, it gets each line.
func TestNoLineIsLeftOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		folder, err := os.MkdirTemp("", "logfile")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(folder)
		w := &writer{t: t, name: filepath.Join(folder, "app.log"), clock: time.Now()}
		w.open()
		defer func() { w.file.Close() }()
		r := &reader{w: w, at: Position{Since: w.clock.Add(-clockError)}, got: map[string]bool{}}
		r.start()
		defer func() { r.file.Close() }()
		rotations := 0
		for _, step := range rapid.SliceOfN(rapid.SampledFrom([]string{"write", "write", "read", "read some", "rename",
			"copy and truncate", "compress", "die"}), 1, 30).Draw(t, "steps") {
			switch step {
			case "write":
				w.write(rapid.IntRange(1, 20).Draw(t, "lines"))
			case "read":
				r.read(100, 1000)
			case "read some":
				r.read(1, rapid.IntRange(1, 5).Draw(t, "lines"))
			case "rename":
				if rotations++; rotations < 8 {
					w.rename()
				}
			case "copy and truncate":
				if rotations++; rotations < 8 {
					w.copyTruncate()
				}
			case "compress":
				w.compress()
			case "die":
				r.file.Close()
				r.start()
			}
		}
		for range 20 {
			r.read(100, 1000)
		}
		for i, line := range w.written {
			if !r.got[line] {
				t.Fatalf("line %d of %d is left out: %s", i, len(w.written), line)
			}
		}
	})
}

func newWriter(t *testing.T) *writer {
	w := &writer{t: t, name: filepath.Join(t.TempDir(), "app.log"), clock: time.Now()}
	w.open()
	t.Cleanup(func() { w.file.Close() })
	return w
}

// Half a line waits for its end; at the end of a rotated file it is a line.
func TestHalfALineWaits(t *testing.T) {
	w := newWriter(t)
	r := &reader{w: w, got: map[string]bool{}}
	r.start()
	defer func() { r.file.Close() }()
	w.file.WriteString("whole\nhal")
	r.read(9, 9)
	if len(r.got) != 1 || r.at.Offset != 6 {
		t.Errorf("%v %+v", r.got, r.at)
	}
	w.file.WriteString("f")
	w.rename()
	r.read(9, 9)
	if !r.got["half"] {
		t.Errorf("%v", r.got)
	}
}

// A file whose content is gone, and found nowhere, is named with the place, and what there is now is read.
func TestWhatIsGoneIsNamed(t *testing.T) {
	w := newWriter(t)
	w.write(10)
	r := &reader{w: w, got: map[string]bool{}}
	r.start()
	r.read(1, 5)
	r.file.Close()
	if err := os.Truncate(w.name, 0); err != nil {
		t.Fatal(err)
	}
	w.write(2)
	r.start()
	defer func() { r.file.Close() }()
	_, err := r.file.Next(10, 1<<20)
	var lost *Lost
	if !errors.As(err, &lost) || lost.Offset != r.at.Offset {
		t.Fatalf("%v, want a loss at %d", err, r.at.Offset)
	}
	r.read(9, 9)
	if !r.got[w.written[10]] || !r.got[w.written[11]] {
		t.Errorf("%v", r.got)
	}
}

func TestTooLongLineIsNamedAndLeftOut(t *testing.T) {
	w := newWriter(t)
	w.file.WriteString("a\n" + strings.Repeat("x", 2*maxLine) + "\nb\n")
	f := New(w.name, Position{})
	defer f.Close()
	b, err := f.Next(10, 1<<20)
	if err != nil || string(b.Lines) != "a\nb\n" || !slices.Equal(b.TooLong, []int64{2}) {
		t.Errorf("%q %v %v", b.Lines, b.TooLong, err)
	}
}

// Lines that stand before what cannot be read are returned, and are not behind what is acknowledged before they are.
func TestLinesBeforeADamageAreReturned(t *testing.T) {
	w := newWriter(t)
	w.write(200)
	begun := New(w.name, Position{})
	first, err := begun.Next(10, 1<<20)
	w.must(err)
	begun.Close()
	w.rename()
	w.compress()
	w.open()
	w.write(1)
	name := w.name + ".1.gz"
	data, err := os.ReadFile(name)
	w.must(err)
	w.must(os.WriteFile(name, data[:len(data)-len(data)/3], 0o600))
	w.must(os.Chtimes(name, w.clock, w.clock))
	f := New(w.name, first.Next)
	f.Settle = 0
	defer f.Close()
	read := 10
	for {
		b, err := f.Next(50, 1<<20)
		if err != nil {
			if len(b.Offsets) > 0 {
				t.Errorf("%d lines come with %v", len(b.Offsets), err)
			}
			break
		}
		if len(b.Offsets) == 0 {
			t.Fatal("the damage is not said")
		}
		for line := range strings.Lines(string(b.Lines)) {
			if strings.TrimSuffix(line, "\n") != w.written[read] {
				t.Fatalf("line %d is %.60s", read, line)
			}
			read++
		}
	}
	if read == 10 {
		t.Error("no line before the damage")
	}
}

func TestNamesOfRotatedFiles(t *testing.T) {
	for name, want := range map[string]bool{"app.log.1": true, "app.log.12.gz": true, "app.log-20261127": true,
		"app.log-20261127.zst": true, "app.log.old": true, "app-20261127.log": true, "app.2026-11-27T10.log.gz": true,
		"app.log": false, "app.log.lock": false, "app2.log": false, "app-errors.log": false, "other.log.1": false,
		"app.log.1.txt": false} {
		if got := isRotated("app.log", name); got != want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// The state is written when lines are recorded, and only then.
func TestStateFollowsAcknowledgement(t *testing.T) {
	w := newWriter(t)
	w.write(5)
	state := filepath.Join(t.TempDir(), "state")
	load := func() State {
		s, err := LoadState(state, "here")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	failed := errors.New("not recorded")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sends := 0
	f := &Follower{State: load(), StateFile: state, Lines: 2, Bytes: 1 << 20, Pause: time.Millisecond,
		Tell: func(name string, err error) { t.Error(name, err) }}
	f.Send = func(_ context.Context, b Batch) error {
		if sends++; sends == 2 {
			if at := load().Files[w.name]; at.Offset != b.Offsets[0] {
				t.Errorf("the state is at %d, want %d", at.Offset, b.Offsets[0])
			}
			return failed
		}
		return nil
	}
	if err := f.Follow(ctx, []string{w.name}); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	f.State = load()
	var rest string
	f.Send = func(_ context.Context, b Batch) error {
		if rest += string(b.Lines); strings.Count(rest, "\n") == 3 {
			cancel()
		}
		return nil
	}
	if err := f.Follow(ctx, []string{w.name}); err != nil || rest != strings.Join(w.written[2:], "\n")+"\n" {
		t.Errorf("%q %v", rest, err)
	}
	if _, err := LoadState(state, "elsewhere"); err == nil {
		t.Error("the state of another target is taken")
	}
}
