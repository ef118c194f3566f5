package atlas

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// server is an Atlas that lies. Its clock is not that of others.
type server struct {
	mu     sync.Mutex
	rnd    *rand.Rand
	faults float64 // of how many replies something is wrong
	skew   time.Duration
	logs   []*serverLog
	asked  int // requests for logs
	empty  int // in a row
	feeds  *feeds

	kill     func() // ends the process that asks, at a request
	killLeft int
}

// serverLog is the audit log of a workspace.
type serverLog struct {
	id, name string
	deleted  bool // not listed
	lines    []serverLine
}

type serverLine struct {
	at   int64 // seconds, by the server's clock
	text string
}

const groupID = "6a793f48c0eb9e7a17712f00"

func (s *server) now() time.Time { return time.Now().Add(s.skew) }

// add gives a log a line with a time, as ms of its clock.
func (s *server) add(log *serverLog, at time.Time, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := slices.BinarySearchFunc(log.lines, at.Unix()+1, func(l serverLine, t int64) int { return int(l.at - t) })
	log.lines = slices.Insert(log.lines, i, serverLine{at.Unix(), text})
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", s.now().UTC().Format(http.TimeFormat))
	if r.URL.Path == "/api/oauth/token" {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"access_token":"t","expires_in":3600,"token_type":"Bearer"}`)
		return
	}
	if !s.fails(w) {
		s.answer(w, r)
	}
}

// fails replies with what is plainly no success, now and then.
func (s *server) fails(w http.ResponseWriter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.killLeft > 0 {
		if s.killLeft--; s.killLeft == 0 {
			s.kill()
		}
	}
	if s.rnd.Float64() >= s.faults {
		return false
	}
	switch s.rnd.IntN(5) {
	case 0:
		w.Header().Set("Retry-After", strconv.Itoa(s.rnd.IntN(90)))
		fail(w, 429, "RATE_LIMITED_TOKEN_BUCKET")
	case 1:
		fail(w, 429, "RATE_LIMITED_TOKEN_BUCKET")
	case 2:
		fail(w, 503, "SERVICE_UNAVAILABLE")
	case 3:
		fail(w, 404, "STREAM_TENANT_NOT_FOUND_FOR_NAME")
	default:
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<html>The service is busy.</html>")
	}
	return true
}

func fail(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"detail":"no","error":%d,"errorCode":%q}`, status, code)
}

func (s *server) answer(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := strings.Split(r.URL.Path, "/")
	switch {
	case r.URL.Path == "/api/atlas/v2/groups":
		writeList(w, []any{map[string]any{"id": groupID, "name": "shop"}})
	case strings.HasSuffix(r.URL.Path, "/streams"):
		all := []any{}
		for _, l := range s.logs {
			if !l.deleted {
				all = append(all, map[string]any{"_id": l.id, "name": l.name})
			}
		}
		writeList(w, all)
	case s.feeds != nil && s.feeds.answer(w, r):
	case strings.HasSuffix(r.URL.Path, "/auditLogs"):
		i := slices.IndexFunc(s.logs, func(l *serverLog) bool { return l.name == parts[len(parts)-2] })
		if s.asked++; i < 0 {
			fail(w, 404, "STREAM_TENANT_NOT_FOUND_FOR_NAME")
			return
		}
		s.download(w, r, s.logs[i])
	default:
		fail(w, 404, "RESOURCE_NOT_FOUND")
	}
}

func writeList(w http.ResponseWriter, all []any) {
	json.NewEncoder(w).Encode(map[string]any{"results": all, "totalCount": len(all)})
}

// download sends the lines of a range, or something else.
func (s *server) download(w http.ResponseWriter, r *http.Request, log *serverLog) {
	start, _ := strconv.ParseInt(r.URL.Query().Get("startDate"), 10, 64)
	end, err := strconv.ParseInt(r.URL.Query().Get("endDate"), 10, 64)
	if err != nil {
		end = s.now().Unix()
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for _, l := range log.lines {
		if l.at >= start && l.at <= end {
			io.WriteString(z, l.text+"\n")
		}
	}
	z.Close()
	body := b.Bytes()
	if s.rnd.Float64() >= s.faults {
		s.empty = 0
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.Write(body)
		return
	}
	s.lie(w, body)
}

// lie sends a body that is wrong.
func (s *server) lie(w http.ResponseWriter, body []byte) {
	cut := s.rnd.IntN(len(body))
	switch s.rnd.IntN(5) {
	case 0: // shorter than it is said to be
		w.Header().Set("Content-Length", strconv.Itoa(len(body)+7))
		w.Write(body)
	case 1: // cut, and said to be so long
		w.Header().Set("Content-Length", strconv.Itoa(cut))
		w.Write(body[:cut])
	case 2: // damaged
		wrong := slices.Clone(body)
		wrong[10+s.rnd.IntN(len(body)-10)] ^= 1 << s.rnd.IntN(8)
		w.Write(wrong)
	case 3: // something behind its end
		w.Write(append(slices.Clone(body), "garbage"...))
	default: // nothing, twice in a row at most
		if s.empty++; s.empty < empties {
			return
		}
		s.empty = 0
		w.Write(body)
	}
}

// pipes are connections in memory, so that time can be a simulated one.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.IPAddr{} }

func (p *pipes) dial() (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
