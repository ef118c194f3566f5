package syslog

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/leodido/go-syslog/v4"
	"github.com/leodido/go-syslog/v4/octetcounting"
	"github.com/leodido/go-syslog/v4/rfc5424"

	"github.com/weirlog/weir/internal/deliver"
	"github.com/weirlog/weir/internal/egress"
)

const log = "6a793f48c0eb9e7a17712f00"

var loopback = egress.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})

// listen starts a receiver that does with its connections what serve does, and returns the settings that lead to it.
// The connection is closed after serve.
func listen(t *testing.T, serve func(*tls.Conn)) Settings {
	t.Helper()
	server := httptest.NewUnstartedServer(nil) // for its certificate
	server.StartTLS()
	defer server.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: server.TLS.Certificates,
		ClientAuth: tls.RequestClientCert})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c.(*tls.Conn))
			c.(*tls.Conn).NetConn().Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return Settings{Address: l.Addr().String(), CA: string(ca)}
}

func events(n int) (batch []deliver.Event) {
	for i := range n {
		batch = append(batch, deliver.Event{Log: log, Name: "or ders", Index: int64(i), Time: 1763978401002,
			Line: fmt.Appendf(nil, `{"time":1763978401002,"class_uid":3004,"severity_id":4,"n":%d}`, i)})
	}
	return batch
}

func send(t *testing.T, ctx context.Context, s Settings, batch []deliver.Event) error {
	t.Helper()
	sink, err := New(s, loopback)
	if err != nil {
		t.Fatal(err)
	}
	refused, err := sink.Send(ctx, batch)
	if refused != nil {
		t.Error(refused)
	}
	return err
}

// Another's parser reads what was sent.
func TestMessagesArrive(t *testing.T) {
	var got []*rfc5424.SyslogMessage
	s := listen(t, func(c *tls.Conn) {
		parser := octetcounting.NewParser(syslog.WithListener(func(r *syslog.Result) {
			if r.Error != nil {
				if !errors.Is(r.Error, io.EOF) {
					t.Error(r.Error)
				}
				return
			}
			got = append(got, r.Message.(*rfc5424.SyslogMessage))
		}))
		parser.Parse(c)
		_ = c.CloseWrite()
	})
	batch := events(3000)
	batch[1].Line = []byte(`{"a":"` + strings.Repeat("é", 10_000) + `"}`)
	if err := send(t, t.Context(), s, batch); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(batch) {
		t.Fatalf("%d messages of %d", len(got), len(batch))
	}
	for i, m := range got {
		data := *m.StructuredData
		if id := data["weir@32473"]["id"]; id != batch[i].ID() || i != 1 && *m.Message != string(batch[i].Line) {
			t.Fatalf("message %d is %s: %s", i, id, *m.Message)
		}
	}
	m := got[0]
	if *m.Facility != 13 || *m.Severity != 3 || *m.Hostname != "weir" || *m.Appname != "or_ders" || *m.MsgID != "3004" ||
		m.ProcID != nil || m.Timestamp.UnixMilli() != batch[0].Time {
		t.Errorf("%+v", m)
	}
}

// A batch is accepted only if the receiver has read all of it, as far as that can be known.
func TestAcceptance(t *testing.T) {
	readAll := func(c *tls.Conn) { _, _ = io.Copy(io.Discard, c) }
	for _, test := range []struct {
		name  string
		serve func(c *tls.Conn)
		any   bool
		want  string // of the error; empty if it is accepted
	}{
		{"it says the same", func(c *tls.Conn) { readAll(c); _ = c.CloseWrite() }, false, ""},
		{"it just ends", readAll, false, "syslogAnyEnd"},
		{"it just ends, which is allowed", readAll, true, ""},
		{"it dies after it has read a part", func(c *tls.Conn) { _, _ = io.CopyN(io.Discard, c, 100) }, true, "syslog"},
		{"it is stopped after it has read a part", func(c *tls.Conn) {
			_, _ = io.CopyN(io.Discard, c, 100)
			_ = c.CloseWrite()
		}, false, "syslog"},
		{"it dies before it has read anything", func(c *tls.Conn) { _ = c.Handshake() }, true, "syslog"},
		{"it is something else", func(c *tls.Conn) {
			go readAll(c)
			_, _ = c.Write(make([]byte, 10_000))
		}, false, "syslog"},
		{"it has no TLS", func(c *tls.Conn) { _, _ = io.WriteString(c.NetConn(), "220 hello\r\n") }, false, "TLS"},
	} {
		s := listen(t, test.serve)
		s.AnyEnd = test.any
		err := send(t, t.Context(), s, events(3000))
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestHangingReceiver(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := listen(t, func(c *tls.Conn) {
		_, _ = io.Copy(io.Discard, c)
		cancel()
		_, _ = io.Copy(io.Discard, c.NetConn()) // until weir ends it
	})
	if err := send(t, ctx, s, events(1)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestStrangersGetNothing(t *testing.T) {
	got := make(chan int64, 2)
	s := listen(t, func(c *tls.Conn) {
		n, _ := io.Copy(io.Discard, c)
		got <- n
	})
	for _, change := range []func(s *Settings){
		func(s *Settings) { s.CA = "" },
		func(s *Settings) { s.Address = strings.Replace(s.Address, "127.0.0.1", "localhost", 1) }, // not in its certificate
	} {
		other := s
		change(&other)
		var unknown *tls.CertificateVerificationError
		if err := send(t, t.Context(), other, events(1)); !errors.As(err, &unknown) || <-got != 0 {
			t.Error(err)
		}
	}
	sink, err := New(s, egress.New(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Send(t.Context(), events(1)); !errors.Is(err, egress.ErrRefused) {
		t.Error(err)
	}
}

// A receiver that asks for a certificate is shown that of the settings.
func TestClientCertificates(t *testing.T) {
	for _, shows := range []bool{true, false} {
		s := listen(t, func(c *tls.Conn) {
			_, _ = io.Copy(io.Discard, c)
			if len(c.ConnectionState().PeerCertificates) > 0 {
				_ = c.CloseWrite()
			}
		})
		if shows {
			s.Cert, s.Key = s.CA, keyOf(t)
		}
		if err := send(t, t.Context(), s, events(1)); (err == nil) != shows {
			t.Errorf("with a certificate %t: %v", shows, err)
		}
	}
}

// keyOf returns the key of httptest's certificate.
func keyOf(t *testing.T) string {
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	key, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
}

func TestSettingsAreChecked(t *testing.T) {
	ok := Settings{Address: "syslog.example.com:6514", Format: CEF, Host: "a.b", Most: 2048, Number: 1}
	for _, test := range []struct {
		wrong  string
		change func(s *Settings)
	}{
		{"", func(*Settings) {}}, {"clientCertificate", func(s *Settings) { s.Cert = "x" }},
		{"syslogHostname", func(s *Settings) { s.Host = "a b" }}, {"syslogMaxBytes", func(s *Settings) { s.Most = 100 }},
		{"syslogAddress", func(s *Settings) { s.Address = "a" }}, {"syslogAddress", func(s *Settings) { s.Address = "a:0" }},
		{"caCertificate", func(s *Settings) { s.CA = "x" }}, {"syslogFormat", func(s *Settings) { s.Format = "LEEF" }},
		{"syslogEnterprise", func(s *Settings) { s.Number = -1 }},
	} {
		s := ok
		test.change(&s)
		var w deliver.Wrong
		s.Check(&w)
		if len(w.Attributes) > 0 != (test.wrong != "") || test.wrong != "" && w.Attributes[0].Name != test.wrong {
			t.Errorf("%+v: %v, want %q", s, w, test.wrong)
		}
	}
}
