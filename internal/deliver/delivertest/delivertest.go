// Package delivertest is for tests of sinks: events, a way to loopback, and a server whose answers a test sets.
package delivertest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/egress"
)

// Log is the id of the log of the events.
const Log = "6a793f48c0eb9e7a17712f00"

// Loopback reaches servers of tests.
var Loopback = egress.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")})

// Open returns the sink that settings describe, which are right, until the test ends.
func Open[S any, P interface {
	*S
	deliver.Settings
}, K deliver.Sink](t *testing.T, settings S, open func(S, *egress.Policy) (K, error)) K {
	t.Helper()
	var wrong deliver.Wrong
	if P(&settings).Check(&wrong); len(wrong.Attributes) > 0 {
		t.Fatal(wrong)
	}
	sink, err := open(settings, Loopback)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sink.Close() })
	return sink
}

// Batch returns events of one log, from an index on.
func Batch(from, n int) []deliver.Event {
	var all []deliver.Event
	for i := from; i < from+n; i++ {
		line := fmt.Sprintf(`{"time":%d,"metadata":{"uid":"u%d"},"message":"ümlaut \"%d\" \u0000"}`, 1795780000000+i, i, i)
		all = append(all, deliver.Event{Log: Log, Name: `demo "audit"`, Index: int64(i), Time: 1795780000000 + int64(i),
			Line: []byte(line)})
	}
	return all
}

// Server is a place of a test.
type Server struct {
	*httptest.Server

	mu     sync.Mutex
	asked  []Request
	answer func(Request) Answer
}

// Request is a request that the server got.
type Request struct {
	Path   string
	Header http.Header
	Body   []byte
}

// Answer is a reply of the server. Without a status it is 200. One that hangs never comes, and one that breaks ends the
// connection.
type Answer struct {
	Status      int
	Header      http.Header
	Type, Body  string
	Hang, Break bool
}

// NewServer returns a server on loopback, which is closed when the test ends.
func NewServer(t testing.TB, answer func(Request) Answer) *Server {
	s := &Server{answer: answer}
	ended := make(chan struct{})
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // A client that goes away sends less.
		asked := Request{r.URL.RequestURI(), r.Header, body}
		s.mu.Lock()
		s.asked = append(s.asked, asked)
		answer := s.answer
		s.mu.Unlock()
		s.say(w, r, answer(asked), ended)
	}))
	t.Cleanup(func() { close(ended); s.Close() })
	return s
}

func (s *Server) say(w http.ResponseWriter, r *http.Request, a Answer, ended <-chan struct{}) {
	switch {
	case a.Hang:
		select {
		case <-r.Context().Done():
		case <-ended:
		}
		return
	case a.Break:
		panic(http.ErrAbortHandler)
	}
	for name, values := range a.Header {
		w.Header()[name] = values
	}
	if a.Type != "" {
		w.Header().Set("Content-Type", a.Type)
	}
	if a.Status == 0 {
		a.Status = http.StatusOK
	}
	w.WriteHeader(a.Status)
	io.WriteString(w, a.Body)
}

// Handle has the server answer so from now on.
func (s *Server) Handle(answer func(Request) Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// Says has the server answer this from now on.
func (s *Server) Says(a Answer) { s.Handle(func(Request) Answer { return a }) }

// Asked returns the requests that the server got.
func (s *Server) Asked() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// Patience is how long a test waits for a server that hangs.
const Patience = 50 * time.Millisecond
