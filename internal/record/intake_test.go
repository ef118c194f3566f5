package record

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/event"
)

var received = time.UnixMilli(1_786_331_570_000)

func source(sender string) Source {
	return Source{Log: "a", Sender: sender, Origin: event.Origin{Received: received}}
}

// stalled is a body of which the beginning has arrived. It tells when more is asked for.
type stalled struct {
	first io.Reader
	asked func()
}

func (s *stalled) Read(b []byte) (int, error) {
	n, err := s.first.Read(b)
	if err == nil {
		return n, nil
	}
	s.asked()
	return 0, io.ErrUnexpectedEOF
}

func TestBodyThatStallsHoldsLittle(t *testing.T) {
	var gz, zs bytes.Buffer
	g := gzip.NewWriter(&gz)
	z, err := zstd.NewWriter(&zs, zstd.WithWindowSize(8<<20))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []io.WriteCloser{g, z} {
		io.WriteString(w, strings.Repeat(`{"time":1786331570000}`+"\n", 100))
		w.Close()
	}
	for encoding, body := range map[string]string{"": `{"time":`, "gzip": gz.String()[:20], "zstd": zs.String()[:20]} {
		r, _ := start(t, Options{})
		in := r.Intake(source("writer"), Limits{})
		held := int64(-1)
		src, _ := in.Unpack(encoding, &stalled{strings.NewReader(body), func() { held = r.memory.used }})
		if err := in.ReadLines(src); err == nil {
			t.Errorf("%q: half a body is taken", encoding)
		}
		if held < 0 || held > 8<<10 {
			t.Errorf("%q: %d bytes are held while the body stalls", encoding, held)
		}
		in.Close()
		if r.memory.used != 0 || len(r.memory.senders) != 0 {
			t.Errorf("%q: %d bytes are held for ever", encoding, r.memory.used)
		}
	}
}

func TestOneSenderLeavesRoomForOthers(t *testing.T) {
	r, _ := start(t, Options{MemoryBytes: 1 << 20})
	body := strings.Repeat(`{"time":1786331570000}`+"\n", 100)
	refused := false
	for range 100 {
		in := r.Intake(source("greedy"), Limits{})
		defer in.Close()
		if err := in.ReadLines(strings.NewReader(body)); errors.Is(err, ErrOverloaded) {
			refused = true
		}
	}
	if !refused {
		t.Error("one sender holds all that it wants")
	}
	in := r.Intake(source("modest"), Limits{})
	defer in.Close()
	if err := in.ReadLines(strings.NewReader(body)); err != nil {
		t.Errorf("another sender: %v", err)
	}
	if err := r.Ready(); err != nil {
		t.Errorf("ready: %v", err)
	}
}

// What an intake keeps is never more than what it has reserved, and what it says is bounded, whatever arrives.
func TestIntakeHoldsWhatItReserved(t *testing.T) {
	pieces := []string{`{"time":1786331570000}`, `{"time":1}`, "{", "}", "[", "]", ",", "\n", " ", `"x"`, "\xff",
		`{"` + strings.Repeat("n", 5000) + `":1,"` + strings.Repeat("n", 5000) + `":1}`, strings.Repeat(`{"time":1},`, 300)}
	rapid.Check(t, func(t *rapid.T) {
		body := strings.Join(rapid.SliceOf(rapid.SampledFrom(pieces)).Draw(t, "body"), "")
		r := &Recorder{memory: memory{limit: 64 << 20, share: 64 << 20}}
		in := r.Intake(source("writer"), Limits{EventBytes: 8 << 10})
		read := in.ReadLines
		if rapid.Bool().Draw(t, "elements") {
			read = in.ReadElements
		}
		_ = read(strings.NewReader(body))
		kept, said := 0, 0
		for _, b := range in.batches {
			kept += cap(b.Lines) + 56*cap(b.Entries)
		}
		for _, remark := range in.reasons {
			said += len(remark.Event) + len(remark.Text)
		}
		if int64(kept) > r.memory.used {
			t.Fatalf("%d bytes are kept, %d reserved", kept, r.memory.used)
		}
		if said > maxRemarks*(maxRemark+100) {
			t.Fatalf("%d bytes are said", said)
		}
		in.Close()
		if r.memory.used != 0 {
			t.Fatalf("%d bytes stay reserved", r.memory.used)
		}
	})
}
