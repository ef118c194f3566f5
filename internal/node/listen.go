package node

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/weirlog/weir/internal/config"
)

// listener closes connections that make no progress: no byte is sent within the timeout. The size of the server's
// writes does not matter. A slow client that continues to read is never disconnected.
type listener struct {
	*net.TCPListener
	timeout time.Duration
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return &conn{TCPConn: c, timeout: l.timeout}, nil
}

// conn applies the timeout to each step of progress instead of a whole write. Reads have the server's own timeouts.
type conn struct {
	*net.TCPConn
	timeout time.Duration
}

func (c *conn) Write(p []byte) (n int, err error) {
	for {
		if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
			return n, err
		}
		m, err := c.TCPConn.Write(p[n:])
		n += m
		if m == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
}

// ReadFrom lets the kernel copy from a file (sendfile), with the same timeout.
func (c *conn) ReadFrom(r io.Reader) (n int64, err error) {
	part, ok := r.(*io.LimitedReader)
	if !ok {
		return io.Copy(struct{ io.Writer }{c}, r)
	}
	file, ok := part.R.(*os.File)
	if !ok {
		return io.Copy(struct{ io.Writer }{c}, r)
	}
	start, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	total := part.N
	for {
		if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
			return n, err
		}
		m, err := c.TCPConn.ReadFrom(part)
		n += m
		if m == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		// Bytes that were read but not sent are read again.
		if _, err := file.Seek(start+n, io.SeekStart); err != nil {
			return n, err
		}
		part.N = total - n
	}
}

// certificate is reloaded when its files change, so that it can be renewed without a restart.
type certificate struct {
	certFile, keyFile string

	mu      sync.Mutex
	checked time.Time
	stamp   [2]time.Time // modification times of the files
	current *tls.Certificate
}

// recheck is the time after which a change of the files is noticed.
const recheck = 5 * time.Second

// get implements tls.Config.GetCertificate. If the files cannot be read, it returns the last good certificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil && time.Since(c.checked) < recheck {
		return c.current, nil
	}
	c.checked = time.Now()
	err := c.load()
	if c.current == nil {
		return nil, err
	}
	return c.current, nil
}

// certified returns a *config.Error if the files of --tls-cert and --tls-key are no certificate with its key.
func certified(c *config.Config) error {
	if c.TLSCert == "" {
		return nil
	}
	if _, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey); err != nil {
		return c.InvalidFor("tls-cert", fmt.Errorf("with --tls-key: %w", err))
	}
	return nil
}

func (c *certificate) load() error {
	var stamp [2]time.Time
	for i, name := range []string{c.certFile, c.keyFile} {
		st, err := os.Stat(name)
		if err != nil {
			return fmt.Errorf("TLS (--tls-cert, --tls-key): %w", err)
		}
		stamp[i] = st.ModTime()
	}
	if c.current != nil && stamp == c.stamp {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("TLS (--tls-cert, --tls-key): %w", err)
	}
	c.current, c.stamp = &pair, stamp
	return nil
}

func (n *node) url(l net.Listener) string {
	if n.config.TLSCert != "" {
		return "https://" + l.Addr().String()
	}
	return "http://" + l.Addr().String()
}

// wrap returns the listener of the API's server, with limits and TLS, or nil if the node has no API.
func (n *node) wrap(l net.Listener, s *http.Server) (net.Listener, error) {
	if l == nil {
		return nil, nil
	}
	bounded := n.bound(l, s, n.most, "api")
	if n.config.TLSCert == "" {
		return bounded, nil
	}
	c := &certificate{certFile: n.config.TLSCert, keyFile: n.config.TLSKey}
	if _, err := c.get(nil); err != nil {
		return nil, err
	}
	return tls.NewListener(bounded, &tls.Config{GetCertificate: c.get, MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"}}), nil
}

// bound returns a listener with a bounded number of connections, which disconnects clients that make no progress.
func (n *node) bound(l net.Listener, s *http.Server, most int, name string) net.Listener {
	bounded := newConnections(listener{l.(*net.TCPListener), n.config.IdleTimeout}, most, name, n.registry)
	bounded.bind(s)
	return bounded
}

// server returns a server with timeouts for slow requests. The listener has the timeout for slow reading of replies.
func (n *node) server(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10,
		ErrorLog:       slog.NewLogLogger(n.log.Handler(), slog.LevelDebug)}
}
