package node

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/weirlog/weir/client"
	"github.com/weirlog/weir/internal/config"
)

// crowded is a server that takes few connections. A request for /slow is answered once release is closed.
type crowded struct {
	*connections
	began   chan struct{} // receives as a request for /slow is served
	release chan struct{}
}

func crowd(t *testing.T, most int) *crowded {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &crowded{began: make(chan struct{}), release: make(chan struct{}),
		connections: newConnections(listener{l.(*net.TCPListener), time.Minute}, most, "api",
			prometheus.NewRegistry())}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			c.began <- struct{}{}
			<-c.release
		}
		io.WriteString(w, "here")
	})}
	c.bind(s)
	served := make(chan error)
	go func() { served <- s.Serve(c) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		if n := c.count(); n != 0 {
			t.Errorf("%d connections are counted still", n)
		}
	})
	return c
}

// dial opens a connection, and waits until the server has taken or refused it.
func (c *crowded) dial(t *testing.T) net.Conn {
	t.Helper()
	before := c.seen()
	conn, err := net.Dial("tcp", c.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	for c.seen() == before {
		time.Sleep(time.Millisecond)
	}
	return conn
}

// seen is the number of connections that were taken or refused.
func (c *crowded) seen() int {
	return c.count() + int(testutil.ToFloat64(c.closed.WithLabelValues(closedIdle))+
		testutil.ToFloat64(c.closed.WithLabelValues(closedRefused)))
}

// begin sends a request.
func begin(t *testing.T, conn net.Conn, path string) {
	t.Helper()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
}

// answered reads a reply.
func answered(conn net.Conn) error {
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && string(text) != "here" {
		err = fmt.Errorf("the reply is %q", text)
	}
	return err
}

// quiet waits until a number of connections are idle.
func (c *crowded) quiet(t *testing.T, want int) {
	t.Helper()
	for {
		c.mu.Lock()
		n := c.idle.Len()
		c.mu.Unlock()
		if n == want {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// checkOpen checks whether the server has a connection still. If not, its client must learn of it.
func (c *crowded) checkOpen(t *testing.T, name string, conn net.Conn, want bool) {
	t.Helper()
	c.mu.Lock()
	has := false
	for h := range c.open {
		has = has || h.RemoteAddr().String() == conn.LocalAddr().String()
	}
	c.mu.Unlock()
	if has != want {
		t.Errorf("the %s connection is open: %v, want %v", name, has, want)
	}
	if want {
		return
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the client of the %s connection does not see that it was closed: %v", name, err)
	}
}

// The connection that has been idle for the longest time is closed.
func TestTheIdlestConnectionGivesWay(t *testing.T) {
	c := crowd(t, 3)
	first, second, third := c.dial(t), c.dial(t), c.dial(t)
	begin(t, first, "/")
	if err := answered(first); err != nil {
		t.Fatal(err)
	}
	c.quiet(t, 3)
	io.WriteString(third, "GET / HT") // A header that is begun does not count as a request.
	fourth := c.dial(t)
	c.checkOpen(t, "second", second, false)
	c.checkOpen(t, "first", first, true)
	c.checkOpen(t, "third", third, true)
	fifth := c.dial(t)
	c.checkOpen(t, "third", third, false)
	c.checkOpen(t, "fourth", fourth, true)
	c.checkOpen(t, "fifth", fifth, true)
	if n := testutil.ToFloat64(c.closed.WithLabelValues(closedIdle)); n != 2 || c.count() != 3 {
		t.Errorf("%v idle connections counted as closed, %d open", n, c.count())
	}
}

// While requests are served on all connections a new one is closed, and none of those. After that there is room again.
func TestConnectionsWithRequestsStay(t *testing.T) {
	c := crowd(t, 2)
	busy := []net.Conn{c.dial(t), c.dial(t)}
	for _, conn := range busy {
		begin(t, conn, "/slow")
		<-c.began
	}
	for range 10 {
		c.checkOpen(t, "late", c.dial(t), false)
	}
	close(c.release)
	for _, conn := range busy {
		if err := answered(conn); err != nil {
			t.Errorf("a request that was being served: %v", err)
		}
	}
	c.quiet(t, 2)
	late := c.dial(t)
	begin(t, late, "/")
	if err := answered(late); err != nil {
		t.Errorf("after the others have ended: %v", err)
	}
	if n := testutil.ToFloat64(c.closed.WithLabelValues(closedRefused)); n != 10 {
		t.Errorf("%v connections counted as refused, want 10", n)
	}
}

// However many connections strangers open and leave, clients are served.
func TestStrangersConnectionsKeepNobodyAway(t *testing.T) {
	admin := freeAddress(t)
	r := run(t, func(c *config.Config) { c.MaxConnections, c.AdminListen = 16, admin })
	var strangers []net.Conn
	for range 300 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.creds.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		strangers = append(strangers, conn)
	}
	got, err := r.client(t).Record(t.Context(), r.creds.project, "demo", fmt.Appendf(nil, `{"time":%d}`+"\n",
		time.Now().UnixMilli()), false)
	if err != nil || got.Recorded != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := r.client(t).Download(t.Context(), client.Source{Project: r.creds.project, Workspace: "demo"},
		client.Query{}); err != nil {
		t.Error(err)
	}
	metrics := get(t, "http://"+admin+"/metrics")
	for _, want := range []string{"\nweir_connections{listener=\"api\"} 16\n",
		"\nweir_connections_closed_total{listener=\"api\",reason=\"refused\"} 0\n"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %q", want)
		}
	}
	if testing.Short() { // A server that stops waits some seconds for connections that have asked nothing yet.
		for _, conn := range strangers {
			conn.Close()
		}
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Errorf("stop: %v", err)
	}
}

// The same holds for --admin-listen, so those who run the node can look, and it does not take the API's descriptors.
func TestStrangersOnTheAdminAddressKeepNobodyAway(t *testing.T) {
	admin := freeAddress(t)
	run(t, func(c *config.Config) { c.AdminListen = admin })
	for range 100 {
		conn, err := net.Dial("tcp", admin)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		get(t, "http://"+admin+path)
	}
	want := fmt.Sprintf("\nweir_connections{listener=\"admin\"} %d\n", adminConnections)
	if metrics := get(t, "http://"+admin+"/metrics"); !strings.Contains(metrics, want) {
		t.Errorf("the metrics lack %q", want)
	}
}

func TestLimitOfConnectionsLeavesDescriptors(t *testing.T) {
	for _, tt := range []struct {
		set   int
		files uint64
		want  int
	}{
		{0, 256, 64}, {0, 1024, 448}, {0, 100, leastConnections}, {0, 1 << 20, mostConnections},
		{0, 1 << 63, mostConnections},
		{0, 0, mostConnections}, {100, 1024, 100}, {448, 1024, 448}, {20000, 1 << 20, 20000}, {20000, 0, 20000},
		{449, 1024, 0}, {20000, 1024, 0},
	} {
		c := config.Default()
		c.MaxConnections = tt.set
		got, err := connectionsFor(&c, tt.files)
		var wrong *config.Error
		if got != tt.want || (tt.want == 0) != errors.As(err, &wrong) || wrong != nil &&
			wrong.Setting != "max-connections" {
			t.Errorf("--max-connections %d with %d files: %d, %v; want %d", tt.set, tt.files, got, err, tt.want)
		}
	}
}
