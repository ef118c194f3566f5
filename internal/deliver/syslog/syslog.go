// Package syslog hands events over as messages of syslog (RFC 5424) over TLS (RFC 5425).
//
// Syslog has no acknowledgements. A sender that only writes does not learn which bytes were in the buffers between it
// and a receiver that dies. So a batch has a connection of its own: the sender says that nothing more comes
// (close_notify) and waits until the receiver says the same, as RFC 5425 (section 4.4) asks of it, and ends the
// connection. A receiver that ends before it has read all, such as one that is restarted, resets the connection or
// leaves bytes unacknowledged, which counts as a failure. What a receiver does with the messages that it has read
// remains unknown. So there is no session to hold between two batches, other than that of TLS, which is resumed.
package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/egress"
	"github.com/weirlog/weir/internal/retry"
)

const (
	maxReply = 4 << 10   // bytes that a receiver may say; it has nothing to say
	flushAt  = 256 << 10 // bytes of messages that are written at once
)

// Sink sends to one receiver.
type Sink struct {
	settings Settings
	policy   *egress.Policy
	verify   *tls.Config
	encode   encoder
	buf      []byte
}

// New returns a sink that connects as the policy says.
func New(s Settings, p *egress.Policy) (*Sink, error) {
	s = s.withDefaults()
	verify, err := egress.TLS([]byte(s.CA))
	if err != nil {
		return nil, fmt.Errorf("caCertificate: %w", err)
	}
	if verify.ServerName, _, err = net.SplitHostPort(s.Address); err != nil {
		return nil, fmt.Errorf("syslogAddress: %w", err)
	}
	if s.Cert != "" {
		pair, err := tls.X509KeyPair([]byte(s.Cert), []byte(s.Key))
		if err != nil {
			return nil, fmt.Errorf("clientCertificate: %w", err)
		}
		verify.Certificates = []tls.Certificate{pair}
	}
	verify.ClientSessionCache = tls.NewLRUClientSessionCache(1) // a connection for each batch costs less
	return &Sink{settings: s, policy: p, verify: verify, encode: newEncoder(&s)}, nil
}

// Send sends a batch over a connection of its own, and returns when the receiver has read all of it.
func (s *Sink) Send(ctx context.Context, batch []deliver.Event) ([]deliver.Refusal, error) {
	plain, err := s.policy.Dial(ctx, "tcp", s.settings.Address)
	if err != nil {
		return nil, fmt.Errorf("syslog: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = plain.SetDeadline(time.Unix(1, 0)) }) // ends reads and writes that wait
	defer stop()
	err = s.exchange(ctx, &watchedConn{Conn: plain}, batch)
	if closeErr := plain.Close(); err == nil {
		err = closeErr
	}
	if ended := ctx.Err(); err != nil && ended != nil && !errors.Is(err, ended) {
		err = fmt.Errorf("%w: %w", ended, err)
	}
	if err != nil {
		return nil, fmt.Errorf("syslog: %w", err)
	}
	return nil, nil
}

func (s *Sink) exchange(ctx context.Context, below *watchedConn, batch []deliver.Event) error {
	c := tls.Client(below, s.verify)
	if err := c.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	s.buf = s.buf[:0]
	for i := range batch {
		s.buf = s.frame(s.buf, &batch[i])
		if len(s.buf) >= flushAt || i == len(batch)-1 {
			if _, err := c.Write(s.buf); err != nil {
				return err
			}
			s.buf = s.buf[:0]
		}
	}
	if err := c.CloseWrite(); err != nil {
		return err
	}
	return s.awaitEnd(ctx, c, below)
}

// watchedConn tells whether the connection below TLS has ended.
type watchedConn struct {
	net.Conn
	ended bool
}

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.ended = c.ended || errors.Is(err, io.EOF)
	return n, err
}

// awaitEnd waits until the receiver has read all and has ended the connection.
func (s *Sink) awaitEnd(ctx context.Context, c *tls.Conn, below *watchedConn) error {
	if err := discard(c); err != nil {
		return fmt.Errorf("wait for the receiver to say that it has read all: %w", err)
	}
	if below.ended && !s.settings.AnyEnd { // crypto/tls takes that for an end too, if it comes between two records
		return errors.New("the receiver ended the connection, but did not say by close_notify that it has read all; if it " +
			"never does, set syslogAnyEnd")
	}
	if err := discard(below); err != nil {
		return fmt.Errorf("wait for the receiver to end the connection: %w", err)
	}
	return awaitAcknowledged(ctx, below.Conn)
}

// discard reads until the end.
func discard(r io.Reader) error {
	n, err := io.Copy(io.Discard, io.LimitReader(r, maxReply))
	if n == maxReply {
		return errors.New("the receiver sends data, which a receiver of syslog never does")
	}
	return err
}

// awaitAcknowledged waits until the receiver's system has acknowledged every byte of a connection that the receiver has
// ended. One that ended it before all bytes had arrived never does.
func awaitAcknowledged(ctx context.Context, c net.Conn) error {
	for {
		left, err := unacknowledged(c)
		switch {
		case err != nil:
			return fmt.Errorf("ask how much the receiver has acknowledged: %w", err)
		case left == 0:
			return nil
		case !retry.Wait(ctx, 20*time.Millisecond):
			return fmt.Errorf("the receiver ended the connection before the last %d bytes", left)
		}
	}
}

// frame appends an event as a message with its length before it: octet counting (RFC 5425, section 4.3).
func (s *Sink) frame(dst []byte, e *deliver.Event) []byte {
	message := s.encode.message(e)
	dst = strconv.AppendInt(dst, int64(len(message)), 10)
	return append(append(dst, ' '), message...)
}

// Close does nothing: there is no connection between two batches.
func (s *Sink) Close() error { return nil }
