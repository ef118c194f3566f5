// Package egress makes the connections that a setting of a project's owner causes: to servers that events are fetched
// from, or sent to. An owner must not reach an address through a node that only the node can reach. So addresses of
// loopback, of links, of private networks and of the metadata services of clouds are refused, unless the node's
// operator has opened them.
//
// The address is checked where the connection is made, after the name was resolved, so that a name which resolves
// differently the next time gains nothing. Redirects are not followed. TLS is always verified, and connections to
// public addresses are always encrypted.
package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"syscall"
	"time"
)

// ErrRefused is returned (wrapped) for a connection to an address that is not open. Trying again does not help before
// the node's settings or the name's addresses change.
var ErrRefused = errors.New("weir may not connect to this address (see --egress-allow)")

// errPlain is returned (wrapped, with ErrRefused) for a connection without TLS to a public address.
var errPlain = errors.New("weir connects without TLS only to addresses that its operator has opened")

// Policy says which addresses may be reached. It may be used concurrently. The zero Policy reaches public ones only.
type Policy struct {
	allow   []netip.Prefix
	resolve *net.Resolver // if nil, the system's
}

// New returns the policy that reaches public addresses and those of some networks.
func New(allow []netip.Prefix) *Policy { return &Policy{allow: slices.Clone(allow)} }

// closed is the networks that are not public, beside those that netip tells. They are those of IANA's registries of
// special-purpose addresses that are not globally reachable, or lead to other addresses.
var closed = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", // RFC 6890
	// Azure's services for a machine, at an address that looks public:
	"168.63.129.16/32",
	"::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", // IPv4 in IPv6: RFC 4291, 6052, 8215
	"100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10")

func prefixes(all ...string) (list []netip.Prefix) {
	for _, s := range all {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

// public tells whether an address is one that everybody can reach.
func public(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !in(closed, a)
}

func in(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Check returns ErrRefused (wrapped) unless an address may be reached.
func (p *Policy) Check(a netip.Addr) error {
	if a = a.Unmap().WithZone(""); public(a) || in(p.allow, a) {
		return nil
	}
	return fmt.Errorf("%s: %w", a, ErrRefused)
}

const (
	dialTimeout = 10 * time.Second
	keepAlive   = 30 * time.Second
)

// Dial connects to an address that may be reached, as net.Dialer.DialContext does: tries each address of a name, and
// fails after ten seconds. The caller encrypts what it sends (see DialPlain).
func (p *Policy) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return p.dial(ctx, network, address, p.Check)
}

// DialPlain is Dial for a connection over which something is sent that is not encrypted. So it reaches only addresses
// that the operator has opened, who knows which servers listen there.
func (p *Policy) DialPlain(ctx context.Context, network, address string) (net.Conn, error) {
	return p.dial(ctx, network, address, func(a netip.Addr) error {
		if err := p.Check(a); err != nil || in(p.allow, a.Unmap().WithZone("")) {
			return err
		}
		return fmt.Errorf("%s: %w: %w", a, errPlain, ErrRefused)
	})
}

// DialTLS is Dial with a handshake by TLS, for the name in the address.
func (p *Policy) DialTLS(ctx context.Context, network, address string, c *tls.Config) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	plain, err := p.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c = c.Clone()
	c.ServerName = host
	secure := tls.Client(plain, c)
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("TLS: %w", err), plain.Close())
	}
	return secure, nil
}

func (p *Policy) dial(ctx context.Context, network, address string, check func(netip.Addr) error) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive, Resolver: p.resolve,
		ControlContext: func(_ context.Context, network, address string, _ syscall.RawConn) error {
			return connects(network, address, check)
		}}
	return d.DialContext(ctx, network, address)
}

// connects checks a connection that is about to be made.
func connects(network, address string, check func(netip.Addr) error) error {
	if network != "tcp4" && network != "tcp6" && network != "tcp" {
		return fmt.Errorf("%s over %s: %w", address, network, ErrRefused)
	}
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return check(a.Addr())
}

// Options of a client for one server.
type Options struct {
	// CA is certificates of authorities, in PEM, that are trusted in the place of the system's. If empty, those are.
	CA []byte

	// Timeout is the most that a request takes, with its reply's body. If 0, only the request's context bounds it.
	Timeout time.Duration
}

// maxReplyHeader bounds what the header of a reply may make a node hold, in bytes.
const maxReplyHeader = 64 << 10

// Client returns a client that connects as the policy says. It follows no redirect: their replies are returned as they
// are. It reads no proxy from the environment, and does not unpack replies, which would hide how long they are. The
// caller bounds what it reads of a reply. CloseIdleConnections closes the connections that the client holds.
func (p *Policy) Client(o Options) (*http.Client, error) {
	t, err := TLS(o.CA)
	if err != nil {
		return nil, err
	}
	t.NextProtos = []string{"h2", "http/1.1"}
	transport := &http.Transport{DialContext: p.DialPlain, ForceAttemptHTTP2: true,
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return p.DialTLS(ctx, network, address, t)
		},
		IdleConnTimeout: time.Minute, MaxIdleConns: 4, MaxIdleConnsPerHost: 2,
		MaxResponseHeaderBytes: maxReplyHeader, DisableCompression: true}
	return &http.Client{Transport: transport, Timeout: o.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}

// TLS returns how a place is verified: by authorities in PEM, or, if there are none, by the system's.
func TLS(ca []byte) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(ca) == 0 {
		return c, nil
	}
	if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(ca) {
		return nil, errors.New("no certificate of an authority in PEM was found")
	}
	return c, nil
}

// WithoutURL takes the URL out of an error of an http.Client. A URL often has a secret, and errors are shown to more
// people than secrets are.
func WithoutURL(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}
