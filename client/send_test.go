package client

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

// Line numbers that the server gives within a batch become line numbers of the file. Retries send the same bytes.
func TestSendNumbersLinesByFile(t *testing.T) {
	var batches []string
	fail := true
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		body, err := io.ReadAll(z)
		if err != nil {
			t.Error(err)
		}
		batches = append(batches, string(body))
		if fail = !fail; !fail {
			w.WriteHeader(503)
			return
		}
		if r.URL.RawQuery != "partial=true" {
			t.Errorf("query %q", r.URL.RawQuery)
		}
		n := strings.Count(string(body), "\n")
		if strings.Contains(string(body), "bad") {
			fmt.Fprintf(w, `{"recorded":%d,"duplicates":0,"rejected":1,"badRequestDetail":{"fields":[{"field":"line `+
				`2","description":"odd"}]}}`, n-1)
			return
		}
		fmt.Fprintf(w, `{"recorded":%d,"duplicates":0}`, n)
	})
	var refused []Refused
	s := &Sender{Client: c, Project: "p", Workspace: "w", MaxEvents: 2, MaxBytes: 1000, MaxWait: time.Hour,
		Retry: RetryOptions{Most: time.Minute}, Partial: true,
		Report: func(r Refused) { refused = append(refused, r) }}
	if err := s.Send(t.Context(), "f", strings.NewReader("1\r\n\n2\n3\n\nbad\n6")); err != nil {
		t.Fatal(err)
	}
	if want := []string{"1\n2\n", "1\n2\n", "3\nbad\n", "3\nbad\n", "6\n", "6\n"}; !slices.Equal(batches, want) {
		t.Errorf("sent %q, want %q", batches, want)
	}
	if want := []Refused{{"f", 6, "odd"}}; !slices.Equal(refused, want) || s.Sent != (Sent{Recorded: 4, Refused: 1}) ||
		s.Done() != 7 {
		t.Errorf("refused %+v, sent %+v, done up to line %d", refused, s.Sent, s.Done())
	}
}

// Lines that come slowly are sent in time, while more may still come.
func TestSlowLinesDoNotWaitForEver(t *testing.T) {
	arrived := make(chan string)
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		body, err := io.ReadAll(z)
		if err != nil {
			t.Error(err)
		}
		arrived <- string(body)
		io.WriteString(w, `{"recorded":1,"duplicates":0}`)
	})
	r, w := io.Pipe()
	done := make(chan error)
	go func() {
		s := &Sender{Client: c, MaxEvents: 100, MaxBytes: 1000, MaxWait: time.Millisecond,
			Retry: RetryOptions{Most: time.Minute}}
		done <- s.Send(context.Background(), "f", r)
	}()
	for _, line := range []string{"a\n", "b\n"} {
		io.WriteString(w, line)
		if got := <-arrived; got != line {
			t.Errorf("sent %q, want %q", got, line)
		}
	}
	w.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestSendStopsAtRefused(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(400)
		io.WriteString(w, `{"detail":"1 of 2 events are refused, so none was recorded.",`+
			`"errorCode":"VALIDATION_ERROR","badRequestDetail":{"fields":[{"field":"line 1","description":"odd"}]}}`)
	})
	s := &Sender{Client: c, MaxEvents: 100, MaxBytes: 1000, MaxWait: time.Hour}
	if err := s.Send(t.Context(), "f", strings.NewReader("a\nb\n")); !errors.Is(err, ErrRefused) || s.Done() != 0 {
		t.Errorf("%v, done up to line %d", err, s.Done())
	}
}

// recorder is a server that keeps the lines it receives.
type recorder struct {
	mu    sync.Mutex
	lines []string
	reply func(w http.ResponseWriter) bool // if not nil, it may answer instead
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if r.reply != nil && r.reply(w) {
		return
	}
	z, err := gzip.NewReader(req.Body)
	if err != nil {
		w.WriteHeader(400)
		return
	}
	body, err := io.ReadAll(z)
	if err != nil {
		w.WriteHeader(400)
		return
	}
	lines := strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")
	r.mu.Lock()
	r.lines = append(r.lines, lines...)
	r.mu.Unlock()
	fmt.Fprintf(w, `{"recorded":%d,"duplicates":0,"conflicts":1}`, len(lines))
}

// gate is a reader that returns its content, then blocks until its context has ended, and fails.
type gate struct {
	text    io.Reader
	blocked func()
	ctx     context.Context
}

func (g *gate) Read(p []byte) (int, error) {
	if n, err := g.text.Read(p); n > 0 || err == nil {
		return n, nil
	}
	g.blocked()
	<-g.ctx.Done()
	return 0, g.ctx.Err()
}

// Lines that were read before Send is interrupted are sent. The error names the lines that were not.
func TestInterruptedSendLosesNothing(t *testing.T) {
	r := &recorder{}
	c := serve(t, r.ServeHTTP)
	ctx, cancel := context.WithCancel(t.Context())
	s := &Sender{Client: c, MaxEvents: 2, MaxBytes: 1000, MaxWait: time.Hour, Grace: time.Minute}
	err := s.Send(ctx, "f", &gate{strings.NewReader("1\n\n2\n3\n4\n5\nhal"), cancel, ctx})
	var interrupted *Interrupted
	if !errors.As(err, &interrupted) || interrupted.Done != 6 || interrupted.Read != 7 {
		t.Errorf("%+v, %v", interrupted, err)
	}
	if want := []string{"1", "2", "3", "4", "5"}; !slices.Equal(r.lines, want) || s.Sent.Recorded != 5 ||
		s.Sent.Conflicts != 3 {
		t.Errorf("recorded %q, %+v", r.lines, s.Sent)
	}
}

func TestInterruptedSendNamesWhatItCouldNotSend(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := &recorder{reply: func(w http.ResponseWriter) bool { w.WriteHeader(503); return true }}
	s := &Sender{Client: serve(t, r.ServeHTTP), MaxEvents: 100, MaxBytes: 1000, MaxWait: time.Hour,
		Grace: 300 * time.Millisecond,
		Retry: RetryOptions{Most: time.Hour}}
	err := s.Send(ctx, "f", &gate{strings.NewReader("1\n2\n3\n"), cancel, ctx})
	var interrupted *Interrupted
	if !errors.As(err, &interrupted) || interrupted.Done != 0 || interrupted.Read != 3 ||
		!strings.Contains(err.Error(), "lines 1 to 3") {
		t.Errorf("%+v, %v", interrupted, err)
	}
}

// If Send is interrupted after it has read the end of the file, it sends the whole file and succeeds.
func TestInterruptedAtTheEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := &recorder{reply: func(http.ResponseWriter) bool { cancel(); return false }}
	s := &Sender{Client: serve(t, r.ServeHTTP), MaxEvents: 100, MaxBytes: 1000, MaxWait: time.Hour, Grace: time.Minute}
	if err := s.Send(ctx, "f", strings.NewReader("1\n2")); err != nil || s.Sent.Recorded != 2 {
		t.Errorf("%+v, %v", s.Sent, err)
	}
}

func TestOtherEncodingsAreRefusedByName(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want []string
		err  string
	}{
		"UTF-8 mark":        {"\xef\xbb\xbf{}\n{}", []string{"{}", "{}"}, ""},
		"only a mark":       {"\xef\xbb\xbf", nil, ""},
		"mark in the midst": {"{}\n\xef\xbb\xbf{}", []string{"{}", "\xef\xbb\xbf{}"}, ""},
		"UTF-16LE":          {"\xff\xfe{\x00}\x00", nil, "UTF-16LE"},
		"UTF-16BE":          {"\xfe\xff\x00{\x00}", nil, "UTF-16BE"},
		"UTF-16, no mark":   {"{\x00}\x00", nil, "UTF-16LE"},
		"UTF-32LE":          {"\xff\xfe\x00\x00{\x00\x00\x00", nil, "UTF-32LE"},
		"a brace":           {"{", []string{"{"}, ""},
	} {
		for _, pieces := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r },
			iotest.OneByteReader, iotest.DataErrReader} {
			r := &recorder{}
			s := &Sender{Client: serve(t, r.ServeHTTP), MaxEvents: 100, MaxBytes: 1000, MaxWait: time.Hour}
			err := s.Send(t.Context(), "f", pieces(strings.NewReader(tt.text)))
			if !slices.Equal(r.lines, tt.want) || (err == nil) != (tt.err == "") || err != nil &&
				(!errors.Is(err, ErrEncoding) || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("%s: recorded %q, %v", name, r.lines, err)
			}
		}
	}
}

// The client's limit of a line is above that of any server, and bounds memory.
func TestLongLinesAreBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("long work of one goroutine")
	}
	r := &recorder{}
	var refused []Refused
	s := &Sender{Client: serve(t, r.ServeHTTP), MaxEvents: 100, MaxBytes: 1000, MaxWait: time.Hour, Partial: true,
		Report: func(r Refused) { refused = append(refused, r) }}
	long := strings.Repeat("x", 5<<20)
	endless := io.MultiReader(strings.NewReader("a\n"+long+"\n"), io.LimitReader(zeros{}, maxLine+5),
		strings.NewReader("\nb\n"))
	if err := s.Send(t.Context(), "f", endless); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", long, "b"}; !slices.Equal(r.lines, want) {
		t.Errorf("recorded %d lines", len(r.lines))
	}
	if len(refused) != 1 || refused[0].Line != 3 || s.Sent.Refused != 1 || s.Done() != 4 {
		t.Errorf("refused %+v, %+v, done up to line %d", refused, s.Sent, s.Done())
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func ExampleSender() {
	config, err := FromEnvironment(os.Getenv)
	if err != nil {
		return
	}
	c, err := New(config)
	if err != nil {
		return
	}
	s := &Sender{Client: c, Project: "32b6e34b3d91647abb20e7b8", Workspace: "prod", MaxEvents: 5000, MaxBytes: 8 << 20,
		MaxWait: time.Second, Grace: 10 * time.Second, Retry: RetryOptions{Most: time.Minute}}
	err = s.Send(context.Background(), "standard input", os.Stdin)
	var interrupted *Interrupted
	switch {
	case errors.As(err, &interrupted):
		fmt.Println("not recorded: from line", interrupted.Done+1)
	case errors.Is(err, ErrRefused):
		fmt.Println("refused behind line", s.Done())
	}
}
