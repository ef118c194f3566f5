package egress

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestOnlyPublicAddressesAreOpen(t *testing.T) {
	for address, open := range map[string]bool{
		"93.184.216.34": true, "2606:4700::1111": true, "::ffff:93.184.216.34": true,
		"127.0.0.1": false, "127.8.8.8": false, "::1": false, "::ffff:127.0.0.1": false, "::127.0.0.1": false,
		"0.0.0.0": false, "::": false, "255.255.255.255": false, "224.0.0.1": false, "ff02::1": false,
		"10.1.2.3": false, "172.16.0.1": false, "172.31.255.255": false, "172.32.0.1": true, "192.168.0.1": false,
		"::ffff:10.0.0.1": false, "fd00::1": false, "fc00::1": false, "fe80::1": false, "fe80::1%eth0": false,
		"169.254.169.254": false, "169.254.170.2": false, "fd00:ec2::254": false, "100.100.100.200": false,
		"192.0.0.192": false, "168.63.129.16": false, "100.64.0.1": false, "198.18.0.1": false,
		"64:ff9b::7f00:1": false, "64:ff9b::a00:1": false, "2002:7f00:1::": false, "2001::1": false,
	} {
		err := New(nil).Check(netip.MustParseAddr(address))
		if open != (err == nil) || err != nil && !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestTheOperatorOpensNetworks(t *testing.T) {
	p := New([]netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("::1/128")})
	for address, open := range map[string]bool{"10.1.2.3": true, "::ffff:10.1.2.3": true, "::1": true, "10.2.0.1": false,
		"127.0.0.1": false} {
		if err := p.Check(netip.MustParseAddr(address)); open != (err == nil) {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// loopback is the policy of --dev.
var loopback = New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")})

func client(t *testing.T, p *Policy, ca []byte) *http.Client {
	t.Helper()
	c, err := p.Client(Options{CA: ca})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// get asks for a URL, and returns the status.
func get(c *http.Client, url string) (int, error) {
	r, err := c.Get(url)
	if err != nil {
		return 0, err
	}
	return r.StatusCode, r.Body.Close()
}

// However an address is named, it is the connection that is refused, and nothing of a request leaves.
func TestNamesOfClosedAddressesAreRefused(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was reached") }))
	defer s.Close()
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"} {
		if _, err := get(client(t, New(nil), nil), "http://"+host+":"+port); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestOpenAddressesAreReached(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
	}))
	defer s.Close()
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // of the node's environment, which is not the owner's
	if code, err := get(client(t, loopback, nil), s.URL); err != nil || code != http.StatusTeapot {
		t.Error(code, err)
	}
}

// Nothing is sent in these: what is refused is refused before a connection is made.
func TestOnlyOpenedNetworksAreReachedWithoutTLS(t *testing.T) {
	opened := New([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("93.184.216.0/24")})
	for address, want := range map[string]error{"93.184.216.34:80": errPlain, "[2606:4700::1111]:80": errPlain,
		"10.1.2.3:80": ErrRefused} {
		_, dialled := New(nil).DialPlain(t.Context(), "tcp", address)
		_, asked := get(client(t, New(nil), nil), "http://"+address)
		for _, err := range []error{dialled, asked} {
			if !errors.Is(err, want) || !errors.Is(err, ErrRefused) {
				t.Errorf("%s: %v, want %v", address, err, want)
			}
		}
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, address := range []string{"93.184.216.34:80", "10.1.2.3:80"} {
		if _, err := opened.DialPlain(over, "tcp", address); errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v, although it was opened", address, err)
		}
	}
	if _, err := New(nil).Dial(over, "tcp", "93.184.216.34:443"); errors.Is(err, ErrRefused) {
		t.Errorf("with TLS: %v", err)
	}
}

func TestHTTP2IsSpoken(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(r.ProtoMajor * 100)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if code, err := get(client(t, loopback, ca), s.URL); err != nil || code != 200 {
		t.Errorf("HTTP/%d: %v", code/100, err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	code, err := get(client(t, loopback, nil), s.URL)
	if err != nil || code != http.StatusTemporaryRedirect || asked != 1 {
		t.Error(code, err, asked)
	}
}

func TestHeadersOfRepliesAreBounded(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Long", strings.Repeat("x", 2*maxReplyHeader))
	}))
	defer s.Close()
	if _, err := get(client(t, loopback, nil), s.URL); err == nil {
		t.Error("a header of any size is read")
	}
}

func TestCertificatesAreVerified(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	s.Config.ErrorLog = nil
	if _, err := get(client(t, loopback, nil), s.URL); err == nil {
		t.Error("a certificate of nobody is trusted")
	}
	var ca bytes.Buffer
	if err := pem.Encode(&ca, &pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}); err != nil {
		t.Fatal(err)
	}
	if _, err := get(client(t, loopback, ca.Bytes()), s.URL); err != nil {
		t.Error(err)
	}
	if _, err := loopback.Client(Options{CA: []byte("no certificate")}); err == nil {
		t.Error("an empty list of authorities is taken")
	}
}
