package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func gzipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, text)
	z.Close()
	return b.String()
}

func zstandard(t testing.TB, text string, window int) string {
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(z, text)
	z.Close()
	return b.String()
}

// noise returns n bytes of lines that hardly compress.
func noise(n int) string {
	r := rand.NewChaCha8([32]byte{})
	var b strings.Builder
	data := make([]byte, 400)
	for b.Len() < n {
		r.Read(data)
		fmt.Fprintf(&b, `{"time":1786331570000,"x":"%x"}`+"\n", data)
	}
	return b.String()
}

func TestBodiesAreUnpackedByTheirEncoding(t *testing.T) {
	const text = "one\ntwo\n"
	large := noise(3 << 20)
	small, wide := zstandard(t, text, 1<<10), zstandard(t, large, 2<<20)
	if len(wide) < 1<<20 {
		t.Fatalf("noise packs to %d bytes", len(wide))
	}
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer encoder.Close()
	single := string(encoder.EncodeAll([]byte(text), nil))
	skippable := "\x50\x2a\x4d\x18\x05\x00\x00\x00hello"
	for name, tt := range map[string]struct{ encoding, body, want, refusal string }{
		"plain":  {"", text, text, ""},
		"gzip":   {"GZip", gzipped(text), text, ""},
		"x-gzip": {"x-gzip", gzipped(text), text, ""},
		"gzip, several members": {"gzip", gzipped(text) + strings.Repeat(gzipped(""), 300) + gzipped(large),
			text + large, ""},
		"gzip, garbage behind":      {"gzip", gzipped(text) + "\n", text, "after the end of the gzip data"},
		"gzip, half a magic number": {"gzip", gzipped(text) + "\x1f", text, "after the end of the gzip data"},
		"gzip, half a member":       {"gzip", gzipped(text) + gzipped(text)[:15], text, "unexpected EOF"},
		"gzip, cut":                 {"gzip", gzipped(text)[:25], text, "unexpected EOF"},
		"gzip, damaged":             {"gzip", gzipped(text)[:len(gzipped(text))-6] + "damage", text, "checksum"},
		"not gzip":                  {"gzip", text, "", "it is not gzip"},
		"no gzip":                   {"gzip", "", "", "it is not gzip"},
		"zstd":                      {"zstd", small, text, ""},
		"zstd, a single segment":    {"ZSTD", single, text, ""},
		"zstd, several frames":      {"zstd", small + skippable + wide + single, text + large + text, ""},
		"zstd, garbage behind":      {"zstd", small + "nonsense", text, "data that is not zstd"},
		"zstd, cut":                 {"zstd", small[:len(small)-6], text, "unexpected EOF"},
		"zstd, cut in a header":     {"zstd", small + small[:3], text, "unexpected EOF"},
		"zstd, too wide":            {"zstd", zstandard(t, large, 16<<20), "", "at most 8388608 are allowed"},
		"not zstd":                  {"zstd", text, "", "data that is not zstd"},
	} {
		for how, src := range map[string]io.Reader{"at once": strings.NewReader(tt.body),
			"slowly": iotest.HalfReader(strings.NewReader(tt.body))} {
			r := &Recorder{memory: memory{limit: 64 << 20, share: 64 << 20}}
			in := r.Intake(source("writer"), Limits{})
			body, ok := in.Unpack(tt.encoding, src)
			if !ok {
				t.Fatalf("%s: not an encoding", name)
			}
			got, err := io.ReadAll(body)
			switch {
			case tt.refusal == "" && (err != nil || string(got) != tt.want):
				t.Errorf("%s, %s: %d bytes, %v", name, how, len(got), err)
			case tt.refusal != "" && (!errors.As(err, new(*Unreadable)) || !strings.Contains(err.Error(), tt.refusal) ||
				!strings.HasPrefix(tt.want, string(got))):
				t.Errorf("%s, %s: %d bytes, %v", name, how, len(got), err)
			}
			body.Close()
			in.Close()
			if r.memory.used != 0 {
				t.Errorf("%s, %s: %d bytes stay reserved", name, how, r.memory.used)
			}
		}
	}
	r, _ := start(t, Options{})
	in := r.Intake(source("writer"), Limits{})
	defer in.Close()
	for _, encoding := range []string{"deflate", "gzip, gzip", "br"} {
		if _, ok := in.Unpack(encoding, strings.NewReader("")); ok {
			t.Errorf("%s is taken", encoding)
		}
	}
}

// If the memory of a decoder is refused, the error says so, and does not blame the body.
func TestDecoderBeyondTheBound(t *testing.T) {
	body := zstandard(t, noise(2<<20), 8<<20)
	for limit, want := range map[int64]error{64 << 20: nil, 8 << 20: new(TooLarge)} {
		r := &Recorder{memory: memory{limit: limit, share: limit}}
		in := r.Intake(source("writer"), Limits{})
		src, _ := in.Unpack("zstd", strings.NewReader(body))
		_, err := io.Copy(io.Discard, src)
		if want == nil && err != nil || want != nil && !errors.As(err, new(*TooLarge)) {
			t.Errorf("%d: %v", limit, err)
		}
		in.Close()
		other := r.Reserve("writer", "", "")
		if err := other.Grow(limit - 2<<20); err != nil {
			t.Fatal(err)
		}
		in = r.Intake(source("writer"), Limits{})
		src, _ = in.Unpack("zstd", strings.NewReader(body))
		if _, err := io.Copy(io.Discard, src); want == nil && !errors.Is(err, ErrOverloaded) {
			t.Errorf("%d: while much is held: %v", limit, err)
		}
		in.Close()
		other.Release()
	}
}

// heap returns the number of bytes in use on the heap.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // Pools release their content at the second collection.
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A hundred bodies that stall stay within the bound, decoders and their windows included.
func TestHundredStalledBodiesStayWithinTheBound(t *testing.T) {
	const bodies, bound = 100, 64 << 20
	lines := noise(3 << 20)
	wide, narrow := zstandard(t, lines, 8<<20), zstandard(t, lines, 1<<10)
	readLines := (*Intake).ReadLines
	unpack := func(_ *Intake, src io.Reader) error { // holds only the decoder
		_, err := io.Copy(io.Discard, src)
		return err
	}
	for name, tt := range map[string]struct {
		encoding, body string
		read           func(*Intake, io.Reader) error
		waiting        int
		most           int64
	}{
		"30 bytes":    {"zstd", wide[:30], readLines, bodies, bodies * peeked},
		"half":        {"zstd", wide[:len(wide)/2], readLines, 2, bound},
		"zstd":        {"zstd", wide[:len(wide)/2], unpack, 6, bound},
		"zstd narrow": {"zstd", narrow[:len(narrow)/2], unpack, 50, bound},
		"gzip":        {"gzip", gzipped(lines)[:1<<20], unpack, bodies, bound},
	} {
		r, _ := start(t, Options{MemoryBytes: bound})
		before := heap()
		stopped, release := make(chan error), make(chan struct{})
		var ended sync.WaitGroup
		take := func(sender string) error {
			in := r.Intake(source(sender), Limits{})
			defer in.Close()
			body, _ := in.Unpack(tt.encoding, &stalled{strings.NewReader(tt.body),
				func() { stopped <- nil; <-release }})
			defer body.Close()
			return tt.read(in, body)
		}
		for i := range bodies {
			ended.Go(func() {
				if err := take([]string{"a", "b", "c"}[i%3]); refusesMemory(err) {
					stopped <- err
				}
			})
		}
		waiting := 0
		for range bodies {
			if err := <-stopped; err == nil {
				waiting++
			}
		}
		grown, used := heap()-before, r.memory.used
		if waiting < tt.waiting || used > tt.most || grown > used+bodies*(8<<10) {
			t.Errorf("%s: %d wait, %d bytes are reserved, %d in use", name, waiting, used, grown)
		}
		close(release)
		ended.Wait()
		if r.memory.used != 0 {
			t.Errorf("%s: %d bytes stay reserved", name, r.memory.used)
		}
	}
}
