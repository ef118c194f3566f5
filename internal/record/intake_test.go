package record

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlog/weir/internal/bucket/bucketest"
	"github.com/weirlog/weir/internal/event"
)

var received = time.UnixMilli(1_786_331_570_000)

func source(sender string) Source {
	return Source{Log: "a", Origin: event.Origin{By: sender, Received: received}}
}

// stalled is a body that stops after its beginning. It signals when more is requested.
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
	lines := strings.Repeat(`{"time":1786331570000}`+"\n", 100)
	for encoding, body := range map[string]string{"": `{"time":`, "gzip": gzipped(lines)[:20],
		"zstd": zstandard(t, lines, 8<<20)[:20]} {
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
		if r.memory.used != 0 || len(r.memory.held) != 0 {
			t.Errorf("%q: %d bytes are held for ever", encoding, r.memory.used)
		}
	}
}

func TestOneSenderLeavesRoomForOthers(t *testing.T) {
	r, _ := start(t, Options{MemoryBytes: 1 << 20})
	body := strings.Repeat(`{"time":1786331570000}`+"\n", 50)
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

// One tenant leaves room for others, however many credentials and projects it has.
func TestOneTenantLeavesRoomForOthers(t *testing.T) {
	r, _ := start(t, Options{MemoryBytes: 1 << 20})
	body := strings.Repeat(`{"time":1786331570000}`+"\n", 50)
	fill := func(of func(i int) Source) (refused bool) {
		for i := range 200 {
			in := r.Intake(of(i), Limits{})
			defer in.Close()
			refused = errors.Is(in.ReadLines(strings.NewReader(body)), ErrOverloaded) || refused
		}
		others := source("modest")
		others.Project, others.Org = "other project", "other organization"
		in := r.Intake(others, Limits{})
		defer in.Close()
		if err := in.ReadLines(strings.NewReader(body)); err != nil {
			t.Errorf("another tenant: %v", err)
		}
		return refused
	}
	for name, project := range map[string]string{"of one project": "project", "of many projects": "project %d"} {
		refused := fill(func(i int) Source {
			s := source(fmt.Sprint("greedy ", i))
			s.Project, s.Org = strings.ReplaceAll(project, "%d", strconv.Itoa(i)), "organization"
			return s
		})
		if !refused {
			t.Errorf("credentials %s hold all that they want", name)
		}
	}
	if r.memory.used != 0 || len(r.memory.held) != 0 {
		t.Errorf("%d bytes of %d holders are left", r.memory.used, len(r.memory.held))
	}
}

// An intake never holds more than it has reserved, and its remarks are bounded, whatever arrives.
func TestIntakeHoldsWhatItReserved(t *testing.T) {
	pieces := []string{`{"time":1786331570000}`, `{"time":1}`, "{", "}", "[", "]", ",", "\n", " ", `"x"`, "\xff",
		`{"` + strings.Repeat("n", 5000) + `":1,"` + strings.Repeat("n", 5000) + `":1}`,
		strings.Repeat(`{"time":1},`, 300)}
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
		for _, remark := range append(in.reasons, in.warnings...) {
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

// Six recordings of 7.5 MB that hardly compress stay within a bound of 64 MiB. One is taken; those of the same sender
// that come meanwhile are refused. The memory in use never exceeds the reserved memory.
func TestLargeRecordingsStayWithinTheBound(t *testing.T) {
	r, f := start(t, Options{MemoryBytes: 64 << 20})
	body := noise(7_000_000)
	record := func(sender string) (Result, error) {
		in := r.Intake(source(sender), Limits{})
		defer in.Close()
		if err := in.ReadLines(strings.NewReader(body)); err != nil {
			return Result{}, err
		}
		return in.Record(t.Context())
	}
	before := heap()
	writing, release := make(chan struct{}), make(chan struct{})
	f.Before = func(_ context.Context, op bucketest.Op, _ string) error {
		if op == bucketest.PutNew {
			writing <- struct{}{}
			<-release
		}
		return nil
	}
	type outcome struct {
		Result
		err error
	}
	first := make(chan outcome)
	go func() {
		result, err := record("writer")
		first <- outcome{result, err}
	}()
	<-writing
	for range 5 {
		if _, err := record("writer"); !errors.Is(err, ErrOverloaded) {
			t.Errorf("another recording: %v", err)
		}
	}
	if grown, used := heap()-before, r.memory.used; grown > used || used > 32<<20 {
		t.Errorf("%d bytes in use, %d reserved", grown, used)
	}
	close(release)
	if o := <-first; o.err != nil || o.Recorded == 0 {
		t.Errorf("the first: %+v", o)
	}
	go func() { // a retry writes nothing
		for range writing {
		}
	}()
	if result, err := record("writer"); err != nil || result.Recorded != 0 || result.Duplicates == 0 {
		t.Errorf("a retry: %+v, %v", result, err)
	}
	close(writing)
}

// The largest request that the default limits allow fits into the share of one sender.
func TestLargestRequestFits(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	const size = 64 << 20
	line := func(n int) string {
		begin := `{"time":1786331570000,"class_uid":3004,"x":"`
		return begin + strings.Repeat("x", n-len(begin)-len(`"}`+"\n")) + `"}` + "\n"
	}
	for name, lines := range map[string]string{"few": line(1 << 20), "many": line(size/100_000 + 1)} {
		r := &Recorder{memory: memory{limit: 640 << 20, share: 320 << 20}}
		s := source("writer")
		if name == "few" {
			s.Conformance = Warn
		}
		in := r.Intake(s, Limits{EventBytes: 1 << 20, RequestBytes: size, Events: 100_000})
		body, _ := in.Unpack("zstd", strings.NewReader(zstandard(t, strings.Repeat(lines, size/len(lines)), 8<<20)))
		if err := in.ReadLines(body); err != nil || in.refused > 0 || in.events != size/len(lines) {
			t.Errorf("%s: %d events, %d refused, %v", name, in.events, in.refused, err)
		}
		body.Close()
		in.Close()
	}
}

// If one intake alone exceeds the share of a sender, its error is final, since a retry would not help.
func TestRecordingBeyondTheShare(t *testing.T) {
	r, _ := start(t, Options{MemoryBytes: 4 << 20})
	in := r.Intake(source("writer"), Limits{})
	defer in.Close()
	large := new(TooLarge)
	if err := in.ReadLines(strings.NewReader(noise(4 << 20))); !errors.As(err, &large) || large.Most != 2<<20 {
		t.Errorf("%v", err)
	}
}

// An event that was taken is taken again in its recorded form, as a duplicate, even if its size is near the limit.
func TestRecordedLinesAreTakenAgain(t *testing.T) {
	const limit = 4096
	for _, tt := range []struct {
		event       string // has a placeholder for text
		operational bool
	}{
		{`{"time":1786331570000,"x":"%s"}`, false},
		{`{"x":"%s","time":1786331570000,"metadata":{}}`, false},
		{`{"time":1786331570000,"metadata":{"version":"1.8.0","uid":"u"},"x":"%s"}`, false},
		{`{"time":1786331570000,"metadata":{"x":"%s","log_name":"l","tenant_uid":"t"}}`, false},
		{"{\n\t\"time\": 1786331570000,\r\n\t\"x\": \"%s\"\n}", false},
		{`{"time":1786331570000,"msg":"%s"}`, true},
		{`{"t":{"$date":"2026-08-10T03:12:50.000+00:00"},"msg":"%s"}`, true},
		{`{"t":{"$date":{"$numberLong":"1786331570000"}},"msg":"%s"}`, true},
	} {
		for beyond := -300; beyond <= 1; beyond += max(1, -beyond-3) {
			text := strings.Repeat("x", limit+beyond-len(tt.event)+len("%s"))
			sent := fmt.Sprintf(tt.event, text)
			r, _ := start(t, Options{})
			take := func(event, workspace string) (Result, string, error) {
				in := r.Intake(Source{Log: "a", Operational: tt.operational,
					Origin: origin(workspace)}, Limits{EventBytes: limit})
				defer in.Close()
				if err := in.ReadElements(strings.NewReader(event)); err != nil {
					return Result{}, "", err
				}
				line := ""
				if len(in.batches) > 0 {
					line = string(in.batches[0].Lines)
				}
				result, err := in.Record(t.Context())
				return result, line, err
			}
			result, line, err := take(sent, strings.Repeat("w", 64))
			if strings.Contains(tt.event, `"log_name"`) || strings.Contains(tt.event, `"uid"`) {
				if err != nil {
					continue // not all that it brings along counts; event tests that limit
				}
			} else if (err == nil) != (beyond <= 0) {
				t.Fatalf("%.40s, %d bytes beyond the limit: %+v, %v", sent, beyond, result, err)
			}
			if err != nil {
				continue
			}
			if result, _, err := take(line, "other"); err != nil || result.Duplicates != 1 || result.Recorded != 0 {
				t.Errorf("%.40s, %d bytes beyond the limit, again: %+v, %v", sent, beyond, result, err)
			}
		}
	}
}

func origin(workspace string) event.Origin {
	return event.Origin{Workspace: workspace, Project: "6a793f48c0eb9e7a17712c9a", Received: received}
}

// Bodies of 1 MiB that are made to cause long refusals get short ones, at little cost.
func TestRefusalsOfHostileBodiesAreShort(t *testing.T) {
	const size = 1 << 20
	long := strings.Repeat("n", 60_000)
	for name, body := range map[string]string{
		"bad lines":     strings.Repeat("{\n", size/2),
		"bad times":     strings.Repeat(`{"time":"`+strings.Repeat("9", 1000)+`"}`+"\n", size/1012),
		"a name twice":  `{"time":1786331570000,"` + long + `":1,"` + long + `":2}`,
		"a long time":   `{"time":` + strings.Repeat("9", size-10) + `}`,
		"deep":          `{"time":1786331570000,"x":` + strings.Repeat("[", size/2),
		"deep elements": strings.Repeat(`{"time":`, size/8),
		"many names":    `{"time":1786331570000` + manyNames(100_000) + `}`,
		"many warnings": strings.Repeat(`{"time":1786331570000,"class_uid":3004,"severity_id":"`+strings.Repeat("s",
			100)+`"}`+"\n", size/160),
		"a wrong array": `{"time":1786331570000,"class_uid":3004,"actor":{"user":{"groups":[1` + strings.Repeat(",1",
			size/2-100) + `]}}}`,
		"beyond the size": strings.Repeat("x", 2*size) + "\n" + strings.Repeat("y", 2*size),
	} {
		r := &Recorder{memory: memory{limit: 256 << 20, share: 128 << 20}}
		s := source("writer")
		s.Conformance = Warn
		in := r.Intake(s, Limits{Events: 100_000})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := in.ReadLines(strings.NewReader(body))
		runtime.ReadMemStats(&after)
		said := 0
		if err != nil {
			said += len(err.Error())
		}
		for _, remark := range append(in.reasons, in.warnings...) {
			said += len(remark.Event) + len(remark.Text)
		}
		if said == 0 || said > 64<<10 {
			t.Errorf("%s: %d bytes are said: %v", name, said, err)
		}
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 96<<20 {
			t.Errorf("%s: %d bytes allocated", name, allocated)
		}
		in.Close()
		if r.memory.used != 0 {
			t.Errorf("%s: %d bytes stay reserved", name, r.memory.used)
		}
	}
}

func manyNames(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"%x":0`, i)
	}
	return b.String()
}
